/*
 * Lengths of instructions that exited: from the message, or, on CPUs that do not tell (SVM without next RIP), decoded.
 *
 * SPDX-License-Identifier: MIT
 */

#include "cpu/access.h"
#include "cpu/cpu.h"

unsigned insn_length(struct vcpu *v, const struct nova_arch_state *s)
{
    const struct emu_cached *known;
    struct emu emu;

    if (vendor.lengths)
        return s->inst_len;
    known = emu_mode(s) == 8 ? emu_known(&v->cache, s) : NULL;
    if (known)
        return known->insn.length;
    emu = (struct emu){
        .state = (struct nova_arch_state *)s, .ops = &access_ops, .context = v, .cache = &v->cache};
    return emu_length(&emu);
}

/*
 * Code that is not 64-bit goes on at 0. Where the message does not tell which it is, the CPU does, as it does not take
 * such a state: exit_invalid().
 */
uint64_t insn_wrap(const struct nova_arch_state *s, uint64_t rip)
{
    return vendor.lengths || emu_mode(s) == 8 ? rip : (uint32_t)rip;
}
