/**
 * @file
 * MSRs that exit: a table of those that exist; all others fault, and are counted.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <nova/abi/utcb.h>
#include <stdbool.h>
#include <stdint.h>

struct vcpu;

#define MSR_STORED 4 /**< MSRs whose value is only kept */

enum msr_result {
    MSR_DONE,
    MSR_FAULT, /**< general protection, error code 0 */
    MSR_STATE  /**< the message must have all state */
};

/** `state` has what vcpu->complete says. A write adds to `mtd` what it has changed of the state. */
enum msr_result msr_read(struct vcpu *vcpu, const struct nova_arch_state *state, uint32_t msr,
                         uint64_t *value);
enum msr_result msr_write(struct vcpu *vcpu, struct nova_arch_state *state, uint32_t msr, uint64_t value,
                          uint32_t *mtd);

/** After power-on. */
void msr_reset(struct vcpu *vcpu);

/** The machine has been paused: tells the guest by its paravirtual clock. */
void msr_resumed(struct vcpu *vcpu);

/** Accesses to MSRs that do not exist. */
uint64_t msr_unknown(void);
