/*
 * Walk of the guest's page tables (Intel SDM volume 3, chapter 4; AMD APM volume 2, chapter 5): 32-bit with 4
 * MiB pages, PAE, 4 and 5 levels.
 *
 * Each entry is read once. As CPUs do it, tables are marked as accessed on the way, rights are checked at the
 * end, and then the page is marked as accessed and dirty. A bit is set only if the entry is still what was
 * read, else the walk starts again.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

#define PTE_P (1U << 0)
#define PTE_W (1U << 1)
#define PTE_U (1U << 2)
#define PTE_A (1U << 5)
#define PTE_D (1U << 6)
#define PTE_PS (1U << 7)
#define PTE_NX (1ULL << 63)
#define PTE_ADDRESS 0xffffffffff000ULL

#define PF_P (1U << 0)
#define PF_W (1U << 1)
#define PF_U (1U << 2)
#define PF_RSVD (1U << 3)
#define PF_I (1U << 4)

#define WALK_TRIES 8

struct walk {
    struct emu *emu;
    uint64_t linear;
    unsigned access;
    bool legacy;       /* 32-bit entries */
    unsigned level;    /* 1 is the page table */
    uint64_t table;    /* the one of this level */
    uint64_t reserved; /* bits that are zero in all entries */
};

/* Bits from `low` to `high`. */
static uint64_t bits(unsigned high, unsigned low)
{
    return high < low ? 0 : UINT64_MAX >> (63 - high) & UINT64_MAX << low;
}

static bool is_user(const struct walk *walk)
{
    return current_privilege(walk->emu->state) == 3 && !(walk->access & EMU_SYSTEM);
}

static enum emu_result page_fault(struct walk *walk, uint32_t error)
{
    const struct nova_arch_state *state = walk->emu->state;
    bool fetch_bit = state->cr4 & CR4_SMEP || (state->cr4 & CR4_PAE && state->efer & EFER_NXE);

    error |= (walk->access & EMU_WRITE ? PF_W : 0) | (is_user(walk) ? PF_U : 0);
    error |= walk->access & EMU_EXECUTE && fetch_bit ? PF_I : 0;
    walk->emu->fault = (struct emu_fault){VECTOR_PF, true, error, walk->linear};
    return EMU_FAULT;
}

/* Whether an entry with PS is a page; adds the bits that are zero then (4.3, 4.4.2, 4.5.4). */
static bool is_large(const struct walk *walk, uint64_t *reserved)
{
    const struct emu *emu = walk->emu;
    unsigned width = emu->ops->physical_bits;

    if (walk->legacy) {
        /* Bits 39:32 of the address are in bits 20:13. */
        bool large = emu->state->cr4 & CR4_PSE;

        *reserved |= large ? bits(21, width < 40 ? width - 19 : 21) : 0;
        return large;
    }
    if (walk->level == 2)
        *reserved |= bits(20, 13);
    else
        *reserved |= walk->level == 3 && emu->ops->pages_1g ? bits(29, 13) : PTE_PS;
    return true;
}

/* Whether the rights of all levels together allow the access (4.6). */
static bool is_allowed(const struct walk *walk, uint64_t rights, bool never_execute)
{
    const struct nova_arch_state *state = walk->emu->state;
    bool user_page = rights & PTE_U, writes = walk->access & EMU_WRITE, writable = rights & PTE_W;

    if (walk->access & EMU_EXECUTE && never_execute)
        return false;
    if (is_user(walk))
        return user_page && (writable || !writes);
    if (user_page && walk->access & EMU_EXECUTE)
        return !(state->cr4 & CR4_SMEP);
    if (user_page && state->cr4 & CR4_SMAP && (walk->access & EMU_SYSTEM || !(state->rflags & FLAG_AC)))
        return false;
    return writable || !writes || !(state->cr0 & CR0_WP);
}

/* Where the entry of the current level is; null: not in RAM. */
static void *find_entry(const struct walk *walk)
{
    const struct emu *emu = walk->emu;

    if (walk->legacy)
        return emu->ops->ram(emu->context, walk->table + (walk->linear >> (10 * walk->level + 2) & 0x3ff) * 4,
                             4);
    return emu->ops->ram(emu->context, walk->table + (walk->linear >> (9 * walk->level + 3) & 0x1ff) * 8, 8);
}

static uint64_t read_entry(const struct walk *walk, const void *slot)
{
    return walk->legacy ? __atomic_load_n((const uint32_t *)slot, __ATOMIC_RELAXED)
                        : __atomic_load_n((const uint64_t *)slot, __ATOMIC_RELAXED);
}

/* Sets accessed or dirty bits in an entry that was `old`; false: it has changed. */
static bool mark(const struct walk *walk, void *slot, uint64_t old, uint64_t set)
{
    uint64_t new = old | set;
    uint32_t old4 = (uint32_t)old;

    if (new == old)
        return true;
    if (walk->legacy)
        return __atomic_compare_exchange_n((uint32_t *)slot, &old4, (uint32_t) new, false, __ATOMIC_RELAXED,
                                           __ATOMIC_RELAXED);
    return __atomic_compare_exchange_n((uint64_t *)slot, &old, new, false, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);
}

static uint64_t page_address(const struct walk *walk, uint64_t entry)
{
    unsigned shift = 12 + (walk->legacy ? 10 : 9) * (walk->level - 1);
    uint64_t within = (1ULL << shift) - 1;
    uint64_t high = walk->legacy && walk->level == 2 ? (entry >> 13 & 0xff) << 32 : 0;

    return (entry & PTE_ADDRESS & ~within) | high | (walk->linear & within);
}

/* Notes an entry on the way to code, as it is now. */
static void note(const struct walk *walk, const void *slot, uint64_t entry)
{
    struct emu_path *path = walk->emu->path;

    path->slot[path->count] = slot;
    path->entry[path->count++] = entry | PTE_A;
}

/* From the current level to the page; EMU_AGAIN: an entry changed meanwhile. */
static enum emu_result descend(struct walk *walk, uint64_t *gpa)
{
    uint64_t rights = UINT64_MAX, never_execute = 0;

    for (;; walk->level--) {
        void *slot = find_entry(walk);
        uint64_t entry, reserved = walk->reserved;
        bool leaf = walk->level == 1;

        if (!slot)
            return EMU_UNSUPPORTED;
        entry = read_entry(walk, slot);
        if (!(entry & PTE_P))
            return page_fault(walk, 0);
        if (entry & PTE_PS && !leaf)
            leaf = is_large(walk, &reserved);
        if (entry & reserved)
            return page_fault(walk, PF_P | PF_RSVD);
        rights &= entry;
        never_execute |= entry;
        if (walk->emu->path && !walk->legacy)
            note(walk, slot, entry);
        if (leaf) {
            if (!is_allowed(walk, rights, never_execute & PTE_NX))
                return page_fault(walk, PF_P);
            *gpa = page_address(walk, entry);
            return mark(walk, slot, entry, walk->access & EMU_WRITE ? PTE_A | PTE_D : PTE_A) ? EMU_DONE
                                                                                             : EMU_AGAIN;
        }
        if (!mark(walk, slot, entry, PTE_A))
            return EMU_AGAIN;
        walk->table = entry & PTE_ADDRESS;
    }
}

/*
 * PAE: the third level has four entries, without rights (4.4.1). Bit 5 is reserved, but QEMU marks entries in memory as accessed;
 * a CPU that does not would not have come so far.
 */
static enum emu_result read_pointer(struct walk *walk)
{
    const struct emu *emu = walk->emu;
    unsigned index = walk->linear >> 30 & 3;
    uint64_t entry = emu->state->pdpte[index], reserved = walk->reserved | PTE_NX | bits(8, 5) | PTE_W | PTE_U;

    if (!emu->ops->pdpte_registers) {
        void *slot = emu->ops->ram(emu->context, walk->table + index * 8, 8);

        if (!slot)
            return EMU_UNSUPPORTED;
        entry = read_entry(walk, slot);
        reserved &= ~(uint64_t)PTE_A;
    }
    if (!(entry & PTE_P))
        return page_fault(walk, 0);
    if (entry & reserved)
        return page_fault(walk, PF_P | PF_RSVD);
    walk->table = entry & PTE_ADDRESS;
    return EMU_DONE;
}

static enum emu_result walk_once(struct walk *walk, uint64_t *gpa)
{
    const struct nova_arch_state *state = walk->emu->state;
    enum emu_result result = EMU_DONE;

    if (walk->emu->path)
        walk->emu->path->count = 0;
    walk->reserved = bits(51, walk->emu->ops->physical_bits) | (state->efer & EFER_NXE ? 0 : PTE_NX);
    walk->legacy = !(state->cr4 & CR4_PAE);
    if (walk->legacy) {
        walk->level = 2;
        walk->table = state->cr3 & bits(31, 12);
        walk->reserved = 0;
    } else if (state->efer & EFER_LMA) {
        walk->level = state->cr4 & CR4_LA57 ? 5 : 4;
        walk->table = state->cr3 & PTE_ADDRESS;
    } else {
        walk->level = 2;
        walk->table = state->cr3 & bits(31, 5);
        walk->reserved |= bits(62, 52);
        result = read_pointer(walk);
    }
    return result == EMU_DONE ? descend(walk, gpa) : result;
}

enum emu_result emu_translate(struct emu *emu, uint64_t linear, unsigned access, uint64_t *gpa)
{
    struct walk walk = {.emu = emu, .linear = linear, .access = access};
    enum emu_result result = EMU_AGAIN;

    if (!(emu->state->cr0 & CR0_PG)) {
        *gpa = linear;
        return EMU_DONE;
    }
    for (unsigned i = 0; i < WALK_TRIES && result == EMU_AGAIN; i++)
        result = walk_once(&walk, gpa);
    return result;
}
