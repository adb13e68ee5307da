/**
 * @file
 * What the loaders share: errors, the memory map, the place of the initrd, the tables and segments of the entry state.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "boot/boot.h"

/** Places in BOOT_DATA. */
#define BOOT_GDT (BOOT_DATA + 0x0)
#define BOOT_STACK (BOOT_DATA + 0x1000) /**< end of a small stack */
#define BOOT_INFO (BOOT_DATA + 0x1000)  /**< zero page, Multiboot information */
#define BOOT_SETUP (BOOT_DATA + 0x2000) /**< setup_data */
#define BOOT_CMDLINE (BOOT_DATA + 0x3000)
#define BOOT_CMDLINE_SIZE 0x5000UL
#define BOOT_SMALL_END 0xa0000UL /**< end of the memory below the hole for ROMs */
#define BOOT_KERNELS 0x100000UL  /**< kernels lie from here on */

/** The memory map: types as in the BIOS interface E820 (ACPI 6.4, 15.1). */
enum boot_type { BOOT_RAM = 1, BOOT_RESERVED = 2, BOOT_ACPI = 3 };

struct boot_region {
    uint64_t start, size;
    enum boot_type type;
};

#define BOOT_REGIONS 8

/** Fills in the map, in ascending order: number of regions. */
unsigned boot_map(struct boot_region map[static BOOT_REGIONS]);

/** Makes the text of an error; it lives until the next one. */
const char *boot_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Zeroes BOOT_DATA, the tables, and what a BIOS would have left below them; copies the command line. */
const char *boot_prepare(const char *cmdline, size_t longest);

/**
 * Copies an initrd or module to the highest page below `limit` where it does not touch [kernel, kernel_end).
 * Null, or what is wrong.
 */
const char *boot_place(const void *data, size_t size, uint64_t limit, uint64_t kernel, uint64_t kernel_end,
                       uint64_t *address);

/** Entry states: 64-bit mode with 4 GiB identity mapped, and 32-bit protected mode without paging. Writes the tables. */
void boot_enter_64(struct boot_state *state);
void boot_enter_32(struct boot_state *state);
