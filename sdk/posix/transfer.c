/*
 * Reading and writing: files, devices, the console; positions; and files as memory.
 *
 * SPDX-License-Identifier: MIT
 */

#include "files.h"
#include <limits.h>
#include <nova/log.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

static char ahead[64]; /* typed, and not read yet */
static size_t ahead_used;
static bool ahead_end; /* the end of input was there, and nobody has read it */

/* Moves what was typed ahead; with the lock. */
static long take_ahead(char *buffer, size_t size)
{
    size_t n = size < ahead_used ? size : ahead_used;

    memcpy(buffer, ahead, n);
    ahead_used -= n;
    memmove(ahead, ahead + n, ahead_used);
    return (long)n;
}

static long console_read(char *buffer, size_t size, bool wait)
{
    long n = take_ahead(buffer, size);

    if (n || !size || ahead_end) {
        ahead_end &= n || !size;
        return n;
    }
    nova_mutex_unlock(&files_lock);
    n = posix_console_read(buffer, size, wait);
    nova_mutex_lock(&files_lock);
    return n;
}

bool console_ready(void)
{
    bool typed = nova_info()->console && nova_info()->flags & NOVA_DOMAIN_CONSOLE;

    if (!ahead_used && !ahead_end && typed) {
        long n = nova_log_read(ahead, sizeof(ahead), nova_now());

        ahead_used = n > 0 ? (size_t)n : 0;
        ahead_end = n == NOVA_ERR_ABSENT;
    }
    return ahead_used || ahead_end || !typed; /* the end of file is ready */
}

static long device_transfer(const struct file *file, char *buffer, size_t size, bool write)
{
    switch (file->node->device) {
    case DEVICE_CONSOLE:
        if (!write)
            return console_read(buffer, size, !(file->flags & O_NONBLOCK));
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

    if (!file || !(write ? file_writable(file) : file_readable(file)))
        return -EBADF;
    if (size > SSIZE_MAX)
        return -EINVAL;
    if (at && (file->pipe || S_ISCHR(file->node->mode)))
        return file->pipe || file->node->device == DEVICE_CONSOLE
                   ? -ESPIPE
                   : device_transfer(file, buffer, size, write);
    if (file->pipe) {
        /* Another thread may close it while this one waits. */
        file->uses++;
        n = pipe_transfer(file, buffer, size, write);
        files_drop(file);
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
    files_enter();
    return files_leave(transfer(fd, buffer, size, 0, write));
}

long posix_file_more(int fd, void *buffer, size_t size)
{
    const struct file *file;

    files_enter();
    file = files_get(fd);
    return files_leave(file && !files_readable(file) ? -EAGAIN : transfer(fd, buffer, size, 0, false));
}

static long positioned(int fd, void *buffer, size_t size, long offset, bool write)
{
    uint64_t at = (uint64_t)offset;

    if (offset < 0)
        return -EINVAL;
    files_enter();
    return files_leave(transfer(fd, buffer, size, &at, write));
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

    files_enter();
    file = files_get(fd);
    if (!file)
        return files_leave(-EBADF);
    if (file->pipe || (S_ISCHR(file->node->mode) && file->node->device == DEVICE_CONSOLE))
        return files_leave(-ESPIPE);
    if (whence == SEEK_CUR)
        result = __builtin_add_overflow(offset, (long)file->offset, &offset) ? -EOVERFLOW : offset;
    else if (whence == SEEK_END)
        result = __builtin_add_overflow(offset, (long)file->node->size, &offset) ? -EOVERFLOW : offset;
    else
        result = whence == SEEK_SET ? offset : -EINVAL;
    if (result < 0)
        return files_leave(result == -EOVERFLOW ? result : -EINVAL);
    file->offset = (uint64_t)result;
    return files_leave(result);
}

long posix_file_ioctl(int fd, unsigned long request, void *argument)
{
    const struct file *file;
    long result = -ENOTTY;

    files_enter();
    file = files_get(fd);
    if (!file) {
        result = -EBADF;
    } else if (request == TIOCGWINSZ && !file->pipe && file->node->device == DEVICE_CONSOLE) {
        *(struct winsize *)argument = (struct winsize){0};
        result = 0;
    }
    return files_leave(result);
}

/* Files whose own memory is mapped. */
static struct mapping {
    struct mapping *next;
    struct node *node;
    const char *start;
    size_t size;
} * mappings;

static long map(struct node *node, const char *start, size_t size)
{
    struct mapping *mapping = files_alloc(sizeof(*mapping));

    if (!mapping)
        return -ENOMEM;
    *mapping = (struct mapping){mappings, node, start, size};
    mappings = mapping;
    node->mapped++;
    return (long)start;
}

/* Mappings end as a whole: who unmaps a part keeps all of it. */
void posix_file_unmap(const void *address, size_t size)
{
    struct mapping **at = &mappings, *mapping;

    files_enter();
    while (*at && ((*at)->start != address || (*at)->size != size))
        at = &(*at)->next;
    mapping = *at;
    if (mapping) {
        *at = mapping->next;
        mapping->node->mapped--;
        files_put(mapping->node);
        files_free(mapping, sizeof(*mapping));
    }
    files_leave(0);
}

/*
 * For mmap: a private copy of the contents at `copy`, or the address of a file's own memory, which then
 * never moves. What is in the archive never changes: -EROFS says that a copy will do.
 */
long posix_file_map(int fd, uint64_t offset, size_t size, void *copy)
{
    struct file *file;
    struct node *node;
    long result;

    files_enter();
    file = files_get(fd);
    node = file ? file->node : 0;
    if (!file)
        result = -EBADF;
    else if (!node || !S_ISREG(node->mode))
        result = node && node->device == DEVICE_ZERO && copy ? 0 : -ENODEV;
    else if (!file_readable(file))
        result = -EACCES;
    else if (copy)
        result = node_transfer(node, copy, size, offset, false) < 0 ? -EIO : 0;
    else if (node->readonly)
        result = -EROFS;
    else if (offset > INT64_MAX - size)
        result = -EOVERFLOW;
    else
        result = files_reserve(node, offset + size);
    if (!result && !copy)
        result = map(node, node->data + offset, size);
    return files_leave(result);
}

/* Files are in memory: there is nothing to wait for. */
SYSCALL(fsync)
{
    const struct file *file;

    files_enter();
    file = files_get((int)a[0]);
    return files_leave(!file ? -EBADF : file->pipe ? -EINVAL : 0);
}

SYSCALL(fdatasync)
{
    return nova_sys_fsync(a);
}
