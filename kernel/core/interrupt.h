/*
 * Interrupts of devices: each is a semaphore. Interrupt n has vector 32 + n on the CPU it is routed to; the numbers
 * below interrupt_pins are pins (global system interrupts), the others are messages.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "core/sm.h"

#define INTERRUPT_VECTOR 32
#define INTERRUPT_MAX 216

void interrupt_init(void);

extern unsigned interrupt_pins;

/* assign_int: NOVA_ status code; for messages *addr and *data tell what the device has to send. */
unsigned interrupt_assign(struct sm *sm, unsigned cpu, unsigned flags, uint32_t *addr, uint32_t *data);

/* A device's interrupt has arrived on this CPU. */
void interrupt_arrived(unsigned vector);

/* Before a down on an interrupt semaphore: BAD_CPU if it comes elsewhere; unmasks a level interrupt. */
unsigned interrupt_wait(const struct sm *sm, const struct cpu *cpu);
