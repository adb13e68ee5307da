/*
 * Conversions between the time stamp counter and nanoseconds. Seconds and the rest are converted apart: that
 * is exact, and nothing overflows for frequencies up to 18 GHz.
 *
 * SPDX-License-Identifier: MIT
 */

#include <nova/time.h>

uint64_t nova_time_from_ticks(uint64_t ticks, uint64_t frequency)
{
    uint64_t seconds = ticks / frequency, ns;

    if (__builtin_mul_overflow(seconds, NOVA_S, &ns) ||
        __builtin_add_overflow(ns, ticks % frequency * NOVA_S / frequency, &ns))
        return UINT64_MAX;
    return ns;
}

uint64_t nova_time_to_ticks(uint64_t ns, uint64_t frequency)
{
    uint64_t rest = (ns % NOVA_S * frequency + NOVA_S - 1) / NOVA_S, ticks;

    if (__builtin_mul_overflow(ns / NOVA_S, frequency, &ticks) || __builtin_add_overflow(ticks, rest, &ticks))
        return UINT64_MAX;
    return ticks;
}
