/*
 * Physical memory: against a model with one byte for each page, in random order; at the ends of the address
 * space; with the table full.
 *
 * Sources: memory.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "memory.h"
#include "tap.h"

#include <string.h>

#define PAGES 4096
#define ROUNDS 200000

static uint8_t model[PAGES]; /* 1: free */
static struct memory memory;

static void check_model(void)
{
    uint8_t seen[PAGES] = {0};
    uint64_t last = 0, pages = 0;

    for (unsigned i = 0; i < memory.ranges; i++) {
        const struct range *r = &memory.range[i];

        CHECK(r->start < r->end && r->start % PAGE_SIZE == 0 && r->end % PAGE_SIZE == 0 &&
              r->end <= PAGES * PAGE_SIZE);
        CHECK(!i || r->start > last);
        last = r->end;
        memset(seen + r->start / PAGE_SIZE, 1, (r->end - r->start) / PAGE_SIZE);
    }
    for (unsigned i = 0; i < PAGES; i++)
        pages += model[i];
    CHECK(!memcmp(seen, model, PAGES) && memory_free_pages(&memory) == pages);
}

static void test_model(void)
{
    uint64_t state = 7;

    memset(&memory, 0, sizeof(memory));
    memset(model, 0, sizeof(model));
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t start = tap_random(&state) % (PAGES * PAGE_SIZE),
                 bytes = tap_random(&state) % (200 * PAGE_SIZE), end, first, last;

        end = start + bytes > PAGES * PAGE_SIZE ? PAGES * PAGE_SIZE : start + bytes;
        if (tap_random(&state) % 3 == 0) {
            uint64_t pages = 1 + tap_random(&state) % (tap_random(&state) % 50 ? 30 : 600),
                     at = memory_alloc(&memory, pages);
            bool free = at != 0;

            for (uint64_t p = 0; at && p < pages; p++)
                free &= model[at / PAGE_SIZE + p];
            CHECK(!at || (free && at % (pages >= 512 ? LARGE_PAGE : PAGE_SIZE) == 0));
            if (at)
                memset(model + at / PAGE_SIZE, 0, pages);
        } else if (tap_random(&state) % 2) {
            CHECK(memory_add(&memory, start, end));
            first = (start + PAGE_SIZE - 1) / PAGE_SIZE;
            last = end / PAGE_SIZE;
            if (first < last)
                memset(model + first, 1, last - first);
        } else {
            CHECK(memory_remove(&memory, start, end));
            first = start / PAGE_SIZE;
            last = (end + PAGE_SIZE - 1) / PAGE_SIZE;
            if (start < end)
                memset(model + first, 0, last - first);
        }
        if (i % 64 == 0)
            check_model();
    }
    ok_checks("random ranges behave like the model");
}

static void test_edges(void)
{
    memset(&memory, 0, sizeof(memory));
    ok(!memory_alloc(&memory, 1) && !memory_alloc(&memory, 0), "no memory, nothing to give");
    ok(memory_add(&memory, UINT64_MAX - 100, UINT64_MAX) && memory_add(&memory, 5000, 4000) &&
           memory_add(&memory, 1, 4095) && memory_remove(&memory, 0, UINT64_MAX) &&
           memory_remove(&memory, UINT64_MAX, 0) && memory.ranges == 0,
       "empty and overflowing ranges add nothing");
    memory_add(&memory, 0, UINT64_MAX);
    ok(memory.ranges == 1 && !memory_alloc(&memory, UINT64_MAX) &&
           !memory_alloc(&memory, UINT64_MAX / PAGE_SIZE + 1),
       "sizes do not overflow");
    ok(memory_remove(&memory, UINT64_MAX - 5, UINT64_MAX) && memory_remove(&memory, 0, 1) &&
           memory.range[0].start == PAGE_SIZE,
       "the ends are removed by whole pages");
    memset(&memory, 0, sizeof(memory));
    memory_add(&memory, 0, 2 * PAGE_SIZE);
    ok(memory_alloc(&memory, 1) == PAGE_SIZE && !memory_alloc(&memory, 1), "address 0 is never given out");
    memset(&memory, 0, sizeof(memory));
    memory_add(&memory, 0x100000, 0x40000000);
    ok(memory_alloc(&memory, 512) == 0x3fe00000 && memory_alloc(&memory, 1) == 0x3fdff000,
       "from the top, large pieces aligned");
    memset(&memory, 0, sizeof(memory));
    memory_add(&memory, 0x100000, 0x80000000);
    memory_add(&memory, 0x100000000, 0x190000000);
    ok(memory_alloc(&memory, HUGE_PAGE / PAGE_SIZE + 1) == 0x140000000 &&
           memory_alloc(&memory, HUGE_PAGE / PAGE_SIZE) == 0x100000000 &&
           memory_alloc(&memory, HUGE_PAGE / PAGE_SIZE) == 0x40000000 &&
           memory_alloc(&memory, HUGE_PAGE / PAGE_SIZE - 512) == 0x200000,
       "huge pieces aligned, as long as there is such a place");
}

static void test_full(void)
{
    struct memory before;

    memset(&memory, 0, sizeof(memory));
    for (uint64_t i = 0; i < MEMORY_RANGES; i++)
        CHECK(memory_add(&memory, (i * 10 + 1) * PAGE_SIZE, (i * 10 + 6) * PAGE_SIZE));
    before = memory;
    CHECK(!memory_add(&memory, 0x10000000, 0x20000000));
    CHECK(!memory_remove(&memory, 2 * PAGE_SIZE, 3 * PAGE_SIZE));
    CHECK(!memcmp(&before, &memory, sizeof(memory)));
    CHECK(memory_remove(&memory, PAGE_SIZE, 2 * PAGE_SIZE) &&
          memory_add(&memory, 6 * PAGE_SIZE, 11 * PAGE_SIZE));
    CHECK(memory.ranges == MEMORY_RANGES - 1);
    ok_checks("a full table refuses, and stays as it is");
}

int main(void)
{
    test_model();
    test_edges();
    test_full();
    return tap_done();
}
