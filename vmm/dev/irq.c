/*
 * Delivery of interrupts to vCPUs, and messages of devices.
 *
 * State: none.
 * Guest input checked: any destination, delivery mode and vector; any address and data of a message.
 * Locking: none. LAPICs take interrupts by atomic operations, vcpu_ask() does not block. Any thread.
 * Specification: Intel SDM volume 3, 11.6 (destinations), 11.5.1 and 11.11 (delivery modes, messages).
 *
 * SPDX-License-Identifier: MIT
 */

#include "dev/irq.h"

#include "cpu/vcpu.h"
#include "dev/lapic.h"
#include "dev/machine.h"

#define NOBODY UINT32_MAX

/* Fields of a message. */
#define ADDRESS_LOGICAL 0x4U
#define ADDRESS_REDIRECT 0x8U
#define DATA_ASSERT 0x4000U
#define DATA_LEVEL 0x8000U

uint32_t irq_destination(uint32_t destination)
{
    return destination == 0xff ? LAPIC_TO_ALL : destination;
}

static bool deliver_to(unsigned number, unsigned mode, uint8_t vector, bool level)
{
    switch (mode) {
    case LAPIC_FIXED:
    case LAPIC_LOWEST:
        if (!lapic_accept(vcpu_lapic(number), vector, level))
            return false;
        vcpu_ask(number, VCPU_INTERRUPT);
        return true;
    case LAPIC_NMI:
        vcpu_ask(number, VCPU_NMI);
        return true;
    case LAPIC_INIT:
        vcpu_ask(number, VCPU_INIT);
        return true;
    case LAPIC_STARTUP:
        vcpu_sipi(number, vector);
        return true;
    default: /* There is neither SMM nor an 8259. */
        machine_guest_error("interrupt with delivery mode %u", mode);
        return false;
    }
}

/*
 * Arbitration for delivery to one of several: the lowest task priority (11.6.2.4). Among equals the vector decides, so
 * that a source of interrupts stays on its CPU, and sources are spread.
 */
static bool deliver_lowest(uint32_t destination, bool logical, uint8_t vector, bool level, unsigned except)
{
    unsigned best = NOBODY;
    uint32_t lowest = UINT32_MAX;

    for (unsigned i = 0; i < vcpu_count; i++) {
        unsigned number = (vector + i) % vcpu_count;
        const struct lapic *lapic = vcpu_lapic(number);
        uint32_t priority = __atomic_load_n(&lapic->tpr, __ATOMIC_RELAXED) >> 4;

        if (number != except && priority < lowest && lapic_is_destination(lapic, destination, logical) &&
            lapic_is_enabled(lapic)) {
            best = number;
            lowest = priority;
        }
    }
    return best != NOBODY && deliver_to(best, LAPIC_FIXED, vector, level);
}

static bool deliver(uint32_t destination, bool logical, unsigned mode, uint8_t vector, bool level,
                    unsigned except)
{
    bool taken = false;

    if (mode == LAPIC_LOWEST)
        return deliver_lowest(destination, logical, vector, level, except);
    for (unsigned i = 0; i < vcpu_count; i++)
        if (i != except && lapic_is_destination(vcpu_lapic(i), destination, logical))
            taken |= deliver_to(i, mode, vector, level);
    return taken;
}

bool irq_deliver(uint32_t destination, bool logical, unsigned mode, uint8_t vector, bool level)
{
    /* The usual case. The id of an APIC is the number of its vCPU. */
    if (!logical && destination < vcpu_count) {
        return lapic_is_destination(vcpu_lapic(destination), destination, false) &&
               deliver_to(destination, mode, vector, level);
    }
    return deliver(destination, logical, mode, vector, level, NOBODY);
}

bool irq_deliver_others(unsigned self, unsigned mode, uint8_t vector)
{
    return deliver(LAPIC_TO_ALL, false, mode, vector, false, self);
}

void irq_message(uint64_t address, uint32_t data)
{
    unsigned mode = data >> 8 & 7;

    if (address >> 20 != 0xfee || mode == 3 || mode == LAPIC_STARTUP) {
        machine_guest_error("interrupt message %#lx, %#x", (unsigned long)address, data);
        return;
    }
    /* The end of a level says nothing to an APIC. */
    if ((data & (DATA_LEVEL | DATA_ASSERT)) == DATA_LEVEL)
        return;
    if (address & ADDRESS_REDIRECT && mode == LAPIC_FIXED)
        mode = LAPIC_LOWEST;
    irq_deliver(irq_destination(address >> 12 & 0xff), address & ADDRESS_LOGICAL, mode, (uint8_t)data,
                data & DATA_LEVEL);
}
