/*
 * Futexes and sleep. All waiting is libnova's; a signal ends it through nova_thread_interrupt().
 *
 * SPDX-License-Identifier: MIT
 */

#include "posix.h"

enum { WAIT = 0, WAKE = 1, REQUEUE = 3, OPERATION = 127 };

long posix_wait(uint32_t *word, uint32_t value, uint64_t deadline)
{
    struct posix_thread *self = posix_self();

    for (;;) {
        int error;

        if (posix_interrupted(self))
            return -EINTR;
        error = nova_futex_wait(word, value, deadline, NOVA_FUTEX_INTERRUPTIBLE);
        /* The interruption may have been for a signal that is masked or taken by now. */
        if (error == NOVA_ERR_INTERRUPTED)
            continue;
        return error == NOVA_ERR_BUSY ? -EAGAIN : posix_error(error);
    }
}

long posix_sleep(uint64_t deadline)
{
    uint32_t never = 0;
    long result = posix_wait(&never, 0, deadline);

    return result == -ETIMEDOUT ? 0 : result;
}

int posix_timespec_valid(const struct timespec *time)
{
    return time->tv_sec >= 0 && time->tv_nsec >= 0 && time->tv_nsec < 1000000000;
}

uint64_t posix_deadline(const struct timespec *relative)
{
    uint64_t now = nova_now();

    if (!relative || (uint64_t)relative->tv_sec >= (NOVA_NEVER - now) / NOVA_S - 1)
        return NOVA_NEVER;
    return now + (uint64_t)relative->tv_sec * NOVA_S + (uint64_t)relative->tv_nsec;
}

SYSCALL(futex)
{
    uint32_t *word = (uint32_t *)a[0];
    const struct timespec *timeout = (const struct timespec *)a[3];
    long count = a[2];

    switch (a[1] & OPERATION) {
    case WAIT:
        if (timeout && !posix_timespec_valid(timeout))
            return -EINVAL;
        return posix_wait(word, (uint32_t)a[2], posix_deadline(timeout));
    case REQUEUE:
        /* Waking who could have been moved is correct: they look at their condition again. */
        count += a[3];
        /* fallthrough */
    case WAKE:
        return (long)nova_futex_wake(word, count < 0 ? 0 : (unsigned)count);
    default:
        return posix_lock_owned ? posix_lock_owned(word, a[1] & OPERATION, timeout) : -ENOSYS;
    }
}
