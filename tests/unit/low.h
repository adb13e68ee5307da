/*
 * Memory below 2 GiB: there a capability, which holds the low half of an address, leads back to its object
 * (core/object.h), as it does in the top 2 GiB, where the kernel lives.
 *
 * Whoever includes this defines _GNU_SOURCE first.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

static inline void *low_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

    if (memory == MAP_FAILED) {
        abort();
    }
    return memory;
}
