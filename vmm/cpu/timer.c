/*
 * LAPIC timers of running vCPUs: a thread for each recalls its vCPU when the deadline has come.
 *
 *   timer_deadline   what the vCPU wants; written by its handler
 *   timer_armed      when the thread will look again at the latest; written by the thread
 *
 * Each side writes its own and then reads the other's, so one of the two sees a deadline that comes before the thread would
 * look. A later deadline costs nothing: the thread wakes up early, and goes to sleep again.
 *
 * SPDX-License-Identifier: MIT
 */

#include "cpu/cpu.h"
#include "cpu/time.h"

#include <nova/error.h>
#include <nova/hypercall.h>
#include <nova/sync.h>

static void timer_main(void *context)
{
    struct vcpu *v = context;

    for (;;) {
        uint64_t deadline = __atomic_load_n(&v->timer_deadline, __ATOMIC_SEQ_CST);

        if (deadline <= time_now()) {
            __atomic_compare_exchange_n(&v->timer_deadline, &deadline, LAPIC_NEVER, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED);
            vcpu_ask(v->number, VCPU_INTERRUPT);
            continue;
        }
        __atomic_store_n(&v->timer_armed, deadline, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&v->timer_deadline, __ATOMIC_SEQ_CST) < deadline)
            continue;
        nova_hc_ctrl_sm(v->timer_wake, deadline == LAPIC_NEVER ? 0 : time_deadline(deadline),
                        NOVA_SM_DOWN | NOVA_SM_ZERO);
    }
}

int timer_create(struct vcpu *v, unsigned cpu)
{
    struct nova_thread *thread;
    int error;

    v->timer_deadline = LAPIC_NEVER;
    error = nova_sm_create(&v->timer_wake, 0);
    return error ? error
                 : nova_thread_create(&thread, timer_main, v,
                                      &(struct nova_thread_options){.cpu = NOVA_ON_CPU(cpu), .detached = 1});
}

void timer_set(struct vcpu *v)
{
    uint64_t deadline = v->lapic.deadline;

    if (deadline == __atomic_load_n(&v->timer_deadline, __ATOMIC_RELAXED))
        return;
    __atomic_store_n(&v->timer_deadline, deadline, __ATOMIC_SEQ_CST);
    if (deadline < __atomic_load_n(&v->timer_armed, __ATOMIC_SEQ_CST))
        nova_hc_ctrl_sm(v->timer_wake, 0, NOVA_SM_UP);
}

void timer_stop(struct vcpu *v)
{
    __atomic_store_n(&v->timer_deadline, LAPIC_NEVER, __ATOMIC_RELAXED);
}
