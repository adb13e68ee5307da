/*
 * Virtual memory as the kernel sees it, and the translation between virtual and physical addresses of
 * kernel memory. There is no map of all physical memory: only the image, the page pool inside it, the
 * areas of the CPUs and a few device pages are mapped.
 *
 *   0xffff'ffff'ffff'ffff +---------------------------+
 *                         | one device page a slot    |  DEVICE_BASE   (x86/device.h)
 *   0xffff'ffff'f000'0000 +---------------------------+
 *                         | one area of 64 KiB a CPU  |  CPU_BASE      (core/cpu.h)
 *   0xffff'ffff'e000'0000 +---------------------------+
 *                         |                           |
 *                         | image, page pool          |  KERNEL_BASE + 2 MiB (kernel.ld)
 *   0xffff'ffff'8000'0000 +---------------------------+
 *                         | unused                    |
 *   0x0000'8000'0000'0000 +---------------------------+  USER_END
 *                         | host space of a PD        |
 *   0x0000'0000'0000'0000 +---------------------------+
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#define USER_END 0x800000000000
#define KERNEL_BASE 0xffffffff80000000
#define CPU_BASE 0xffffffffe0000000
#define DEVICE_BASE 0xfffffffff0000000

/* Most CPUs that the kernel starts; further ones stay parked. */
#define CPU_MAX 128

#ifndef __ASSEMBLER__

#include <stdint.h>

/* KERNEL_BASE minus the physical address that it stands for; the boot loader may shift the image. */
extern uint64_t kernel_delta;

static inline uint64_t phys_of(const void *kernel_memory)
{
    return (uint64_t)(uintptr_t)kernel_memory - kernel_delta;
}

static inline void *virt_of(uint64_t phys)
{
    return (void *)(uintptr_t)(phys + kernel_delta);
}

#endif
