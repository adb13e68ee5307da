/*
 * Descriptors: the table, open, close, duplicates, pipes; and what the other files of this part share.
 *
 * SPDX-License-Identifier: MIT
 */

#include "files.h"
#include <limits.h>
#include <string.h>

/* Objects of the C library ask for this name, and this file for the rest of the part. */
const char nova_link_files __attribute__((used)) = 0;
__asm__(".globl posix_file_io\n.globl nova_sys_unlink\n.globl nova_sys_stat\n.globl nova_sys_poll");

#define DESCRIPTORS 256

static struct descriptor {
    struct file *file;
    int close_on_exec;
} table[DESCRIPTORS];

static int limit = DESCRIPTORS, hard_limit = DESCRIPTORS;
uint32_t files_mask = 022;
static bool started;

/* Standard input, output and errors are one open file. */
static void start(void)
{
    struct file *console;
    struct place place;

    if (started)
        return;
    started = true;
    files_start();
    console = files_alloc(sizeof(*console));
    if (!console || files_find(0, "/dev/console", true, &place) || !place.node)
        posix_crash("no memory for files");
    console->flags = O_RDWR;
    console->node = place.node;
    console->node->uses++;
    console->uses = 3;
    table[0].file = table[1].file = table[2].file = console;
}

void files_enter(void)
{
    nova_mutex_lock(&files_lock);
    start();
}

long files_leave(long result)
{
    nova_mutex_unlock(&files_lock);
    return result;
}

struct file *files_get(int fd)
{
    start();
    return fd >= 0 && fd < DESCRIPTORS ? table[fd].file : 0;
}

/* Lowest free descriptor from `from` on. */
static long install(struct file *file, int from, int flags)
{
    for (int fd = from; fd < limit; fd++) {
        if (!table[fd].file) {
            table[fd] = (struct descriptor){file, flags & O_CLOEXEC};
            return fd;
        }
    }
    return -EMFILE;
}

void files_drop(struct file *file)
{
    if (--file->uses)
        return;
    if (file->pipe) {
        pipe_put(file->pipe, file_writable(file));
    } else {
        file->node->uses--;
        files_put(file->node);
    }
    files_free(file, sizeof(*file));
}

/* Node where a path of an *at call begins; NULL: the working directory. */
static long base(long fd, const char *path, struct node **node)
{
    const struct file *file;

    *node = 0;
    if ((int)fd == AT_FDCWD || *path == '/')
        return 0;
    file = files_get((int)fd);
    if (!file)
        return -EBADF;
    if (!file->node || !S_ISDIR(file->node->mode))
        return -ENOTDIR;
    *node = file->node;
    return 0;
}

long files_at(long fd, long path, bool follow, struct place *place)
{
    struct node *from;
    long result;

    start();
    result = base(fd, (const char *)path, &from);
    return result ? result : files_find(from, (const char *)path, follow, place);
}

/* The same for what must be there. */
long files_node_at(long fd, long path, bool follow, struct node **node)
{
    struct place place;
    long result = files_at(fd, path, follow, &place);

    if (!result && !place.node)
        result = -ENOENT;
    *node = result ? 0 : place.node;
    return result;
}

/* A new node at a place that is free. */
long files_create(const struct place *place, uint32_t mode, struct node **made)
{
    struct node *node;
    long result;

    if (place->directory->readonly)
        return -EROFS;
    node = files_node(mode);
    if (!node)
        return -ENOSPC;
    result = files_add(place->directory, place->name, place->length, node);
    if (result)
        files_put(node);
    *made = node;
    return result;
}

static long open_node(long fd, long path, int flags, uint32_t mode, struct node **node)
{
    bool exclusive = (flags & O_CREAT) && (flags & O_EXCL);
    struct place place;
    long result = files_at(fd, path, !(flags & O_NOFOLLOW) && !exclusive, &place);

    if (result)
        return result;
    *node = place.node;
    if (!place.node) {
        if (!(flags & O_CREAT))
            return -ENOENT;
        return place.slash ? -EISDIR : files_create(&place, S_IFREG | (mode & 07777 & ~files_mask), node);
    }
    if (exclusive)
        return -EEXIST;
    if (S_ISLNK(place.node->mode))
        return -ELOOP;
    if (S_ISDIR(place.node->mode) && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT)))
        return -EISDIR;
    if (!S_ISDIR(place.node->mode) && (flags & O_DIRECTORY))
        return -ENOTDIR;
    if (place.node->readonly && (flags & O_ACCMODE) != O_RDONLY)
        return -EROFS;
    if ((flags & O_TRUNC) && S_ISREG(place.node->mode) && (flags & O_ACCMODE) != O_RDONLY)
        return files_resize(place.node, 0);
    return 0;
}

static long open_at(long fd, long path, int flags, uint32_t mode)
{
    struct file *file;
    struct node *node;
    long result;

    files_enter();
    file = files_alloc(sizeof(*file));
    if (!file)
        return files_leave(-ENFILE);
    result = install(file, 0, flags);
    if (result >= 0) {
        long error = open_node(fd, path, flags, mode, &node);

        if (error) {
            table[result].file = 0;
            result = error;
        } else {
            *file =
                (struct file){.uses = 1, .flags = flags & (O_ACCMODE | O_APPEND | O_NONBLOCK), .node = node};
            node->uses++;
        }
    }
    if (result < 0)
        files_free(file, sizeof(*file));
    return files_leave(result);
}

SYSCALL(open)
{
    return open_at(AT_FDCWD, a[0], (int)a[1], (uint32_t)a[2]);
}

SYSCALL(openat)
{
    return open_at(a[0], a[1], (int)a[2], (uint32_t)a[3]);
}

long posix_file_close(int fd)
{
    struct file *file;

    files_enter();
    file = files_get(fd);
    if (!file)
        return files_leave(-EBADF);
    table[fd].file = 0;
    files_drop(file);
    return files_leave(0);
}

long posix_file_limit(const struct rlimit *new, struct rlimit *old)
{
    struct rlimit was = {(rlim_t)limit, (rlim_t)hard_limit};

    if (new &&new->rlim_max > was.rlim_max)
        return -EPERM;
    if (new) {
        limit = (int)new->rlim_cur;
        hard_limit = (int)new->rlim_max;
    }
    if (old)
        *old = was;
    return 0;
}

static long duplicate(int fd, int from, int flags)
{
    struct file *file = files_get(fd);
    long result;

    if (!file)
        return -EBADF;
    if (from < 0 || from >= limit)
        return -EINVAL;
    result = install(file, from, flags);
    if (result >= 0)
        file->uses++;
    return result;
}

SYSCALL(dup)
{
    files_enter();
    return files_leave(duplicate((int)a[0], 0, 0));
}

static long duplicate_to(int fd, int to, int flags)
{
    struct file *file = files_get(fd);

    if (!file || to < 0 || to >= limit)
        return -EBADF;
    if (fd == to)
        return to;
    file->uses++;
    if (table[to].file)
        files_drop(table[to].file);
    table[to] = (struct descriptor){file, flags & O_CLOEXEC};
    return to;
}

SYSCALL(dup2)
{
    files_enter();
    return files_leave(duplicate_to((int)a[0], (int)a[1], 0));
}

SYSCALL(dup3)
{
    if (a[0] == a[1] || (a[2] & ~O_CLOEXEC))
        return -EINVAL;
    files_enter();
    return files_leave(duplicate_to((int)a[0], (int)a[1], (int)a[2]));
}

/* There is one program: record locks never conflict. */
static long lock(long command, struct flock *lock)
{
    if (lock->l_type != F_RDLCK && lock->l_type != F_WRLCK && lock->l_type != F_UNLCK)
        return -EINVAL;
    if (command == F_GETLK)
        lock->l_type = F_UNLCK;
    return 0;
}

SYSCALL(fcntl)
{
    int fd = (int)a[0];
    struct file *file;

    files_enter();
    file = files_get(fd);
    if (!file)
        return files_leave(-EBADF);
    switch (a[1]) {
    case F_DUPFD:
        return files_leave(duplicate(fd, (int)a[2], 0));
    case F_DUPFD_CLOEXEC:
        return files_leave(duplicate(fd, (int)a[2], O_CLOEXEC));
    case F_GETFD:
        return files_leave(table[fd].close_on_exec ? FD_CLOEXEC : 0);
    case F_SETFD:
        table[fd].close_on_exec = a[2] & FD_CLOEXEC;
        return files_leave(0);
    case F_GETFL:
        return files_leave(file->flags);
    case F_SETFL:
        file->flags = (file->flags & ~(O_APPEND | O_NONBLOCK)) | (int)(a[2] & (O_APPEND | O_NONBLOCK));
        return files_leave(0);
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
        return files_leave(lock(a[1], (struct flock *)a[2]));
    default:
        return files_leave(-EINVAL);
    }
}

static long make_pipe(int *fds, int flags)
{
    struct file *end[2] = {files_alloc(sizeof(**end)), files_alloc(sizeof(**end))};
    struct pipe *pipe = 0;
    long fd[2] = {-1, -1};
    long result = end[0] && end[1] ? pipe_new(&pipe) : -ENFILE;

    for (int i = 0; i < 2 && !result; i++) {
        *end[i] =
            (struct file){.uses = 1, .flags = (i ? O_WRONLY : O_RDONLY) | (flags & O_NONBLOCK), .pipe = pipe};
        fd[i] = install(end[i], 0, flags);
        result = fd[i] < 0 ? fd[i] : 0;
    }
    if (result) {
        if (fd[0] >= 0)
            table[fd[0]].file = 0;
        if (pipe) {
            pipe_put(pipe, false);
            pipe_put(pipe, true);
        }
        files_free(end[0], sizeof(**end));
        files_free(end[1], sizeof(**end));
        return result;
    }
    fds[0] = (int)fd[0];
    fds[1] = (int)fd[1];
    return 0;
}

SYSCALL(pipe2)
{
    if (a[1] & ~(O_CLOEXEC | O_NONBLOCK))
        return -EINVAL;
    files_enter();
    return files_leave(make_pipe((int *)a[0], (int)a[1]));
}

SYSCALL(pipe)
{
    return nova_sys_pipe2((const long[]){a[0], 0});
}
