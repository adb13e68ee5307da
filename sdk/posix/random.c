/*
 * Random numbers, from the CPU.
 *
 * SPDX-License-Identifier: MIT
 */

#include "posix.h"
#include <string.h>

const char nova_link_random __attribute__((used)) = 0;

void posix_random(void *buffer, size_t size)
{
    unsigned char *to = buffer;

    while (size) {
        uint64_t value;
        unsigned char ok = 0;
        size_t n = size < sizeof(value) ? size : sizeof(value);

        for (unsigned i = 0; i < 1000 && !ok; i++)
            __asm__ volatile("rdrand %0; setc %1" : "=r"(value), "=qm"(ok) : : "cc");
        /* Some CPUs' broken generators claim success with all ones. */
        if (!ok || value == UINT64_MAX)
            posix_crash("the CPU gives no random numbers");
        memcpy(to, &value, n);
        to += n;
        size -= n;
    }
}

SYSCALL(getrandom)
{
    posix_random((void *)a[0], (size_t)a[1]);
    return a[1];
}
