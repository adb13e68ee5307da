/**
 * @file
 * Local APIC of a vCPU, in xAPIC and x2APIC mode (Intel SDM volume 3, chapter 11), with one-shot, periodic and TSC-deadline
 * timer.
 *
 * It belongs to the handler thread of its vCPU. Others only set bits of `irr` and `tmr`, atomically, by lapic_accept(), and
 * then the vCPU is kicked. Times are values of the guest's TSC.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>
#include <stdint.h>

#define LAPIC_BASE 0xfee00000UL
#define LAPIC_NEVER UINT64_MAX
#define LAPIC_TIMER_HZ 1000000000UL /**< what the timer counts before its divider */

/** IA32_APIC_BASE (11.4.4). */
#define LAPIC_BASE_BSP 0x100UL
#define LAPIC_BASE_X2APIC 0x400UL
#define LAPIC_BASE_ENABLE 0x800UL

#define LAPIC_TO_ALL UINT32_MAX /**< the destination that names all of them */

/** Delivery modes (11.5.1). */
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
    uint32_t id; /**< APIC id = number of the vCPU */
    uint64_t base; /**< IA32_APIC_BASE */
    uint32_t irr[8], isr[8], tmr[8]; /**< irr and tmr: atomic */
    uint32_t lvt[6]; /**< timer, thermal, performance, LINT0, LINT1, error */
    uint32_t svr, tpr, ldr, dfr, esr, icr_low, icr_high;
    uint32_t esr_pending; /**< errors since the last write to ESR; atomic */
    uint32_t divide, initial_count;
    uint64_t timer_start; /**< TSC when the count began */
    uint64_t deadline; /**< TSC of the next expiry, or LAPIC_NEVER */
};

/** Frequency of the guest's TSC, not 0. Once, before the first vCPU runs. */
void lapic_init_time(uint64_t tsc_hz);

/** After power-on and INIT; INIT keeps the id and the mode (IA32_APIC_BASE). */
void lapic_reset(struct lapic *lapic, unsigned id, bool keep_id);

/** Registers by their xAPIC offset / 16 (x2APIC MSR - 0x800). False: the access faults (x2APIC), or is lost (xAPIC). `now`: guest
 * TSC. A write may change the deadline, send IPIs by irq_deliver(), and end an interrupt. */
bool lapic_read(struct lapic *lapic, unsigned reg, uint64_t now, uint64_t *value);
bool lapic_write(struct lapic *lapic, unsigned reg, uint64_t now, uint64_t value);

/** Accesses to the page at LAPIC_BASE, of any size: whole registers, and parts of them for reading (11.4.1). Others, and all while
 * the page is not there (disabled, x2APIC mode), read as ones and are lost. */
uint64_t lapic_mmio_read(struct lapic *lapic, uint64_t offset, unsigned size, uint64_t now);
void lapic_mmio_write(struct lapic *lapic, uint64_t offset, unsigned size, uint64_t now, uint64_t value);

/** IA32_APIC_BASE; false: the value is not allowed. The registers do not move: another address is not allowed either. */
bool lapic_set_base(struct lapic *lapic, uint64_t value);

/** IA32_TSC_DEADLINE. */
uint64_t lapic_tsc_deadline(const struct lapic *lapic);
void lapic_set_tsc_deadline(struct lapic *lapic, uint64_t value);

/** The guest's TSC has been set: it is now `change` more than before. What counts time goes on as if it had not. */
void lapic_tsc_moved(struct lapic *lapic, uint64_t change);

/** Any thread: an interrupt arrives. The caller kicks the vCPU. False if nothing is pending because of it: the APIC is disabled, or
 * the vector is not a legal one. */
bool lapic_accept(struct lapic *lapic, uint8_t vector, bool level);

/** Whether a destination names this APIC (11.6.2); LAPIC_TO_ALL does in either mode. Never while it is disabled. Any thread. */
bool lapic_is_destination(const struct lapic *lapic, uint32_t destination, bool logical);

/** Whether it takes interrupts with vectors: not disabled, nor by software (SVR). Any thread. */
bool lapic_is_enabled(const struct lapic *lapic);

/** Highest pending vector that the priorities let through, or -1. */
int lapic_pending(const struct lapic *lapic);

/** That vector is being injected: from IRR to ISR. */
void lapic_take(struct lapic *lapic, uint8_t vector);

/** End of interrupt; what a write to the EOI register does. */
void lapic_eoi(struct lapic *lapic);

/** If the deadline has come: the timer's interrupt becomes pending, and a periodic timer goes on. */
void lapic_timer(struct lapic *lapic, uint64_t now);

/** Whether the last interrupt with this vector was level-triggered, so that its EOI matters to the IOAPIC. */
bool lapic_is_level(const struct lapic *lapic, uint8_t vector);

/** CR8 is TPR[7:4]. */
uint64_t lapic_cr8(const struct lapic *lapic);
void lapic_set_cr8(struct lapic *lapic, uint64_t value);
