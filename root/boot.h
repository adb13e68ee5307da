/*
 * What the boot loader tells: modules and memory. Works on a copy of the Multiboot2 information; nothing in
 * it is trusted to fit.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "memory.h"

#include <nova/manifest.h>
#include <stddef.h>

#define BOOT_MAGIC 0x36d76289
#define BOOT_INFO_MAX 0x10000 /* bytes of information that are looked at */

#define BOOT_MODULES (NOVA_MODULES_MAX + 2)

struct boot_module {
    uint64_t start, end; /* physical */
    const char *cmdline; /* in the information, ended by 0 */
};

struct boot {
    struct boot_module module[BOOT_MODULES]; /* in order; the first one is root */
    unsigned modules;
    const struct tag *map; /* of memory; in the information */
};

/* False if the information is cut off, has no memory map, or too many modules. */
bool boot_parse(const void *info, size_t size, struct boot *boot);

/*
 * The n-th entry of the memory map; false behind the last one. One that is not available, or overflows, is
 * empty. The boot loader makes this map with UEFI, too.
 */
bool boot_memory(const struct boot *boot, unsigned n, struct range *memory);
