/*
 * FPU state, switched eagerly: an EC with FPU finds its own state in the registers whenever it runs; one
 * without gets #NM, and the registers hold nothing of another PD's meanwhile.
 *
 * Intel SDM volume 1, chapter 13 (XSAVE), standard format.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "core/cpu.h"

/* Enables the FPU on this CPU; on the first one, finds the components and the size of their state. */
void fpu_init(struct cpu *cpu);

extern uint64_t fpu_xcr0;   /* components of the state; 0: the CPUs have no XSAVE */
extern unsigned fpu_order; /* pages for the state of one EC: 2^fpu_order */

/* Fills in the state that an EC starts with. */
void fpu_initial(void *state);

/* Makes the registers fit for an EC that is about to run after another one. */
void fpu_switch(struct cpu *cpu, struct ec *from, struct ec *to);

/* The same for two ECs with FPU on a CPU with XSAVE: saves one state and loads the other. */
static inline void fpu_swap(void *from, const void *to)
{
    __asm__ volatile("xsave64 (%0); xrstor64 (%1)" : : "r"(from), "r"(to), "a"(-1), "d"(-1) : "memory");
}

/* Forgets an EC's state: it dies. */
void fpu_forget(struct cpu *cpu, const struct ec *ec);
