/*
 * How the machine is switched off: what firmware says in ACPI (ACPI specification 6.5). Its tables are trusted,
 * but nothing beyond their lengths is read.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef ROOT_ACPI_H
#define ROOT_ACPI_H

#include <stddef.h>
#include <stdint.h>

/*
 * SLP_TYPa | SLP_TYPb << 3 of the state S5: the first two elements of the package _S5_ (7.4.2) in the AML code of a
 * DSDT; 0 if there is none.
 */
unsigned acpi_find_s5(const uint8_t *aml, size_t size);

/* The same for this machine. */
unsigned acpi_s5(void);

#endif
