/*
 * Length of a string.
 *
 * SPDX-License-Identifier: MIT
 */

#include <nova/string.h>

size_t strlen(const char *s)
{
    const char *end = s;

    while (*(const volatile char *)end)
        end++;
    return (size_t)(end - s);
}
