/**
 * @file
 * Real-time clock: MC146818 with 128 bytes of memory.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>
#include <stdint.h>

#define RTC_PORT 0x70U

/** Once, before the machine runs; false: the ports are taken. `wall` gives the nanoseconds since 1970-01-01 00:00 UTC; any thread,
 * it must not wait. */
bool rtc_init(uint64_t (*wall)(void));

/** The machine is reset: the battery keeps time and memory, as it does in hardware. */
void rtc_reset(void);
