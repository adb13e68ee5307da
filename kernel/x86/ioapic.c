/*
 * I/O APICs, and the end of the 8259 PICs. An I/O APIC has two registers, index and data; one lock makes the
 * accesses to them belong together, on all chips.
 *
 * Physical destination mode, fixed delivery. A pin is masked before its entry changes, and the high half is
 * written before the low one, so that no interrupt goes to a mixture of the old and the new entry.
 *
 * SPDX-License-Identifier: MIT
 */

#include "x86/apic.h"
#include "lib/console.h"
#include "lib/spinlock.h"
#include "x86/acpi.h"
#include "x86/asm.h"
#include "x86/device.h"

#define REG_VERSION 1
#define REG_ENTRY 0x10 /* low half of the entry of pin 0; two registers a pin */
#define PINS_MAX 120   /* that an 8-bit index can select */
#define GSI_MAX 0xffff /* no more than an interrupt selector can name */

#define ENTRY_LOW 0x2000U
#define ENTRY_LEVEL 0x8000U
#define ENTRY_MASKED 0x10000U

static struct chip {
    volatile uint32_t *reg;
    unsigned first, pins; /* pins 0: not there */
} chips[ACPI_IOAPIC_MAX];

unsigned ioapic_pins;
static struct spinlock chip_lock;

/* The data register, which stands for register `reg` until the next selection. */
static volatile uint32_t *reg_select(const struct chip *c, unsigned reg)
{
    c->reg[0] = reg;
    return &c->reg[4];
}

static const struct chip *find(unsigned gsi)
{
    for (const struct chip *c = chips; c < chips + ACPI_IOAPIC_MAX; c++)
        if (gsi - c->first < c->pins)
            return c;
    return NULL;
}

/*
 * The PICs are masked but not set up: even the interrupts that they raise spuriously do not reach a CPU,
 * because LINT0 is masked (x86/apic.c) and no pin of an I/O APIC passes them on.
 */
void ioapic_init(void)
{
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    for (unsigned i = 0; i < acpi.ioapics; i++) {
        struct chip *c = &chips[i];
        c->first = acpi.ioapic[i].gsi;
        c->reg = device_map(acpi.ioapic[i].addr);
        unsigned pins = (*reg_select(c, REG_VERSION) >> 16 & 0xff) + 1;
        if (pins > PINS_MAX || c->first > GSI_MAX - pins) {
            print("ioapic: none at %lx\n", acpi.ioapic[i].addr);
            continue;
        }
        for (unsigned pin = 0; pin < pins; pin++)
            *reg_select(c, REG_ENTRY + 2 * pin) = ENTRY_MASKED;
        c->pins = pins;
        ioapic_pins = ioapic_pins > c->first + pins ? ioapic_pins : c->first + pins;
    }
}

bool ioapic_has(unsigned gsi)
{
    return find(gsi);
}

void ioapic_route(unsigned gsi, uint32_t apic_id, uint8_t vector, bool level, bool low, bool mask)
{
    const struct chip *c = find(gsi);
    if (c) {
        unsigned entry = REG_ENTRY + 2 * (gsi - c->first);
        lock(&chip_lock);
        /*
         * As edge: that clears Remote IRR, which an EOI could not do any more once the vector is another
         * one.
         */
        *reg_select(c, entry) = ENTRY_MASKED;
        *reg_select(c, entry + 1) = apic_id << 24;
        *reg_select(c, entry) =
            (mask ? ENTRY_MASKED : 0) | (level ? ENTRY_LEVEL : 0) | (low ? ENTRY_LOW : 0) | vector;
        unlock(&chip_lock);
    }
}

void ioapic_mask(unsigned gsi, bool mask)
{
    const struct chip *c = find(gsi);
    if (c) {
        lock(&chip_lock);
        volatile uint32_t *low = reg_select(c, REG_ENTRY + 2 * (gsi - c->first));
        *low = mask ? *low | ENTRY_MASKED : *low & ~ENTRY_MASKED;
        unlock(&chip_lock);
    }
}
