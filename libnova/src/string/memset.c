/*
 * Fills memory.
 *
 * SPDX-License-Identifier: MIT
 */

#include <nova/string.h>

void *memset(void *to, int byte, size_t n)
{
    void *at = to;
    size_t words = n / 8, bytes = n % 8;

    __asm__ volatile("rep stosq"
                     : "+D"(at), "+c"(words)
                     : "a"((unsigned char)byte * 0x0101010101010101UL)
                     : "memory");
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(bytes) : "a"(byte) : "memory");
    return to;
}
