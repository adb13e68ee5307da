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
    nova_mutex_lock(&lock);
    nova_bits_set(taken, first - base(), count, false);
    nova_mutex_unlock(&lock);
}

/* Calls ctrl_pd for naturally aligned pieces as large as they can be. */
static unsigned control(uint64_t from, uint64_t to, unsigned count, unsigned mask)
{
    unsigned status = NOVA_SUCCESS;

    while (count && status == NOVA_SUCCESS) {
        uint64_t largest = 1UL << (31 - __builtin_clz(count));
        unsigned order = (unsigned)__builtin_ctzl(from | to | largest);
        status = nova_hc_ctrl_pd(NOVA_SEL_OBJ, NOVA_SEL_OBJ, from, to, order, mask, 0);
        from += 1UL << order;
        to += 1UL << order;
        count -= 1U << order;
    }
    return status;
}

void nova_cap_drop(uint64_t first, unsigned count)
{
    control(first, first, count, 0);
}

int nova_cap_copy(uint64_t from, uint64_t to, unsigned count, unsigned mask)
{
    return create_error(control(from, to, count, mask));
}
