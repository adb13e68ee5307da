/*
 * The few functions of the standard library that compilers call.
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

/* String instructions are fast on every CPU that there is, and they need no FPU. */
void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    void *at = to;
    size_t words = n / 8, bytes = n % 8;

    __asm__ volatile("rep movsq" : "+D"(at), "+S"(from), "+c"(words) : : "memory");
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(bytes) : : "memory");
    return to;
}

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

int strncmp(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (a[i] != b[i] || !a[i])
            return (unsigned char)a[i] - (unsigned char)b[i];
    return 0;
}

size_t strnlen(const char *s, size_t max)
{
    size_t n = 0;

    while (n < max && s[n])
        n++;
    return n;
}

size_t strlen(const char *s)
{
    return strnlen(s, (size_t)-1);
}

int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, (size_t)-1);
}
