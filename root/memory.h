/*
 * Physical memory: which pages are free. Pure book-keeping; nothing is mapped or read here.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PAGE_SIZE 4096UL
#define LARGE_PAGE 0x200000UL
#define HUGE_PAGE 0x40000000UL
#define MEMORY_RANGES 256

struct range {
    uint64_t start, end;
};

/* Free ranges: page-aligned, sorted, not touching. All zero: nothing is free. */
struct memory {
    struct range range[MEMORY_RANGES];
    unsigned ranges;
};

/*
 * Adds the whole pages within [start, end). Pages that are free already stay so. False if the table is full.
 */
bool memory_add(struct memory *m, uint64_t start, uint64_t end);

/* Takes out all pages that [start, end) touches. False if the table is full: then nothing has changed. */
bool memory_remove(struct memory *m, uint64_t start, uint64_t end);

/*
 * Takes `pages` pages in one piece, aligned to 2 MiB if there are so many, and to 1 GiB if there are so many
 * and such a piece is free. The address, or 0. Uses the highest range that is large enough, so that low
 * memory remains for devices.
 */
uint64_t memory_alloc(struct memory *m, uint64_t pages);

/* Free pages in all. */
uint64_t memory_free_pages(const struct memory *m);
