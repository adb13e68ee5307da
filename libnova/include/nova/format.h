/**
 * @file
 * Formatted text, a subset of printf().
 *
 * `%s %c %d %i %u %x %X %p %%`; flags `-`, `0` and `#`; width and precision (of `%s`) as numbers or `*`;
 * lengths `l`, `ll`, `z`, `h`, `hh` (the latter two without an effect on what is printed). `%p` is `0x` and
 * digits. Anything else is printed as it stands. There is no floating point.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdarg.h>
#include <stddef.h>

/**
 * @addtogroup libnova_format
 * @{
 */

/**
 * Writes formatted text to `to`, always ended by 0 if `size` is not 0, cut off if there is no room.
 * Returns the length without cutting off, as snprintf() does. Thread-safe.
 *
 * Example: @code
 *   char text[32];
 *   nova_format(text, sizeof(text), "%s has %u pages at %#lx", name, pages, address);
 * @endcode
 */
size_t nova_format(char *to, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

/** The same with an argument list. */
size_t nova_format_args(char *to, size_t size, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

/** @} */
