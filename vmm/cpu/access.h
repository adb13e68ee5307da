/**
 * @file
 * Guest memory and devices, as the instruction emulation uses them.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "emu/emu.h"

struct vcpu;

/** The context is the vCPU. */
extern struct emu_ops access_ops;

/** Once, after cpuid_init(). */
void access_init(void);

/** Carries out emu->insn, and ends the handling of the event, whose message has MTD_EMULATE. */
uint32_t access_execute(struct vcpu *vcpu, struct nova_arch_state *state, struct emu *emu);
