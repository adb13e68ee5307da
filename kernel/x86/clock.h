/*
 * Time: the TSC is the system time counter. Its frequency comes from CPUID leaf 0x15 if that is there and
 * complete, else it is measured against the HPET or the ACPI PM timer. Where there is neither, it is taken for
 * 1 GHz, with a message.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "lib/util.h"

extern uint64_t clock_frequency; /* of the TSC, Hz */

/*
 * Determines clock_frequency and, where there is no deadline mode, apic_timer_ratio. Once, after
 * acpi_parse, apic_init and apic_enable, with interrupts off. Takes at most about a second, even if every
 * clock is broken.
 */
void clock_init(void);

/* value * numerator / denominator, rounded down; UINT64_MAX if that is too much. */
uint64_t clock_scale(uint64_t value, uint64_t numerator, uint64_t denominator);

static inline uint64_t clock_now(void)
{
    return __builtin_ia32_rdtsc();
}

/* Milliseconds to TSC ticks; any 16-bit number of milliseconds fits. */
static inline uint64_t clock_ticks(uint64_t ms)
{
    return ms * clock_frequency / 1000;
}
