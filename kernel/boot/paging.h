/*
 * Page tables of the kernel's half of the address space. They are built once; all host spaces share them through root
 * entry 511. Nothing is writable and executable.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "lib/util.h"

/* Present, writable, write-through, cache disable, accessed, dirty, large, global, no execute. */
#define PTE_P BIT(0)
#define PTE_W BIT(1)
#define PTE_PWT BIT(3)
#define PTE_PCD BIT(4)
#define PTE_A BIT(5)
#define PTE_D BIT(6)
#define PTE_LARGE BIT(7)
#define PTE_G BIT(8)
#define PTE_NX BIT(63)

#define PTE_TABLE (PTE_P | PTE_W | PTE_A)
#define PTE_TEXT (PTE_P | PTE_A | PTE_G)
#define PTE_RODATA (PTE_P | PTE_A | PTE_G | PTE_NX)
#define PTE_DATA (PTE_P | PTE_W | PTE_A | PTE_D | PTE_G | PTE_NX)
#define PTE_DEVICE (PTE_DATA | PTE_PWT | PTE_PCD)

extern uint64_t kernel_root[512];   /* root table without a user half */
extern uint64_t paging_device[512]; /* maps DEVICE_BASE (x86/device.c) */

/* Builds the tables; the pool need not exist yet. */
void paging_init(void);

/* Entry for a page above CPU_BASE; tables come from the pool. */
uint64_t *paging_entry(uint64_t virt);
