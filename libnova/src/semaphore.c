/*
 * Semaphores of the kernel.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

#include <nova/cap.h>

int nova_sm_block(uint64_t *sel, unsigned count, unsigned which, uint64_t value)
{
    int error = NOVA_OK;

    *sel = nova_cap_alloc(count, count);
    if (!*sel)
        return NOVA_ERR_LIMIT;
    for (; which && !error; which &= which - 1)
        error = nova_hc_error(nova_hc_create_sm(*sel + (unsigned)__builtin_ctz(which), NOVA_SEL_PD, value));
    if (error) {
        nova_cap_free(*sel, count);
        *sel = NOVA_CAP_NONE;
    }
    return error;
}

int nova_sm_create(uint64_t *sel, uint64_t count)
{
    return nova_sm_block(sel, 1, 1, count);
}

void nova_sm_destroy(uint64_t sel)
{
    nova_cap_free(sel, 1);
}

int nova_sm_up(uint64_t sel)
{
    return nova_hc_error(nova_hc_ctrl_sm(sel, 0, NOVA_SM_UP));
}

int nova_sm_down(uint64_t sel, uint64_t deadline)
{
    return nova_hc_error(nova_hc_ctrl_sm(sel, nova_time_deadline(deadline), NOVA_SM_DOWN));
}

int nova_sm_drain(uint64_t sel, uint64_t deadline)
{
    return nova_hc_error(nova_hc_ctrl_sm(sel, nova_time_deadline(deadline), NOVA_SM_DOWN | NOVA_SM_ZERO));
}
