/*
 * Test results through the log.
 *
 * SPDX-License-Identifier: MIT
 */

#include "tap.h"

#include <nova/format.h>
#include <nova/log.h>

static unsigned results, failures;

bool ok(bool condition, const char *format, ...)
{
    unsigned number = __atomic_add_fetch(&results, 1, __ATOMIC_RELAXED);
    char text[200];
    va_list args;

    va_start(args, format);
    nova_format_args(text, sizeof(text), format, args);
    va_end(args);
    if (!condition)
        __atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
    nova_print("%s %u - %s\n", condition ? "ok" : "not ok", number, text);
    return condition;
}

int tap_done(void)
{
    nova_print("1..%u\n", results);
    return failures || !results;
}
