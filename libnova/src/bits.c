/*
 * Runs of bits: the lowest run of clear bits in a bitmap; full words are skipped at once.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

uint64_t nova_bits_find(const uint64_t *bits, uint64_t start, uint64_t end, uint64_t count, uint64_t align)
{
    uint64_t run = 0, n;

    for (n = start; n < end && run < count; n++) {
        if (!(n % 64) && bits[n / 64] == UINT64_MAX) {
            run = 0;
            n += 63;
        } else if (nova_bit(bits, n) || (!run && n % align)) {
            run = 0;
        } else {
            run++;
        }
    }
    return run == count ? n - count : UINT64_MAX;
}

void nova_bits_set(uint64_t *bits, uint64_t first, uint64_t count, bool value)
{
    for (uint64_t n = first; n < first + count; n++)
        if (value)
            bits[n / 64] |= 1UL << n % 64;
        else
            bits[n / 64] &= ~(1UL << n % 64);
}
