/*
 * Page tables: one walker for all formats (host, EPT, NPT, VT-d, AMD-Vi), described by a small table.
 *
 *   page number:  | level 4: 9 bits | level 3: 9 bits | level 2: 9 bits | level 1: 9 bits |
 *                        |                 |                 |                 |
 *   root table ----------+-> table --------+-> table --------+-> table --------+-> page
 *                                          |                 +-> 2 MiB page (leaf at level 2)
 *                                          +-> 1 GiB page (leaf at level 3)
 *
 * The caller serialises updates and look-ups of one tree with a lock; hardware may walk the tree at any time.
 * Tables that an update unhooks are not freed but kept in `stale`, because hardware may still walk them. So
 * the caller updates, takes `stale` over and empties it, drops the lock, shoots the TLBs down and calls
 * ptab_release with what it took: tables that others unhook meanwhile wait for their own shootdown.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "mem/pool.h"

/* How one kind of table is encoded. A hole is an entry of 0. */
struct ptab_format {
    unsigned levels;        /* of the tree */
    unsigned leaf_levels;   /* leaves exist at levels 1 to leaf_levels */
    unsigned root_entries;  /* of the root table; what is above is neither touched nor freed */
    uint64_t table;         /* bits of an entry that points to a table */
    uint64_t table_mask;    /* those of them, and of a leaf, that tell a table from a leaf and from a hole */
    uint64_t table_level;   /* added to them once for each level of that table (AMD-Vi: next level) */
    uint64_t leaf;          /* bits added to a leaf above level 1 */
    uint64_t addr;          /* bits that hold the address */
    uint64_t perm[16];      /* bits of a leaf for NOVA_MEM_ permissions, 0: no mapping. Should contain what
                               hardware would set (accessed, dirty), so that rewrites are recognised */
    uint64_t perm_mask;     /* all bits that perm[] uses */
    uint64_t cache[8];      /* bits of a leaf at level 1 for a NOVA_MAD_ cacheability */
    uint64_t cache_leaf[8]; /* the same for a leaf above level 1 */
    uint64_t cache_mask, cache_leaf_mask;
    bool flush_lines; /* walker is not coherent: write changed entries back from the cache */
};

struct ptab {
    const struct ptab_format *format;
    uint64_t *root;          /* null until the first mapping */
    struct account *account; /* pays for the tables */
    struct page_list stale;  /* unhooked tables, for the caller of ptab_update; the tags are ptab.c's */
};

/* A mapping, or a hole (perm 0): 2^order pages from page number `page` on, naturally aligned. */
struct ptab_range {
    uint64_t page;  /* first page number of the virtual range */
    unsigned order; /* of the range, that is, of the leaf or of the hole */
    uint64_t frame; /* first page number of the physical range, if perm != 0 */
    unsigned perm;  /* NOVA_MEM_ permissions; looked up: those that the format can express */
    unsigned cache; /* NOVA_MAD_ cacheability */
};

/*
 * The mapping or hole that covers the page number, which must lie in the tree: as large as the entry that
 * says so. Without a root, the tree is one hole.
 */
struct ptab_range ptab_lookup(const struct ptab *ptab, uint64_t page);

/*
 * Maps 2^order pages, or unmaps them if the format has no mapping for `range.perm`, replacing what was there.
 * Page number and frame are aligned to the order; the range lies in the tree, the frames within `addr`.
 * Uses the largest leaves possible, splits leaves that stick out, and hooks off tables that are not
 * needed any more.
 *
 * Sets *flush if an entry that was present was changed, so that TLBs may hold something stale (not if the
 * new entry equals the old one), else leaves it as it is. Returns false if memory for a table is lacking;
 * then a leading part of the range may have been updated, and the rest maps what it did before, perhaps with
 * smaller leaves: a split either happens whole or not at all. *flush and `stale` count then, too.
 */
bool ptab_update(struct ptab *ptab, struct ptab_range range, bool *flush);

/* Frees stale tables with all that hangs below them. The TLBs must be clean. Needs no lock. */
void ptab_release(const struct ptab *ptab, struct page_list *stale);

/* Frees the whole tree and what is still in `stale`. No hardware may use it any more. */
void ptab_destroy(struct ptab *ptab);

/*
 * Host page tables (AMD64 manual volume 2, section 5.3), with the PAT that x86/cpu.c sets up: WB, WT, WC,
 * UC, WP. Booting raises leaf_levels to 3 if the CPU has 1 GiB pages. Root entries from 256 on belong to the
 * kernel.
 */
extern struct ptab_format ptab_host;

/*
 * Nested page tables of AMD (AMD64 manual volume 2, 15.25): the same, for all 48 bits of guest-physical addresses. All
 * accesses count as user accesses. Booting raises leaf_levels likewise.
 */
extern struct ptab_format ptab_npt;

/*
 * Extended page tables of Intel (SDM volume 3, 29.3), without accessed and dirty bits. The CPU may have larger leaves:
 * virt/vmx.c raises leaf_levels.
 */
extern struct ptab_format ptab_ept;
