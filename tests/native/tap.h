/*
 * Test results in the Test Anything Protocol, for programs in protection domains. From any thread.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>

/* One result. Returns condition. */
bool ok(bool condition, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints the plan; the exit status of the program. */
int tap_done(void);
