/*
 * What the boot loader tells the root image.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdint.h>

struct memory_range {
    uint64_t start, end;
};

/* Command line of the root module ("" if unknown) and the largest range of free RAM. */
void multiboot_parse(uint64_t magic, uint64_t mbi, const char **cmdline, struct memory_range *pool);
