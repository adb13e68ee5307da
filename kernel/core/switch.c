/*
 * Making an EC the current one.
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/switch.h"

#include "lib/string.h"
#include "mem/tlb.h"
#include "x86/asm.h"
#include "x86/cpu.h"

void switch_io(struct cpu *cpu)
{
    uint64_t version = cpu->pio ? __atomic_load_n(&cpu->pio->version, __ATOMIC_ACQUIRE) : 0;

    if (!version) {
        cpu->tss.io_bitmap = IO_BITMAP_NONE;
        return;
    }
    if (version != cpu->pio_version) {
        memcpy(cpu->io_bitmap, cpu->pio->bitmap, PAGE_SIZE << PIO_ORDER);
        cpu->pio_version = version;
    }
    cpu->tss.io_bitmap = offsetof(struct cpu, io_bitmap) - offsetof(struct cpu, tss);
}

void switch_io_changed(const struct space_pio *pio)
{
    struct cpu *self = cpu_self();
    uint32_t ticket[CPU_MAX] = {0};

    if (self->pio == pio) {
        switch_io(self);
    }
    for (unsigned i = 0; i < cpu_count; i++) {
        if (cpu_of(i) != self && READ_ONCE(cpu_of(i)->pio) == pio) {
            ticket[i] = cpu_ask(cpu_of(i));
        }
    }
    for (unsigned i = 0; i < cpu_count; i++) {
        if (ticket[i]) {
            cpu_wait(cpu_of(i), ticket[i]);
        }
    }
}

void switch_space(struct cpu *cpu, struct ec *ec)
{
    if (cpu_has_ibpb) {
        wrmsr(MSR_PRED_CMD, PRED_CMD_IBPB);
    }
    tlb_load(cpu, ec->hst);
    WRITE_ONCE(cpu->pio, ec->pio);
    switch_io(cpu);
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
        fpu_switch(cpu, to);
    }
    if (cpu->space != to->hst) {
        switch_space(cpu, to);
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
        WRITE_ONCE(cpu->pio, 0);
        switch_io(cpu);
    }
}
