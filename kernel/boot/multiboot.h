/*
 * What the kernel takes from the boot information.
 *
 * Multiboot2 Specification 2.0, 3.6.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef BOOT_MULTIBOOT_H
#define BOOT_MULTIBOOT_H

#include "lib/util.h"

#define MULTIBOOT2_MAGIC 0x36d76289

/* Physical addresses. */
struct boot_info {
    uint32_t magic;
    uint64_t info, info_end;
    uint64_t root_start, root_end; /* first module; 0: none */
    uint64_t rsdp;                 /* UINT64_MAX: none */
    uint64_t uefi_map;             /* UINT64_MAX: none */
    uint32_t uefi_map_size, uefi_desc_size, uefi_desc_version;
    uint64_t low_page; /* below 640 KiB, memory, for a short time: its contents must be restored; 0: none */
};

extern struct boot_info boot_info;

/* Parses the information into boot_info; false if it is unusable. */
bool multiboot_parse(uint32_t magic, uint64_t info);

#endif
