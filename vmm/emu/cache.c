/*
 * Cache of decoded instructions, for those that exit again and again: 64-bit code only.
 *
 * It never answers from memory alone: the entries of the page tables on the way to the code, and the code,
 * are read again, and must be what they were. A hit is what a walk and the decoder would find, for a tenth of
 * the work.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

#define CODE_BYTES 16 /* compared in two halves; they are in one page */

static unsigned slot_of(uint64_t rip)
{
    return (rip ^ rip >> 6) % EMU_CACHE;
}

/* Two halves of the code, each read once. */
static void read_code(const void *code, uint64_t half[2])
{
    __builtin_memcpy(half, code, CODE_BYTES);
    __asm__ volatile("" : : : "memory");
}

const struct emu_cached *emu_find(const struct emu_cache *cache, uint64_t rip)
{
    const struct emu_cached *cached = &cache->entry[slot_of(rip)];
    uint64_t half[2];

    if (!cached->path.count || cached->rip != rip)
        return NULL;
    for (unsigned i = 0; i < cached->path.count; i++)
        if (__atomic_load_n(cached->path.slot[i], __ATOMIC_RELAXED) != cached->path.entry[i])
            return NULL;
    read_code(cached->path.code, half);
    if (((half[0] ^ cached->half[0]) & cached->mask[0]) | ((half[1] ^ cached->half[1]) & cached->mask[1]))
        return NULL;
    return cached;
}

const struct emu_cached *emu_known(const struct emu_cache *cache, const struct nova_arch_state *state)
{
    const struct emu_cached *cached = emu_find(cache, state->rip);

    /* All else that decides on a fetch (4.6.1). */
    if (!cached || (cached->cr3 ^ state->cr3) | (cached->cr4 ^ state->cr4) | (cached->efer ^ state->efer) |
                       (cached->ss_ar ^ state->ss.ar))
        return NULL;
    return cached;
}

bool emu_recall(struct emu *emu)
{
    const struct emu_cached *cached = emu_known(emu->cache, emu->state);

    if (!cached)
        return false;
    __builtin_memcpy(emu->bytes, cached->half, EMU_INSN_MAX);
    emu->available = cached->insn.length;
    emu->insn = cached->insn;
    return true;
}

void emu_remember(struct emu *emu, const struct emu_path *path)
{
    const struct nova_arch_state *state = emu->state;
    unsigned length = emu->insn.length;
    struct emu_cached *cached = &emu->cache->entry[slot_of(state->rip)];

    if (!path->count || state->rip % EMU_PAGE > EMU_PAGE - CODE_BYTES)
        return;
    *cached = (struct emu_cached){
        .rip = state->rip,
        .cr3 = state->cr3,
        .cr4 = state->cr4,
        .efer = state->efer,
        .ss_ar = state->ss.ar,
        .path = *path,
        .mask = {size_mask(length < 8 ? length : 8), length > 8 ? size_mask(length - 8) : 0},
        .insn = emu->insn,
    };
    /* What was decoded, not what is there now. */
    __builtin_memcpy(cached->half, emu->bytes, EMU_INSN_MAX);
}
