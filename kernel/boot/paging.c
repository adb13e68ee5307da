/*
 * Page tables of the kernel.
 *
 *   kernel_root[511] -> pdpt[510] -> image[]     1 GiB from KERNEL_BASE: 4 KiB pages up to the pool, then 2 MiB
 *                       pdpt[511] -> high[256..] areas of the CPUs
 *                                    high[384]   devices
 *
 * SPDX-License-Identifier: MIT
 */

#include "boot/paging.h"

#include "lib/panic.h"
#include "mem/layout.h"
#include "mem/pool.h"

#define TABLE __attribute__((aligned(PAGE_SIZE)))
#define LARGE_SIZE 0x200000UL

uint64_t kernel_root[512] TABLE;
uint64_t paging_device[512] TABLE;
static uint64_t pdpt[512] TABLE, image[512] TABLE, high[512] TABLE;
static uint64_t small[2][512] TABLE; /* image below the pool: at most 4 MiB */

extern char image_start[], text_end[], rodata_end[], pool_start[], console_buffer_end[];

static unsigned index_of(uint64_t virt, unsigned level)
{
    return virt >> (PAGE_BITS + 9 * (level - 1)) & 511;
}

static uint64_t bits_of(uint64_t virt)
{
    return virt < (uintptr_t)text_end ? PTE_TEXT : virt < (uintptr_t)rodata_end ? PTE_RODATA : PTE_DATA;
}

void paging_init(void)
{
    uint64_t first = (uintptr_t)image_start & ~(LARGE_SIZE - 1);

    kernel_root[511] = phys_of(pdpt) | PTE_TABLE;
    pdpt[510] = phys_of(image) | PTE_TABLE;
    pdpt[511] = phys_of(high) | PTE_TABLE;
    high[index_of(DEVICE_BASE, 2)] = phys_of(paging_device) | PTE_TABLE;
    for (uint64_t v = first; v < (uintptr_t)console_buffer_end; v += LARGE_SIZE) {
        uint64_t *entry = &image[index_of(v, 2)];
        uint64_t n = (v - first) / LARGE_SIZE;
        if (v >= (uintptr_t)pool_start) {
            *entry = phys_of((void *)(uintptr_t)v) | PTE_DATA | PTE_LARGE;
            continue;
        }
        if (n == ARRAY_SIZE(small))
            panic("kernel image too large");
        *entry = phys_of(small[n]) | PTE_TABLE;
        for (unsigned i = 0; i < 512; i++) {
            uint64_t page = v + i * PAGE_SIZE;
            small[n][i] = phys_of((void *)(uintptr_t)page) | bits_of(page);
        }
    }
}

uint64_t *paging_entry(uint64_t virt)
{
    uint64_t *entry = &high[index_of(virt, 2)];

    if (!*entry) {
        void *table = page_alloc(0, 0);
        if (!table)
            panic("no memory for page tables");
        *entry = phys_of(table) | PTE_TABLE;
    }
    return (uint64_t *)virt_of(*entry & 0xffffffffff000) + index_of(virt, 1);
}
