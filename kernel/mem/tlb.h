/*
 * Loading of host spaces, and coherence of the TLBs, for guest spaces as well.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "core/cpu.h"
#include "x86/asm.h"

/* Makes a space the current one of this CPU; null: the kernel alone. */
void tlb_load(struct cpu *cpu, struct space_hst *hst);

/*
 * Returns when no CPU can use what the tables of the space said before the last update. All CPUs
 * concerned are interrupted first, then waited for. Not with a lock held.
 */
void tlb_shootdown(struct space_mem *mem);

/* Flushes on this CPU what other CPUs declared stale. */
void tlb_serve(struct cpu *cpu);
