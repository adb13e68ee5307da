/*
 * Copies areas that do not overlap: string instructions are fast on every CPU that there is, and they need no
 * FPU.
 *
 * SPDX-License-Identifier: MIT
 */

#include <nova/string.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    void *at = to;
    size_t words = n / 8, bytes = n % 8;

    __asm__ volatile("rep movsq" : "+D"(at), "+S"(from), "+c"(words) : : "memory");
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(bytes) : : "memory");
    return to;
}
