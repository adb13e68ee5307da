/*
 * Guest memory: from guest-physical addresses to addresses of the VMM, with bounds.
 *
 * State: where the memory is and its size, set once.
 * Guest input checked: any address and any length, also those that wrap or that span the hole below 4 GiB.
 * Locking: none, nothing changes after ram_init().
 *
 * SPDX-License-Identifier: MIT
 */

#include "ram.h"

static struct {
    uint8_t *base;
    uint64_t size, low_end, high_end;
} ram;

void ram_init(void *base, uint64_t size)
{
    ram.base = base;
    ram.size = size;
    ram.low_end = size < RAM_LOW_END ? size : RAM_LOW_END;
    ram.high_end = RAM_HIGH + (size - ram.low_end);
}

uint64_t ram_size(void)
{
    return ram.size;
}

uint64_t ram_low_end(void)
{
    return ram.low_end;
}

uint64_t ram_high_end(void)
{
    return ram.high_end;
}

void *ram_at(uint64_t gpa, uint64_t bytes)
{
    if (gpa < ram.low_end)
        return bytes <= ram.low_end - gpa ? ram.base + gpa : NULL;
    if (gpa >= RAM_HIGH && gpa < ram.high_end && bytes <= ram.high_end - gpa)
        return ram.base + RAM_LOW_END + (gpa - RAM_HIGH);
    return NULL;
}
