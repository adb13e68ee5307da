/*
 * IOAPIC: 24 pins, version 0x20 (with an EOI register).
 *
 *             +------+  edge, not masked                +---------+
 *   pin ----->| line |--------------------------------->|         |
 *             +------+  level, not masked, and          | LAPICs  |
 *                       no remote IRR: sets it -------->|         |
 *                       remote IRR <--- EOI ------------+---------+
 *
 * Remote IRR also ends with the level itself: a device that takes its interrupt back before the guest's EOI gets the
 * next one through.
 *
 * State: lines, redirection entries, selected register; all of it under one lock.
 * Guest input checked: any offset, size and value; reserved bits stay 0.
 * Locking: its lock is the last one of all (device -> IOAPIC -> none). Any thread.
 * Specification: Intel 82093AA data sheet; the EOI register as in the ICH data sheets (I/O APIC version 0x20).
 *
 * SPDX-License-Identifier: MIT
 */

#include "dev/irq.h"

#include "dev/bus.h"
#include "dev/lapic.h"
#include "dev/machine.h"

#include <nova/sync.h>

/* Registers in memory, and what the first one selects. */
#define SELECT 0x00
#define WINDOW 0x10
#define END 0x40
#define INDEX_ID 0
#define INDEX_VERSION 1
#define INDEX_ARBITRATION 2
#define INDEX_PINS 0x10
#define VERSION (0x20U | (IRQ_PINS - 1) << 16)
#define ID_MASK 0x0f000000U

/* Redirection entries. */
#define ENTRY_LOGICAL 0x800UL
#define ENTRY_REMOTE_IRR 0x4000UL
#define ENTRY_LEVEL 0x8000UL
#define ENTRY_MASKED 0x10000UL
#define ENTRY_WRITABLE 0xff0000000001afffUL

static struct {
    struct nova_mutex lock;
    uint32_t id, select;
    uint32_t lines;
    uint64_t entry[IRQ_PINS];
} ioapic;

static bool send(uint64_t entry)
{
    return irq_deliver(irq_destination((uint32_t)(entry >> 56)), entry & ENTRY_LOGICAL, entry >> 8 & 7,
                       (uint8_t)entry, entry & ENTRY_LEVEL);
}

/* A level-triggered pin may have something to send. */
static void look(unsigned pin)
{
    uint64_t *entry = &ioapic.entry[pin];

    if ((*entry & (ENTRY_LEVEL | ENTRY_MASKED | ENTRY_REMOTE_IRR)) == ENTRY_LEVEL &&
        ioapic.lines >> pin & 1 && send(*entry) && (*entry >> 8 & 7) <= LAPIC_LOWEST)
        *entry |= ENTRY_REMOTE_IRR;
}

void irq_set(unsigned pin, bool level)
{
    uint32_t bit = 1U << pin;

    nova_mutex_lock(&ioapic.lock);
    if (level && !(ioapic.lines & bit)) {
        ioapic.lines |= bit;
        /* An edge on a masked pin is lost. */
        if (!(ioapic.entry[pin] & (ENTRY_LEVEL | ENTRY_MASKED)))
            send(ioapic.entry[pin]);
        look(pin);
    } else if (!level) {
        ioapic.lines &= ~bit;
        ioapic.entry[pin] &= ~ENTRY_REMOTE_IRR;
    }
    nova_mutex_unlock(&ioapic.lock);
}

static void end(uint8_t vector)
{
    for (unsigned pin = 0; pin < IRQ_PINS; pin++) {
        if (ioapic.entry[pin] & ENTRY_REMOTE_IRR && (uint8_t)ioapic.entry[pin] == vector) {
            ioapic.entry[pin] &= ~ENTRY_REMOTE_IRR;
            look(pin);
        }
    }
}

void irq_eoi(uint8_t vector)
{
    nova_mutex_lock(&ioapic.lock);
    end(vector);
    nova_mutex_unlock(&ioapic.lock);
}

static uint32_t read_selected(void)
{
    unsigned pin = (ioapic.select - INDEX_PINS) / 2;

    switch (ioapic.select) {
    case INDEX_ID:
    case INDEX_ARBITRATION:
        return ioapic.id;
    case INDEX_VERSION:
        return VERSION;
    }
    if (ioapic.select < INDEX_PINS || pin >= IRQ_PINS)
        return 0;
    return (uint32_t)(ioapic.entry[pin] >> (ioapic.select & 1) * 32);
}

static void write_selected(uint32_t value)
{
    unsigned pin = (ioapic.select - INDEX_PINS) / 2, shift = (ioapic.select & 1) * 32;

    if (ioapic.select == INDEX_ID)
        ioapic.id = value & ID_MASK;
    if (ioapic.select < INDEX_PINS || pin >= IRQ_PINS)
        return;
    uint64_t writable = ENTRY_WRITABLE & (uint64_t)UINT32_MAX << shift;
    uint64_t entry = (ioapic.entry[pin] & ~writable) | ((uint64_t)value << shift & writable);

    /* Remote IRR has no meaning for edges; this is also how guests clear it. */
    ioapic.entry[pin] = entry & ENTRY_LEVEL ? entry : entry & ~ENTRY_REMOTE_IRR;
    look(pin);
}

static uint64_t ioapic_read(void *device, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    (void)device;
    (void)size;
    nova_mutex_lock(&ioapic.lock);
    if (offset == SELECT)
        value = ioapic.select;
    else if (offset == WINDOW)
        value = read_selected();
    nova_mutex_unlock(&ioapic.lock);
    return value;
}

/* Narrow accesses to the window are not defined: it takes whole registers only. */
static void ioapic_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)device;
    nova_mutex_lock(&ioapic.lock);
    if (offset == SELECT)
        ioapic.select = (uint8_t)value;
    else if (offset == WINDOW && size == 4)
        write_selected((uint32_t)value);
    else if (offset == END)
        end((uint8_t)value);
    else
        machine_guest_error("IOAPIC: write of %u bytes to %#lx", size, (unsigned long)offset);
    nova_mutex_unlock(&ioapic.lock);
}

void irq_reset(void)
{
    nova_mutex_lock(&ioapic.lock);
    ioapic.id = ioapic.select = 0;
    for (unsigned pin = 0; pin < IRQ_PINS; pin++)
        ioapic.entry[pin] = ENTRY_MASKED;
    nova_mutex_unlock(&ioapic.lock);
}

bool irq_init(void)
{
    static const struct bus_range range = {.start = IRQ_IOAPIC,
                                           .size = IRQ_IOAPIC_SIZE,
                                           .read = ioapic_read,
                                           .write = ioapic_write,
                                           .name = "ioapic",
                                           .width = 4};

    irq_reset();
    return bus_add(BUS_MMIO, &range);
}
