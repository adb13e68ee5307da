/*
 * What is known about files: status, contents of directories, size, mode, times, the file system.
 *
 * SPDX-License-Identifier: MIT
 */

#include "files.h"
#include <limits.h>
#include <string.h>
#include <sys/statfs.h>

#define BLOCK 512

/* As the kernel interface of the C library has it. */
struct status {
    uint64_t device, number, links;
    uint32_t mode, uid, gid, pad;
    uint64_t special;
    int64_t size, block_size, blocks;
    struct timespec accessed, modified, changed;
    int64_t unused[3];
};

static long status_of(const struct file *file, const struct node *node, struct status *status)
{
    memset(status, 0, sizeof(*status));
    status->device = 1;
    status->block_size = NOVA_PAGE;
    if (file && file->pipe) {
        status->mode = S_IFIFO | 0600;
        status->links = 1;
        return 0;
    }
    status->number = node->number;
    status->links = node->links;
    status->mode = node->mode;
    status->special = node->device;
    status->size = (int64_t)node->size;
    status->blocks = (int64_t)((node->size + BLOCK - 1) / BLOCK);
    status->accessed = node->accessed;
    status->modified = node->modified;
    status->changed = node->changed;
    if (S_ISDIR(node->mode)) {
        status->links = 2;
        for (const struct entry *e = node->first; e; e = e->next)
            status->links += S_ISDIR(e->node->mode);
    }
    return 0;
}

static long status_at(long fd, long path, bool follow, long status)
{
    struct node *node;
    long result;

    files_enter();
    result = files_node_at(fd, path, follow, &node);
    return files_leave(result ? result : status_of(0, node, (struct status *)status));
}

SYSCALL(stat)
{
    return status_at(AT_FDCWD, a[0], true, a[1]);
}

SYSCALL(lstat)
{
    return status_at(AT_FDCWD, a[0], false, a[1]);
}

SYSCALL(fstat)
{
    const struct file *file;

    files_enter();
    file = files_get((int)a[0]);
    return files_leave(file ? status_of(file, file->node, (struct status *)a[1]) : -EBADF);
}

SYSCALL(newfstatat)
{
    if ((a[3] & AT_EMPTY_PATH) && !*(const char *)a[1])
        return nova_sys_fstat((const long[]){a[0], a[2]});
    return status_at(a[0], a[1], !(a[3] & AT_SYMLINK_NOFOLLOW), a[2]);
}

/* As the C library reads them. */
struct record {
    uint64_t number;
    int64_t next;
    uint16_t size;
    uint8_t type;
    char name[];
};

static bool put_record(char *buffer, size_t room, long *used, const struct node *node, uint64_t cookie,
                       const char *name, size_t length)
{
    size_t size = (offsetof(struct record, name) + length + 1 + 7) & ~7UL;
    struct record *record = (struct record *)(buffer + *used);

    if (room - (size_t)*used < size)
        return false;
    record->number = node->number;
    record->next = (int64_t)cookie;
    record->size = (uint16_t)size;
    record->type = (uint8_t)((node->mode & S_IFMT) >> 12);
    memcpy(record->name, name, length);
    record->name[length] = 0;
    *used += (long)size;
    return true;
}

/* Positions: 1 behind ".", 2 behind "..", 2 + cookie behind an entry. */
SYSCALL(getdents64)
{
    char *buffer = (char *)a[1];
    size_t room = (size_t)a[2];
    struct file *file;
    struct node *node;
    bool more = true;
    long used = 0;

    files_enter();
    file = files_get((int)a[0]);
    if (!file)
        return files_leave(-EBADF);
    node = file->node;
    if (!node || !S_ISDIR(node->mode))
        return files_leave(-ENOTDIR);
    for (uint64_t i = file->offset; i < 2 && more; i++) {
        more = put_record(buffer, room, &used, i ? node->parent : node, i + 1, "..", i + 1);
        file->offset += more;
    }
    for (const struct entry *e = node->first; e && more; e = e->next) {
        if (e->cookie + 2 <= file->offset)
            continue;
        more = put_record(buffer, room, &used, e->node, e->cookie + 2, e->name, e->length);
        if (more)
            file->offset = e->cookie + 2;
    }
    return files_leave(used || more ? used : -EINVAL);
}

static long truncate_node(struct node *node, long size)
{
    if (size < 0 || !S_ISREG(node->mode))
        return S_ISDIR(node->mode) ? -EISDIR : -EINVAL;
    return node->readonly ? -EROFS : files_resize(node, (uint64_t)size);
}

SYSCALL(ftruncate)
{
    const struct file *file;

    files_enter();
    file = files_get((int)a[0]);
    if (!file)
        return files_leave(-EBADF);
    return files_leave(file->pipe || !file_writable(file) ? -EINVAL : truncate_node(file->node, a[1]));
}

SYSCALL(truncate)
{
    struct node *node;
    long result;

    files_enter();
    result = files_node_at(AT_FDCWD, a[0], true, &node);
    return files_leave(result ? result : truncate_node(node, a[1]));
}

static long change_mode(struct node *node, long mode)
{
    if (node->readonly)
        return -EROFS;
    node->mode = (node->mode & S_IFMT) | ((uint32_t)mode & 07777);
    node->changed = files_time();
    return 0;
}

SYSCALL(fchmodat)
{
    struct node *node;
    long result;

    files_enter();
    result = files_node_at(a[0], a[1], true, &node);
    return files_leave(result ? result : change_mode(node, a[2]));
}

SYSCALL(chmod)
{
    return nova_sys_fchmodat((const long[]){AT_FDCWD, a[0], a[1]});
}

SYSCALL(fchmod)
{
    const struct file *file;

    files_enter();
    file = files_get((int)a[0]);
    return files_leave(!file ? -EBADF : file->pipe ? -EINVAL : change_mode(file->node, a[1]));
}

SYSCALL(umask)
{
    uint32_t was;

    files_enter();
    was = files_mask;
    files_mask = (uint32_t)a[0] & 0777;
    return files_leave(was);
}

static void set_time(struct timespec *to, const struct timespec *from)
{
    if (!from || from->tv_nsec == UTIME_NOW)
        *to = files_time();
    else if (from->tv_nsec != UTIME_OMIT)
        *to = *from;
}

SYSCALL(utimensat)
{
    const struct timespec *times = (const struct timespec *)a[2];
    const struct file *file;
    struct node *node = 0;
    long result = 0;

    for (int i = 0; times && i < 2; i++)
        if (times[i].tv_nsec != UTIME_NOW && times[i].tv_nsec != UTIME_OMIT &&
            (times[i].tv_nsec < 0 || times[i].tv_nsec > 999999999))
            return -EINVAL;
    files_enter();
    if (a[1]) {
        result = files_node_at(a[0], a[1], !(a[3] & AT_SYMLINK_NOFOLLOW), &node);
    } else {
        file = files_get((int)a[0]);
        node = file ? file->node : 0;
        result = !file ? -EBADF : node ? 0 : -EINVAL;
    }
    if (!result && node->readonly)
        result = -EROFS;
    if (!result) {
        set_time(&node->accessed, times);
        set_time(&node->modified, times ? times + 1 : 0);
        node->changed = files_time();
    }
    return files_leave(result);
}

/* All memory of the program is one: files take from it what nobody else has taken. */
static long file_system(struct statfs *status)
{
    struct nova_mem_state memory;

    nova_mem_state(&memory);
    *status = (struct statfs){
        .f_type = 0x01021994, /* a file system in memory */
        .f_bsize = NOVA_PAGE,
        .f_blocks = memory.pool,
        .f_bfree = memory.free,
        .f_bavail = memory.free,
        .f_files = memory.pool * (NOVA_PAGE / sizeof(struct node)),
        .f_ffree = memory.free * (NOVA_PAGE / sizeof(struct node)),
        .f_namelen = NAME_MAX,
        .f_frsize = NOVA_PAGE,
    };
    return 0;
}

SYSCALL(statfs)
{
    struct node *node;
    long result;

    files_enter();
    result = files_node_at(AT_FDCWD, a[0], true, &node);
    return files_leave(result ? result : file_system((struct statfs *)a[1]));
}

SYSCALL(fstatfs)
{
    files_enter();
    return files_leave(files_get((int)a[0]) ? file_system((struct statfs *)a[1]) : -EBADF);
}
