/*
 * Test results in the Test Anything Protocol. The plan comes last, so that a test image that dies
 * half-way is noticed by its missing plan.
 *
 * SPDX-License-Identifier: MIT
 */

#include "tap.h"

#include "serial.h"
#include "system.h"

#include <stdarg.h>

static unsigned lock, count, failures;

/* A thread may die while it holds the lock: the others then go on without it. */
static void tap_lock(void)
{
    for (unsigned i = 0; __atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE) && i < 10000000; i++)
        __builtin_ia32_pause();
}

static void tap_unlock(void)
{
    __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
}

static void print_string(const char *s)
{
    while (*s)
        serial_putc(*s++);
}

static void print_number(uint64_t value, unsigned base, unsigned width)
{
    char digit[20];
    unsigned n = 0;

    do {
        digit[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);

    for (; width > n; width--)
        serial_putc('0');
    while (n)
        serial_putc(digit[--n]);
}

static void print_signed(int64_t value)
{
    if (value < 0)
        serial_putc('-');
    print_number(value < 0 ? -(uint64_t)value : (uint64_t)value, 10, 0);
}

static void print_list(const char *format, va_list *args)
{
    for (const char *p = format; *p; p++) {
        unsigned width = 0;
        bool wide = false;

        if (*p != '%') {
            serial_putc(*p);
            continue;
        }
        for (p++; *p >= '0' && *p <= '9'; p++)
            width = width * 10 + (unsigned)(*p - '0');
        for (; *p == 'l'; p++)
            wide = true;

        if (*p == 's')
            print_string(va_arg(*args, const char *));
        else if (*p == 'c')
            serial_putc((char)va_arg(*args, int));
        else if (*p == 'd')
            print_signed(wide ? va_arg(*args, int64_t) : va_arg(*args, int));
        else if (*p == 'u' || *p == 'x')
            print_number(wide ? va_arg(*args, uint64_t) : va_arg(*args, unsigned), *p == 'u' ? 10 : 16,
                         width);
        else
            serial_putc(*p);
    }
}

static void print(const char *format, ...) PRINTF(1, 2);

static void print(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_list(format, &args);
    va_end(args);
}

/* Starts a result line; the caller holds the lock. */
static void result(bool condition, const char *format, va_list *args)
{
    failures += !condition;
    print("%s %u - ", condition ? "ok" : "not ok", ++count);
    print_list(format, args);
}

bool tap_ok(bool condition, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    tap_lock();
    result(condition, format, &args);
    print("\n");
    tap_unlock();
    va_end(args);
    return condition;
}

bool tap_is(uint64_t got, uint64_t want, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    tap_lock();
    result(got == want, format, &args);
    print("\n");
    if (got != want)
        print("#   got 0x%lx, want 0x%lx\n", got, want);
    tap_unlock();
    va_end(args);
    return got == want;
}

void tap_skip(const char *reason, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    tap_lock();
    result(true, format, &args);
    print(" # SKIP %s\n", reason);
    tap_unlock();
    va_end(args);
}

void tap_diag(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    tap_lock();
    print("# ");
    print_list(format, &args);
    print("\n");
    tap_unlock();
    va_end(args);
}

void tap_bail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    tap_lock();
    print("Bail out! ");
    print_list(format, &args);
    print("\n");
    tap_unlock();
    va_end(args);
    power_off();
}

void tap_done(void)
{
    tap_lock();
    print("1..%u\n# %u failed\n", count, failures);
    tap_unlock();
    power_off();
}
