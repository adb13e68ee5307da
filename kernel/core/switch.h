/*
 * Making an EC the current one: host space, FPU, FS and GS.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef CORE_SWITCH_H
#define CORE_SWITCH_H

#include "core/cpu.h"
#include "entry/exit.h"
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

/* From whatever is current to any EC of this CPU. */
void switch_to(struct cpu *cpu, struct ec *to);

/* Lets this CPU, and all CPUs that have the space loaded, use an I/O bitmap in which something is granted now. */
void switch_io(struct cpu *cpu);
void switch_io_changed(const struct space_pio *pio);

/* Brings the FS and GS bases of an EC into the EC, where they can be read and changed. */
void switch_save(struct cpu *cpu, struct ec *ec);

/* An EC dies: no state of its may stay loaded. */
void switch_forget(struct cpu *cpu, const struct ec *ec);

/* The rest of switch_fast and exit_with, where the host space or the use of the FPU differs. */
_Noreturn void switch_exit(struct cpu *cpu, struct ec *from, struct ec *to, uint64_t rsi, uint64_t rdi, uint64_t rip);

/*
 * The fast path, on CPUs that lack nothing for it (SLOW_CPU): from the current EC to another one. False if
 * that needs switch_exit.
 */
static inline __attribute__((always_inline)) bool switch_fast(struct cpu *cpu, struct ec *from, struct ec *to)
{
    void *old = cpu->fpu_live, *new = to->fpu;

    from->fs_base = read_fs_base();
    from->gs_base = read_gs_base();
    write_fs_base(to->fs_base);
    write_gs_base(to->gs_base);
    cpu_set_ec(cpu, to);
    if (old != new) {
        if (!fpu_swap(old, new)) {
            return false;
        }
        cpu->fpu_live = new;
    }
    return cpu->space == to->hst;
}

#endif
