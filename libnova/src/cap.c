/*
 * Selectors: a bitmap of the lowest ones; lowest first.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

#include <nova/cap.h>

#define SELECTORS 20480U

static struct nova_mutex lock;
static uint64_t taken[SELECTORS / 64];

uint64_t nova_cap_alloc(unsigned count, unsigned align)
{
    uint64_t start = nova_info()->sel_free, end = nova_info()->sel_end, n;

    if (!count || !align || align & (align - 1))
        return NOVA_CAP_NONE;
    nova_mutex_lock(&lock);
    n = nova_bits_find(taken, start, end < SELECTORS ? end : SELECTORS, count, align);
    if (n != UINT64_MAX)
        nova_bits_set(taken, n, count, true);
    nova_mutex_unlock(&lock);
    return n != UINT64_MAX ? n : NOVA_CAP_NONE;
}

void nova_cap_free(uint64_t first, unsigned count)
{
    if (!first)
        return;
    nova_parent(NOVA_PARENT_DROP, first, count);
    nova_mutex_lock(&lock);
    nova_bits_set(taken, first, count, false);
    nova_mutex_unlock(&lock);
}

int nova_cap_copy(uint64_t from, uint64_t first, unsigned count)
{
    return nova_parent(NOVA_PARENT_COPY, from, first, count);
}
