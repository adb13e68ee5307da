/*
 * Semaphores, also those that interrupts are delivered to.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "core/ec.h"

struct sm {
    struct object object;
    struct spinlock lock;
    int32_t interrupt; /* number of the interrupt, or -1 */
    uint64_t counter;
    struct list queue; /* blocked ECs, first come first served */
};

/* Creates a semaphore; null if memory is lacking. */
struct sm *sm_create(struct pd *pd, uint64_t counter);
void sm_init(struct sm *sm, struct pd *pd, int32_t interrupt);

/* Counts up if no EC is blocked: false, with the lock still held, if one is. */
static inline bool sm_count_up(struct sm *sm, unsigned *status)
{
    lock(&sm->lock);
    if (UNLIKELY(!list_empty(&sm->queue)))
        return false;
    *status = sm->counter == UINT64_MAX ? NOVA_OVRFLOW : NOVA_SUCCESS;
    sm->counter += *status == NOVA_SUCCESS;
    unlock(&sm->lock);
    return true;
}

/* Releases the first blocked EC. With the lock held, which it drops. */
void sm_release_first(struct sm *sm);

/* Releases the first blocked EC, or counts up. OVRFLOW if the counter cannot grow. */
unsigned sm_up(struct sm *sm);

/* Counts down, or to zero; blocks the current EC until `deadline` (0: forever) if the counter is zero. */
unsigned sm_down(struct cpu *cpu, struct ec *ec, struct sm *sm, bool zero, uint64_t deadline);

/* Wakes a blocked EC on its CPU with a status, unless another CPU has just woken it. */
void sm_cancel(struct ec *ec, unsigned status);

/* Takes over the ECs that other CPUs have woken. */
void sm_take_woken(struct cpu *cpu);
