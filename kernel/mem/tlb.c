/*
 * Loading of host spaces and coherence of the TLBs.
 *
 * With PCIDs, a CPU keeps translations of spaces that it does not run. Each CPU numbers the spaces that it
 * loads; when the numbers run out, it flushes everything and starts a new generation.
 *
 *   space->tag[cpu]:  | generation: 52 bits | PCID: 12 bits |
 *
 * A shootdown marks the space stale for all CPUs, then interrupts those that have it loaded. The others notice
 * the mark when they load the space: the marks are written before cpu->space is read here,
 * and cpu->space is written before the mark is read there. With guest spaces it is the same: a generation is the
 * mark, and cpu->gst tells what a CPU may be using (vcpu_enter in virt/virt.h).
 *
 * SPDX-License-Identifier: MIT
 */

#include "mem/tlb.h"

#include "boot/paging.h"
#include "x86/cpu.h"

#define PCID_BITS 12
#define PCID_MAX ((1U << PCID_BITS) - 1)
#define CR3_KEEP BIT(63) /* keep the translations of the PCID */

static uint64_t tagged(struct cpu *cpu, struct space_hst *hst)
{
    uint64_t *tag = &hst->tag[cpu->id];
    bool stale = __atomic_exchange_n(&hst->stale[cpu->id], 0, __ATOMIC_SEQ_CST);

    if (*tag >> PCID_BITS != cpu->pcid_generation) {
        if (cpu->pcid_next > PCID_MAX) {
            /* To switch off global pages flushes all PCIDs. */
            uint64_t cr4 = read_cr4();
            write_cr4(cr4 & ~CR4_PGE);
            write_cr4(cr4);
            cpu->pcid_generation++;
            cpu->pcid_next = 1;
        }
        *tag = cpu->pcid_generation << PCID_BITS | cpu->pcid_next++;
        stale = true;
    }
    return hst->root | (*tag & PCID_MAX) | (stale ? 0 : CR3_KEEP);
}

void tlb_load(struct cpu *cpu, struct space_hst *hst)
{
    uint64_t root = hst ? hst->root : phys_of(kernel_root);

    __atomic_store_n(&cpu->space, hst, __ATOMIC_RELEASE);
    write_cr3(hst && cpu_has_pcid ? tagged(cpu, hst) : root);
}

void tlb_serve(struct cpu *cpu)
{
    struct space_hst *hst = cpu->space;

    if (hst)
        tlb_load(cpu, hst);
}

void tlb_shootdown(struct space_mem *mem)
{
    struct space_hst *hst = mem->space.object.type == OBJECT_HST ? (struct space_hst *)mem : 0;
    struct space_gst *gst = hst ? 0 : (struct space_gst *)mem;
    struct cpu *self = cpu_self();
    struct cpu *asked[CPU_MAX];
    uint32_t ticket[CPU_MAX];
    unsigned count = 0;

    if (gst)
        __atomic_fetch_add(&gst->generation, 1, __ATOMIC_RELAXED);
    else if (cpu_has_pcid)
        for (unsigned i = 0; i < cpu_count; i++)
            __atomic_store_n(&hst->stale[i], 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < cpu_count; i++) {
        struct cpu *cpu = cpu_of(i);
        if (hst ? __atomic_load_n(&cpu->space, __ATOMIC_ACQUIRE) != hst
                : cpu == self || __atomic_load_n(&cpu->gst, __ATOMIC_ACQUIRE) != gst)
            continue;
        if (cpu == self) {
            tlb_load(self, hst);
        } else {
            asked[count] = cpu;
            ticket[count++] = cpu_ask(cpu);
        }
    }
    for (unsigned i = 0; i < count; i++)
        cpu_wait(asked[i], ticket[i]);
}
