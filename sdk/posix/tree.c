/*
 * The tree of files: nodes, directories, paths, and the archive that it begins with.
 *
 * SPDX-License-Identifier: MIT
 */

#include "files.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define LINKS_MAX 40
#define SMALLEST 6U /* 64 bytes */
#define CLASSES 6U  /* up to 2 KiB */

struct nova_mutex files_lock;
struct node *files_root, *files_working;
static void *free_list[CLASSES];
static uint64_t last_number;

static unsigned class_of(size_t size)
{
    return size <= 64 ? 0 : (unsigned)(64 - __builtin_clzl(size - 1)) - SMALLEST;
}

/* Zeroed memory; pieces up to 2 KiB come from pages cut into equal ones. */
void *files_alloc(size_t size)
{
    unsigned class = class_of(size);
    size_t piece = 1UL << (class + SMALLEST);
    void *memory;

    if (class >= CLASSES)
        return nova_mem_alloc((size + NOVA_PAGE - 1) & ~(NOVA_PAGE - 1), &memory) ? 0 : memory;
    if (!free_list[class]) {
        if (nova_mem_alloc(NOVA_PAGE, &memory))
            return 0;
        for (size_t at = 0; at < NOVA_PAGE; at += piece) {
            *(void **)((char *)memory + at) = free_list[class];
            free_list[class] = (char *)memory + at;
        }
    }
    memory = free_list[class];
    free_list[class] = *(void **)memory;
    return memset(memory, 0, piece);
}

void files_free(void *memory, size_t size)
{
    unsigned class = class_of(size);

    if (!memory)
        return;
    if (class >= CLASSES) {
        nova_mem_free(memory, (size + NOVA_PAGE - 1) & ~(NOVA_PAGE - 1));
        return;
    }
    *(void **)memory = free_list[class];
    free_list[class] = memory;
}

struct timespec files_time(void)
{
    uint64_t now = (uint64_t)nova_wall_clock();

    return (struct timespec){.tv_sec = (time_t)(now / NOVA_S), .tv_nsec = (long)(now % NOVA_S)};
}

struct node *files_node(uint32_t mode)
{
    struct node *node = files_alloc(sizeof(*node));

    if (node) {
        node->mode = mode;
        node->number = ++last_number;
        node->accessed = node->modified = node->changed = files_time();
        node->last = &node->first;
    }
    return node;
}

/* Frees a node that has no name and is not in use, and then perhaps what is above it. What is mapped stays. */
void files_put(struct node *node)
{
    while (node && !node->links && !node->uses && !node->mapped) {
        struct node *parent = node->parent;

        if (node->capacity)
            files_free(node->data, node->capacity);
        files_free(node, sizeof(*node));
        if (parent)
            parent->uses--;
        node = parent;
    }
}

long files_add(struct node *directory, const char *name, size_t length, struct node *node)
{
    struct entry *entry;

    if (!directory->links) /* it has been removed */
        return -ENOENT;
    if (length > NAME_MAX)
        return -ENAMETOOLONG;
    entry = files_alloc(sizeof(*entry) + length + 1);
    if (!entry)
        return -ENOSPC;
    memcpy(entry->name, name, length);
    entry->length = (uint16_t)length;
    entry->node = node;
    entry->cookie = ++directory->cookie;
    *directory->last = entry;
    directory->last = &entry->next;
    node->links++;
    if (S_ISDIR(node->mode)) {
        if (node->parent) /* it has still the entry, so it stays */
            node->parent->uses--;
        node->parent = directory;
        directory->uses++;
    }
    directory->modified = directory->changed = files_time();
    return 0;
}

void files_remove(struct node *directory, struct entry *entry)
{
    struct entry **at = &directory->first;
    struct node *node = entry->node;

    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    if (directory->last == &entry->next)
        directory->last = at;
    files_free(entry, sizeof(*entry) + entry->length + 1);
    directory->modified = directory->changed = node->changed = files_time();
    node->links--;
}

/* Memory for so many bytes. Where a mapped file is cannot change. */
long files_reserve(struct node *node, uint64_t size)
{
    uint64_t capacity = node->capacity * 2;
    void *data;

    if (size <= node->capacity)
        return 0;
    if (node->mapped || size > nova_info()->pool_size)
        return -ENOSPC;
    if (capacity < size)
        capacity = (size + NOVA_PAGE - 1) & ~(NOVA_PAGE - 1);
    if (nova_mem_alloc(capacity, &data)) {
        capacity = (size + NOVA_PAGE - 1) & ~(NOVA_PAGE - 1);
        if (nova_mem_alloc(capacity, &data))
            return -ENOSPC;
    }
    if (node->size)
        memcpy(data, node->data, node->size);
    if (node->capacity)
        nova_mem_free(node->data, node->capacity);
    node->data = data;
    node->capacity = capacity;
    return 0;
}

/* Bytes behind the end are always zero. */
long files_resize(struct node *node, uint64_t size)
{
    long result = files_reserve(node, size);

    if (result)
        return result;
    if (size < node->size)
        memset(node->data + size, 0, node->size - size);
    node->size = size;
    node->modified = node->changed = files_time();
    return 0;
}

static struct entry *lookup(const struct node *directory, const char *name, size_t length)
{
    struct entry *entry = directory->first;

    while (entry && (entry->length != length || memcmp(entry->name, name, length)))
        entry = entry->next;
    return entry;
}

static long walk(struct node *at, const char *path, bool follow, struct place *place, unsigned depth)
{
    if (!*path)
        return -ENOENT;
    if (strnlen(path, PATH_MAX) == PATH_MAX)
        return -ENAMETOOLONG;
    if (*path == '/')
        at = files_root;
    *place = (struct place){.directory = at, .node = at, .name = "."};
    for (;;) {
        const char *name = path + strspn(path, "/");
        size_t length = strcspn(name, "/");

        place->slash = *path == '/';
        if (!length)
            return 0;
        path = name + length;
        if (!place->node)
            return -ENOENT;
        if (S_ISLNK(place->node->mode)) {
            long result = depth < LINKS_MAX
                              ? walk(place->directory, place->node->data, true, place, depth + 1)
                              : -ELOOP;

            if (result)
                return result;
            if (!place->node)
                return -ENOENT;
        }
        at = place->node;
        if (!S_ISDIR(at->mode))
            return -ENOTDIR;
        if (length > NAME_MAX)
            return -ENAMETOOLONG;
        *place = (struct place){.directory = at, .name = name, .length = length, .slash = *path == '/'};
        if (length == 1 && name[0] == '.') {
            place->node = at;
        } else if (length == 2 && name[0] == '.' && name[1] == '.') {
            place->node = at->parent;
        } else {
            place->entry = lookup(at, name, length);
            place->node = place->entry ? place->entry->node : 0;
        }
        if (!path[strspn(path, "/")] && place->node && S_ISLNK(place->node->mode) &&
            (follow || place->slash)) {
            bool slash = place->slash;
            long result = depth < LINKS_MAX ? walk(at, place->node->data, true, place, depth + 1) : -ELOOP;

            place->slash |= slash;
            return result ? result : place->node && slash && !S_ISDIR(place->node->mode) ? -ENOTDIR : 0;
        }
        if (!path[strspn(path, "/")])
            return place->slash && place->node && !S_ISDIR(place->node->mode) ? -ENOTDIR : 0;
    }
}

long files_find(struct node *from, const char *path, bool follow, struct place *place)
{
    files_start();
    return walk(from ? from : files_working, path, follow, place, 0);
}

/*
 * A node with a name below the root, its directories made as needed; NULL without memory or if the path is
 * in use.
 */
static struct node *plant(const char *path, uint32_t mode, bool readonly)
{
    struct node *at = files_root;

    for (;;) {
        const char *name = path + strspn(path, "/");
        size_t length = strcspn(name, "/");
        struct entry *entry;
        struct node *node;
        bool last;

        path = name + length;
        last = !path[strspn(path, "/")];
        if (!length || (length == 1 && *name == '.')) {
            if (last)
                return S_ISDIR(mode) ? at : 0;
            continue;
        }
        if (length == 2 && name[0] == '.' && name[1] == '.')
            return 0;
        entry = lookup(at, name, length);
        if (entry) {
            node = entry->node;
            if (last)
                return S_ISDIR(node->mode) && S_ISDIR(mode) ? node : 0;
            if (!S_ISDIR(node->mode))
                return 0;
        } else {
            node = files_node(last ? mode : S_IFDIR | 0755);
            if (!node || files_add(at, name, length, node))
                return 0;
            node->readonly = readonly;
        }
        if (last)
            return node;
        at = node;
    }
}

static uint64_t octal(const char *text, size_t size)
{
    uint64_t value = 0;

    for (size_t i = 0; i < size && text[i] >= '0' && text[i] <= '7'; i++)
        value = value << 3 | (uint64_t)(text[i] - '0');
    return value;
}

/* POSIX ustar header, 512 bytes. */
struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[6],
        version[2], user[32], group[32], major[8], minor[8], prefix[155], pad[12];
};

static bool good(const struct header *header)
{
    const unsigned char *byte = (const unsigned char *)header;
    uint64_t sum = 8 * ' ';

    for (size_t i = 0; i < sizeof(*header); i++)
        sum += i - offsetof(struct header, checksum) < sizeof(header->checksum) ? 0 : byte[i];
    return sum == octal(header->checksum, sizeof(header->checksum)) && !memcmp(header->magic, "ustar", 5);
}

static void plant_member(const struct header *header, const char *data, uint64_t size)
{
    char path[sizeof(header->prefix) + sizeof(header->name) + 2] = {0};
    uint32_t mode = (uint32_t)octal(header->mode, sizeof(header->mode)) & 0777;
    size_t length = strnlen(header->prefix, sizeof(header->prefix));
    char target[sizeof(header->link) + 1] = {0};
    struct node *node = 0;
    struct place place;

    memcpy(path, header->prefix, length);
    path[length] = '/';
    memcpy(path + length + 1, header->name, strnlen(header->name, sizeof(header->name)));
    memcpy(target, header->link, sizeof(header->link));
    switch (header->type) {
    case '1':
        if (!walk(files_root, target, false, &place, 0) && place.node && !S_ISDIR(place.node->mode)) {
            node = plant(path, S_IFREG, true);
            if (node) {
                node->data = place.node->data;
                node->size = place.node->size;
                node->mode = place.node->mode;
            }
        }
        return;
    case '2':
        node = plant(path, S_IFLNK | 0777, true);
        if (node) {
            node->capacity = strlen(target) + 1;
            node->data = files_alloc(node->capacity);
            node->size = strlen(target);
            if (!node->data)
                posix_crash("no memory for the archive of files");
            memcpy(node->data, target, node->size);
        }
        break;
    case '5':
        node = plant(path, S_IFDIR | mode, true);
        break;
    case '0':
    case 0:
        node = plant(path, S_IFREG | mode, true);
        if (node) {
            node->data = (char *)(uintptr_t)data;
            node->size = size;
        }
        break;
    default:
        break;
    }
    if (node) {
        node->modified.tv_sec = (time_t)octal(header->mtime, sizeof(header->mtime));
        node->modified.tv_nsec = 0;
    }
}

static void plant_archive(const char *archive, uint64_t size)
{
    for (uint64_t at = 0; at + sizeof(struct header) <= size;) {
        const struct header *header = (const struct header *)(archive + at);
        uint64_t left = size - at - sizeof(*header);
        uint64_t bytes;

        if (!header->name[0])
            return;
        bytes = octal(header->size, sizeof(header->size));
        if (!good(header) || bytes > left)
            posix_crash("the archive of files is damaged");
        plant_member(header, archive + at + sizeof(*header), bytes);
        at += sizeof(*header) + ((bytes + 511) & ~511UL);
    }
}

static void plant_device(const char *path, uint8_t device)
{
    struct node *node = plant(path, S_IFCHR | 0666, false);

    if (node)
        node->device = device;
}

/* The system file is the shell of a program: its environment says where it begins. Nonsense does not count. */
static struct node *first_directory(void)
{
    const char *path = getenv("PWD");
    struct place place;

    if (!path || *path != '/' || walk(files_root, path, true, &place, 0) || !place.node ||
        !S_ISDIR(place.node->mode))
        return files_root;
    return place.node;
}

void files_start(void)
{
    struct node *directory;

    if (files_root)
        return;
    files_root = files_node(S_IFDIR | 0755);
    if (!files_root)
        posix_crash("no memory for files");
    files_root->parent = files_root;
    files_root->links = 1;
    files_root->readonly = 1;
    if (nova_info()->archive_start)
        plant_archive((const char *)nova_info()->archive_start, nova_info()->archive_size);
    plant("/dev", S_IFDIR | 0755, true);
    plant_device("/dev/console", DEVICE_CONSOLE);
    plant_device("/dev/tty", DEVICE_CONSOLE);
    plant_device("/dev/null", DEVICE_NULL);
    plant_device("/dev/zero", DEVICE_ZERO);
    plant_device("/dev/random", DEVICE_RANDOM);
    plant_device("/dev/urandom", DEVICE_RANDOM);
    directory = plant("/dev/shm", S_IFDIR | 01777, false);
    if (directory)
        directory = plant("/tmp", S_IFDIR | 01777, false);
    if (!directory)
        posix_crash("no memory for files, or /tmp is a file in the archive");
    directory->readonly = 0;
    files_working = first_directory();
    files_working->uses++;
}
