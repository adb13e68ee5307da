/*
 * Guest memory of unit tests: ram.h on memory of the host, of any size. Included by one file of a program.
 *
 * Below and above it there is nothing that may be touched, so that AddressSanitizer sees what goes beyond.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdlib.h>
#include <sys/mman.h>

#include "ram.h"

static char *memory_base;
static uint64_t memory_size;

/* Memory of the guest: zeroed. The old one is gone. */
static inline void memory_make(uint64_t size)
{
    if (memory_base)
        munmap(memory_base, memory_size);
    memory_size = size;
    memory_base =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory_base == MAP_FAILED)
        abort();
}

uint64_t ram_size(void)
{
    return memory_size;
}

uint64_t ram_low_end(void)
{
    return memory_size < RAM_LOW_END ? memory_size : RAM_LOW_END;
}

uint64_t ram_high_end(void)
{
    return memory_size < RAM_LOW_END ? RAM_HIGH : RAM_HIGH + memory_size - RAM_LOW_END;
}

void *ram_at(uint64_t gpa, uint64_t bytes)
{
    if (gpa < ram_low_end())
        return bytes <= ram_low_end() - gpa ? memory_base + gpa : NULL;
    if (gpa >= RAM_HIGH && gpa < ram_high_end())
        return bytes <= ram_high_end() - gpa ? memory_base + (gpa - RAM_HIGH + RAM_LOW_END) : NULL;
    return NULL;
}
