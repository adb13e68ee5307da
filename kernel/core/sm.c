/*
 * Semaphores.
 *
 * The queue and the counter belong to the lock. An EC that is released on another CPU travels through that
 * CPU's wake-up queue, into which it is put before the lock is dropped: who holds the lock and does not find
 * an EC in the queue knows that it is in the wake-up queue already.
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/sm.h"

#include "core/cpu.h"
#include "x86/clock.h"

void sm_init(struct sm *sm, struct pd *pd, int32_t interrupt)
{
    object_init(&sm->object, OBJECT_SM, pd);
    sm->interrupt = interrupt;
    list_init(&sm->queue);
}

struct sm *sm_create(struct pd *pd, uint64_t counter)
{
    struct sm *sm = slab_alloc(&pd->small);

    if (sm) {
        sm_init(sm, pd, -1);
        sm->counter = counter;
    }
    return sm;
}

void sm_release_first(struct sm *sm)
{
    struct cpu *cpu = cpu_self();
    struct ec *ec = CONTAINER(sm->queue.next, struct ec, queue);
    struct cpu *home = ec->cpu;

    ec->queued = false;
    list_remove(&ec->queue);
    if (home != cpu) {
        lock(&home->wake_lock);
        list_insert(&home->wake, &ec->queue);
        unlock(&home->wake_lock);
    }
    unlock(&sm->lock);
    if (home == cpu)
        ec_wake(ec, NOVA_SUCCESS);
    else
        cpu_ask(home);
}

unsigned sm_up(struct sm *sm)
{
    unsigned status = NOVA_SUCCESS;

    if (!sm_count_up(sm, &status))
        sm_release_first(sm);
    return status;
}

unsigned sm_down(struct cpu *cpu, struct ec *ec, struct sm *sm, bool zero, uint64_t deadline)
{
    unsigned status = NOVA_SUCCESS;

    lock(&sm->lock);
    if (sm->counter) {
        sm->counter = zero ? 0 : sm->counter - 1;
    } else if (deadline && deadline <= clock_now()) {
        status = NOVA_TIMEOUT;
    } else if (!object_get(&sm->object)) { /* it has just died */
        status = NOVA_BAD_CAP;
    } else {
        list_insert(&sm->queue, &ec->queue);
        ec->queued = true;
        ec->sm = sm;
        ec->blocked = true;
        if (deadline) {
            timeout_add(&cpu->timeouts, &ec->timeout, deadline);
            sc_timer(cpu);
        }
    }
    unlock(&sm->lock);
    return status;
}

void sm_cancel(struct ec *ec, unsigned status)
{
    struct sm *sm = ec->sm;
    bool queued;

    lock(&sm->lock);
    queued = ec->queued;
    ec->queued = false;
    if (queued)
        list_remove(&ec->queue);
    unlock(&sm->lock);
    if (queued)
        ec_wake(ec, status);
}

void sm_take_woken(struct cpu *cpu)
{
    while (!list_empty(&cpu->wake)) {
        struct ec *ec;
        lock(&cpu->wake_lock);
        ec = CONTAINER(cpu->wake.next, struct ec, queue);
        list_remove(&ec->queue);
        unlock(&cpu->wake_lock);
        ec_wake(ec, NOVA_SUCCESS);
    }
}
