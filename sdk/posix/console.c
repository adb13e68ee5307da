/*
 * Writing: descriptors 0 to 2 are the console as long as part `files` does not say otherwise; everything else
 * belongs to that part.
 *
 * SPDX-License-Identifier: MIT
 */

#include "posix.h"
#include <nova/log.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

static long put(int fd, void *buffer, size_t size)
{
    if (posix_file_io)
        return posix_file_io(fd, buffer, size, 1);
    if (fd < 0 || fd > 2)
        return -EBADF;
    nova_log_write(buffer, size);
    return (long)size;
}

long posix_vector(posix_transfer *first, posix_transfer *more, const long *a)
{
    const struct iovec *iov = (const struct iovec *)a[1];
    long done = 0;

    if (a[2] < 0 || a[2] > 1024)
        return -EINVAL;
    for (long i = 0; i < a[2]; i++) {
        long n;

        if (!iov[i].iov_len)
            continue;
        n = (done ? more : first)((int)a[0], iov[i].iov_base, iov[i].iov_len);
        if (n < 0)
            return done ? done : n;
        done += n;
        if ((size_t)n < iov[i].iov_len)
            break;
    }
    return done;
}

SYSCALL(write)
{
    return put((int)a[0], (void *)a[1], (size_t)a[2]);
}

SYSCALL(writev)
{
    return posix_vector(put, put, a);
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
