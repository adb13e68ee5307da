/*
 * Clocks of the running machine, and sleep.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

#include <nova/time.h>

uint64_t nova_now(void)
{
    return nova_time_from_ticks(__builtin_ia32_rdtsc(), nova_info()->tsc_frequency);
}

int64_t nova_wall_clock(void)
{
    return (int64_t)nova_now() + nova_info()->wall_offset;
}

uint64_t nova_time_deadline(uint64_t ns)
{
    uint64_t ticks;

    if (ns == NOVA_NEVER)
        return 0;
    ticks = nova_time_to_ticks(ns, nova_info()->tsc_frequency);
    return ticks ? ticks : 1;
}

int nova_sleep_until(uint64_t deadline)
{
    struct nova_thread *self = nova_thread_self();
    uint64_t ticks = nova_time_deadline(deadline);

    for (;;) { /* the semaphore may have been upped for something that is long past */
        if (__atomic_exchange_n(&self->interrupted, 0, __ATOMIC_ACQUIRE))
            return NOVA_ERR_INTERRUPTED;
        if (nova_hc_ctrl_sm(self->sm, ticks, NOVA_SM_DOWN) == NOVA_TIMEOUT)
            return NOVA_OK;
    }
}
