/*
 * The timer of the local APIC: one-shot, periodic and TSC-deadline mode (Intel SDM volume 3, 11.5.4).
 *
 * Time is the guest's TSC. A count is turned into a deadline when it begins; periods that the host missed are skipped, as
 * their interrupts would be one.
 *
 * State: in struct lapic, see lapic.c for the rules; the frequency of the TSC, set once.
 * Guest input checked: any count, divider, mode and deadline; a TSC that jumps. No sum wraps, no quotient overflows.
 * Locking: none. Handler thread of the vCPU.
 *
 * SPDX-License-Identifier: MIT
 */

#include "dev/lapic_timer.h"

#define MODE (3U << 17)
#define ONE_SHOT 0U
#define PERIODIC (1U << 17)
#define TSC_DEADLINE (2U << 17)

static uint64_t tsc_frequency = LAPIC_TIMER_HZ;

void lapic_init_time(uint64_t tsc_hz)
{
    tsc_frequency = tsc_hz;
}

/* (value * factor + more) / divisor with 128 bits in between; more than 64 bits become all ones. */
static uint64_t scale(uint64_t value, uint64_t factor, uint64_t more, uint64_t divisor)
{
    unsigned __int128 product = (unsigned __int128)value * factor + more;
    uint64_t low = (uint64_t)product, high = (uint64_t)(product >> 64);

    if (high >= divisor)
        return UINT64_MAX;
    __asm__("divq %2" : "+a"(low), "+d"(high) : "rm"(divisor) : "cc");
    return low;
}

static uint64_t later(uint64_t time, uint64_t by)
{
    return time + by < time ? LAPIC_NEVER : time + by;
}

static uint32_t mode(const struct lapic *lapic)
{
    return lapic->lvt[LVT_TIMER] & MODE;
}

/* The divider is 1 << shift. */
static unsigned shift(const struct lapic *lapic)
{
    return ((lapic->divide & 3) + (lapic->divide >> 1 & 4) + 1) & 7;
}

/* TSC ticks until a count of `initial_count` has gone: never less than it takes. */
static uint64_t period(const struct lapic *lapic)
{
    return scale((uint64_t)lapic->initial_count << shift(lapic), tsc_frequency, LAPIC_TIMER_HZ - 1,
                 LAPIC_TIMER_HZ);
}

void lapic_timer_mode(struct lapic *lapic, uint32_t lvt)
{
    /* To and from TSC-deadline mode disarms the timer. */
    if ((mode(lapic) == TSC_DEADLINE) != ((lvt & MODE) == TSC_DEADLINE)) {
        lapic->deadline = LAPIC_NEVER;
        lapic->initial_count = 0;
    }
}

void lapic_timer_start(struct lapic *lapic, uint32_t count, uint64_t now)
{
    if (mode(lapic) == TSC_DEADLINE)
        return;
    lapic->initial_count = count;
    lapic->timer_start = now;
    lapic->deadline = count ? later(now, period(lapic)) : LAPIC_NEVER;
}

void lapic_timer_divide(struct lapic *lapic, uint32_t divide)
{
    lapic->divide = divide;
    /* A count that is under way goes on as if it had begun so. */
    if (lapic->deadline != LAPIC_NEVER && mode(lapic) != TSC_DEADLINE)
        lapic->deadline = later(lapic->timer_start, period(lapic));
}

uint32_t lapic_timer_count(const struct lapic *lapic, uint64_t now)
{
    uint64_t gone = scale(now - lapic->timer_start, LAPIC_TIMER_HZ, 0, tsc_frequency) >> shift(lapic);

    if (mode(lapic) == TSC_DEADLINE || lapic->deadline == LAPIC_NEVER)
        return 0;
    if (gone >= lapic->initial_count)
        return mode(lapic) == PERIODIC ? lapic->initial_count - (uint32_t)(gone % lapic->initial_count) : 0;
    return lapic->initial_count - (uint32_t)gone;
}

uint64_t lapic_tsc_deadline(const struct lapic *lapic)
{
    return mode(lapic) == TSC_DEADLINE && lapic->deadline != LAPIC_NEVER ? lapic->deadline : 0;
}

void lapic_set_tsc_deadline(struct lapic *lapic, uint64_t value)
{
    if (mode(lapic) == TSC_DEADLINE)
        lapic->deadline = value ? value : LAPIC_NEVER;
}

void lapic_tsc_moved(struct lapic *lapic, uint64_t change)
{
    if (mode(lapic) != TSC_DEADLINE) {
        lapic->timer_start += change;
        lapic->deadline =
            lapic->deadline == LAPIC_NEVER ? LAPIC_NEVER : later(lapic->timer_start, period(lapic));
    }
}

void lapic_timer(struct lapic *lapic, uint64_t now)
{
    uint32_t lvt = lapic->lvt[LVT_TIMER];

    if (now < lapic->deadline || lapic->deadline == LAPIC_NEVER)
        return;
    lapic->deadline = LAPIC_NEVER;
    if (mode(lapic) == PERIODIC) {
        uint64_t ticks = period(lapic);

        lapic->timer_start += (now - lapic->timer_start) / ticks * ticks;
        lapic->deadline = later(lapic->timer_start, ticks);
    }
    if (!(lvt & LVT_MASKED))
        lapic_accept(lapic, (uint8_t)lvt, false);
}
