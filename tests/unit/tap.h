/*
 * Test results in the Test Anything Protocol, for unit tests that run as host programs.
 *
 * A test program calls ok() once for every result and ends with `return tap_done()`. A result that
 * stands for very many checks collects them with CHECK(), from any thread, and reports them with
 * ok_checks(); the first few that fail are shown with their place.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define TAP_SHOWN 5

static unsigned tap_results, tap_failures;
static unsigned long tap_checks, tap_wrong;

static inline bool tap_result(bool condition, const char *format, va_list args)
{
    tap_failures += !condition;
    printf("%s %u - ", condition ? "ok" : "not ok", ++tap_results);
    vprintf(format, args);
    printf("\n");
    fflush(stdout);
    return condition;
}

/* One result. Returns condition. */
__attribute__((format(printf, 2, 3))) static inline bool ok(bool condition, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    tap_result(condition, format, args);
    va_end(args);
    return condition;
}

static inline bool tap_check(bool condition, const char *text, const char *file, int line)
{
    __atomic_fetch_add(&tap_checks, 1, __ATOMIC_RELAXED);
    if (!condition && __atomic_fetch_add(&tap_wrong, 1, __ATOMIC_RELAXED) < TAP_SHOWN) {
        printf("# %s:%d: wrong: %s\n", file, line, text);
    }
    return condition;
}

/* One of many checks behind a result. Returns the condition. */
#define CHECK(condition) tap_check((condition), #condition, __FILE__, __LINE__)

/* One result for all checks since the last one; fails if there were none. */
__attribute__((format(printf, 1, 2))) static inline bool ok_checks(const char *format, ...)
{
    bool condition = tap_checks && !tap_wrong;
    va_list args;

    va_start(args, format);
    printf("# %lu checks, %lu wrong\n", tap_checks, tap_wrong);
    tap_result(condition, format, args);
    va_end(args);
    tap_checks = tap_wrong = 0;
    return condition;
}

/* Random numbers that are the same in every run; the state must not be 0. */
static inline uint64_t tap_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Prints the plan; the exit status of the test program. */
static inline int tap_done(void)
{
    printf("1..%u\n", tap_results);
    if (tap_checks) {
        printf("# checks without a result\n");
    }
    return tap_failures || tap_checks || !tap_results;
}
