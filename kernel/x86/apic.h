/*
 * Local APIC: identification, interprocessor interrupts, end of interrupt, one-shot timer; xAPIC or x2APIC. And
 * I/O APICs, see below.
 *
 * Intel SDM volume 3, chapter 11.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "lib/util.h"

/* Vectors above the 32 exceptions and the interrupts of devices (core/interrupt.h). */
#define VECTOR_TIMER 0xfc
#define VECTOR_IPI 0xfd
#define VECTOR_ERROR 0xfe
#define VECTOR_SPURIOUS 0xff

#define APIC_INIT 0x500
#define APIC_STARTUP 0x600

/*
 * x2APIC where the CPU has it, else maps the registers. Once, on the bootstrap processor, after acpi_parse.
 */
void apic_init(void);

/*
 * Enables the local APIC of this CPU: local vectors masked but the timer, not armed, and the error
 * interrupt.
 */
void apic_enable(void);

uint32_t apic_id(void);
void apic_eoi(void);

/*
 * Sends an interrupt: a vector, APIC_INIT, or APIC_STARTUP plus the number of a page below 1 MiB. Waits
 * until the ICR is free, so never loses one. Earlier stores are visible to the target. In xAPIC mode nothing
 * is sent to targets above 254: they do not exist.
 */
void apic_ipi(uint32_t target, uint32_t command);

/*
 * Interrupts this CPU with VECTOR_TIMER when the TSC reaches `deadline`, soon if that is past; UINT64_MAX:
 * never. The one-shot timer may come early: if the deadline is more than 2^32 of its ticks away or, by a
 * few parts in a million, as its frequency is measured. Whoever takes the interrupt compares the TSC and
 * sets the timer again.
 */
void apic_timer(uint64_t deadline);

/*
 * Ticks of the one-shot timer per 2^32 ticks of the TSC, or 0 if deadline mode is used. From apic_init on;
 * taken as 1:1 until clock_init measures it.
 */
extern uint64_t apic_timer_ratio;

/* What is left of the one-shot timer's count, for the measurement. */
uint32_t apic_timer_read(void);

/*
 * I/O APICs: routing of pin interrupts. All pins are masked from ioapic_init on until ioapic_route unmasks
 * them. Callers serialise access to one pin; access to the chip's index register is locked inside.
 * Intel 82093AA datasheet; Intel SDM volume 3, 11.11 for edge and level semantics.
 */

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
