/*
 * Futexes and sleep. All waiting is libnova's; a signal ends it through nova_thread_interrupt().
 *
 * SPDX-License-Identifier: MIT
 */

#include "posix.h"

enum { WAIT = 0, WAKE = 1, REQUEUE = 3, LOCK_PI = 6, UNLOCK_PI = 7, TRYLOCK_PI = 8, OPERATION = 127 };

/* Word of a lock with an owner: its thread number, and */
#define WAITERS 0x80000000U
#define OWNER 0x3fffffffU

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

/*
 * Locks with priority inheritance. All threads of a program have the same priority, so nobody ever has one
 * to inherit, and what remains is a lock that knows its owner.
 */
static long lock_owned(uint32_t *word, const struct timespec *until, int try)
{
    uint32_t self = (uint32_t)posix_self()->tid;
    uint32_t waited = 0;
    uint64_t deadline = NOVA_NEVER;

    if (until) {
        int64_t left = until->tv_sec < INT32_MAX * 4L
                           ? until->tv_sec * (int64_t)NOVA_S + until->tv_nsec - nova_wall_clock()
                           : INT64_MAX / 2;

        deadline = nova_now() + (uint64_t)(left > 0 ? left : 0);
    }
    for (;;) {
        uint32_t value = __atomic_load_n(word, __ATOMIC_RELAXED);
        long result;

        if ((value & OWNER) == self)
            return -EDEADLK;
        if (!(value & OWNER)) {
            if (__atomic_compare_exchange_n(word, &value, self | (value & ~OWNER) | waited, 0,
                                            __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
                return 0;
            continue;
        }
        if (try)
            return -EAGAIN;
        if (!(value & WAITERS) && !__atomic_compare_exchange_n(word, &value, value | WAITERS, 0,
                                                               __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            continue;
        result = posix_wait(word, value | WAITERS, deadline);
        if (result == -ETIMEDOUT || result == -EINTR)
            return result;
        waited = WAITERS;
    }
}

static long unlock_owned(uint32_t *word)
{
    if ((__atomic_load_n(word, __ATOMIC_RELAXED) & OWNER) != (uint32_t)posix_self()->tid)
        return -EPERM;
    __atomic_store_n(word, 0, __ATOMIC_RELEASE);
    nova_futex_wake(word, 1);
    return 0;
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
    case LOCK_PI:
        if (timeout && !posix_timespec_valid(timeout))
            return -EINVAL;
        return lock_owned(word, timeout, 0);
    case TRYLOCK_PI:
        return lock_owned(word, 0, 1);
    case UNLOCK_PI:
        return unlock_owned(word);
    default:
        return -ENOSYS;
    }
}
