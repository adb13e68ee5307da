/*
 * Dispatch of accesses by two sorted tables of ranges.
 *
 * State: pointers to the ranges, filled in while the machine is built; counters of accesses that nothing answered.
 * Guest input checked: any address and size; a device sees naturally aligned accesses within its range only, of at
 * most the width that it takes.
 * Locking: none. bus_add() is called before the first vCPU runs.
 *
 * SPDX-License-Identifier: MIT
 */

#include "dev/bus.h"

#include "ram.h"

#define RANGES 64
#define PORTS 0x10000U

static struct table {
    const struct bus_range *range[RANGES];
    unsigned count;
    uint64_t misses; /* atomic */
} tables[2];

/* The number of ranges that start at or below an address. */
static unsigned starts_below(const struct table *table, uint64_t address)
{
    unsigned low = 0, high = table->count;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (table->range[middle]->start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Whether [start, last] is free of RAM. */
static bool beside_ram(uint64_t start, uint64_t last)
{
    return start >= ram_low_end() && (last < RAM_HIGH || start >= ram_high_end());
}

bool bus_add(enum bus bus, const struct bus_range *range)
{
    struct table *table = &tables[bus];
    uint64_t last = range->start + range->size - 1;
    unsigned place = starts_below(table, range->start);

    if (!range->size || last < range->start || table->count == RANGES)
        return false;
    if (bus == BUS_PIO ? last >= PORTS : !beside_ram(range->start, last))
        return false;
    if (place > 0 && range->start - table->range[place - 1]->start < table->range[place - 1]->size)
        return false;
    if (place < table->count && table->range[place]->start <= last)
        return false;
    for (unsigned i = table->count; i > place; i--)
        table->range[i] = table->range[i - 1];
    table->range[place] = range;
    table->count++;
    return true;
}

/* The range that holds the access as a whole, or null. */
static const struct bus_range *find(struct table *table, uint64_t address, unsigned size)
{
    unsigned place = starts_below(table, address);

    if (place > 0 && (size == 1 || size == 2 || size == 4 || size == 8)) {
        const struct bus_range *range = table->range[place - 1];
        uint64_t offset = address - range->start;

        if (offset < range->size && size <= range->size - offset)
            return range;
    }
    __atomic_fetch_add(&table->misses, 1, __ATOMIC_RELAXED);
    return NULL;
}

static uint64_t mask(unsigned size)
{
    return size < 8 ? (1UL << size * 8) - 1 : UINT64_MAX;
}

/* The longest access to an offset that a device takes at once. */
static unsigned part(const struct bus_range *range, uint64_t offset, unsigned size)
{
    unsigned width = range->width ? range->width : 8;

    while (width > size || offset & (width - 1))
        width /= 2;
    return width;
}

bool bus_read(enum bus bus, uint64_t address, unsigned size, uint64_t *value)
{
    const struct bus_range *range = find(&tables[bus], address, size);

    if (!range) {
        *value = mask(size);
        return false;
    }
    *value = 0;
    for (unsigned done = 0; done < size;) {
        uint64_t offset = address - range->start + done;
        unsigned bytes = part(range, offset, size - done);

        *value |= (range->read(range->device, offset, bytes) & mask(bytes)) << done * 8;
        done += bytes;
    }
    return true;
}

bool bus_write(enum bus bus, uint64_t address, unsigned size, uint64_t value)
{
    const struct bus_range *range = find(&tables[bus], address, size);

    if (!range)
        return false;
    for (unsigned done = 0; done < size;) {
        uint64_t offset = address - range->start + done;
        unsigned bytes = part(range, offset, size - done);

        range->write(range->device, offset, bytes, value >> done * 8 & mask(bytes));
        done += bytes;
    }
    return true;
}

uint64_t bus_misses(enum bus bus)
{
    return __atomic_load_n(&tables[bus].misses, __ATOMIC_RELAXED);
}
