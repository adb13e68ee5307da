/*
 * Making an EC the current one: host space, FPU, FS and GS; and running it.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "x86/fpu.h"

/* The FS and GS bases of an EC, on a CPU that has FSGSBASE. */
static inline void bases_save(struct ec *ec)
{
    __asm__ volatile("rdfsbase %0; rdgsbase %1" : "=r"(ec->fs_base), "=r"(ec->gs_base));
}

static inline void bases_load(const struct ec *ec)
{
    __asm__ volatile("wrfsbase %0; wrgsbase %1" : : "r"(ec->fs_base), "r"(ec->gs_base));
}

/* From whatever is current to any EC of this CPU. */
void switch_to(struct cpu *cpu, struct ec *to);

/* Lets this CPU, and all CPUs that have the space loaded, use an I/O bitmap in which something is granted now. */
void switch_io(struct cpu *cpu);
void switch_io_changed(const struct space_bitmap *pio);

/* Are two ECs of one PD, with the same use of the FPU, and does the CPU have what switch_quick needs? */
static inline bool switch_is_quick(const struct ec *from, const struct ec *to)
{
    return LIKELY(from->context == to->context && !(to->hazard.slow & SLOW_CPU));
}

/* switch_to from the current EC for this case. */
static inline void switch_quick(struct cpu *cpu, struct ec *from, struct ec *to)
{
    bases_save(from);
    bases_load(to);
    cpu_set_ec(cpu, to);
    if (to->context & 1)
        fpu_swap(from->fpu, to->fpu);
}

/* Ways back to user mode (entry/entry.S). The EC must be the current one. */
_Noreturn void exit_sysret(struct ec *ec);
_Noreturn void exit_with(struct ec *ec, uint64_t rsi, uint64_t rdi, uint64_t rip);
_Noreturn void exit_iret(struct ec *ec);

/* Brings the FS and GS bases of an EC into the EC, where they can be read and changed. */
void switch_save(struct cpu *cpu, struct ec *ec);

/* An EC dies: no state of its may stay loaded. */
void switch_forget(struct cpu *cpu, struct ec *ec);
