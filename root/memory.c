/*
 * Physical memory as a sorted table of free ranges. It is filled at boot and hardly changes afterwards.
 *
 * SPDX-License-Identifier: MIT
 */

#include "memory.h"

/* Replaces ranges [first, last) by `count` new ones. */
static bool replace(struct memory *m, unsigned first, unsigned last, const struct range *fresh,
                    unsigned count)
{
    unsigned rest = m->ranges - last;

    if (first + count + rest > MEMORY_RANGES)
        return false;
    __builtin_memmove(&m->range[first + count], &m->range[last], rest * sizeof(*m->range));
    for (unsigned i = 0; i < count; i++)
        m->range[first + i] = fresh[i];
    m->ranges = first + count + rest;
    return true;
}

bool memory_add(struct memory *m, uint64_t start, uint64_t end)
{
    unsigned first = 0, last;
    struct range r;

    if (start > UINT64_MAX - PAGE_SIZE)
        return true;
    r.start = (start + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
    r.end = end & ~(PAGE_SIZE - 1);
    if (r.start >= r.end)
        return true;
    while (first < m->ranges && m->range[first].end < r.start)
        first++;
    for (last = first; last < m->ranges && m->range[last].start <= r.end; last++) {
        if (m->range[last].start < r.start)
            r.start = m->range[last].start;
        if (m->range[last].end > r.end)
            r.end = m->range[last].end;
    }
    return replace(m, first, last, &r, 1);
}

bool memory_remove(struct memory *m, uint64_t start, uint64_t end)
{
    unsigned first = 0, last, count = 0;
    struct range rest[2];

    if (start >= end)
        return true;
    start &= ~(PAGE_SIZE - 1);
    end = end > UINT64_MAX - PAGE_SIZE ? ~(PAGE_SIZE - 1) : (end + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
    while (first < m->ranges && m->range[first].end <= start)
        first++;
    for (last = first; last < m->ranges && m->range[last].start < end; last++) {
        if (m->range[last].start < start)
            rest[count++] = (struct range){m->range[last].start, start};
        if (m->range[last].end > end)
            rest[count++] = (struct range){end, m->range[last].end};
    }
    return replace(m, first, last, rest, count);
}

uint64_t memory_alloc(struct memory *m, uint64_t pages)
{
    uint64_t bytes = pages * PAGE_SIZE, align = pages >= LARGE_PAGE / PAGE_SIZE ? LARGE_PAGE : PAGE_SIZE;

    if (!pages || pages > UINT64_MAX / PAGE_SIZE)
        return 0;
    for (unsigned i = m->ranges; i-- > 0;) {
        uint64_t start;

        if (m->range[i].end - m->range[i].start < bytes)
            continue;
        start = (m->range[i].end - bytes) & ~(align - 1);
        if (start >= m->range[i].start && start && memory_remove(m, start, start + bytes))
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
