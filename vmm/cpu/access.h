/**
 * @file
 * Guest memory and devices, as the instruction emulation uses them.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef VMM_CPU_ACCESS_H
#define VMM_CPU_ACCESS_H

#include "emu/emu.h"

/** The context is the vCPU. */
extern struct emu_ops access_ops;

/** Once, after cpuid_init(). */
void access_init(void);

#endif
