/*
 * Errors of the guest: counted by kind, and reported the first, second, fourth, eighth time and so on, so that a hostile
 * guest cannot fill the log.
 *
 * State: one counter for each kind, which is the address of its text.
 * Guest input checked: none comes here but as numbers in a text of limited length.
 * Locking: none, the counters are atomic. Any thread, also with locks of devices held.
 *
 * SPDX-License-Identifier: MIT
 */

#include "dev/machine.h"

#include <nova/format.h>
#include <nova/log.h>
#include <stdarg.h>
#include <stddef.h>

#define KINDS 64U
#define TEXT_MAX 160

static struct {
    const char *format; /* atomic, set once */
    uint64_t count;     /* atomic */
} kinds[KINDS];

static uint64_t total; /* atomic */

/* How often this kind has come, this time included; kinds that have no place share the last one. */
static uint64_t count(const char *format)
{
    unsigned i;

    for (i = 0; i < KINDS - 1; i++) {
        const char *found = NULL;

        if (__atomic_load_n(&kinds[i].format, __ATOMIC_RELAXED) == format ||
            __atomic_compare_exchange_n(&kinds[i].format, &found, format, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED) ||
            found == format)
            break;
    }
    return __atomic_add_fetch(&kinds[i].count, 1, __ATOMIC_RELAXED);
}

void machine_guest_error(const char *format, ...)
{
    uint64_t times = count(format);
    char text[TEXT_MAX];
    va_list args;

    __atomic_fetch_add(&total, 1, __ATOMIC_RELAXED);
    if (times & (times - 1))
        return;
    va_start(args, format);
    nova_format_args(text, sizeof(text), format, args);
    va_end(args);
    nova_print("guest error: %s (%lu times)\n", text, times);
}

uint64_t machine_guest_errors(void)
{
    return __atomic_load_n(&total, __ATOMIC_RELAXED);
}
