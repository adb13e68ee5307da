/*
 * Instructions that exited before.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef VMM_CPU_INSN_H
#define VMM_CPU_INSN_H

#include "emu/emu.h"

struct vcpu;

#define INSN_CACHE 64

struct insn_entry {
    uint64_t rip, cr3;    /* the key; of lengths, cr3 is 0 */
    const uint64_t *code; /* in guest memory, all in a page */
    uint64_t bytes[2];    /* what it was */
    uint64_t mask[2];     /* as far as the instruction goes */
    struct emu_insn insn;
};

/* What exited at an address, if the code is unchanged; else null. */
const struct insn_entry *insn_find(struct vcpu *vcpu, uint64_t rip, uint64_t cr3);

/* Remembers what has been decoded: emu.insn, emu.bytes. */
void insn_remember(struct vcpu *vcpu, struct emu *emu, uint64_t rip, uint64_t cr3);

#endif
