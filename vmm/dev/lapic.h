/*
 * Local APIC of a vCPU, in xAPIC and x2APIC mode (Intel SDM volume 3, chapter 11), with one-shot, periodic and TSC-deadline
 * timer.
 *
 * It belongs to the handler thread of its vCPU. Others only set bits of `irr` and `tmr`, atomically, by lapic_accept(), and
 * then the vCPU is kicked. Times are values of the guest's TSC.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef VMM_DEV_LAPIC_H
#define VMM_DEV_LAPIC_H

#include <stdbool.h>
#include <stdint.h>

#define LAPIC_BASE 0xfee00000UL
#define LAPIC_NEVER UINT64_MAX

/* Delivery modes (11.5.1). */
enum lapic_mode {
    LAPIC_FIXED = 0,
    LAPIC_LOWEST = 1,
    LAPIC_SMI = 2,
    LAPIC_NMI = 4,
    LAPIC_INIT = 5,
    LAPIC_STARTUP = 6,
    LAPIC_EXTINT = 7
};

struct lapic {
    uint32_t id; /* APIC id = number of the vCPU */
    uint64_t base; /* IA32_APIC_BASE */
    uint32_t irr[8], isr[8], tmr[8]; /* irr and tmr: atomic */
    uint32_t lvt[6]; /* timer, thermal, performance, LINT0, LINT1, error */
    uint32_t svr, tpr, ldr, dfr, esr, esr_pending, icr_high;
    uint32_t divide, initial_count;
    uint64_t timer_start; /* TSC when the count began */
    uint64_t deadline; /* TSC of the next expiry, or LAPIC_NEVER */
};

/* After power-on and INIT; INIT keeps the id. */
void lapic_reset(struct lapic *lapic, unsigned id, bool keep_id);

/* Registers by their xAPIC offset / 16 (x2APIC MSR - 0x800). False: the access faults (x2APIC), or is lost (xAPIC). `now`: guest
 * TSC. A write may change the deadline, send IPIs by irq_deliver(), and end an interrupt. */
bool lapic_read(struct lapic *lapic, unsigned reg, uint64_t now, uint64_t *value);
bool lapic_write(struct lapic *lapic, unsigned reg, uint64_t now, uint64_t value);

/* IA32_APIC_BASE; false: the value is not allowed. */
bool lapic_set_base(struct lapic *lapic, uint64_t value);

/* IA32_TSC_DEADLINE. */
uint64_t lapic_tsc_deadline(const struct lapic *lapic);
void lapic_set_tsc_deadline(struct lapic *lapic, uint64_t value);

/* Any thread: an interrupt arrives. The caller kicks the vCPU. False if the APIC is software-disabled. */
bool lapic_accept(struct lapic *lapic, uint8_t vector, bool level);

/* Whether a destination names this APIC (11.6.2). Any thread. */
bool lapic_is_destination(const struct lapic *lapic, uint32_t destination, bool logical);

/* Highest pending vector that the priorities let through, or -1. */
int lapic_pending(const struct lapic *lapic);

/* That vector is being injected: from IRR to ISR. */
void lapic_take(struct lapic *lapic, uint8_t vector);

/* End of interrupt; what a write to the EOI register does. */
void lapic_eoi(struct lapic *lapic);

/* If the deadline has come: the timer's interrupt becomes pending, and a periodic timer goes on. */
void lapic_timer(struct lapic *lapic, uint64_t now);

/* CR8 is TPR[7:4]. */
uint64_t lapic_cr8(const struct lapic *lapic);
void lapic_set_cr8(struct lapic *lapic, uint64_t value);

#endif
