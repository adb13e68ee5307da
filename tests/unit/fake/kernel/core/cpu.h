/*
 * Stands in front of the kernel's core/cpu.h: the areas of the CPUs are an array, and which CPU this is
 * belongs to the thread, not to the stack. All else is the kernel's.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#define cpu_of real_cpu_of
#define cpu_self real_cpu_self
#include_next "core/cpu.h"
#undef cpu_of
#undef cpu_self

extern struct cpu fake_cpus[CPU_MAX];
extern _Thread_local unsigned fake_self;

static inline struct cpu *cpu_of(unsigned id)
{
    return &fake_cpus[id];
}

static inline struct cpu *cpu_self(void)
{
    return &fake_cpus[fake_self];
}
