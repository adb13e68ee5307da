/*
 * Reset and power-off of the platform.
 *
 * ACPI Specification 6.5, 4.8.3.2, 4.8.3.6, 4.8.3.7, 16.1.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef X86_POWER_H
#define X86_POWER_H

#include "lib/util.h"

/*
 * Enters sleep state S with the SLP_TYP values of its ACPI package; 0 resets. NOVA_ status code if that fails:
 * BAD_FTR (only 0 and 5 are supported, or the registers are missing), BAD_PAR, ABORTED (another CPU was faster).
 */
unsigned power_transition(unsigned state, unsigned type_a, unsigned type_b);

#endif
