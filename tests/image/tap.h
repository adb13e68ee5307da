/*
 * Test results in the Test Anything Protocol, on the serial port.
 *
 * May be called from any CPU, by threads of PDs that hold the serial ports; lines do not mix. A
 * thread must not report while it keeps a lower-priority thread of its own CPU from finishing a
 * line (the lock spins), so tests of priorities record first and report afterwards.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PRINTF(a, b) __attribute__((format(printf, a, b)))

/* One result. Returns condition. Formats: %s %c %d %u %x %%, with l for 64 bits and a zero-padded width. */
bool tap_ok(bool condition, const char *format, ...) PRINTF(2, 3);

/* One result: got must be equal to want; both are printed if not. */
bool tap_is(uint64_t got, uint64_t want, const char *format, ...) PRINTF(3, 4);

/* One result that counts as skipped, with the reason. */
void tap_skip(const char *reason, const char *format, ...) PRINTF(2, 3);

/* A comment line. */
void tap_diag(const char *format, ...) PRINTF(1, 2);

/* Gives up: the rest of the tests makes no sense. Does not return. */
_Noreturn void tap_bail(const char *format, ...) PRINTF(1, 2);

/* Prints the plan and powers the machine off. */
_Noreturn void tap_done(void);
