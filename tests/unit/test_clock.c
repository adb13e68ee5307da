/*
 * Arithmetic of x86/clock.c: products of 128 bits, divided. The rest of that file needs hardware and must not
 * be reached: what it calls aborts.
 *
 * Sources: x86/clock.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "x86/clock.h"
#include "lib/console.h"
#include "tap.h"
#include "x86/acpi.h"
#include "x86/apic.h"
#include "x86/device.h"

#include <stdlib.h>

struct acpi acpi;
uint64_t apic_timer_ratio;

void print(const char *format, ...)
{
    (void)format;
    abort();
}

volatile void *device_map(uint64_t phys)
{
    (void)phys;
    abort();
}

void apic_timer(uint64_t deadline)
{
    (void)deadline;
    abort();
}

uint32_t apic_timer_read(void)
{
    abort();
}

static uint64_t seed = 88172645463325252;

/* Of any magnitude. */
static uint64_t noise(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed >> (seed >> 5) % 64;
}

static void check_scale(uint64_t value, uint64_t numerator, uint64_t denominator)
{
    unsigned __int128 product = (unsigned __int128)value * numerator;
    uint64_t expected = UINT64_MAX;
    if (denominator && product / denominator < UINT64_MAX) {
        expected = (uint64_t)(product / denominator);
    }
    CHECK(clock_scale(value, numerator, denominator) == expected);
}

int main(void)
{
    static const uint64_t edges[] = {0, 1, 2, 3, UINT32_MAX, BIT(32), BIT(63), UINT64_MAX - 1, UINT64_MAX};

    for (unsigned i = 0; i < ARRAY_SIZE(edges); i++) {
        for (unsigned j = 0; j < ARRAY_SIZE(edges); j++) {
            for (unsigned k = 0; k < ARRAY_SIZE(edges); k++) {
                check_scale(edges[i], edges[j], edges[k]);
            }
        }
    }
    ok_checks("clock_scale: edges, division by 0 and overflow included");
    for (unsigned i = 0; i < 1000000; i++) {
        check_scale(noise(), noise(), noise());
    }
    ok_checks("clock_scale: against division of 128 bits");

    ok(clock_scale(24000000, 176, 2) == 2112000000, "CPUID leaf 0x15: 24 MHz crystal, 2.112 GHz");
    ok(clock_scale(30000000, 1000000000000000, 143182 * 69841279UL) == 2999995797,
       "HPET: 10 ms at 14.318 MHz");
    ok(clock_scale(10000119, 3579545, 35796) == 999996534, "PM timer: 10 ms");
    ok(clock_scale(1000000, BIT(32), 30000000) == 143165576, "APIC timer of 100 MHz, TSC of 3 GHz");

    clock_frequency = 68719476736;
    ok(clock_ticks(65535) == 4503530907893, "the longest time-out at 64 GHz");
    clock_frequency = 999999999;
    ok(clock_ticks(1) == 999999 && clock_ticks(0) == 0, "milliseconds are rounded down");
    return tap_done();
}
