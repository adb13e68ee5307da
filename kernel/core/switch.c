/*
 * Making an EC the current one.
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/switch.h"

#include "boot/paging.h"
#include "mem/tlb.h"
#include "x86/asm.h"
#include "x86/cpu.h"

/* A CPU that has once mapped a bitmap keeps it mapped until it needs another one or the last EC dies. */
static inline void load_io(struct cpu *cpu, const struct space_pio *pio)
{
    WRITE_ONCE(cpu->pio, pio);
    if (!pio || !READ_ONCE(pio->granted)) {
        cpu->tss.io_bitmap = IO_BITMAP_NONE;
        return;
    }
    if (cpu->pio_mapped != pio) {
        char *virt = (char *)cpu - CPU_DATA + CPU_IO_BITMAP;
        uint64_t phys = phys_of(pio->bitmap);
        cpu->pio_mapped = pio;
        cpu->io_entries[0] = phys | PTE_RODATA;
        cpu->io_entries[1] = (phys + PAGE_SIZE) | PTE_RODATA;
        invlpg(virt);
        invlpg(virt + PAGE_SIZE);
    }
    cpu->tss.io_bitmap = CPU_IO_BITMAP - CPU_DATA - CPU_TSS;
}

void switch_io(struct cpu *cpu)
{
    load_io(cpu, cpu->pio);
}

void switch_io_changed(const struct space_pio *pio)
{
    struct cpu *self = cpu_self();

    if (self->pio == pio) {
        switch_io(self);
    }
    for (unsigned i = 0; i < cpu_count; i++) {
        struct cpu *cpu = cpu_of(i);
        if (cpu != self && READ_ONCE(cpu->pio) == pio) {
            cpu_wait(cpu, cpu_ask(cpu));
        }
    }
}

static inline void load_space(struct cpu *cpu, const struct ec *ec)
{
    if (cpu_has_ibpb) {
        wrmsr(MSR_PRED_CMD, PRED_CMD_IBPB);
    }
    tlb_load(cpu, ec->hst);
    load_io(cpu, ec->pio);
}

static __attribute__((noinline)) _Noreturn void exit_slow(struct cpu *cpu, struct ec *from, struct ec *to,
                                                          uint64_t rsi, uint64_t rdi, uint64_t rip)
{
    if (cpu->fpu_live != to->fpu) {
        fpu_switch(cpu, from, to);
    }
    if (cpu->space != to->hst) {
        load_space(cpu, to);
    }
    exit_with(to, rsi, rdi, rip);
}

_Noreturn void switch_exit(struct cpu *cpu, struct ec *from, struct ec *to, uint64_t rsi, uint64_t rdi, uint64_t rip)
{
    if (cpu->space == to->hst) {
        fpu_toggle(cpu, from, to);
        exit_with(to, rsi, rdi, rip);
    }
    if (UNLIKELY(cpu_has_tags_or_ibpb || cpu->fpu_live != to->fpu)) {
        exit_slow(cpu, from, to, rsi, rdi, rip);
    }
    tlb_load_plain(cpu, to->hst);
    load_io(cpu, to->pio);
    exit_with(to, rsi, rdi, rip);
}

static void save_segments(struct ec *ec)
{
    ec->fs_base = cpu_has_fsgsbase ? read_fs_base() : rdmsr(MSR_FS_BASE);
    ec->gs_base = cpu_has_fsgsbase ? read_gs_base() : rdmsr(MSR_GS_BASE);
}

void switch_to(struct cpu *cpu, struct ec *to)
{
    struct ec *from = cpu_ec(cpu);

    if (from != to) {
        save_segments(from);
        if (cpu_has_fsgsbase) {
            write_fs_base(to->fs_base);
            write_gs_base(to->gs_base);
        } else {
            wrmsr(MSR_FS_BASE, to->fs_base);
            wrmsr(MSR_GS_BASE, to->gs_base);
        }
        cpu_set_ec(cpu, to);
    }
    if (to->fpu != cpu->fpu_live) {
        fpu_switch(cpu, from, to);
    }
    if (cpu->space != to->hst) {
        load_space(cpu, to);
    }
}

void switch_save(struct cpu *cpu, struct ec *ec)
{
    if (cpu_ec(cpu) == ec) {
        save_segments(ec);
        cpu_set_ec(cpu, &cpu->idle_ec);
    }
}

void switch_forget(struct cpu *cpu, const struct ec *ec)
{
    if (cpu_ec(cpu) == ec) {
        cpu_set_ec(cpu, &cpu->idle_ec);
    }
    fpu_forget(cpu, ec);
    if (cpu->space == ec->hst) {
        tlb_load(cpu, 0);
        load_io(cpu, 0);
    }
    if (cpu->pio_mapped == ec->pio) {
        cpu->pio_mapped = 0;
    }
}
