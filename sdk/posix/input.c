/*
 * Reading: from the console, as long as part `files` does not say otherwise.
 *
 * SPDX-License-Identifier: MIT
 */

#include "posix.h"
#include <nova/log.h>

const char nova_link_input __attribute__((used)) = 0;

#define LOOK (100 * NOVA_MS) /* how often who waits looks for signals */

/* Only another thread can send one. */
static bool expects_signals(void)
{
    return posix_deliver && __atomic_load_n(&posix_threads, __ATOMIC_RELAXED)->next;
}

/* A console that has crashed comes back. */
long posix_console_read(void *buffer, size_t size, int wait)
{
    const struct posix_thread *self = posix_self();
    long n;

    do {
        if (wait && posix_interrupted(self))
            return -EINTR;
        n = nova_log_read(buffer, size,
                          !wait               ? nova_now()
                          : expects_signals() ? nova_now() + LOOK
                                              : NOVA_NEVER);
    } while (wait && (n == NOVA_ERR_PEER || n == NOVA_ERR_TIMEOUT));
    if (n == NOVA_ERR_PEER || n == NOVA_ERR_TIMEOUT)
        return -EAGAIN;
    /* Without a console, or without permission, there is no input: end of file. */
    return n == NOVA_ERR_ABSENT || n == NOVA_ERR_DENIED ? 0 : posix_error((int)n);
}

static long get(int fd, void *buffer, size_t size)
{
    if (posix_file_io)
        return posix_file_io(fd, buffer, size, 0);
    if (fd < 0 || fd > 2)
        return -EBADF;
    return posix_console_read(buffer, size, 1);
}

/* What is there: who has some of what he wants does not wait for the rest. */
static long get_more(int fd, void *buffer, size_t size)
{
    return posix_file_more ? posix_file_more(fd, buffer, size) : posix_console_read(buffer, size, 0);
}

SYSCALL(read)
{
    return get((int)a[0], (void *)a[1], (size_t)a[2]);
}

SYSCALL(readv)
{
    return posix_vector(get, get_more, a);
}
