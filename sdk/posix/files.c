/*
 * Descriptors, and the calls on files.
 *
 * SPDX-License-Identifier: MIT
 */

#include "files.h"
#include <limits.h>
#include <nova/log.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <sys/uio.h>

const char nova_link_files __attribute__((used)) = 0;

#define DESCRIPTORS 256
#define BLOCK 512

static struct descriptor {
    struct file *file;
    int close_on_exec;
} table[DESCRIPTORS];

static int limit = DESCRIPTORS, hard_limit = DESCRIPTORS;
static uint32_t mask = 022;
static bool started;
static char ahead[64]; /* typed, and not read yet */
static size_t ahead_used;

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

static void enter(void)
{
    nova_mutex_lock(&files_lock);
    start();
}

static long leave(long result)
{
    nova_mutex_unlock(&files_lock);
    return result;
}

struct file *files_get(int fd)
{
    start();
    return fd >= 0 && fd < DESCRIPTORS ? table[fd].file : 0;
}

static int writable(const struct file *file)
{
    return (file->flags & O_ACCMODE) != O_RDONLY;
}

static int readable(const struct file *file)
{
    return (file->flags & O_ACCMODE) != O_WRONLY;
}

/* Lowest free descriptor from `from` on. */
static long install(struct file *file, int from, int flags)
{
    for (int fd = from; fd < limit; fd++) {
        if (!table[fd].file) {
            table[fd] = (struct descriptor){ file, flags & O_CLOEXEC };
            return fd;
        }
    }
    return -EMFILE;
}

static void drop(struct file *file)
{
    if (--file->uses)
        return;
    if (file->pipe) {
        pipe_put(file->pipe, writable(file));
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

static long find(long fd, long path, bool follow, struct place *place)
{
    struct node *from;
    long result;

    start();
    result = base(fd, (const char *)path, &from);
    return result ? result : files_find(from, (const char *)path, follow, place);
}

/* The same for what must be there. */
static long find_node(long fd, long path, bool follow, struct node **node)
{
    struct place place;
    long result = find(fd, path, follow, &place);

    if (!result && !place.node)
        result = -ENOENT;
    *node = result ? 0 : place.node;
    return result;
}

/* A new node at a place that is free. */
static long create(const struct place *place, uint32_t mode, struct node **made)
{
    struct node *node;
    long result;

    if (place->directory->readonly)
        return -EROFS;
    if (!place->directory->links)
        return -ENOENT;
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
    long result = find(fd, path, !(flags & O_NOFOLLOW) && !exclusive, &place);

    if (result)
        return result;
    *node = place.node;
    if (!place.node) {
        if (!(flags & O_CREAT))
            return -ENOENT;
        return place.slash ? -EISDIR : create(&place, S_IFREG | (mode & 07777 & ~mask), node);
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

    enter();
    file = files_alloc(sizeof(*file));
    if (!file)
        return leave(-ENFILE);
    result = install(file, 0, flags);
    if (result >= 0) {
        long error = open_node(fd, path, flags, mode, &node);

        if (error) {
            table[result].file = 0;
            result = error;
        } else {
            *file = (struct file){ .uses = 1, .flags = flags & (O_ACCMODE | O_APPEND | O_NONBLOCK), .node = node };
            node->uses++;
        }
    }
    if (result < 0)
        files_free(file, sizeof(*file));
    return leave(result);
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

    enter();
    file = files_get(fd);
    if (!file)
        return leave(-EBADF);
    table[fd].file = 0;
    drop(file);
    return leave(0);
}

/* Moves what was typed ahead; with the lock. */
static long take_ahead(char *buffer, size_t size)
{
    size_t n = size < ahead_used ? size : ahead_used;

    memcpy(buffer, ahead, n);
    ahead_used -= n;
    memmove(ahead, ahead + n, ahead_used);
    return (long)n;
}

long console_read(char *buffer, size_t size, uint64_t deadline)
{
    long n = take_ahead(buffer, size);

    if (n || !size)
        return n;
    nova_mutex_unlock(&files_lock);
    n = nova_log_read(buffer, size, deadline);
    nova_mutex_lock(&files_lock);
    return n == NOVA_ERR_ABSENT ? 0 : posix_error((int)n);
}

bool console_ready(void)
{
    if (!ahead_used && nova_info()->console) {
        long n = nova_log_read(ahead, sizeof(ahead), nova_now());

        ahead_used = n > 0 ? (size_t)n : 0;
    }
    return ahead_used || !nova_info()->console;
}

static long device_transfer(const struct file *file, char *buffer, size_t size, bool write)
{
    switch (file->node->device) {
    case DEVICE_CONSOLE:
        if (!write)
            return console_read(buffer, size, file->flags & O_NONBLOCK ? nova_now() : NOVA_NEVER);
        nova_log_write(buffer, size);
        return (long)size;
    case DEVICE_NULL:
        return write ? (long)size : 0;
    case DEVICE_ZERO:
        if (!write)
            memset(buffer, 0, size);
        return (long)size;
    default:
        if (!write)
            posix_random(buffer, size);
        return (long)size;
    }
}

static long node_transfer(struct node *node, char *buffer, size_t size, uint64_t offset, bool write)
{
    if (write && size) {
        if (offset > INT64_MAX - size)
            return -EFBIG;
        if (offset + size > node->size) {
            long result = files_resize(node, offset + size);

            if (result)
                return result;
        }
        memcpy(node->data + offset, buffer, size);
        node->modified = node->changed = files_time();
    } else if (!write) {
        if (offset >= node->size)
            return 0;
        size = node->size - offset < size ? node->size - offset : size;
        memcpy(buffer, node->data + offset, size);
    }
    return (long)size;
}

/* At a position, or with at == NULL at that of the file, which moves on. */
static long transfer(int fd, void *buffer, size_t size, const uint64_t *at, bool write)
{
    struct file *file = files_get(fd);
    uint64_t offset;
    long n;

    if (!file || !(write ? writable(file) : readable(file)))
        return -EBADF;
    if (size > SSIZE_MAX)
        return -EINVAL;
    if (at && (file->pipe || S_ISCHR(file->node->mode)))
        return file->pipe || file->node->device == DEVICE_CONSOLE ? -ESPIPE : device_transfer(file, buffer, size, write);
    if (file->pipe) {
        /* Another thread may close it while this one waits. */
        file->uses++;
        n = pipe_transfer(file, buffer, size, write);
        drop(file);
        return n;
    }
    if (S_ISDIR(file->node->mode))
        return -EISDIR;
    if (S_ISCHR(file->node->mode))
        return device_transfer(file, buffer, size, write);
    offset = at ? *at : file->offset;
    if (write && (file->flags & O_APPEND))
        offset = file->node->size;
    n = node_transfer(file->node, buffer, size, offset, write);
    if (n > 0 && !at)
        file->offset = offset + (uint64_t)n;
    return n;
}

long posix_file_io(int fd, void *buffer, size_t size, int write)
{
    enter();
    return leave(transfer(fd, buffer, size, 0, write));
}

static long positioned(int fd, void *buffer, size_t size, long offset, bool write)
{
    uint64_t at = (uint64_t)offset;

    if (offset < 0)
        return -EINVAL;
    enter();
    return leave(transfer(fd, buffer, size, &at, write));
}

SYSCALL(pread64)
{
    return positioned((int)a[0], (void *)a[1], (size_t)a[2], a[3], false);
}

SYSCALL(pwrite64)
{
    return positioned((int)a[0], (void *)a[1], (size_t)a[2], a[3], true);
}

static long positioned_vector(const long *a, bool write)
{
    const struct iovec *iov = (const struct iovec *)a[1];
    long done = 0;

    if (a[2] < 0 || a[2] > IOV_MAX)
        return -EINVAL;
    for (long i = 0; i < a[2]; i++) {
        long n = positioned((int)a[0], iov[i].iov_base, iov[i].iov_len, a[3] + done, write);

        if (n < 0)
            return done ? done : n;
        done += n;
        if ((size_t)n < iov[i].iov_len)
            break;
    }
    return done;
}

SYSCALL(preadv)
{
    return positioned_vector(a, false);
}

SYSCALL(pwritev)
{
    return positioned_vector(a, true);
}

long posix_file_seek(int fd, long offset, int whence)
{
    struct file *file;
    long result;

    enter();
    file = files_get(fd);
    if (!file)
        return leave(-EBADF);
    if (file->pipe || (S_ISCHR(file->node->mode) && file->node->device == DEVICE_CONSOLE))
        return leave(-ESPIPE);
    if (whence == SEEK_CUR)
        result = __builtin_add_overflow(offset, (long)file->offset, &offset) ? -EOVERFLOW : offset;
    else if (whence == SEEK_END)
        result = __builtin_add_overflow(offset, (long)file->node->size, &offset) ? -EOVERFLOW : offset;
    else
        result = whence == SEEK_SET ? offset : -EINVAL;
    if (result < 0)
        return leave(result == -EOVERFLOW ? result : -EINVAL);
    file->offset = (uint64_t)result;
    return leave(result);
}

long posix_file_ioctl(int fd, unsigned long request, void *argument)
{
    const struct file *file;
    long result = -ENOTTY;

    enter();
    file = files_get(fd);
    if (!file) {
        result = -EBADF;
    } else if (request == TIOCGWINSZ && !file->pipe && file->node->device == DEVICE_CONSOLE) {
        *(struct winsize *)argument = (struct winsize){ 0 };
        result = 0;
    }
    return leave(result);
}

long posix_file_limit(const struct rlimit *new, struct rlimit *old)
{
    struct rlimit was = { (rlim_t)limit, (rlim_t)hard_limit };

    if (new && new->rlim_max > was.rlim_max)
        return -EPERM;
    if (new) {
        limit = (int)new->rlim_cur;
        hard_limit = (int)new->rlim_max;
    }
    if (old)
        *old = was;
    return 0;
}

/*
 * For mmap: a private copy of the contents at `copy`, or the address of a file's own memory, which then never moves. What is in
 * the archive never changes: -EROFS says that a copy will do.
 */
long posix_file_map(int fd, uint64_t offset, size_t size, void *copy)
{
    struct file *file;
    struct node *node;
    long result;

    enter();
    file = files_get(fd);
    node = file ? file->node : 0;
    if (!file)
        result = -EBADF;
    else if (!node || !S_ISREG(node->mode))
        result = node && node->device == DEVICE_ZERO && copy ? 0 : -ENODEV;
    else if (!readable(file))
        result = -EACCES;
    else if (copy)
        result = node_transfer(node, copy, size, offset, false) < 0 ? -EIO : 0;
    else if (node->readonly)
        result = -EROFS;
    else if (offset > INT64_MAX - size)
        result = -EOVERFLOW;
    else
        result = files_reserve(node, offset + size);
    if (!result && !copy) {
        node->mapped = 1;
        result = (long)(node->data + offset);
    }
    return leave(result);
}

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

    enter();
    result = find_node(fd, path, follow, &node);
    return leave(result ? result : status_of(0, node, (struct status *)status));
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

    enter();
    file = files_get((int)a[0]);
    return leave(file ? status_of(file, file->node, (struct status *)a[1]) : -EBADF);
}

SYSCALL(newfstatat)
{
    if ((a[3] & AT_EMPTY_PATH) && !*(const char *)a[1])
        return nova_sys_fstat((const long[]){ a[0], a[2] });
    return status_at(a[0], a[1], !(a[3] & AT_SYMLINK_NOFOLLOW), a[2]);
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
    enter();
    return leave(duplicate((int)a[0], 0, 0));
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
        drop(table[to].file);
    table[to] = (struct descriptor){ file, flags & O_CLOEXEC };
    return to;
}

SYSCALL(dup2)
{
    enter();
    return leave(duplicate_to((int)a[0], (int)a[1], 0));
}

SYSCALL(dup3)
{
    if (a[0] == a[1] || (a[2] & ~O_CLOEXEC))
        return -EINVAL;
    enter();
    return leave(duplicate_to((int)a[0], (int)a[1], (int)a[2]));
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

    enter();
    file = files_get(fd);
    if (!file)
        return leave(-EBADF);
    switch (a[1]) {
    case F_DUPFD:
        return leave(duplicate(fd, (int)a[2], 0));
    case F_DUPFD_CLOEXEC:
        return leave(duplicate(fd, (int)a[2], O_CLOEXEC));
    case F_GETFD:
        return leave(table[fd].close_on_exec ? FD_CLOEXEC : 0);
    case F_SETFD:
        table[fd].close_on_exec = a[2] & FD_CLOEXEC;
        return leave(0);
    case F_GETFL:
        return leave(file->flags);
    case F_SETFL:
        file->flags = (file->flags & ~(O_APPEND | O_NONBLOCK)) | (int)(a[2] & (O_APPEND | O_NONBLOCK));
        return leave(0);
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
        return leave(lock(a[1], (struct flock *)a[2]));
    default:
        return leave(-EINVAL);
    }
}

static long make_pipe(int *fds, int flags)
{
    struct file *end[2] = { files_alloc(sizeof(**end)), files_alloc(sizeof(**end)) };
    struct pipe *pipe = 0;
    long fd[2] = { -1, -1 };
    long result = end[0] && end[1] ? pipe_new(&pipe) : -ENFILE;

    for (int i = 0; i < 2 && !result; i++) {
        *end[i] = (struct file){ .uses = 1, .flags = (i ? O_WRONLY : O_RDONLY) | (flags & O_NONBLOCK), .pipe = pipe };
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
    enter();
    return leave(make_pipe((int *)a[0], (int)a[1]));
}

SYSCALL(pipe)
{
    return nova_sys_pipe2((const long[]){ a[0], 0 });
}

static long unlink_at(long fd, long path, bool directory)
{
    struct place place;
    struct node *node;
    long result;

    enter();
    result = find(fd, path, false, &place);
    node = place.node;
    if (!result && !node)
        result = -ENOENT;
    else if (!result && directory && !S_ISDIR(node->mode))
        result = -ENOTDIR;
    else if (!result && !directory && S_ISDIR(node->mode))
        result = -EISDIR;
    else if (!result && !place.entry)
        result = place.length == 1 ? -EINVAL : -EBUSY;
    else if (!result && place.directory->readonly)
        result = -EROFS;
    else if (!result && directory && node->first)
        result = -ENOTEMPTY;
    if (!result) {
        files_remove(place.directory, place.entry);
        files_put(node);
    }
    return leave(result);
}

SYSCALL(unlink)
{
    return unlink_at(AT_FDCWD, a[0], false);
}

SYSCALL(rmdir)
{
    return unlink_at(AT_FDCWD, a[0], true);
}

SYSCALL(unlinkat)
{
    return unlink_at(a[0], a[1], a[2] & AT_REMOVEDIR);
}

/* Whether a directory is another one or lies in it. */
static bool within(const struct node *node, const struct node *directory)
{
    while (node != directory && node != files_root)
        node = node->parent;
    return node == directory;
}

static long replace(struct place *old, struct place *new)
{
    long result;

    if (!old->node || (!new->node && new->slash && !S_ISDIR(old->node->mode)))
        return old->node ? -ENOTDIR : -ENOENT;
    if (!old->entry || (new->node && !new->entry))
        return -EBUSY;
    if (old->directory->readonly || new->directory->readonly)
        return -EROFS;
    if (old->node == new->node)
        return 0;
    if (S_ISDIR(old->node->mode) && within(new->directory, old->node))
        return -EINVAL;
    if (new->node && S_ISDIR(new->node->mode) != S_ISDIR(old->node->mode))
        return S_ISDIR(new->node->mode) ? -EISDIR : -ENOTDIR;
    if (new->node && new->node->first)
        return -ENOTEMPTY;
    /* Nothing changes if there is no memory. */
    result = files_add(new->directory, new->name, new->length, old->node);
    if (result)
        return result;
    if (new->node) {
        files_remove(new->directory, new->entry);
        files_put(new->node);
    }
    files_remove(old->directory, old->entry);
    return 0;
}

SYSCALL(renameat)
{
    struct place old;
    struct place new;
    long result;

    enter();
    result = find(a[0], a[1], false, &old);
    if (!result)
        result = find(a[2], a[3], false, &new);
    return leave(result ? result : replace(&old, &new));
}

SYSCALL(rename)
{
    return nova_sys_renameat((const long[]){ AT_FDCWD, a[0], AT_FDCWD, a[1] });
}

SYSCALL(mkdirat)
{
    struct place place;
    struct node *node;
    long result;

    enter();
    result = find(a[0], a[1], false, &place);
    if (!result)
        result = place.node ? -EEXIST : create(&place, S_IFDIR | ((uint32_t)a[2] & 01777 & ~mask), &node);
    return leave(result);
}

SYSCALL(mkdir)
{
    return nova_sys_mkdirat((const long[]){ AT_FDCWD, a[0], a[1] });
}

SYSCALL(linkat)
{
    struct place place;
    struct node *node;
    long result;

    enter();
    result = find_node(a[0], a[1], a[4] & AT_SYMLINK_FOLLOW, &node);
    if (!result)
        result = find(a[2], a[3], false, &place);
    if (!result && S_ISDIR(node->mode))
        result = -EPERM;
    else if (!result && place.node)
        result = -EEXIST;
    else if (!result && (place.directory->readonly || node->readonly))
        result = -EROFS;
    return leave(result ? result : files_add(place.directory, place.name, place.length, node));
}

SYSCALL(link)
{
    return nova_sys_linkat((const long[]){ AT_FDCWD, a[0], AT_FDCWD, a[1], 0 });
}

SYSCALL(symlinkat)
{
    const char *target = (const char *)a[0];
    size_t length = strlen(target);
    struct place place;
    char *data;
    struct node *node;
    long result;

    if (!length || length >= PATH_MAX)
        return length ? -ENAMETOOLONG : -ENOENT;
    enter();
    data = files_alloc(length + 1);
    result = data ? find(a[1], a[2], false, &place) : -ENOSPC;
    if (!result)
        result = place.node ? -EEXIST : create(&place, S_IFLNK | 0777, &node);
    if (!result) {
        memcpy(data, target, length);
        node->data = data;
        node->size = length;
        node->capacity = length + 1;
    } else {
        files_free(data, length + 1);
    }
    return leave(result);
}

SYSCALL(symlink)
{
    return nova_sys_symlinkat((const long[]){ a[0], AT_FDCWD, a[1] });
}

SYSCALL(readlinkat)
{
    struct node *node;
    long result;

    if (a[3] <= 0)
        return -EINVAL;
    enter();
    result = find_node(a[0], a[1], false, &node);
    if (!result && !S_ISLNK(node->mode))
        result = -EINVAL;
    if (!result) {
        result = (long)node->size < a[3] ? (long)node->size : a[3];
        memcpy((void *)a[2], node->data, (size_t)result);
    }
    return leave(result);
}

SYSCALL(readlink)
{
    return nova_sys_readlinkat((const long[]){ AT_FDCWD, a[0], a[1], a[2] });
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

    enter();
    file = files_get((int)a[0]);
    if (!file)
        return leave(-EBADF);
    node = file->node;
    if (!node || !S_ISDIR(node->mode))
        return leave(-ENOTDIR);
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
    return leave(used || more ? used : -EINVAL);
}

SYSCALL(faccessat)
{
    struct node *node;
    long result;

    if (a[2] & ~7)
        return -EINVAL;
    enter();
    result = find_node(a[0], a[1], true, &node);
    if (!result && (a[2] & 2) && node->readonly)
        result = -EROFS;
    else if (!result && (a[2] & 1) && !S_ISDIR(node->mode) && !(node->mode & 0111))
        result = -EACCES;
    return leave(result);
}

SYSCALL(faccessat2)
{
    return nova_sys_faccessat(a);
}

SYSCALL(access)
{
    return nova_sys_faccessat((const long[]){ AT_FDCWD, a[0], a[1] });
}

static long change_directory(struct node *node)
{
    if (!S_ISDIR(node->mode))
        return -ENOTDIR;
    node->uses++;
    files_working->uses--;
    files_put(files_working);
    files_working = node;
    return 0;
}

SYSCALL(chdir)
{
    struct node *node;
    long result;

    enter();
    result = find_node(AT_FDCWD, a[0], true, &node);
    return leave(result ? result : change_directory(node));
}

SYSCALL(fchdir)
{
    const struct file *file;

    enter();
    file = files_get((int)a[0]);
    return leave(!file ? -EBADF : file->pipe ? -ENOTDIR : change_directory(file->node));
}

SYSCALL(getcwd)
{
    char *buffer = (char *)a[0];
    char path[PATH_MAX];
    size_t at = sizeof(path);
    struct node *node;

    enter();
    path[--at] = 0;
    for (node = files_working; node != files_root; node = node->parent) {
        const struct entry *e = node->parent->first;

        while (e && e->node != node)
            e = e->next;
        if (!e || !node->links)
            return leave(-ENOENT);
        if (at < (size_t)e->length + 2)
            return leave(-ENAMETOOLONG);
        at -= e->length;
        memcpy(path + at, e->name, e->length);
        path[--at] = '/';
    }
    if (!path[at])
        path[--at] = '/';
    if (sizeof(path) - at > (size_t)a[1])
        return leave(-ERANGE);
    memcpy(buffer, path + at, sizeof(path) - at);
    return leave((long)(sizeof(path) - at));
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

    enter();
    file = files_get((int)a[0]);
    if (!file)
        return leave(-EBADF);
    return leave(file->pipe || !writable(file) ? -EINVAL : truncate_node(file->node, a[1]));
}

SYSCALL(truncate)
{
    struct node *node;
    long result;

    enter();
    result = find_node(AT_FDCWD, a[0], true, &node);
    return leave(result ? result : truncate_node(node, a[1]));
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

    enter();
    result = find_node(a[0], a[1], true, &node);
    return leave(result ? result : change_mode(node, a[2]));
}

SYSCALL(chmod)
{
    return nova_sys_fchmodat((const long[]){ AT_FDCWD, a[0], a[1] });
}

SYSCALL(fchmod)
{
    const struct file *file;

    enter();
    file = files_get((int)a[0]);
    return leave(!file ? -EBADF : file->pipe ? -EINVAL : change_mode(file->node, a[1]));
}

SYSCALL(umask)
{
    uint32_t was;

    enter();
    was = mask;
    mask = (uint32_t)a[0] & 0777;
    return leave(was);
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

    for (int i = 0; times && i < 2; i++) {
        if (times[i].tv_nsec != UTIME_NOW && times[i].tv_nsec != UTIME_OMIT && (times[i].tv_nsec < 0 || times[i].tv_nsec > 999999999))
            return -EINVAL;
    }
    enter();
    if (a[1]) {
        result = find_node(a[0], a[1], !(a[3] & AT_SYMLINK_NOFOLLOW), &node);
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
    return leave(result);
}

/* Files are in memory: there is nothing to wait for. */
SYSCALL(fsync)
{
    const struct file *file;

    enter();
    file = files_get((int)a[0]);
    return leave(!file ? -EBADF : file->pipe ? -EINVAL : 0);
}

SYSCALL(fdatasync)
{
    return nova_sys_fsync(a);
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

    enter();
    result = find_node(AT_FDCWD, a[0], true, &node);
    return leave(result ? result : file_system((struct statfs *)a[1]));
}

SYSCALL(fstatfs)
{
    enter();
    return leave(files_get((int)a[0]) ? file_system((struct statfs *)a[1]) : -EBADF);
}
