/*
 * Interrupts of devices. Vectors are the same on all CPUs, so an interrupt that arrives late, on the CPU that it was
 * routed to before, still finds its semaphore.
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/interrupt.h"

#include "core/cpu.h"
#include "x86/apic.h"

#define MSI_BASE 0xfee00000U

static struct interrupt {
    struct sm sm;
    struct spinlock lock;
    struct cpu *cpu; /* null: never assigned */
    bool level;
    bool masked; /* a message that must not be signalled: there is no pin to mask */
    bool held;   /* a level interrupt has arrived and is masked until the next down */
} interrupts[INTERRUPT_MAX];

unsigned interrupt_pins;

void interrupt_init(void)
{
    interrupt_pins = (unsigned)min_u64(ioapic_pins, INTERRUPT_MAX);
    for (unsigned i = 0; i < INTERRUPT_MAX; i++) {
        sm_init(&interrupts[i].sm, 0, (int32_t)i);
        if (i >= interrupt_pins || ioapic_has(i))
            obj_insert(&nova_obj, NOVA_SEL_INT + i,
                       cap_make(&interrupts[i].sm.object, NOVA_SM_ASSIGN | NOVA_SM_CTRL_DN));
    }
}

unsigned interrupt_assign(struct sm *sm, unsigned id, unsigned flags, uint32_t *addr, uint32_t *data)
{
    unsigned n = (unsigned)sm->interrupt;
    struct interrupt *i = &interrupts[n];
    struct cpu *cpu = cpu_of(id);

    if (cpu->apic_id > 0xff) /* neither pins nor messages reach it without interrupt remapping */
        return NOVA_BAD_CPU;
    lock(&i->lock);
    i->cpu = cpu;
    i->held = false;
    if (n < interrupt_pins) {
        i->level = flags & NOVA_INT_LEVEL;
        ioapic_route(n, cpu->apic_id, (uint8_t)(INTERRUPT_VECTOR + n), i->level, flags & NOVA_INT_LOW,
                     flags & NOVA_INT_MASK);
    } else {
        i->masked = flags & NOVA_INT_MASK;
        *addr = MSI_BASE | cpu->apic_id << 12;
        *data = INTERRUPT_VECTOR + n;
    }
    unlock(&i->lock);
    return NOVA_SUCCESS;
}

void interrupt_arrived(unsigned vector)
{
    unsigned n = vector - INTERRUPT_VECTOR;
    struct interrupt *i = &interrupts[n];
    bool signal;

    lock(&i->lock);
    if (i->level && n < interrupt_pins) {
        i->held = true;
        ioapic_mask(n, true);
    }
    signal = i->cpu && !i->masked;
    unlock(&i->lock);
    apic_eoi();
    if (signal)
        sm_up(&i->sm);
}

unsigned interrupt_wait(const struct sm *sm, const struct cpu *cpu)
{
    struct interrupt *i = &interrupts[sm->interrupt];
    unsigned status = NOVA_SUCCESS;

    lock(&i->lock);
    if (i->cpu != cpu) {
        status = NOVA_BAD_CPU;
    } else if (i->held && !READ_ONCE(sm->counter)) { /* all that have arrived are served */
        i->held = false;
        ioapic_mask((unsigned)sm->interrupt, false);
    }
    unlock(&i->lock);
    return status;
}
