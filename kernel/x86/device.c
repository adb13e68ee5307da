/*
 * Device pages and the boot window share one page table at DEVICE_BASE.
 *
 * SPDX-License-Identifier: MIT
 */

#include "x86/device.h"

#include "boot/paging.h"
#include "lib/panic.h"
#include "mem/layout.h"
#include "x86/cpu.h"

/* Slots of the window: 1 MiB at any offset. The low page and device pages lie behind. */
#define WINDOW_SLOTS 257
#define WINDOW_SIZE 0x100000UL
#define LOW_SLOT WINDOW_SLOTS

static unsigned device_slot = LOW_SLOT + 1;

static char *slot_map(unsigned slot, uint64_t phys, uint64_t bits)
{
    char *virt = (char *)(uintptr_t)(DEVICE_BASE + slot * PAGE_SIZE);

    paging_device[slot] = (phys & ~(PAGE_SIZE - 1)) | bits;
    invlpg(virt);
    return virt;
}

volatile void *device_map(uint64_t phys)
{
    if (device_slot == ARRAY_SIZE(paging_device))
        panic("too many device pages");
    return slot_map(device_slot++, phys, PTE_DEVICE) + phys % PAGE_SIZE;
}

void boot_window_close(void)
{
    for (unsigned i = 0; i <= LOW_SLOT; i++)
        slot_map(i, 0, 0);
}

void *boot_low_page(uint64_t phys)
{
    return slot_map(LOW_SLOT, phys, PTE_DATA);
}

const void *boot_window(uint64_t phys, size_t size)
{
    uint64_t pages = (phys % PAGE_SIZE + size + PAGE_SIZE - 1) / PAGE_SIZE;

    if (size > WINDOW_SIZE || (phys | (phys + size)) >> cpu_phys_bits)
        return 0;
    for (unsigned i = 0; i < pages; i++)
        slot_map(i, phys + i * PAGE_SIZE, PTE_RODATA);
    return (const char *)(uintptr_t)DEVICE_BASE + phys % PAGE_SIZE;
}
