/*
 * Compares bytes.
 *
 * SPDX-License-Identifier: MIT
 */

#include <nova/string.h>

int memcmp(const void *a, const void *b, size_t n)
{
    const unsigned char *x = a, *y = b;

    for (size_t i = 0; i < n; i++)
        if (x[i] != y[i])
            return x[i] - y[i];
    return 0;
}
