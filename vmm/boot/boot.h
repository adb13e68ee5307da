/**
 * @file
 * Puts an operating system into guest memory, and says in which state the first vCPU enters it.
 *
 * Images come from outside and are hostile: nothing is believed that was not checked, and what is wrong with an image is a
 * precise error. Called while no vCPU runs, at start and at each reset.
 *
 *   0x0       IVT and BIOS data area: zero          left to the guest
 *   0x8000    GDT, zero page or Multiboot information, setup_data, command line   BOOT_DATA
 *   0x10000   page tables: 4 GiB identity mapped                                  BOOT_TABLES
 *   0xa0000   no memory for the guest
 *   0xe0000   ACPI tables, RSDP first (acpi/acpi.h)
 *   0x100000  kernel, at the place that it asks for
 *   ...       initrd or module, as high as possible below 3 GiB and the kernel's limit; below the kernel if there is no room above
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <nova/abi/utcb.h>
#include <stddef.h>
#include <stdint.h>

#define BOOT_DATA 0x8000UL    /**< 32 KiB */
#define BOOT_TABLES 0x10000UL /**< 24 KiB */

/** What differs from the state after power-on; segments as in the UTCB. General registers that are not here are zero. */
struct boot_state {
    uint64_t rip, rflags;
    uint64_t rax, rbx, rsp, rsi;
    uint64_t cr0, cr3, cr4, efer;
    struct nova_segment cs;
    struct nova_segment data; /**< DS, ES, FS, GS and SS */
    struct nova_segment tr, ldtr, gdtr, idtr;
};

/**
 * Loads whatever `kernel` is: a Linux bzImage or a Multiboot image. `initrd` may be empty; `cmdline` is a string. The ACPI tables
 * are at their place already. Null, or what is wrong; guest memory may then be changed, `state` is not.
 */
const char *boot_load(const void *kernel, size_t kernel_size, const void *initrd, size_t initrd_size, const char *cmdline,
                      struct boot_state *state);

/** One of the formats. `boot_multiboot` looks for the header in the first 8 KiB. */
const char *boot_linux(const void *kernel, size_t kernel_size, const void *initrd, size_t initrd_size, const char *cmdline,
                       struct boot_state *state);
const char *boot_multiboot(const void *kernel, size_t kernel_size, const void *initrd, size_t initrd_size,
                           const char *cmdline, struct boot_state *state);
