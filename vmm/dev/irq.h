/**
 * @file
 * How devices interrupt: pins of the IOAPIC, and messages. Any thread.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>
#include <stdint.h>

#define IOAPIC_BASE 0xfec00000UL /**< guest-physical: one IOAPIC, one page */
#define IRQ_PINS 24
#define IRQ_IOAPIC 0xfec00000UL
#define IRQ_IOAPIC_SIZE 0x1000UL
#define IRQ_UART 4
#define IRQ_GED 9

/** Puts the IOAPIC on the bus; once, false: no room. And its state after power-on; the pins keep their levels. */
bool irq_init(void);
void irq_reset(void);

/** The level of a pin. An edge-triggered input of the IOAPIC takes the change from false to true. */
void irq_set(unsigned pin, bool level);

/**
 * A message (Intel SDM volume 3, 11.11): address 0xfee..., destination, delivery mode, vector. What is not a valid message is
 * counted and lost.
 */
void irq_message(uint64_t address, uint32_t data);

/**
 * Delivers to the LAPICs that a destination names (11.6.2): used by messages, the IOAPIC and IPIs. False if nobody takes it.
 * Destinations of 8 bits come from irq_destination().
 */
bool irq_deliver(uint32_t destination, bool logical, unsigned mode, uint8_t vector, bool level);

/** The same to all but one. */
bool irq_deliver_others(unsigned self, unsigned mode, uint8_t vector);

/** A destination of 8 bits, as xAPICs, the IOAPIC and messages know it: 0xff names all. */
uint32_t irq_destination(uint32_t destination);

/** An EOI for a level-triggered vector has come: the IOAPIC looks at its pins again. */
void irq_eoi(uint8_t vector);
