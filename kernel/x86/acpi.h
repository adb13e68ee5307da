/*
 * What the kernel takes from the ACPI tables (x86/acpi.c): CPUs, interrupt controllers, the registers for power-off
 * and reset, and clocks. The tables are firmware's: lengths and checksums are verified, a broken table is
 * reported and ignored, nothing outside of a table's length is read. Power-off and reset themselves: x86/power.c.
 *
 * ACPI Specification 6.5, chapter 5.2.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "lib/util.h"
#include "mem/layout.h"

#define ACPI_IOAPIC_MAX 8

/* Generic address structure (5.2.3.2), reduced to what is used. width 0: absent or of no use. */
struct acpi_register {
    uint8_t space; /* 0 memory, 1 port, 2 PCI configuration (bus 0) */
    uint8_t width; /* bits */
    uint64_t addr;
};

struct acpi_ioapic {
    uint64_t addr;
    uint32_t gsi; /* first global system interrupt */
};

struct acpi {
    uint64_t lapic_addr;
    uint32_t apic_id[CPU_MAX]; /* of the enabled CPUs, as listed */
    unsigned cpus;             /* entries in apic_id; 0: not known, there is the one that runs */
    struct acpi_ioapic ioapic[ACPI_IOAPIC_MAX];
    unsigned ioapics;
    bool timer_32bit;
    struct acpi_register pm1a_cnt, pm1b_cnt, pm2_cnt, pm_timer; /* absent on hardware-reduced platforms */
    struct acpi_register reset, sleep;
    uint8_t reset_value;
    uint16_t smi_cmd; /* port, or 0 */
    uint64_t hpet;    /* physical address, or 0 */
};

extern struct acpi acpi;

/*
 * Parses the tables that the RSDP at this physical address leads to. With UINT64_MAX, or if the tables are
 * unusable, `acpi` has no CPU and no I/O APIC, and defaults for the rest.
 */
void acpi_parse(uint64_t rsdp);

/*
 * Enters sleep state S with the SLP_TYP values of its ACPI package; 0 resets. NOVA_ status code if that fails:
 * BAD_FTR (only 0 and 5 are supported, or registers are missing), BAD_PAR, ABORTED (another CPU was faster).
 */
unsigned power_transition(unsigned state, unsigned type_a, unsigned type_b);
