/*
 * Test results in the Test Anything Protocol, for programs in protection domains. From any thread.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef NATIVE_TAP_H
#define NATIVE_TAP_H

#include <stdbool.h>

/* One result. Returns condition. */
bool ok(bool condition, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints the plan; the exit status of the program. */
int tap_done(void);

#endif
