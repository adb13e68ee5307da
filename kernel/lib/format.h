/*
 * Formatted text, one character at a time.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef LIB_FORMAT_H
#define LIB_FORMAT_H

#include <stdarg.h>

/* Calls put for each character. Formats: %s %c %u %x %p %%, with l and ll, '#', a width and leading zeros. */
void format(void (*put)(char c), const char *text, va_list args);

#endif
