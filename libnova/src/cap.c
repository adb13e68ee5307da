/*
 * Selectors: a bitmap of the first ones that are free for the domain. Lowest first.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

#include <nova/cap.h>

#define SELECTORS 16384U

static struct nova_mutex lock;
static uint64_t taken[SELECTORS / 64];

/*
 * The bitmap begins at the last multiple of 64 up to the first free selector, so that alignment is the same
 * in both.
 */
static uint64_t base(void)
{
    return nova_info()->sel_free & ~63UL;
}

uint64_t nova_cap_alloc(unsigned count, unsigned align)
{
    uint64_t end = nova_info()->sel_end - base(), n;

    if (!count || !align || align & (align - 1) || align > 64)
        return NOVA_CAP_NONE;
    nova_mutex_lock(&lock);
    n = nova_bits_find(taken, nova_info()->sel_free - base(), end < SELECTORS ? end : SELECTORS, count,
                       align);
    if (n != UINT64_MAX)
        nova_bits_set(taken, n, count, true);
    nova_mutex_unlock(&lock);
    return n != UINT64_MAX ? base() + n : NOVA_CAP_NONE;
}

void nova_cap_free(uint64_t first, unsigned count)
{
    if (!first)
        return;
    nova_cap_drop(first, count);
    nova_mutex_lock(&lock);
    nova_bits_set(taken, first - base(), count, false);
    nova_mutex_unlock(&lock);
}

void nova_cap_drop(uint64_t first, unsigned count)
{
    nova_delegate(NOVA_SEL_OBJ, first, first, count, 0);
}
