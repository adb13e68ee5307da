/*
 * Frequencies of the TSC and of the one-shot timer. Runs once, on the bootstrap processor, with interrupts
 * off.
 *
 * A measurement counts the ticks of the TSC during some 10 ms of another clock. Each reading of the other
 * clock lies between two of the TSC, so whatever takes time in between (system-management mode, another
 * virtual machine) makes the result too high, never too low: the least of three is taken. A clock that
 * stands still is given up after STUCK ticks of the TSC, and the next one is tried.
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

/* 8254, channel 2, and the port with its gate (bit 0) and the switch of the loudspeaker (bit 1). */
#define PIT_CHANNEL2 0x42
#define PIT_COMMAND 0x43
#define PIT_GATE 0x61

uint64_t clock_frequency;

static volatile uint32_t *counter; /* of the HPET or of the PM timer */

uint64_t clock_scale(uint64_t value, uint64_t numerator, uint64_t denominator)
{
    unsigned __int128 product = (unsigned __int128)value * numerator;
    uint64_t high = (uint64_t)(product >> 64), low = (uint64_t)product;
    if (high >= denominator)
        return UINT64_MAX;
    __asm__("divq %2" : "+a"(low), "+d"(high) : "r"(denominator) : "cc");
    return low;
}

/*
 * Ticks of the TSC per second of a clock of numerator / denominator Hz, of which the bits in `mask` can be
 * read; 0 if that stands still.
 */
static uint64_t measure(const char *name, uint32_t (*read)(void), uint32_t mask, uint64_t numerator,
                        uint64_t denominator)
{
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < 3; i++) {
        uint64_t begin = clock_now(), end, ticks;
        uint32_t first = read();
        do {
            ticks = (read() - first) & mask;
            __asm__ volatile("lfence" : : : "memory"); /* RDTSC may overtake a load */
            end = clock_now();
            if (end - begin > STUCK) {
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

static uint32_t read_counter(void)
{
    return *counter;
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
    uint64_t hz = measure("HPET", read_counter, UINT32_MAX, 1000000000000000, period);
    hpet[HPET_CONFIG] = config;
    return hz;
}

static uint32_t read_pm_port(void)
{
    return inl((uint16_t)acpi.pm_timer.addr);
}

/* ACPI Specification 6.5, 4.8.3.3. */
static uint64_t from_pm_timer(void)
{
    uint32_t (*read)(void) = read_pm_port;
    if (!acpi.pm_timer.width || acpi.pm_timer.space > 1)
        return 0;
    if (acpi.pm_timer.space == 0) {
        counter = device_map(acpi.pm_timer.addr);
        read = read_counter;
    }
    return measure("PM timer", read, acpi.timer_32bit ? UINT32_MAX : 0xffffff, 3579545, 1);
}

/* Counts down. The latch command makes the two bytes belong together. */
static uint32_t read_pit(void)
{
    outb(PIT_COMMAND, 0x80);
    uint32_t low = inb(PIT_CHANNEL2);
    return -(low | (uint32_t)inb(PIT_CHANNEL2) << 8);
}

/* Channel 2 as rate generator (mode 2) with the longest period, 2^16. */
static uint64_t from_pit(void)
{
    uint8_t gate = inb(PIT_GATE);
    outb(PIT_GATE, (uint8_t)((gate & ~2U) | 1));
    outb(PIT_COMMAND, 0xb4);
    outb(PIT_CHANNEL2, 0);
    outb(PIT_CHANNEL2, 0);
    uint64_t hz = measure("PIT", read_pit, 0xffff, 1193182, 1);
    outb(PIT_GATE, gate);
    return hz;
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
    static uint64_t (*const sources[])(void) = {from_cpuid, from_hpet, from_pm_timer, from_pit};

    for (unsigned i = 0; i < ARRAY_SIZE(sources) && !clock_frequency; i++)
        clock_frequency = sources[i]();
    clock_frequency = clock_frequency ? clock_frequency : FALLBACK_HZ;
    if (apic_timer_ratio) {
        apic_timer(UINT64_MAX - 1); /* from the most it can count */
        uint64_t ratio = measure_timer();
        apic_timer(UINT64_MAX);
        apic_timer_ratio = ratio ? ratio : BIT(32);
    }
}
