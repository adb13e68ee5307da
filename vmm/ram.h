/**
 * @file
 * Guest memory, as the VMM sees it.
 *
 *   guest-physical                      VMM
 *   0          - RAM_LOW_END  (3 GiB)   base + 0
 *   4 GiB      - ...                    base + RAM_LOW_END, if there is more than that
 *
 * The guest may change it at any time: read once, check, use. Any thread.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RAM_LOW_END 0xc0000000UL
#define RAM_HIGH 0x100000000UL

/** Once, before anything else. */
void ram_init(void *base, uint64_t size);

uint64_t ram_size(void);

/** End of the part below 4 GiB, and of all of it (RAM_HIGH if there is none above). */
uint64_t ram_low_end(void);
uint64_t ram_high_end(void);

/** Where [gpa, gpa + bytes) is; null unless all of it is RAM. The only way from guest addresses to memory. */
void *ram_at(uint64_t gpa, uint64_t bytes);
