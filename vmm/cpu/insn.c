/*
 * Lengths of instructions that exited: from the message, or, on CPUs that do not tell (SVM without next RIP), by decoding.
 *
 * Decoding needs most of the state, so it is remembered what was found at an address. An entry is used only if the code that
 * was found there is unchanged. A guest that runs two different instructions at one address, by two address spaces, could get the
 * length of the wrong one: its own instruction would be carried out wrongly, no more.
 *
 * SPDX-License-Identifier: MIT
 */

#include "cpu/cpu.h"
#include "emu/emu.h"
#include "cpu/access.h"

static struct insn_entry *entry_of(struct vcpu *v, uint64_t rip)
{
    return &v->cache[(rip ^ rip >> 6) % INSN_CACHE];
}

/* Bytes of guest memory, which may change at any time. */
static uint64_t code_at(const void *code)
{
    uint64_t bytes;

    __asm__ volatile("movq (%1), %0" : "=r"(bytes) : "r"(code) : "memory");
    return bytes;
}

/* Remembers an instruction, if its code can be found and compared with one load. */
static void remember(struct vcpu *v, const struct nova_arch_state *s, struct emu *emu, unsigned length)
{
    struct insn_entry *e = entry_of(v, s->rip);
    uint64_t gpa;
    const void *code;

    if (length > 8 ||
        emu_translate(emu, s->rip + (emu_mode(s) == 8 ? 0 : s->cs.base), EMU_EXECUTE, &gpa) != EMU_DONE)
        return;
    code = gpa % 4096 <= 4088 ? access_ops.ram(v, gpa, 8) : 0;
    if (!code)
        return;
    *e = (struct insn_entry){
        .rip = s->rip, .code = code, .mask = UINT64_MAX >> (64 - 8 * length), .length = length};
    e->bytes = code_at(code) & e->mask;
}

unsigned insn_length(struct vcpu *v, const struct nova_arch_state *s)
{
    const struct insn_entry *e = entry_of(v, s->rip);
    struct emu emu = {.state = (struct nova_arch_state *)s, .ops = &access_ops, .context = v};
    unsigned length;

    if (vendor.lengths)
        return s->inst_len;
    if (e->code && e->rip == s->rip && (code_at(e->code) & e->mask) == e->bytes)
        return e->length;
    if (!v->complete)
        return 0;
    length = emu_length(&emu);
    if (length)
        remember(v, s, &emu, length);
    return length;
}
