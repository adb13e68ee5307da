/*
 * Semaphores of the kernel.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

#include <nova/cap.h>

int nova_sm_create(uint64_t *sel, uint64_t count)
{
    int error;

    *sel = nova_cap_alloc(1, 1);
    if (!*sel)
        return NOVA_ERR_LIMIT;
    error = create_error(nova_hc_create_sm(*sel, NOVA_SEL_PD, count));
    if (error) {
        nova_cap_free(*sel, 1);
        *sel = NOVA_CAP_NONE;
    }
    return error;
}

void nova_sm_destroy(uint64_t sel)
{
    nova_cap_drop(sel, 1);
    nova_cap_free(sel, 1);
}

static int result(unsigned status)
{
    if (status == NOVA_TIMEOUT)
        return NOVA_ERR_TIMEOUT;
    return status == NOVA_OVRFLOW ? NOVA_ERR_LIMIT : create_error(status);
}

int nova_sm_up(uint64_t sel)
{
    return result(nova_hc_ctrl_sm(sel, 0, NOVA_SM_UP));
}

int nova_sm_down(uint64_t sel, uint64_t deadline)
{
    return result(nova_hc_ctrl_sm(sel, nova_time_deadline(deadline), NOVA_SM_DOWN));
}

int nova_sm_drain(uint64_t sel, uint64_t deadline)
{
    return result(nova_hc_ctrl_sm(sel, nova_time_deadline(deadline), NOVA_SM_DOWN | NOVA_SM_ZERO));
}
