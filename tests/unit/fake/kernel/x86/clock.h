/*
 * Stands in front of the kernel's x86/clock.h: time passes when a test says so.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#define clock_now real_clock_now
#include_next "x86/clock.h"
#undef clock_now

extern uint64_t fake_now;

static inline uint64_t clock_now(void)
{
    return __atomic_load_n(&fake_now, __ATOMIC_SEQ_CST);
}
