/*
 * Reading and writing: descriptors 0 to 2 are the console as long as part `files` does not say otherwise;
 * everything else belongs to that part.
 *
 * SPDX-License-Identifier: MIT
 */

#include "posix.h"
#include <nova/log.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

static long transfer(int fd, void *buffer, size_t size, int write)
{
    long n;

    if (posix_file_io)
        return posix_file_io(fd, buffer, size, write);
    if (fd < 0 || fd > 2)
        return -EBADF;
    if (write) {
        nova_log_write(buffer, size);
        return (long)size;
    }
    /* Without a console, or without permission, there is no input: end of file. */
    n = nova_log_read(buffer, size, NOVA_NEVER);
    return n == NOVA_ERR_ABSENT || n == NOVA_ERR_DENIED ? 0 : posix_error((int)n);
}

static long vector(int fd, const struct iovec *iov, long count, int write)
{
    long done = 0;

    if (count < 0 || count > 1024)
        return -EINVAL;
    for (long i = 0; i < count; i++) {
        long n;

        if (!iov[i].iov_len)
            continue;
        n = transfer(fd, iov[i].iov_base, iov[i].iov_len, write);
        if (n < 0)
            return done ? done : n;
        done += n;
        if ((size_t)n < iov[i].iov_len)
            break;
    }
    return done;
}

SYSCALL(read)
{
    return transfer((int)a[0], (void *)a[1], (size_t)a[2], 0);
}

SYSCALL(write)
{
    return transfer((int)a[0], (void *)a[1], (size_t)a[2], 1);
}

SYSCALL(readv)
{
    return vector((int)a[0], (const struct iovec *)a[1], a[2], 0);
}

SYSCALL(writev)
{
    return vector((int)a[0], (const struct iovec *)a[1], a[2], 1);
}

SYSCALL(close)
{
    return posix_file_close ? posix_file_close((int)a[0]) : -EBADF;
}

SYSCALL(lseek)
{
    return posix_file_seek ? posix_file_seek((int)a[0], a[1], (int)a[2]) : -ESPIPE;
}

/* A console of unknown size: that is what makes standard output line-buffered. */
SYSCALL(ioctl)
{
    struct winsize *size = (struct winsize *)a[2];

    if (posix_file_ioctl)
        return posix_file_ioctl((int)a[0], (unsigned long)a[1], size);
    if (a[0] < 0 || a[0] > 2)
        return -EBADF;
    if (a[1] != TIOCGWINSZ)
        return -ENOTTY;
    *size = (struct winsize){0};
    return 0;
}
