/*
 * Spaces: tables from selectors to capabilities. ctrl_pd takes from one and grants to another.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef CORE_SPACE_H
#define CORE_SPACE_H

#include "core/object.h"
#include "core/pd.h"
#include "entry/frame.h"
#include "lib/spinlock.h"
#include "mem/layout.h"
#include "mem/ptab.h"

/* What all spaces have in common. */
struct space {
    struct object object;
    struct spinlock lock; /* serialises changes of the table */
    uint64_t selectors;   /* number of them */
};

/*
 * Object space: two levels, 512 tables of 512 capabilities.
 *
 *   selector:  | table: 9 bits | slot: 9 bits |
 *
 * Unused tables are all represented by one constant table of null capabilities, so look-ups need not
 * check. Tables are freed with the space.
 */
#define OBJ_BITS 18
#define OBJ_SELECTORS (1UL << OBJ_BITS)
#define OBJ_SLOTS 512

struct space_obj {
    struct space space;
    cap **tables; /* one page */
};

extern const cap obj_null[OBJ_SLOTS];
#define OBJ_NO_TABLE ((cap *)obj_null) /* is never written to */

/* The capability at a selector; null for selectors out of range. Takes no reference. */
static inline cap obj_lookup(cap *const *tables, uint64_t sel)
{
    uint64_t table = sel >> 9;
    return UNLIKELY(table >= OBJ_SLOTS) ? 0 : tables[table][sel % OBJ_SLOTS];
}

/* Stores a capability and the caller's reference with it if the slot is null; NOVA_ status code. */
unsigned obj_insert(struct space_obj *obj, uint64_t sel, cap c);

/* Makes a slot ready to take a capability: MEM_CAP, or BAD_CAP if it is taken or does not exist. */
unsigned obj_reserve(struct space_obj *obj, uint64_t sel);

unsigned obj_delegate(struct space_obj *src, struct space_obj *dst, uint64_t ssb, uint64_t dsb, unsigned ord,
                      unsigned pmm);

/* Host space. */
struct space_hst {
    struct space space;
    struct ptab ptab;
    uint64_t root;          /* physical address of the root table */
    bool physical;          /* the NOVA host space: selectors are physical page numbers */
    uint64_t tag[CPU_MAX];  /* generation and PCID on each CPU (mem/tlb.c) */
    uint8_t stale[CPU_MAX]; /* the TLB of the CPU must be flushed before this space is used there */
};

_Static_assert(sizeof(struct space_hst) <= PAGE_SIZE, "one page");
_Static_assert(offsetof(struct space_hst, root) == HST_ROOT, "entry/frame.h");

#define HST_SELECTORS (USER_END >> PAGE_BITS)

unsigned hst_delegate(struct space_hst *src, struct space_hst *dst, uint64_t ssb, uint64_t dsb, unsigned ord,
                      unsigned pmm, uint32_t mad);

/* Maps one page of kernel memory for the user; false if memory for tables is lacking. */
bool hst_map_kernel(struct space_hst *hst, uint64_t page, const void *kernel_page, unsigned perm);

/* Removes such a page if it is still mapped there; afterwards no CPU can reach it through this space. */
void hst_unmap_kernel(struct space_hst *hst, uint64_t page, const void *kernel_page);

/* Protects physical memory from delegation: the range is widened to whole pages. While booting. */
void hst_protect(uint64_t start, uint64_t end);

/*
 * Port I/O and MSR spaces: a bitmap in which a 1 denies. Ports: that of the TSS. MSRs: as VMX uses it (Intel SDM
 * volume 3, 25.6.9):
 *
 *   0x000 read low | 0x400 read high | 0x800 write low | 0xc00 write high
 */
#define PIO_SELECTORS 0x10000UL
#define MSR_SELECTORS 0x100000000UL
#define PIO_ORDER 1 /* 8 KiB */

struct space_bitmap {
    struct space space;
    uint8_t *bitmap;
    bool granted; /* some port: else CPUs need not map the bitmap (core/switch.c) */
};

_Static_assert(offsetof(struct space_bitmap, granted) == PIO_GRANTED, "entry/frame.h");

unsigned bitmap_delegate(struct space_bitmap *src, struct space_bitmap *dst, uint64_t base, unsigned ord,
                         unsigned pmm);

/* Per kind: the tables of a new space, and their end. */
unsigned obj_create(struct space_obj *obj);
unsigned hst_create(struct space_hst *hst);
unsigned bitmap_create(struct space_bitmap *space);
void obj_destroy(struct space_obj *obj);
void hst_destroy(struct space_hst *hst);
void bitmap_destroy(struct space_bitmap *space);

/* Creates an empty space of a type for a PD: NOVA_ status code. */
unsigned space_create(enum object_type type, struct pd *pd, struct object **space);
void space_destroy(struct space *space);

/* A space has just died: its PD must not offer it to new ECs any more. */
void space_unbind(struct space *space);

/* The NOVA spaces: what the kernel gives away (boot/root.c fills them). */
extern struct space_obj nova_obj;
extern struct space_hst nova_hst;
extern struct space_bitmap nova_pio, nova_msr;

#endif
