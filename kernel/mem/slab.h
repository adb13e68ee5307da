/*
 * Slabs: objects of one size from whole pages. Each PD has its own, so that its objects never share a
 * page, and thus a charge, with those of another PD.
 *
 *   page:  +--------+----------+----------+-----+----------+
 *          | header | object 0 | object 1 | ... | object n |
 *          +--------+----------+----------+-----+----------+
 *
 * The header names the slab, so an object alone is enough to free it. A page without objects goes back to the pool
 * at once: who gives up all objects has given back all memory.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "lib/list.h"
#include "lib/spinlock.h"
#include "mem/pool.h"

struct slab {
    struct account *account;
    struct list pages; /* that have free objects */
    uint64_t objects;  /* layout of a page, see slab.c */
    uint32_t size;     /* of an object: a multiple of 64, at most 960, so that 4 fit into a page */
    struct spinlock lock;
};

/* The slab refers to itself: it must not be copied or moved afterwards. */
void slab_init(struct slab *slab, struct account *account, uint32_t size);

/* Returns a zeroed object aligned to 64 bytes, or null if the account or the pool is exhausted. */
void *slab_alloc(struct slab *slab);
void slab_free(void *object);
