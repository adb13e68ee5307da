/*
 * Formatted text against the host's printf, texts of errors, time conversions against arithmetic with 128
 * bits, string functions.
 *
 * Sources: libnova/src/format.c libnova/src/error.c libnova/src/time.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "tap.h"

#include <nova/error.h>
#include <nova/format.h>
#include <nova/time.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed = 99;

static uint32_t rnd(uint32_t n)
{
    return (uint32_t)(tap_random(&seed) % n);
}

#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
#pragma GCC diagnostic ignored "-Wformat"
#pragma GCC diagnostic ignored "-Wformat-extra-args"

/* Compares one conversion; the buffers are of exactly the size that is said. */
#define SAME(format, value)                                                                                  \
    do {                                                                                                     \
        char ours[128], theirs[128];                                                                         \
        size_t size = 1 + rnd(60), n;                                                                        \
        char *small = malloc(size);                                                                          \
        int length = snprintf(theirs, sizeof(theirs), format, value);                                        \
        n = nova_format(ours, sizeof(ours), format, value);                                                  \
        if (!CHECK(n == (size_t)length && !strcmp(ours, theirs)))                                            \
            printf("# %s: ours <%s>, theirs <%s>\n", format, ours, theirs);                                  \
        CHECK(nova_format(small, size, format, value) == n && strlen(small) == (n < size ? n : size - 1) &&  \
              !strncmp(small, theirs, strlen(small)));                                                       \
        free(small);                                                                                         \
    } while (0)

static void formats(void)
{
    static const char *const flags[] = {"", "-", "0", "#", "-#", "0#"};
    static const char *const text[] = {"", "a", "hello", "a longer text than the width"};

    for (unsigned i = 0; i < 20000; i++) {
        char format[40];
        uint64_t value = tap_random(&seed) >> rnd(64);
        unsigned flag = rnd(6), width = rnd(24);
        sprintf(format, "<%%%s%.0ulx>", flags[flag], width);
        if (width)
            sprintf(format, "<%%%s%ulx>", flags[flag], width);
        if (value || flag < 3) /* C prints no prefix for 0 */
            SAME(format, value);
        sprintf(format, "%%%s%uX|", flags[flag % 3], width + 1);
        SAME(format, (unsigned)value);
        sprintf(format, "%%%s%uld", flags[flag % 3], width + 1);
        SAME(format, (int64_t)value);
        SAME(format, -(int64_t)value);
        sprintf(format, "%%%s%ud", flags[flag % 3], width + 1);
        SAME(format, (int)value);
        sprintf(format, "%%%s%uu", flags[flag % 3], width + 1);
        SAME(format, (unsigned)value);
        sprintf(format, "%%%s%u.%us", flag & 1 ? "-" : "", width + 1, rnd(10));
        SAME(format, text[value % 4]);
        sprintf(format, "%%%uc%%%%", width + 1);
        SAME(format, 'a' + (int)(value % 26));
    }
    SAME("%zu", (size_t)SIZE_MAX);
    SAME("%lld", (long long)INT64_MIN);
    SAME("%p", (void *)0x1234);
    ok_checks("conversions as in the standard library");
}

static void corners(void)
{
    char text[20] = "untouched", *volatile nothing = NULL;

    ok(nova_format(text, 0, "%s", "abc") == 3 && !strcmp(text, "untouched"), "no room at all");
    ok(nova_format(text, sizeof(text), "%s", nothing) == 6 && !strcmp(text, "(null)"), "a null pointer");
    ok(nova_format(text, sizeof(text), "%q %", 1) == 4 && !strcmp(text, "%q %"),
       "unknown conversions as they are");
    ok(nova_format(text, sizeof(text), "%*d%-*d|", 3, 1, 3, 2) == 7 && !strcmp(text, "  12  |"),
       "width as an argument");
    ok(nova_format(text, sizeof(text), "%.*s", 2, "abc") == 2 && !strcmp(text, "ab"),
       "precision as an argument");
    ok(!strcmp(nova_error_text(NOVA_OK), "no error") &&
           !strcmp(nova_error_text(NOVA_ERR_INTERRUPTED), "interrupted") &&
           !strcmp(nova_error_text(1), "unknown error") && !strcmp(nova_error_text(-11), "unknown error") &&
           !strcmp(nova_error_text(INT32_MIN), "unknown error"),
       "texts of errors");
}

static void times(void)
{
    for (unsigned i = 0; i < 1000000; i++) {
        uint64_t f = 1000 + tap_random(&seed) % 18000000000UL, t = tap_random(&seed) >> rnd(64);
        unsigned __int128 ns = (unsigned __int128)t * NOVA_S / f;
        unsigned __int128 ticks = ((unsigned __int128)t * f + NOVA_S - 1) / NOVA_S;
        CHECK(nova_time_from_ticks(t, f) == (ns > UINT64_MAX ? UINT64_MAX : (uint64_t)ns));
        CHECK(nova_time_to_ticks(t, f) == (ticks > UINT64_MAX ? UINT64_MAX : (uint64_t)ticks));
    }
    ok_checks("time conversions are exact");
}

int main(void)
{
    formats();
    corners();
    times();
    return tap_done();
}
