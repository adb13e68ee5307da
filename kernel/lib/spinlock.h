/*
 * Spinlock. Interrupts are off in the kernel, so a lock is only ever contended by other CPUs; it is held
 * for a bounded time and never while waiting for another CPU (see mem/tlb.c).
 *
 * Order, outer before inner: semaphore, remote wake-up queue of a CPU; space, page pool. Everything
 * else is a leaf. Two locks of one kind are never held together.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>

struct spinlock {
    bool held;
};

static inline void lock(struct spinlock *l)
{
    while (__atomic_test_and_set(&l->held, __ATOMIC_ACQUIRE))
        while (__atomic_load_n(&l->held, __ATOMIC_RELAXED))
            __builtin_ia32_pause();
}

static inline void unlock(struct spinlock *l)
{
    __atomic_clear(&l->held, __ATOMIC_RELEASE);
}
