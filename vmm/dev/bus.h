/**
 * @file
 * Dispatch of port and memory-mapped accesses to devices: two tables of ranges, sorted by address.
 *
 * Filled while the machine is built, read only afterwards. Accesses come from the handler threads of all vCPUs; a
 * device takes its own lock.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>
#include <stdint.h>

enum bus {
    BUS_PIO, /**< ports: sizes 1, 2, 4 */
    BUS_MMIO /**< guest-physical addresses: sizes 1, 2, 4, 8 */
};

/**
 * `offset` is relative to `start`; the access lies in the range as a whole. It is naturally aligned (to `start`) and not
 * wider than `width`: what is wider or misaligned comes in parts, lowest address first. Values have no bits beyond the size.
 */
struct bus_range {
    uint64_t start, size;
    uint64_t (*read)(void *device, uint64_t offset, unsigned size);
    void (*write)(void *device, uint64_t offset, unsigned size, uint64_t value);
    void *device;
    const char *name;
    unsigned width; /**< 1, 2, 4 or 8; 0: 8 */
};

/** Adds a range, which the caller keeps; false if it overlaps another one or RAM, wraps, or the table is full. */
bool bus_add(enum bus bus, const struct bus_range *range);

/**
 * Performs an access. Where nothing is, where an access leaves its range, and for other sizes, reads give all ones (of the
 * size) and writes are lost: false, and it is counted.
 */
bool bus_read(enum bus bus, uint64_t address, unsigned size, uint64_t *value);
bool bus_write(enum bus bus, uint64_t address, unsigned size, uint64_t value);

/** Accesses that nothing answered. */
uint64_t bus_misses(enum bus bus);
