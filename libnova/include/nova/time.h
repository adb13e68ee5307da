/**
 * @file
 * Time: monotonic nanoseconds from the time stamp counter, wall clock, sleep.
 *
 * The kernel's deadlines are values of the counter; libnova's are nanoseconds of the monotonic clock,
 * absolute, so that a loop can wait several times without its time-out growing.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdint.h>

/**
 * @addtogroup libnova_time
 * @{
 */

/** Deadline that does not come. 0, like all of the past, means not to wait at all. */
#define NOVA_NEVER UINT64_MAX

/** @name Durations in nanoseconds
 * @{ */
#define NOVA_US 1000UL      /**< Microsecond. */
#define NOVA_MS 1000000UL   /**< Millisecond. */
#define NOVA_S 1000000000UL /**< Second. */
/** @} */

/**
 * Nanoseconds since the counter was 0, roughly since power-on. Never goes back. Thread-safe. Example:
 * `nova_now() + 5 * NOVA_MS`.
 */
uint64_t nova_now(void);

/** Nanoseconds since 1970-01-01 UTC, from the clock of the machine as it was at boot. Thread-safe. */
int64_t nova_wall_clock(void);

/**
 * Sleeps until a deadline. Returns 0, or #NOVA_ERR_INTERRUPTED after nova_thread_interrupt(). Thread-safe.
 *
 * Example: `nova_sleep_until(nova_now() + NOVA_S);`
 */
int nova_sleep_until(uint64_t deadline);

/**
 * Nanoseconds for a value of the counter, rounded down, at a frequency in Hz (1 kHz to 18 GHz); at most
 * UINT64_MAX. Pure. Example: `nova_time_from_ticks(tsc, nova_info()->tsc_frequency)`.
 */
uint64_t nova_time_from_ticks(uint64_t ticks, uint64_t frequency);

/** Value of the counter for nanoseconds, rounded up; at most UINT64_MAX. Pure. */
uint64_t nova_time_to_ticks(uint64_t ns, uint64_t frequency);

/**
 * Deadline as the kernel takes it: a value of the counter, 0 for #NOVA_NEVER, never 0 otherwise. Thread-safe.
 *
 * Example: `nova_hc_ctrl_sm(sm, nova_time_deadline(deadline), NOVA_SM_DOWN)`.
 */
uint64_t nova_time_deadline(uint64_t ns);

/** @} */
