/*
 * Start of further CPUs.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef BOOT_SMP_H
#define BOOT_SMP_H

/* Starts all CPUs that ACPI lists, one after the other; those that do not answer are left out. */
void smp_start(void);

/* Lets them schedule. */
void smp_release(void);

#endif
