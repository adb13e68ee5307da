/*
 * Protection domain: the owner of spaces and the payer for objects.
 *
 * The PD's account limits the pages that its objects take, page tables and capability tables
 * included; each charge also counts against all ancestors. Small objects come from the PD's own slab.
 * The pointers to the spaces are not references: a space takes itself out of its PD when it dies, before its grace
 * period, so who finds a pointer may use it until it leaves the kernel.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "core/object.h"
#include "mem/slab.h"

struct space;

struct pd {
    struct object object;
    struct account account;
    uint64_t created;                   /* TSC: where the time of its guests begins */
    struct slab small;                  /* objects of at most PD_SMALL bytes */
    struct slab large;                  /* ECs */
    struct space *spaces[OBJECT_TYPES]; /* the first one of a type, or null: the only one for OBJ and HST */
};

#define PD_SMALL 128
#define PD_LARGE 512

/* Creates a PD below `parent` (null: the root PD) that may use `limit` pages; null if memory is lacking. */
struct pd *pd_create(struct pd *parent, uint64_t limit);

extern struct pd *pd_root;
