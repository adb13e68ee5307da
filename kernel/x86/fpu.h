/*
 * FPU state, switched eagerly: an EC with FPU finds its own state in the registers whenever it runs; one
 * without gets #NM, and the registers hold nothing of another PD's meanwhile.
 *
 * Intel SDM volume 1, chapter 13 (XSAVE), standard format.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef X86_FPU_H
#define X86_FPU_H

#include "core/cpu.h"
#include "x86/asm.h"
#include "x86/cpu.h"

/* Enables the FPU on this CPU; on the first one, finds the components and the size of their state. */
void fpu_init(struct cpu *cpu);

extern unsigned fpu_order; /* pages for the state of one EC: 2^fpu_order */

/* Fills in the state that an EC starts with. */
void fpu_initial(void *state);

/* Makes the registers fit for an EC that is about to run after another one. */
void fpu_switch(struct cpu *cpu, struct ec *from, struct ec *to);

/* The same between two ECs of one PD on a CPU with XSAVE, of which only one has an FPU. */
static inline void fpu_toggle(struct cpu *cpu, struct ec *from, struct ec *to)
{
    if (!to->fpu) {
        cpu->fpu_owner = from;
        cpu->fpu_live = 0;
        write_cr0(CPU_CR0 | CR0_TS);
    } else if (cpu->fpu_owner == to) {
        cpu->fpu_live = to->fpu;
        __asm__ volatile("clts");
    } else {
        fpu_switch(cpu, from, to);
    }
}

/* The same between two ECs that both have an FPU: then the addresses of their states, in kernel memory, are negative. */
static inline bool fpu_swap(void *old, const void *new)
{
    if (UNLIKELY((intptr_t)((uintptr_t)old & (uintptr_t)new) >= 0)) {
        return false;
    }
    __asm__ volatile("xsave64 (%0)\n\t"
                     "xrstor64 (%1)"
                     :
                     : "r"(old), "r"(new), "a"(-1), "d"(-1)
                     : "memory");
    return true;
}

/* Forgets an EC's state: it dies. */
void fpu_forget(struct cpu *cpu, const struct ec *ec);

#endif
