/*
 * Frequencies of the TSC and of the one-shot timer. Runs once, on the bootstrap processor, with interrupts
 * off.
 *
 * A measurement counts the ticks of the TSC during some 10 ms of another clock. Each reading of the other
 * clock lies between two of the TSC, so whatever takes time in between (system-management mode, another
 * virtual machine) makes the result too high, never too low: the least of three is taken. A clock whose reading
 * shows less than 10 ms when STUCK ticks of the TSC have gone before it stands still, and the next one is tried.
 *
 * SPDX-License-Identifier: MIT
 */

#include "x86/clock.h"
#include "lib/console.h"
#include "x86/acpi.h"
#include "x86/apic.h"
#include "x86/asm.h"
#include "x86/device.h"

#define STUCK BIT(28) /* 10 ms at 26 GHz */
#define FALLBACK_HZ 1000000000

/* IA-PC HPET Specification 1.0a, 2.3; in units of 32 bits. */
#define HPET_PERIOD 1
#define HPET_CONFIG 4
#define HPET_COUNTER 60
#define HPET_PERIOD_MAX 100000000 /* femtoseconds */

uint64_t clock_frequency;

static volatile uint32_t *counter; /* of the HPET or of the PM timer; null: the PM timer is a port */

uint64_t clock_scale(uint64_t value, uint64_t numerator, uint64_t denominator)
{
    unsigned __int128 product = (unsigned __int128)value * numerator;
    uint64_t high = (uint64_t)(product >> 64), low = (uint64_t)product;
    if (high >= denominator)
        return UINT64_MAX;
    __asm__("divq %2" : "+a"(low), "+d"(high) : "r"(denominator) : "cc");
    return low;
}

static uint32_t read_counter(void)
{
    return counter ? *counter : inl((uint16_t)acpi.pm_timer.addr);
}

/*
 * Ticks of the TSC per second of a clock of numerator / denominator Hz, of which the bits in `mask` can be
 * read; 0 if that stands still.
 */
static uint64_t measure(const char *name, uint32_t mask, uint64_t numerator, uint64_t denominator)
{
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < 3; i++) {
        uint64_t begin = clock_now(), end, ticks;
        uint32_t first = read_counter();
        uint64_t late = clock_now() + STUCK;
        do {
            bool stuck = clock_now() > late;
            ticks = (read_counter() - first) & mask;
            __asm__ volatile("lfence" : : : "memory"); /* RDTSC may overtake a load */
            end = clock_now();
            if (stuck && ticks * denominator < numerator / 100) {
                print("clock: %s stands still\n", name);
                return 0;
            }
        } while (ticks * denominator < numerator / 100);
        least = min_u64(least, clock_scale(end - begin, numerator, ticks * denominator));
    }
    return least;
}

/* Intel SDM volume 3, 19.7.3: ratio of the TSC to the crystal, frequency of the crystal. */
static uint64_t from_cpuid(void)
{
    struct cpuid c = cpuid(0x15, 0);
    return c.eax && c.ebx && c.ecx ? clock_scale(c.ecx, c.ebx, c.eax) : 0;
}

static uint64_t from_hpet(void)
{
    if (!acpi.hpet)
        return 0;
    volatile uint32_t *hpet = device_map(acpi.hpet);
    uint32_t period = hpet[HPET_PERIOD], config = hpet[HPET_CONFIG];
    if (!period || period > HPET_PERIOD_MAX)
        return 0;
    counter = hpet + HPET_COUNTER;
    hpet[HPET_CONFIG] = config | 1;
    uint64_t hz = measure("HPET", UINT32_MAX, 1000000000000000, period);
    hpet[HPET_CONFIG] = config;
    return hz;
}

/* ACPI Specification 6.5, 4.8.3.3. */
static uint64_t from_pm_timer(void)
{
    if (!acpi.pm_timer.width || acpi.pm_timer.space > 1)
        return 0;
    counter = acpi.pm_timer.space == 0 ? device_map(acpi.pm_timer.addr) : NULL;
    return measure("PM timer", acpi.timer_32bit ? UINT32_MAX : 0xffffff, 3579545, 1);
}

/*
 * Ticks of the one-shot timer per 2^32 ticks of the TSC. Here the readings of the TSC are the inner ones: a
 * result that is too high makes timer interrupts late by as much, one too low makes them early, and more.
 */
static uint64_t measure_timer(void)
{
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < 3; i++) {
        uint32_t first = apic_timer_read();
        uint64_t begin = clock_now(), end;
        do {
            end = clock_now();
        } while (end - begin < clock_frequency / 100);
        least = min_u64(least, clock_scale(first - apic_timer_read(), BIT(32), end - begin));
    }
    return least;
}

void clock_init(void)
{
    static uint64_t (*const sources[])(void) = {from_cpuid, from_hpet, from_pm_timer};

    for (unsigned i = 0; i < ARRAY_SIZE(sources) && !clock_frequency; i++)
        clock_frequency = sources[i]();
    if (!clock_frequency) {
        clock_frequency = FALLBACK_HZ;
        print("clock: nothing to measure the TSC with, taking it for 1 GHz\n");
    }
    if (apic_timer_ratio) {
        apic_timer(UINT64_MAX - 1); /* from the most it can count */
        uint64_t ratio = measure_timer();
        apic_timer(UINT64_MAX);
        apic_timer_ratio = ratio ? ratio : BIT(32);
    }
}
