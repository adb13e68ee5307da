/*
 * Formatted text.
 *
 * SPDX-License-Identifier: MIT
 */

#include "lib/console.h"

#include <stdbool.h>
#include <stdint.h>

static void put_number(void (*put)(char c), uint64_t value, unsigned base, unsigned width, char pad)
{
    char digits[20];
    unsigned n = 0;

    do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    for (unsigned i = n; i < width; i++)
        put(pad);
    while (n)
        put(digits[--n]);
}

void format(void (*put)(char c), const char *text, va_list args)
{
    for (; *text; text++) {
        bool alternate = false;
        unsigned width = 0, longs = 0;
        char pad = ' ';
        uint64_t value;

        if (*text != '%') {
            put(*text);
            continue;
        }
        for (text++; *text == '#' || *text == '0'; text++) {
            alternate |= *text == '#';
            pad = *text == '0' ? '0' : pad;
        }
        for (; *text >= '0' && *text <= '9'; text++)
            width = width * 10 + (unsigned)(*text - '0');
        for (; *text == 'l' || *text == 'z'; text++)
            longs++;
        switch (*text) {
        case 's':
            for (const char *s = va_arg(args, const char *); *s; s++)
                put(*s);
            break;
        case 'c':
            put((char)va_arg(args, int));
            break;
        case 'u':
        case 'x':
            value = longs ? va_arg(args, uint64_t) : va_arg(args, unsigned);
            if (alternate) {
                put('0');
                put('x');
            }
            put_number(put, value, *text == 'u' ? 10 : 16, width, pad);
            break;
        case 'p':
            put_number(put, (uintptr_t)va_arg(args, void *), 16, 16, '0');
            break;
        case '\0':
            return;
        default:
            put(*text);
        }
    }
}
