/**
 * @file
 * The timer of the local APIC, for lapic.c. The rest of its interface is in lapic.h.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "dev/lapic.h"

#define LVT_TIMER 0
#define LVT_MASKED 0x10000U

/** Before the LVT entry of the timer changes. */
void lapic_timer_mode(struct lapic *lapic, uint32_t lvt);

/** Writes to the initial count and to the divide configuration. */
void lapic_timer_start(struct lapic *lapic, uint32_t count, uint64_t now);
void lapic_timer_divide(struct lapic *lapic, uint32_t divide);

/** The current count. */
uint32_t lapic_timer_count(const struct lapic *lapic, uint64_t now);
