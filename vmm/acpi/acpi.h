/**
 * @file
 * ACPI tables of the board machine (ACPI 6.4, hardware-reduced), in guest memory.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

/** The RSDP is the first of the tables. */
#define ACPI_TABLES 0xe0000UL
#define ACPI_TABLES_END 0x100000UL

/** Ports, one byte each (4.8.3.7, 4.8.3.6). */
#define ACPI_SLEEP_CONTROL 0x600 /**< writing (ACPI_S5 << 2 | ACPI_SLEEP_ENABLE) powers the machine off */
#define ACPI_SLEEP_STATUS 0x601  /**< reads as zero */
#define ACPI_RESET 0x604         /**< writing ACPI_RESET_VALUE resets the machine */

#define ACPI_S5 5
#define ACPI_SLEEP_ENABLE 0x20
#define ACPI_RESET_VALUE 1

/** The power button: an edge at this pin of the IOAPIC (IRQ_GED). There is no register to clear. */

/** Writes the tables of a machine with `vcpus` CPUs, whose APIC ids are 0, 1, 2... At start and at each reset. */
void acpi_write(unsigned vcpus);
