/*
 * Making an EC the current one: host space, FPU, FS and GS.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef CORE_SWITCH_H
#define CORE_SWITCH_H

#include "core/cpu.h"
#include "x86/fpu.h"

static inline uint64_t read_fs_base(void)
{
    uint64_t v;
    __asm__ volatile("rdfsbase %0" : "=r"(v));
    return v;
}

static inline uint64_t read_gs_base(void)
{
    uint64_t v;
    __asm__ volatile("rdgsbase %0" : "=r"(v));
    return v;
}

static inline void write_fs_base(uint64_t v)
{
    __asm__ volatile("wrfsbase %0" : : "r"(v));
}

static inline void write_gs_base(uint64_t v)
{
    __asm__ volatile("wrgsbase %0" : : "r"(v));
}

/* Loads another host space, with the I/O bitmap that belongs to it. */
void switch_space(struct cpu *cpu, struct ec *ec);

/* From the current EC to another one, on a CPU with FSGSBASE: the fast path. */
static inline void switch_fast(struct cpu *cpu, struct ec *from, struct ec *to)
{
    from->fs_base = read_fs_base();
    from->gs_base = read_gs_base();
    write_fs_base(to->fs_base);
    write_gs_base(to->gs_base);
    if (UNLIKELY(to->fpu != cpu->fpu_live)) {
        fpu_switch(cpu, to);
    }
    if (cpu->space != to->hst) {
        switch_space(cpu, to);
    }
    cpu_set_ec(cpu, to);
}

/* From whatever is current to any EC of this CPU. */
void switch_to(struct cpu *cpu, struct ec *to);

/* Makes this CPU's copy of the I/O bitmap current; then on all CPUs that use the space. */
void switch_io(struct cpu *cpu);
void switch_io_changed(const struct space_pio *pio);

/* Brings the FS and GS bases of an EC into the EC, where they can be read and changed. */
void switch_save(struct cpu *cpu, struct ec *ec);

/* An EC dies: no state of its may stay loaded. */
void switch_forget(struct cpu *cpu, const struct ec *ec);

#endif
