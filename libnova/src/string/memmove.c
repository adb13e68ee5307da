/*
 * Copies areas that may overlap.
 *
 * SPDX-License-Identifier: MIT
 */

#include <nova/string.h>

void *memmove(void *to, const void *from, size_t n)
{
    char *at = to;
    const char *source = from;

    if ((size_t)(at - source) >= n)
        return memcpy(to, from, n);
    while (n--)
        __asm__("movb %1, %0" : "=m"(at[n]) : "q"(source[n]));
    return to;
}
