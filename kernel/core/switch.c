/*
 * Making an EC the current one.
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/switch.h"

#include "boot/paging.h"
#include "mem/tlb.h"
#include "x86/cpu.h"

/* A CPU that has once mapped a bitmap keeps it mapped until it needs another one or the last EC dies. */
static inline void load_io(struct cpu *cpu, const struct space_bitmap *pio)
{
    if (!pio || !READ_ONCE(pio->granted)) {
        cpu->tss.io_bitmap = IO_MAP_NONE;
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
    cpu->tss.io_bitmap = IO_MAP_BITMAP;
}

void switch_io(struct cpu *cpu)
{
    if (cpu_ec(cpu)->pio)
        load_io(cpu, cpu_ec(cpu)->pio);
}

void switch_io_changed(const struct space_bitmap *pio)
{
    struct space *hst = READ_ONCE(pio->space.object.pd->spaces[OBJECT_HST]);

    if (hst) /* CPUs that are asked look after their I/O bitmap as well */
        tlb_shootdown((struct space_mem *)hst);
    switch_io(cpu_self());
}

static inline void load_space(struct cpu *cpu, const struct ec *ec)
{
    if (cpu_has_ibpb)
        wrmsr(MSR_PRED_CMD, PRED_CMD_IBPB);
    tlb_load(cpu, ec->hst);
    load_io(cpu, ec->pio);
}

static inline void save_segments(struct ec *ec)
{
    if (LIKELY(cpu_has_fsgsbase)) {
        bases_save(ec);
    } else {
        ec->fs_base = rdmsr(MSR_FS_BASE);
        ec->gs_base = rdmsr(MSR_GS_BASE);
    }
}

void switch_to(struct cpu *cpu, struct ec *to)
{
    struct ec *from = cpu_ec(cpu);

    if (from != to) {
        save_segments(from);
        /* Users may load null selectors and their own segments: that must not tell anything to the next PD. */
        if (from->hst != to->hst)
            clear_selectors();
        if (LIKELY(cpu_has_fsgsbase)) {
            bases_load(to);
        } else {
            wrmsr(MSR_FS_BASE, to->fs_base);
            wrmsr(MSR_GS_BASE, to->gs_base);
        }
        cpu_set_ec(cpu, to);
        if (from->fpu || to->fpu || from->hst != to->hst || ec_is_guest(to))
            fpu_switch(cpu, from, to);
    }
    if (cpu->space != to->hst)
        load_space(cpu, to);
}

/* What the fast path of entry/entry.S leaves to be switched; it may have loaded the space. */
void switch_rest(struct cpu *cpu, struct ec *from, struct ec *to)
{
    fpu_switch(cpu, from, to);
    if (cpu->space != to->hst)
        load_space(cpu, to);
    else
        load_io(cpu, to->pio);
}

void switch_save(struct cpu *cpu, struct ec *ec)
{
    if (cpu_ec(cpu) == ec) {
        save_segments(ec);
        fpu_switch(cpu, ec, &cpu->idle_ec);
        cpu_set_ec(cpu, &cpu->idle_ec);
    }
}

void switch_forget(struct cpu *cpu, struct ec *ec)
{
    switch_save(cpu, ec);
    fpu_forget(cpu, ec);
    if (cpu->space == ec->hst) {
        switch_save(cpu, cpu_ec(cpu)); /* the next EC to run must not take the space for loaded */
        tlb_load(cpu, 0);
        load_io(cpu, 0);
    }
    if (cpu->pio_mapped == ec->pio)
        cpu->pio_mapped = 0;
}
