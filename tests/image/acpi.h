/*
 * ACPI tables, mapped from physical memory.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdint.h>

struct acpi_table {
    char signature[4];
    uint32_t length;
    uint8_t header[28];
    uint8_t body[];
};

/* The first table with that four-letter signature, or NULL. */
const struct acpi_table *acpi_find(const char *signature);

/* Little-endian fields at a byte offset from the start of the table; 0 beyond its end. */
uint64_t acpi_field(const struct acpi_table *table, unsigned offset, unsigned bytes);
