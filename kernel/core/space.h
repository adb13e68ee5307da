/*
 * Spaces: tables from selectors to capabilities. ctrl_pd takes from one and grants to another.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "core/pd.h"
#include "entry/frame.h"
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

/* What host and guest spaces have in common. */
struct space_mem {
    struct space space;
    struct ptab ptab;
};

/* Host space. */
struct space_hst {
    struct space_mem mem;
    uint64_t root;          /* physical address of the root table */
    bool physical;          /* the NOVA host space: selectors are physical page numbers */
    uint64_t tag[CPU_MAX];  /* generation and PCID on each CPU (mem/tlb.c) */
    uint8_t stale[CPU_MAX]; /* the TLB of the CPU must be flushed before this space is used there */
};

_Static_assert(sizeof(struct space_hst) <= PAGE_SIZE, "one page");
_Static_assert(offsetof(struct space_hst, root) == HST_ROOT, "entry/frame.h");

#define HST_SELECTORS (USER_END >> PAGE_BITS)

/* Guest space: guest-physical memory. The root table exists from the start. */
struct space_gst {
    struct space_mem mem;
    uint64_t generation; /* counts changes after which translations are stale, from 1 on; atomic (mem/tlb.c) */
};

#define GST_SELECTORS (1UL << (48 - PAGE_BITS))

/* Delegates memory of a host space to a host or guest space. */
unsigned hst_delegate(struct space_hst *src, struct space_mem *dst, uint64_t ssb, uint64_t dsb, unsigned ord,
                      unsigned pmm, uint32_t mad);

/* Maps one page of kernel memory for the user; false if memory for tables is lacking. */
bool hst_map_kernel(struct space_hst *hst, uint64_t page, const void *kernel_page, unsigned perm);

/* Removes such a page if it is still mapped there; afterwards no CPU can reach it through this space. */
void hst_unmap_kernel(struct space_hst *hst, uint64_t page, const void *kernel_page);

/* Protects physical memory from delegation: the range is widened to whole pages. While booting. */
void hst_protect(uint64_t start, uint64_t end);

/*
 * Port I/O and MSR spaces: a bitmap in which a 1 denies, as the hardware wants it.
 *
 * Ports: a bit for each, 8 KiB. That is what the TSS (Intel SDM volume 1, 19.5.2), VMX (volume 3, 25.6.4) and SVM
 * (AMD64 manual volume 2, 15.10.1) use; the last one wants a further page of ones.
 *
 * MSRs: VMX (Intel SDM volume 3, 25.6.9) has 1 KiB each for reads of low, reads of high, writes of low and writes of
 * high MSRs. SVM (AMD64 manual volume 2, 15.11) has 2 KiB each for low, high and even higher ones, with two bits
 * for each MSR: read, write.
 */
#define PIO_SELECTORS 0x10000UL
#define MSR_SELECTORS 0x100000000UL
#define MSR_WINDOW 0x2000UL /* MSRs in a row that have bits */

struct bitmap_layout {
    uint8_t pio_pages, msr_pages;
    uint8_t windows;             /* of MSRs: from 0, 0xc0000000 and 0xc0010000 on */
    uint16_t window, msr, write; /* bits from a window to the next, from an MSR to the next, from read to write */
};

extern struct bitmap_layout bitmap_layout; /* set while booting */
extern const struct bitmap_layout bitmap_layout_svm;

struct space_bitmap {
    struct space space;
    uint8_t *bitmap;
    bool granted; /* some port: else CPUs need not map the bitmap (core/switch.c) */
};

_Static_assert(offsetof(struct space_bitmap, granted) == PIO_GRANTED, "entry/frame.h");

/* Permits or denies one MSR, if it has a bit: all bits of `perms`, and no others. */
void bitmap_permit_msr(struct space_bitmap *space, uint32_t number, unsigned perms);

unsigned bitmap_delegate(struct space_bitmap *src, struct space_bitmap *dst, uint64_t base, unsigned ord,
                         unsigned pmm);

/* Per kind: the tables of a new space, and their end. */
unsigned obj_create(struct space *space);
unsigned hst_create(struct space *space);
unsigned gst_create(struct space *space);
unsigned bitmap_create(struct space *space);
void obj_destroy(struct space *space);
void mem_destroy(struct space *space);
void bitmap_destroy(struct space *space);

/* Creates an empty space of a type for a PD: NOVA_ status code. */
unsigned space_create(enum object_type type, struct pd *pd, struct object **space);
void space_destroy(struct space *space);

/* A space has just died: its PD must not offer it to new ECs any more. */
void space_unbind(struct space *space);

/* The NOVA spaces: what the kernel gives away (boot/root.c fills them). */
extern struct space_obj nova_obj;
extern struct space_hst nova_hst;
extern struct space_bitmap nova_pio, nova_msr;
