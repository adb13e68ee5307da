/*
 * Walk of the guest's page tables (Intel SDM volume 3, chapter 4; AMD APM volume 2, chapter 5): 32-bit with 4 MiB pages,
 * PAE, 4 and 5 levels.
 *
 * Each entry is read once. Rights are checked at the end of the walk, as CPUs do; then accessed and dirty bits are set, each
 * only if the entry is still what was read, else the walk starts again.
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

#define LEVELS_MAX 5
#define WALK_TRIES 8

enum format { FORMAT_32, FORMAT_PAE, FORMAT_LONG };

struct walk {
    struct emu *emu;
    uint64_t linear;
    unsigned access;
    enum format format;
    unsigned level;                 /* where it is: 1 is the page table */
    uint64_t entry[LEVELS_MAX + 1]; /* what was read */
    void *slot[LEVELS_MAX + 1];     /* where; null: has no accessed bit */
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

static bool is_leaf(const struct walk *walk, uint64_t entry)
{
    if (walk->level == 1)
        return true;
    if (!(entry & PTE_PS))
        return false;
    switch (walk->format) {
    case FORMAT_32:
        return walk->emu->state->cr4 & CR4_PSE;
    case FORMAT_PAE:
        return walk->level == 2;
    default:
        return walk->level == 2 || (walk->level == 3 && walk->emu->ops->pages_1g);
    }
}

/* Bits that must be zero in a present entry (4.3, 4.4.2, 4.5.4). */
static uint64_t reserved_bits(const struct walk *walk, bool leaf)
{
    unsigned width = walk->emu->ops->physical_bits;
    uint64_t reserved = bits(51, width);

    if (walk->format == FORMAT_32) {
        /* A 4 MiB page has the bits 39:32 of its address in bits 20:13. */
        return leaf && walk->level == 2 ? bits(21, width < 40 ? width - 19 : 21) : 0;
    }
    if (walk->format == FORMAT_PAE) {
        reserved |= bits(62, 52);
        if (walk->level == 3)
            return reserved | PTE_NX | bits(8, 5) | PTE_W | PTE_U;
    }
    if (!(walk->emu->state->efer & EFER_NXE))
        reserved |= PTE_NX;
    if (walk->level > 1 && leaf)
        reserved |= bits(walk->level == 2 ? 20 : 29, 13);
    else if (walk->level > 2)
        reserved |= PTE_PS;
    return reserved;
}

/* Reads the entry of the current level in the table at `table`. */
static enum emu_result read_entry(struct walk *walk, uint64_t table)
{
    const struct emu *emu = walk->emu;
    unsigned level = walk->level;
    unsigned per_level = walk->format == FORMAT_32 ? 10 : 9;
    unsigned bytes = walk->format == FORMAT_32 ? 4 : 8;
    uint64_t index = walk->linear >> (12 + per_level * (level - 1)) & bits(per_level - 1, 0);
    void *slot;

    walk->slot[level] = NULL;
    if (walk->format == FORMAT_PAE && level == 3 && emu->ops->pdpte_registers) {
        walk->entry[level] = emu->state->pdpte[index & 3];
        return EMU_DONE;
    }
    slot = emu->ops->ram(emu->context, table + index * bytes, bytes);
    if (!slot)
        return EMU_UNSUPPORTED;
    walk->entry[level] = bytes == 4 ? __atomic_load_n((uint32_t *)slot, __ATOMIC_RELAXED)
                                    : __atomic_load_n((uint64_t *)slot, __ATOMIC_RELAXED);
    if (walk->format != FORMAT_PAE || level != 3)
        walk->slot[level] = slot;
    return EMU_DONE;
}

/* Whether the page's rights allow the access (4.6). */
static bool is_allowed(const struct walk *walk, bool user_page, bool writable, bool executable)
{
    const struct nova_arch_state *state = walk->emu->state;

    if (walk->access & EMU_EXECUTE && !executable)
        return false;
    if (is_user(walk))
        return user_page && (writable || !(walk->access & EMU_WRITE));
    if (user_page && walk->access & EMU_EXECUTE)
        return !(state->cr4 & CR4_SMEP);
    if (user_page && state->cr4 & CR4_SMAP && (walk->access & EMU_SYSTEM || !(state->rflags & FLAG_AC)))
        return false;
    return writable || !(walk->access & EMU_WRITE) || !(state->cr0 & CR0_WP);
}

/* Sets accessed and dirty bits from the top down to the current level; false: an entry has changed. */
static bool mark(struct walk *walk, unsigned top)
{
    for (unsigned level = top; level >= walk->level; level--) {
        uint64_t old = walk->entry[level];
        uint64_t new = old | PTE_A | (level == walk->level && walk->access & EMU_WRITE ? PTE_D : 0);
        uint32_t old4 = (uint32_t)old;
        void *slot = walk->slot[level];

        if (!slot || new == old)
            continue;
        if (walk->format == FORMAT_32
                ? !__atomic_compare_exchange_n((uint32_t *)slot, &old4, (uint32_t) new, false,
                                               __ATOMIC_RELAXED, __ATOMIC_RELAXED)
                : !__atomic_compare_exchange_n((uint64_t *)slot, &old, new, false, __ATOMIC_RELAXED,
                                               __ATOMIC_RELAXED))
            return false;
    }
    return true;
}

static uint64_t leaf_address(const struct walk *walk)
{
    uint64_t entry = walk->entry[walk->level];
    unsigned shift = 12 + (walk->format == FORMAT_32 ? 10 : 9) * (walk->level - 1);
    uint64_t within = bits(shift - 1, 0);
    uint64_t high = walk->format == FORMAT_32 && walk->level == 2 ? (entry >> 13 & 0xff) << 32 : 0;

    return (entry & PTE_ADDRESS & ~within) | high | (walk->linear & within);
}

/* One walk; EMU_AGAIN: an entry changed meanwhile. */
static enum emu_result walk_once(struct walk *walk, unsigned top, uint64_t table, uint64_t *gpa)
{
    bool user_page = true, writable = true, executable = true, leaf = false;

    for (walk->level = top;; walk->level--) {
        enum emu_result result = read_entry(walk, table);
        uint64_t entry = walk->entry[walk->level];

        if (result != EMU_DONE)
            return result;
        if (!(entry & PTE_P))
            return page_fault(walk, 0);
        leaf = is_leaf(walk, entry);
        if (entry & reserved_bits(walk, leaf))
            return page_fault(walk, PF_P | PF_RSVD);
        if (walk->format != FORMAT_PAE || walk->level != 3) {
            user_page = user_page && entry & PTE_U;
            writable = writable && entry & PTE_W;
            executable = executable && (walk->format == FORMAT_32 || !(entry & PTE_NX));
        }
        if (leaf)
            break;
        table = entry & PTE_ADDRESS;
    }
    if (!is_allowed(walk, user_page, writable, executable))
        return page_fault(walk, PF_P);
    *gpa = leaf_address(walk);
    return mark(walk, top) ? EMU_DONE : EMU_AGAIN;
}

enum emu_result emu_translate(struct emu *emu, uint64_t linear, unsigned access, uint64_t *gpa)
{
    const struct nova_arch_state *state = emu->state;
    struct walk walk = {.emu = emu, .linear = linear, .access = access};
    enum emu_result result = EMU_AGAIN;
    uint64_t table;
    unsigned top;

    if (!(state->cr0 & CR0_PG)) {
        *gpa = linear;
        return EMU_DONE;
    }
    if (!(state->cr4 & CR4_PAE)) {
        walk.format = FORMAT_32;
        table = state->cr3 & bits(31, 12);
        top = 2;
    } else if (!(state->efer & EFER_LMA)) {
        walk.format = FORMAT_PAE;
        table = state->cr3 & bits(31, 5);
        top = 3;
    } else {
        walk.format = FORMAT_LONG;
        table = state->cr3 & PTE_ADDRESS;
        top = state->cr4 & CR4_LA57 ? 5 : 4;
    }
    for (unsigned i = 0; i < WALK_TRIES && result == EMU_AGAIN; i++)
        result = walk_once(&walk, top, table, gpa);
    return result;
}
