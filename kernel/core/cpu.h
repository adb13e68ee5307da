/*
 * What a CPU has to itself. Each CPU has an area of 64 KiB at a fixed address:
 *
 *   +0xd000 +-------------------------+
 *           | stack for #MC           |
 *   +0xc000 +-------------------------+
 *   +0xb000 | not mapped              |
 *           | stack for #DF           |  0xa000
 *   +0x9000 | not mapped              |
 *           | stack for NMI           |  0x8000
 *           | end of the I/O bitmap   |  0x7000, a byte of ones; read-only
 *           | I/O bitmap of the TSS   |  0x5000, that of the current PIO space; read-only
 *           | struct cpu              |  0x3000
 *           | kernel stack            |  0x1000
 *   +0x0000 | not mapped              |
 *           +-------------------------+
 *
 * So the CPU is found from the stack pointer, on any of its stacks, and the stack's top is the address
 * of the struct. No segment register is involved: FS and GS belong to user land all the time.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "core/ec.h"
#include "core/grace.h"
#include "core/sc.h"
#include "x86/descriptors.h"

/* Reasons for a CPU to do something before it returns to user mode. */
#define HAZARD_SCHEDULE 1U /* another SC may have to run */
#define HAZARD_GRACE 2U    /* dead objects wait */

struct cpu {
    struct sc *sc;           /* that runs now */
    struct space_hst *space; /* that is loaded; null: none but the kernel */
    uint32_t id;
    uint32_t hazard;
    uint32_t apic_id;
    struct tss tss;       /* RSP0 tells the current EC: see cpu_ec */
    struct ec *fpu_owner; /* unless a host EC with FPU is current: whose state is in the registers, or null */
    const struct space_bitmap *pio_mapped; /* whose I/O bitmap is mapped; null: none */
    bool switch_slow;   /* to change the space takes more than a new CR3: PCID, IBPB, or FPU state to save */
    bool idle;          /* halted, or as good as: uses nothing that was looked up; others read it */
    bool started;       /* runs; its area is set up */
    uint32_t quiescent; /* counts entries from user mode and idle through interrupts */

    uint64_t pcid_generation; /* mem/tlb.c */
    uint32_t pcid_next;

    /* Virtualization (virt/virt.h). */
    uint32_t tag_next;
    uint64_t tag_generation;
    struct space_gst *gst;    /* that a guest here may be running in; not a reference: only compared */
    struct vcpu *debug_owner; /* whose DR0 to DR3 are loaded, or null: nobody's */
    uint64_t virt_host;       /* vendor: SVM: physical address of the host's VMSAVE state; VMX: of its VMXON region */
    void *virt_current;       /* vendor: VMX: vCPU whose VMCS is current */

    /* Requests of other CPUs: they count `asked` up, this CPU lets `done` follow. */
    uint32_t asked, done;

    struct spinlock wake_lock;
    struct list wake;       /* ECs that other CPUs have woken, and */
    struct list fresh;      /* SCs that they have created for this CPU; under wake_lock */
    struct object *orphans; /* dead objects of this CPU that others pass on; atomic stack */

    uint64_t ready_bits[2]; /* priorities with an SC in `ready` */
    struct list ready[128];
    uint64_t budget_end; /* of the running SC */
    struct list timeouts;
    struct list awaited; /* ECs that SCs wait for */
    uint64_t timer;      /* what the timer is set to */
    struct grace grace;

    struct sc idle_sc;
    struct ec idle_ec; /* stands in as current EC when there is none */

    uint64_t gdt[GDT_ENTRIES];
    uint64_t *io_entries; /* page-table entries of the I/O bitmap */
};

_Static_assert(offsetof(struct cpu, tss) == CPU_TSS && offsetof(struct cpu, tss.rsp0) == CPU_RSP0 &&
                   offsetof(struct cpu, tss.io_bitmap) == CPU_IO_MAP &&
                   offsetof(struct cpu, space) == CPU_SPACE &&
                   offsetof(struct cpu, fpu_owner) == CPU_FPU_OWNER &&
                   offsetof(struct cpu, pio_mapped) == CPU_PIO_MAPPED &&
                   offsetof(struct cpu, switch_slow) == CPU_SWITCH_SLOW,
               "entry/frame.h");
_Static_assert(sizeof(struct cpu) <= CPU_IO_BITMAP - CPU_DATA, "area of the CPU");

static inline struct cpu *cpu_of(unsigned id)
{
    return (struct cpu *)(uintptr_t)(CPU_BASE + (uint64_t)id * CPU_STRIDE + CPU_DATA);
}

static inline struct cpu *cpu_self(void)
{
    uint64_t sp;
    __asm__("mov %%rsp, %0" : "=r"(sp));
    return (struct cpu *)(uintptr_t)((sp & ~(CPU_STRIDE - 1UL)) + CPU_DATA);
}

/* The EC whose registers the CPU pushes, and whose FS, GS and, maybe, FPU state is loaded. */
static inline struct ec *cpu_ec(const struct cpu *cpu)
{
    return (struct ec *)(uintptr_t)(cpu->tss.rsp0 - EC_END);
}

static inline void cpu_set_ec(struct cpu *cpu, struct ec *ec)
{
    cpu->tss.rsp0 = (uint64_t)(uintptr_t)ec + EC_END;
}

extern unsigned cpu_count; /* CPUs online: 0 to cpu_count - 1 */
extern unsigned cpu_bsp;

/* Maps and sets up the area of a CPU. */
void cpu_area_create(unsigned id, uint32_t apic_id);

/*
 * Asks another CPU to enter the kernel: it flushes what is stale, takes over what was queued for it and looks
 * at its hazards. cpu_wait returns when it has done that for a ticket; other CPUs' requests to this one are served meanwhile.
 */
uint32_t cpu_ask(struct cpu *cpu);
void cpu_wait(struct cpu *cpu, uint32_t ticket);

/* Serves such requests on this CPU: from the interrupt, and while waiting. */
void cpu_serve(struct cpu *cpu);
