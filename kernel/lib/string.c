/*
 * Memory functions.
 *
 * SPDX-License-Identifier: MIT
 */

#include "lib/string.h"

#include <stdint.h>

void *memcpy(void *restrict dst, const void *restrict src, size_t size)
{
    void *d = dst;
    size_t words = size / 8;

    __asm__ volatile("rep movsq" : "+D"(d), "+S"(src), "+c"(words) : : "memory");
    size %= 8;
    __asm__ volatile("rep movsb" : "+D"(d), "+S"(src), "+c"(size) : : "memory");
    return dst;
}

void *memset(void *dst, int byte, size_t size)
{
    void *d = dst;
    uint64_t word = (uint8_t)byte * 0x0101010101010101UL;
    size_t words = size / 8;

    __asm__ volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(word) : "memory");
    size %= 8;
    __asm__ volatile("rep stosb" : "+D"(d), "+c"(size) : "a"(word) : "memory");
    return dst;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const uint8_t *x = a, *y = b;

    for (; size; size--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}
