/*
 * How devices interrupt: pins of the IOAPIC, and messages. Any thread.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef VMM_DEV_IRQ_H
#define VMM_DEV_IRQ_H

#include <stdbool.h>
#include <stdint.h>

#define IRQ_PINS 24
#define IRQ_UART 4
#define IRQ_GED 9

/* The level of a pin. An edge-triggered input of the IOAPIC takes the change from false to true. */
void irq_set(unsigned pin, bool level);

/*
 * A message (Intel SDM volume 3, 11.11): address 0xfee..., destination, delivery mode, vector. What is not a valid message is
 * counted and lost.
 */
void irq_message(uint64_t address, uint32_t data);

/* Delivers to the LAPICs that a destination names (11.6.2): used by messages, the IOAPIC and IPIs. */
void irq_deliver(uint32_t destination, bool logical, unsigned mode, uint8_t vector, bool level);

/* An EOI for a level-triggered vector has come: the IOAPIC looks at its pins again. */
void irq_eoi(uint8_t vector);

#endif
