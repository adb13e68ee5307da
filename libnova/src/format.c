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

/* Flags, width and precision of a conversion. */
struct spec {
    bool left, zero, prefix, wide;
    int width, precision;
};

static void put(struct out *out, char c, int count)
{
    for (; count > 0; count--, out->length++)
        if (out->length + 1 < out->size)
            out->to[out->length] = c;
}

static void put_field(struct out *out, const struct spec *spec, const char *prefix, const char *text,
                      size_t length)
{
    int fill = spec->width - (int)(strlen(prefix) + length);

    put(out, ' ', spec->left || spec->zero ? 0 : fill);
    while (*prefix)
        put(out, *prefix++, 1);
    put(out, '0', spec->left ? 0 : fill * spec->zero);
    while (length--)
        put(out, *text++, 1);
    put(out, ' ', spec->left ? fill : 0);
}

static void put_number(struct out *out, const struct spec *spec, const char *prefix, uint64_t value,
                       char kind)
{
    const char *digits = kind == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    unsigned base = kind == 'x' || kind == 'X' || kind == 'p' ? 16 : 10;
    char buffer[24], *at = buffer + sizeof(buffer);

    do {
        *--at = digits[value % base];
        value /= base;
    } while (value);
    put_field(out, spec, prefix, at, (size_t)(buffer + sizeof(buffer) - at));
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

/* What stands between the percent sign and the conversion. */
static struct spec read_spec(const char **format, va_list *args)
{
    struct spec spec = {.precision = -1};

    for (; **format == '-' || **format == '0' || **format == '#'; ++*format) {
        spec.left |= **format == '-';
        spec.zero |= **format == '0';
        spec.prefix |= **format == '#';
    }
    spec.width = number(format, args);
    spec.left |= spec.width < 0;
    spec.width = spec.width < 0 ? -spec.width : spec.width;
    if (**format == '.') {
        ++*format;
        spec.precision = number(format, args);
    }
    for (; **format == 'l' || **format == 'z' || **format == 'h'; ++*format)
        spec.wide |= **format != 'h';
    return spec;
}

/* One conversion; *format is behind the percent sign, afterwards behind the conversion. False: unknown. */
static bool convert(struct out *out, const char **format, va_list *args)
{
    struct spec spec = read_spec(format, args);
    const char *text;
    int64_t value;
    char c = *(*format)++;

    switch (c) {
    case '%':
        put(out, c, 1);
        break;
    case 's':
        text = va_arg(*args, const char *);
        text = text ? text : "(null)";
        spec.zero = false;
        put_field(out, &spec, "", text,
                  spec.precision < 0 ? strlen(text) : strnlen(text, (size_t)spec.precision));
        break;
    case 'c':
        c = (char)va_arg(*args, int);
        spec.zero = false;
        put_field(out, &spec, "", &c, 1);
        break;
    case 'd':
    case 'i':
        value = spec.wide ? va_arg(*args, int64_t) : va_arg(*args, int);
        put_number(out, &spec, value < 0 ? "-" : "", value < 0 ? -(uint64_t)value : (uint64_t)value, c);
        break;
    case 'p':
        put_number(out, &spec, "0x", (uintptr_t)va_arg(*args, void *), c);
        break;
    case 'u':
    case 'x':
    case 'X':
        put_number(out, &spec, spec.prefix && c != 'u' ? "0x" : "",
                   spec.wide ? va_arg(*args, uint64_t) : va_arg(*args, unsigned), c);
        break;
    default:
        return false;
    }
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
            put(&out, *format++, 1);
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
