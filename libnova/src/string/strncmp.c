/*
 * Compares the beginnings of strings.
 *
 * SPDX-License-Identifier: MIT
 */

#include <nova/string.h>

int strncmp(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (a[i] != b[i] || !a[i])
            return (unsigned char)a[i] - (unsigned char)b[i];
    return 0;
}
