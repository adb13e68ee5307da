/*
 * Instructions that exited before: what was decoded at an address is remembered, for decoding needs most of the state, and
 * takes time.
 *
 * An entry is used only if the code is still what it was at the place in memory where it was found. What a message does not
 * tell is not compared: the page tables, and for lengths not even which ones. A guest that maps different instructions
 * to one address, and both exit, could find the wrong one carried out: its own, and nobody else's harm.
 *
 * SPDX-License-Identifier: MIT
 */

#include "cpu/insn.h"

#include "cpu/access.h"
#include "cpu/cpu.h"

#include <nova/string.h>

#define PAGE 4096UL

static struct insn_entry *entry_of(struct vcpu *v, uint64_t rip)
{
    return &v->cache[(rip ^ rip >> 6) % INSN_CACHE];
}

/* Guest memory, which may change at any time. */
static uint64_t load(const uint64_t *code)
{
    uint64_t bytes;

    __asm__ volatile("movq (%1), %0" : "=r"(bytes) : "r"(code), "m"(*code));
    return bytes;
}

const struct insn_entry *insn_find(struct vcpu *v, uint64_t rip, uint64_t cr3)
{
    const struct insn_entry *e = entry_of(v, rip);

    if (e->rip != rip || e->cr3 != cr3 || !e->code || (load(e->code) ^ e->bytes[0]) & e->mask[0] ||
        (e->mask[1] && (load(e->code + 1) ^ e->bytes[1]) & e->mask[1]))
        return NULL;
    return e;
}

/* Bits of `n` bytes. */
static uint64_t mask_of(unsigned n)
{
    return n >= 8 ? UINT64_MAX : (1UL << 8 * n) - 1;
}

void insn_remember(struct vcpu *v, struct emu *emu, uint64_t rip, uint64_t cr3)
{
    const struct nova_arch_state *s = emu->state;
    struct insn_entry *e = entry_of(v, rip);
    unsigned length = emu->insn.length;
    uint64_t gpa, linear = rip + (emu_mode(s) == 8 ? 0 : s->cs.base);
    const uint64_t *code;

    if (emu_translate(emu, linear, EMU_EXECUTE, &gpa) != EMU_DONE || gpa % PAGE > PAGE - 16)
        return;
    code = access_ops.ram(v, gpa, 16);
    if (!code)
        return;
    *e = (struct insn_entry){.rip = rip, .cr3 = cr3, .code = code, .insn = emu->insn};
    memcpy(e->bytes, emu->bytes, length);
    e->mask[0] = mask_of(length);
    e->mask[1] = length > 8 ? mask_of(length - 8) : 0;
}

unsigned insn_length(struct vcpu *v, const struct nova_arch_state *s)
{
    const struct insn_entry *e;
    struct emu emu;
    unsigned length;

    if (s->inst_len)
        return s->inst_len;
    e = insn_find(v, s->rip, 0);
    if (e)
        return e->insn.length;
    if (!v->complete)
        return 0;
    emu = (struct emu){.state = (struct nova_arch_state *)s, .ops = &access_ops, .context = v};
    length = emu_length(&emu);
    if (length)
        insn_remember(v, &emu, s->rip, 0);
    return length;
}
