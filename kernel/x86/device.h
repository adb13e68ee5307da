/*
 * Mappings of device registers and, while booting, of physical memory that the kernel only looks at.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "lib/util.h"

/* Maps one page of device registers, uncached, for good. Never fails: slots are for boot time. */
volatile void *device_map(uint64_t phys);

/*
 * Makes physical memory readable (write-back) while booting. Only the latest window is valid. `size` is at most 1 MiB:
 * more gives null.
 */
const void *boot_window(uint64_t phys, size_t size);

/* Maps one page of low memory, to be written to while booting. */
void *boot_low_page(uint64_t phys);

/* Closes the window, and takes back the low page, for good. */
void boot_window_close(void);
