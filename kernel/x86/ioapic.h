/*
 * I/O APICs: routing of pin interrupts. All pins are masked from ioapic_init on until ioapic_route unmasks
 * them. Callers serialise access to one pin; access to the chip's index register is locked inside.
 *
 * Intel 82093AA datasheet; Intel SDM volume 3, 11.11 for edge and level semantics.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef X86_IOAPIC_H
#define X86_IOAPIC_H

#include "lib/util.h"

/*
 * Maps all I/O APICs of acpi.ioapic and masks their pins and those of the 8259 PICs. Once, after
 * acpi_parse.
 */
void ioapic_init(void);

/* Number of global system interrupts: one more than the highest one that has a pin; at most 65535. */
extern unsigned ioapic_pins;

/* Does the global system interrupt have a pin? */
bool ioapic_has(unsigned gsi);

/* Sends the interrupt to `vector` on the CPU with this APIC ID (below 256). Without a pin nothing happens. */
void ioapic_route(unsigned gsi, uint32_t apic_id, uint8_t vector, bool level, bool low, bool mask);
void ioapic_mask(unsigned gsi, bool mask);

#endif
