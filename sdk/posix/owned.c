/*
 * Locks with priority inheritance. All threads of a program have the same priority, so nobody ever has one to
 * inherit, and what remains is a lock that knows its owner.
 *
 * SPDX-License-Identifier: MIT
 */

#include "posix.h"

const char nova_link_owned __attribute__((used)) = 0;

enum { LOCK_PI = 6, UNLOCK_PI = 7, TRYLOCK_PI = 8 };

/* Word of such a lock: the thread number of its owner, and */
#define WAITERS 0x80000000U
#define OWNER 0x3fffffffU

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

long posix_lock_owned(uint32_t *word, long operation, const struct timespec *until)
{
    if (operation == UNLOCK_PI)
        return unlock_owned(word);
    if (operation != LOCK_PI && operation != TRYLOCK_PI)
        return -ENOSYS;
    if (operation == LOCK_PI && until && !posix_timespec_valid(until))
        return -EINVAL;
    return lock_owned(word, operation == LOCK_PI ? until : 0, operation == TRYLOCK_PI);
}
