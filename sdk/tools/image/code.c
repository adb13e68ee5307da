/*
 * How much code a domain has to trust: the sources that the debug information of the kernel, of root and of its image names,
 * each once, and those of the domains that it depends on.
 *
 * The lines of the SDK's sources are in a table that is installed with it; other sources are counted where they are. A
 * figure that would leave something out is none: what has no debug information, or names sources that are nowhere, is
 * `unknown'. Headers of the compiler and its C library, which make no code here, do not count.
 *
 * SPDX-License-Identifier: MIT
 */

#include "code.h"

#include <stdlib.h>
#include <string.h>

struct image {
    struct code *code;
    size_t domain;
    bool common, unknown;
};

/* The name in the table, or NULL for headers of the compiler and of the machine that built it. */
static const char *key_of(struct arena *arena, const char *path)
{
    static const char sysroot[] = "/x86_64-nova-elf/include/";
    const char *header = strstr(path, sysroot);

    if (*path == '<' || strstr(path, "/lib/gcc/") || !strncmp(path, "/usr/include/", 13) ||
        strstr(path, "/lib/clang/"))
        return NULL;
    if (header) {
        header += strlen(sysroot);
        return arena_print(arena, strncmp(header, "nova/", 5) ? "musl/include/%s" : "libnova/include/%s",
                           header);
    }
    if (!strncmp(path, "sdk/libc/musl/", 14))
        return path + strlen("sdk/libc/");
    if (!strncmp(path, "musl-", 5) && strchr(path, '/'))
        return arena_print(arena, "musl%s", strchr(path, '/'));
    return path;
}

static enum part part_of(const char *key)
{
    static const char *const folder[PARTS] = {"kernel/", "root/", "libnova/", "musl/"};

    for (unsigned i = 0; i < PART_OWN; i++)
        if (!strncmp(key, folder[i], strlen(folder[i])))
            return (enum part)i;
    return strncmp(key, "sdk/", 4) ? PART_OWN : PART_LIBC;
}

/* From the table, else from the file. */
static bool find_lines(struct code *code, struct source *source, const char *path)
{
    size_t length = strlen(source->path);

    for (const char *line = code->table; line && *line;
         line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        char *tab;
        unsigned long long lines = strtoull(line, &tab, 10);

        if (*tab == '\t' && !strncmp(tab + 1, source->path, length) && tab[1 + length] == '\n') {
            source->lines = lines;
            source->part = part_of(source->path);
            return true;
        }
    }
    const struct file *file = read_file(code->arena, path);

    source->part = strcmp(source->path, path) ? part_of(source->path) : PART_OWN;
    source->lines = file->error ? 0 : count_lines(path, (const char *)file->data, file->size);
    return !file->error;
}

static void add_source(void *context, const char *path)
{
    struct image *image = context;
    struct code *code = image->code;
    const char *key = key_of(code->arena, path);
    size_t i = 0;

    while (key && i < code->count && strcmp(code->sources[i].path, key) != 0)
        i++;
    if (!key)
        return;
    if (i == code->count) {
        struct source source = {.path = key};

        if (!find_lines(code, &source, path)) {
            image->unknown = true;
            code->missing = code->missing ? code->missing : path;
            return;
        }
        code->sources = arena_grow(code->arena, code->sources, code->count, sizeof(source));
        code->sources[code->count++] = source;
    }
    code->sources[i].common |= image->common;
    if (!image->common)
        code->sources[i].domains |= UINT64_C(1) << image->domain;
}

/* Whatever was compiled into an image, its debug information has to name. Assembly need not have a name. */
static void check_object(void *context, const char *base)
{
    struct image *image = context;
    const struct code *code = image->code;
    size_t length = strlen(base);

    for (size_t i = 0; i < code->count; i++) {
        const char *path = code->sources[i].path, *slash = strrchr(path, '/');

        if (code->sources[i].domains >> image->domain & 1 && !strcmp(slash ? slash + 1 : path, base))
            return;
    }
    if (length && (length < 2 || strcmp(base + length - 2, ".o") != 0)) {
        image->unknown = true;
        image->code->missing = code->missing ? code->missing : base;
    }
}

/* Kernel and root have their debug information beside them. */
static bool count_common(struct code *code, const char *path)
{
    struct image image = {.code = code, .common = true};
    const struct file *file =
        path ? read_file(code->arena, arena_print(code->arena, "%s.debug", path)) : NULL;

    return file && !file->error && name_sources(code->arena, file, add_source, &image) && !image.unknown;
}

void count_code(struct system *s, struct code *code, const char *kernel, const char *root, const char *table)
{
    const struct file *lines = table ? read_file(&s->arena, table) : NULL;

    *code =
        (struct code){.arena = &s->arena, .table = lines && !lines->error ? (const char *)lines->data : NULL};
    bool kernel_known = count_common(code, kernel), root_known = count_common(code, root);

    code->common_unknown = !kernel_known || !root_known;
    for (size_t i = 0; i < s->domain_count; i++) {
        struct image image = {.code = code, .domain = i};

        const struct file *file = s->domains[i].image_file;

        if (!name_sources(&s->arena, file, add_source, &image) || !name_objects(file, check_object, &image) ||
            image.unknown)
            code->unknown |= UINT64_C(1) << i;
    }
}

uint64_t code_lines(const struct code *code, uint64_t domains, uint64_t lines[PARTS])
{
    uint64_t sum = 0;

    memset(lines, 0, PARTS * sizeof(*lines));
    for (size_t i = 0; i < code->count; i++) {
        const struct source *source = &code->sources[i];

        if (source->common || source->domains & domains) {
            lines[source->part] += source->lines;
            sum += source->lines;
        }
    }
    return code->common_unknown || code->unknown & domains ? 0 : sum;
}

uint64_t servers_of(const struct system *s, size_t domain)
{
    uint64_t found = UINT64_C(1) << domain, before = 0;

    while (found != before) {
        before = found;
        for (size_t i = 0; i < s->domain_count; i++)
            for (size_t j = 0; before >> i & 1 && j < s->domains[i].connection_count; j++)
                found |= UINT64_C(1) << s->services[s->domains[i].connections[j].target]->domain;
    }
    return found & ~(UINT64_C(1) << domain);
}
