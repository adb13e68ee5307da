/*
 * The steps of booting, in the order in which boot/init.c takes them.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "core/cpu.h"
#include "nova/abi/hip.h"

#define MULTIBOOT2_MAGIC 0x36d76289

/* What the boot loader tells besides what stands in the HIP. Physical addresses. */
struct boot_info {
    uint32_t magic;
    uint64_t info;
    uint64_t low_page; /* below 640 KiB, memory, for a short time: its contents must be restored; 0: none */
};

extern struct boot_info boot_info;

/* The hypervisor information page, mapped read-only for the root PD. */
extern struct nova_hip *const hip;

/*
 * Parses the Multiboot2 information (specification 2.0, 3.6) into boot_info and, as to root image (the first
 * module), RSDP and UEFI memory map, into the HIP; false if it is unusable.
 */
bool multiboot_parse(uint32_t magic, uint64_t info);

/* Calls the function on the CPU's own stack (boot/start.S). */
_Noreturn void boot_switch(struct cpu *cpu, void (*function)(struct cpu *));

/* Starts all CPUs that ACPI lists, one after the other; those that do not answer are left out. */
void smp_start(void);

/* Fills the NOVA spaces, once all CPUs and devices are known. */
void nova_spaces_init(void);

/* Fills in what is still missing in the HIP, when everything else is known. */
void hip_init(void);

/*
 * The root protection domain, first user of everything (specification, 6.2): creates it with its image, EC and
 * SC. Panics on a root image that is not valid.
 */
void root_create(void);

/* Lets the other CPUs schedule. */
void smp_release(void);
