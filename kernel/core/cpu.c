/*
 * Areas of the CPUs, and requests from one CPU to another.
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/cpu.h"

#include "boot/paging.h"
#include "core/sm.h"
#include "core/switch.h"
#include "lib/console.h"
#include "lib/panic.h"
#include "mem/tlb.h"
#include "x86/apic.h"
#include "x86/clock.h"

unsigned cpu_count, cpu_bsp;

/* What the CPU reads beyond the last port. */
static const uint8_t io_bitmap_end[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE))) = {0xff};

/* Pages of the area that are mapped and writable: see the picture in core/cpu.h. */
#define AREA_PAGES 0x151eU

void cpu_area_create(unsigned id, uint32_t apic)
{
    uint64_t area = CPU_BASE + (uint64_t)id * CPU_STRIDE;
    struct cpu *cpu = cpu_of(id);

    for (unsigned i = 0; i < CPU_STRIDE / PAGE_SIZE; i++) {
        if (AREA_PAGES >> i & 1) {
            void *page = page_alloc(0, 0);
            if (!page)
                panic("no memory for CPU %u", id);
            *paging_entry(area + i * PAGE_SIZE) = phys_of(page) | PTE_DATA;
        }
    }
    cpu->io_entries = paging_entry(area + CPU_IO_BITMAP);
    *paging_entry(area + CPU_IO_BITMAP_END) = phys_of(io_bitmap_end) | PTE_RODATA;
    cpu->id = id;
    cpu->apic_id = apic;
    list_init(&cpu->wake);
    list_init(&cpu->fresh);
    list_init(&cpu->timeouts);
    list_init(&cpu->awaited);
    for (unsigned i = 0; i < ARRAY_SIZE(cpu->ready); i++)
        list_init(&cpu->ready[i]);
    cpu->grace.deadline = UINT64_MAX;
    cpu->budget_end = UINT64_MAX;
    object_init(&cpu->idle_sc.object, OBJECT_SC, 0);
    cpu->idle_sc.cpu = cpu;
    cpu->idle_ec.cpu = cpu;
    cpu_set_ec(cpu, &cpu->idle_ec);
    cpu->pcid_generation = cpu->pcid_next = 1;
    cpu->tag_generation = cpu->tag_next = 1;
}

uint32_t cpu_ask(struct cpu *cpu)
{
    uint32_t ticket = __atomic_add_fetch(&cpu->asked, 1, __ATOMIC_SEQ_CST);

    apic_ipi(cpu->apic_id, VECTOR_IPI);
    return ticket;
}

void cpu_wait(struct cpu *cpu, uint32_t ticket)
{
    struct cpu *self = cpu_self();
    uint64_t report = clock_now() + clock_frequency;

    /* Tickets may wrap. */
    while ((int32_t)(__atomic_load_n(&cpu->done, __ATOMIC_ACQUIRE) - ticket) < 0) {
        if (__atomic_load_n(&self->asked, __ATOMIC_ACQUIRE) != self->done)
            cpu_serve(self);
        if (clock_now() > report) {
            print("CPU %u waits for CPU %u\n", self->id, cpu->id);
            report = UINT64_MAX;
        }
        cpu_relax();
    }
}

void cpu_serve(struct cpu *cpu)
{
    uint32_t asked = __atomic_load_n(&cpu->asked, __ATOMIC_SEQ_CST);

    tlb_serve(cpu);
    switch_io(cpu);
    sm_take_woken(cpu);
    sc_take_fresh(cpu);
    if (__atomic_load_n(&cpu->orphans, __ATOMIC_RELAXED))
        cpu->hazard |= HAZARD_GRACE;
    __atomic_store_n(&cpu->done, asked, __ATOMIC_RELEASE);
}
