/*
 * Physical memory as a sorted table of free ranges. It is filled at boot and hardly changes afterwards.
 *
 * SPDX-License-Identifier: MIT
 */

#include "memory.h"

/*
 * Makes [start, end) free, or not. The ranges that it touches are replaced by what they make up together, or
 * by what remains of them on both sides. False if the table is full.
 */
static bool set(struct memory *m, uint64_t start, uint64_t end, bool free)
{
    unsigned first = 0, last, count = 0;
    struct range all = {start, end}, fresh[2];

    if (start >= end)
        return true;
    while (first < m->ranges && m->range[first].end < start)
        first++;
    for (last = first; last < m->ranges && m->range[last].start <= end; last++) {
        all.start = m->range[last].start < all.start ? m->range[last].start : all.start;
        all.end = m->range[last].end > all.end ? m->range[last].end : all.end;
    }
    if (free)
        fresh[count++] = all;
    if (!free && all.start < start)
        fresh[count++] = (struct range){all.start, start};
    if (!free && all.end > end)
        fresh[count++] = (struct range){end, all.end};
    if (m->ranges - last + first + count > MEMORY_RANGES)
        return false;
    __builtin_memmove(&m->range[first + count], &m->range[last], (m->ranges - last) * sizeof(*m->range));
    __builtin_memcpy(&m->range[first], fresh, count * sizeof(*fresh));
    m->ranges += first + count - last;
    return true;
}

/* Start of the first page at or behind an address, as far as there is one. */
static uint64_t page_up(uint64_t address)
{
    return (address > -PAGE_SIZE ? address : address + PAGE_SIZE - 1) & -PAGE_SIZE;
}

bool memory_add(struct memory *m, uint64_t start, uint64_t end)
{
    return set(m, page_up(start), end & -PAGE_SIZE, true);
}

bool memory_remove(struct memory *m, uint64_t start, uint64_t end)
{
    return start >= end || set(m, start & -PAGE_SIZE, page_up(end), false);
}

uint64_t memory_alloc(struct memory *m, uint64_t pages)
{
    uint64_t bytes = pages * PAGE_SIZE, align = bytes < LARGE_PAGE ? PAGE_SIZE : LARGE_PAGE;

    if (!pages || pages > UINT64_MAX / PAGE_SIZE)
        return 0;
    for (uint64_t a = bytes < HUGE_PAGE ? align : HUGE_PAGE; a >= align; a = a > align ? align : 0)
        for (unsigned i = m->ranges; i-- > 0;) {
            const struct range *r = &m->range[i];
            uint64_t start = (r->end - bytes) & -a;

            if (r->end - r->start >= bytes && start >= r->start && start &&
                memory_remove(m, start, start + bytes))
                return start;
        }
    return 0;
}

uint64_t memory_free_pages(const struct memory *m)
{
    uint64_t pages = 0;

    for (unsigned i = 0; i < m->ranges; i++)
        pages += (m->range[i].end - m->range[i].start) / PAGE_SIZE;
    return pages;
}
