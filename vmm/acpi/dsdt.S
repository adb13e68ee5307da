/*
 * The DSDT, as iasl made it of dsdt.asl.
 *
 * SPDX-License-Identifier: MIT
 */

    .section .rodata, "a"
    .global acpi_dsdt, acpi_dsdt_end
    .balign 16
acpi_dsdt:
    .incbin "acpi/dsdt.aml"
acpi_dsdt_end:

    .section .note.GNU-stack, "", @progbits
