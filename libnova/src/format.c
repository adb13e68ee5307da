/*
 * Formatted text. Output is counted always and stored only where there is room.
 *
 * SPDX-License-Identifier: MIT
 */

#include <nova/format.h>
#include <nova/string.h>
#include <stdbool.h>
#include <stdint.h>

#define NUMBER_MAX 10000

struct out {
    char *to;
    size_t size, length;
};

/* Flags and width of a conversion. */
struct spec {
    bool left, zero;
    int width;
};

static void put(struct out *out, char c)
{
    if (out->length + 1 < out->size)
        out->to[out->length] = c;
    out->length++;
}

static void put_field(struct out *out, const struct spec *spec, const char *prefix, const char *text,
                      size_t length)
{
    int fill = spec->width - (int)(strlen(prefix) + length);

    for (int i = spec->left || spec->zero ? 0 : fill; i > 0; i--)
        put(out, ' ');
    while (*prefix)
        put(out, *prefix++);
    for (int i = spec->left || !spec->zero ? 0 : fill; i > 0; i--)
        put(out, '0');
    for (size_t i = 0; i < length; i++)
        put(out, text[i]);
    for (int i = spec->left ? fill : 0; i > 0; i--)
        put(out, ' ');
}

/* Width or precision: a number, or a star for an argument. */
static int number(const char **format, va_list *args)
{
    int n = 0;

    if (**format == '*') {
        ++*format;
        n = va_arg(*args, int);
        return n < -NUMBER_MAX || n > NUMBER_MAX ? 0 : n;
    }
    for (; **format >= '0' && **format <= '9' && n < NUMBER_MAX; ++*format)
        n = n * 10 + (**format - '0');
    return n;
}

/* One conversion; *format is behind the percent sign, afterwards behind the conversion. False: unknown. */
static bool convert(struct out *out, const char **format, va_list *args)
{
    struct spec spec = {.left = false};
    const char *text, *prefix = "", *digits = "0123456789abcdef";
    char buffer[24], *at = buffer + sizeof(buffer);
    int precision = -1;
    bool longs = false;
    uint64_t value;
    unsigned base = 16;
    char c;

    for (; **format == '-' || **format == '0' || **format == '#'; ++*format) {
        spec.left |= **format == '-';
        spec.zero |= **format == '0';
        prefix = **format == '#' ? "0x" : prefix;
    }
    spec.width = number(format, args);
    if (spec.width < 0) {
        spec.left = true;
        spec.width = -spec.width;
    }
    if (**format == '.') {
        ++*format;
        precision = number(format, args);
    }
    for (; **format == 'l' || **format == 'z' || **format == 'h'; ++*format)
        longs |= **format != 'h';
    c = *(*format)++;
    switch (c) {
    case '%':
        put(out, c);
        return true;
    case 's':
        text = va_arg(*args, const char *);
        text = text ? text : "(null)";
        spec.zero = false;
        put_field(out, &spec, "", text, precision < 0 ? strlen(text) : strnlen(text, (size_t)precision));
        return true;
    case 'c':
        c = (char)va_arg(*args, int);
        spec.zero = false;
        put_field(out, &spec, "", &c, 1);
        return true;
    case 'd':
    case 'i':
        value = (uint64_t)(longs ? va_arg(*args, int64_t) : va_arg(*args, int));
        prefix = (int64_t)value < 0 ? "-" : "";
        value = (int64_t)value < 0 ? -value : value;
        base = 10;
        break;
    case 'p':
        value = (uintptr_t)va_arg(*args, void *);
        prefix = "0x";
        break;
    case 'u':
    case 'x':
    case 'X':
        value = longs ? va_arg(*args, uint64_t) : va_arg(*args, unsigned);
        prefix = c == 'u' ? "" : prefix;
        base = c == 'u' ? 10 : 16;
        digits = c == 'X' ? "0123456789ABCDEF" : digits;
        break;
    default:
        return false;
    }
    do {
        *--at = digits[value % base];
        value /= base;
    } while (value);
    put_field(out, &spec, prefix, at, (size_t)(buffer + sizeof(buffer) - at));
    return true;
}

size_t nova_format_args(char *to, size_t size, const char *format, va_list args)
{
    struct out out = {to, size, 0};
    va_list rest;

    va_copy(rest, args);
    while (*format) {
        const char *behind = format + 1;
        if (*format == '%' && convert(&out, &behind, &rest))
            format = behind;
        else
            put(&out, *format++);
    }
    va_end(rest);
    if (size)
        to[out.length < size ? out.length : size - 1] = '\0';
    return out.length;
}

size_t nova_format(char *to, size_t size, const char *format, ...)
{
    va_list args;
    size_t length;

    va_start(args, format);
    length = nova_format_args(to, size, format, args);
    va_end(args);
    return length;
}
