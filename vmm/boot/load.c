/*
 * What all loaders need: see layout.h, and the diagram in boot.h.
 *
 * Called while no vCPU runs.
 *
 * SPDX-License-Identifier: MIT
 */

#include "acpi/acpi.h"
#include "boot/layout.h"
#include "dev/irq.h"
#include "dev/lapic.h"
#include "dev/pci.h"
#include "ram.h"

#include <nova/format.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#define PAGE 4096UL

/* Segment access rights as in the UTCB. */
#define AR_CODE_64 0xa9b /* type 11, S, P, L, G */
#define AR_CODE_32 0xc9b
#define AR_DATA 0xc93 /* type 3, S, P, D/B, G */
#define AR_TSS 0x8b
#define AR_UNUSABLE 0x1000
#define SEL_CODE 0x10 /* what Linux calls __BOOT_CS and __BOOT_DS */
#define SEL_DATA 0x18

#define CR0_PE 0x1
#define CR0_ET 0x10
#define CR0_NE 0x20
#define CR0_PG 0x80000000
#define CR4_PAE 0x20
#define EFER_LME_LMA 0x500
#define RFLAGS_FIXED 0x2

const char *boot_error(const char *format, ...)
{
    static char text[160];
    va_list args;

    va_start(args, format);
    nova_format_args(text, sizeof text, format, args);
    va_end(args);
    return text;
}

unsigned boot_map(struct boot_region map[static BOOT_REGIONS])
{
    unsigned n = 0;

    map[n++] = (struct boot_region){0, BOOT_SMALL_END, BOOT_RAM};
    map[n++] = (struct boot_region){ACPI_TABLES, ACPI_TABLES_END - ACPI_TABLES, BOOT_RESERVED};
    map[n++] = (struct boot_region){BOOT_KERNELS, ram_low_end() - BOOT_KERNELS, BOOT_RAM};
    map[n++] = (struct boot_region){PCI_ECAM, PCI_ECAM_SIZE, BOOT_RESERVED};
    map[n++] = (struct boot_region){IOAPIC_BASE, PAGE, BOOT_RESERVED};
    map[n++] = (struct boot_region){LAPIC_BASE, PAGE, BOOT_RESERVED};
    if (ram_high_end() > RAM_HIGH)
        map[n++] = (struct boot_region){RAM_HIGH, ram_high_end() - RAM_HIGH, BOOT_RAM};
    return n;
}

const char *boot_prepare(const char *cmdline, size_t longest)
{
    size_t length = strlen(cmdline);

    if (longest > BOOT_CMDLINE_SIZE - 1)
        longest = BOOT_CMDLINE_SIZE - 1;
    if (length > longest)
        return boot_error("the command line has %zu characters, the kernel takes %zu", length, longest);
    if (!ram_at(0, 2 * BOOT_KERNELS))
        return "the VM has less than 2 MiB of memory";
    memset(ram_at(0, BOOT_SMALL_END), 0, BOOT_SMALL_END);
    memcpy(ram_at(BOOT_CMDLINE, length + 1), cmdline, length + 1);
    return NULL;
}

/* The highest page in [bottom, end) with room for `size` bytes. */
static bool highest(uint64_t bottom, uint64_t end, size_t size, uint64_t *address)
{
    if (end < bottom || end - bottom < size)
        return false;
    *address = (end - size) & ~(PAGE - 1);
    return *address >= bottom;
}

const char *boot_place(const void *data, size_t size, uint64_t limit, uint64_t kernel, uint64_t kernel_end,
                       uint64_t *address)
{
    uint64_t end = limit < ram_low_end() ? limit : ram_low_end();

    if (!highest(kernel_end, end, size, address) &&
        !highest(BOOT_KERNELS, end < kernel ? end : kernel, size, address)) {
        return boot_error("no room for an initrd of %zu bytes below %#lx, beside the kernel at %#lx to %#lx",
                          size, end, kernel, kernel_end);
    }
    memcpy(ram_at(*address, size), data, size);
    return NULL;
}

/* Identity map of 4 GiB with pages of 2 MiB (Intel SDM volume 3, 4.5): PML4, PDPT, four directories. */
static void identity_map(void)
{
    const uint64_t table = 0x3, large = 0x83;
    uint64_t *entry = ram_at(BOOT_TABLES, 6 * PAGE);

    entry[0] = (BOOT_TABLES + PAGE) | table;
    for (unsigned i = 0; i < 4; i++)
        entry[512 + i] = (BOOT_TABLES + (2 + i) * PAGE) | table;
    for (uint64_t i = 0; i < 4 * 512; i++)
        entry[1024 + i] = i << 21 | large;
}

/* Flat segments, and a GDT in which the guest finds them. */
static void enter_flat(struct boot_state *state, uint16_t code, uint64_t code_descriptor)
{
    uint64_t *gdt = ram_at(BOOT_GDT, 4 * sizeof *gdt);

    gdt[SEL_CODE / 8] = code_descriptor;
    gdt[SEL_DATA / 8] = 0xcf93000000ffff;
    *state = (struct boot_state){
        .rflags = RFLAGS_FIXED,
        .rsp = BOOT_STACK,
        .cr0 = CR0_PE | CR0_ET | CR0_NE,
        .cs = {.sel = SEL_CODE, .ar = code, .limit = 0xffffffff},
        .data = {.sel = SEL_DATA, .ar = AR_DATA, .limit = 0xffffffff},
        .tr = {.ar = AR_TSS, .limit = 0x67},
        .ldtr = {.ar = AR_UNUSABLE},
        .gdtr = {.base = BOOT_GDT, .limit = 4 * 8 - 1},
    };
}

void boot_enter_64(struct boot_state *state)
{
    enter_flat(state, AR_CODE_64, 0xaf9b000000ffff);
    identity_map();
    state->cr0 |= CR0_PG;
    state->cr3 = BOOT_TABLES;
    state->cr4 = CR4_PAE;
    state->efer = EFER_LME_LMA;
}

void boot_enter_32(struct boot_state *state)
{
    enter_flat(state, AR_CODE_32, 0xcf9b000000ffff);
}

const char *boot_load(const void *kernel, size_t kernel_size, const void *initrd, size_t initrd_size,
                      const char *cmdline, struct boot_state *state)
{
    const unsigned char *image = kernel;

    /* The magic of the Linux boot protocol. */
    if (kernel_size >= 0x206 && memcmp(image + 0x202, "HdrS", 4) == 0)
        return boot_linux(kernel, kernel_size, initrd, initrd_size, cmdline, state);
    return boot_multiboot(kernel, kernel_size, initrd, initrd_size, cmdline, state);
}
