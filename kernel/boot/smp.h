/*
 * Start of further CPUs.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef BOOT_SMP_H
#define BOOT_SMP_H

struct cpu;

/* Calls the function on the CPU's own stack (boot/start.S). */
_Noreturn void boot_switch(struct cpu *cpu, void (*function)(struct cpu *));

/* Starts all CPUs that ACPI lists, one after the other; those that do not answer are left out. */
void smp_start(void);

/* Lets them schedule. */
void smp_release(void);

#endif
