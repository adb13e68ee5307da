/*
 * The tables: RSDP, XSDT, FADT, MADT, MCFG, and the DSDT that iasl made. ACPI 6.4; numbers in parentheses are its sections.
 *
 *   0xe0000  RSDP -> XSDT -> FADT -> DSDT
 *                         -> MADT
 *                         -> MCFG
 *
 * Hardware-reduced: no SCI, no PM timer, no FACS. Called while no vCPU runs.
 *
 * SPDX-License-Identifier: MIT
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "acpi/acpi.h"
#include "cpu/vcpu.h"
#include "dev/irq.h"
#include "dev/lapic.h"
#include "dev/pci.h"
#include "ram.h"

extern const uint8_t acpi_dsdt[], acpi_dsdt_end[];

struct rsdp { /* 5.2.5.3 */
    char signature[8];
    uint8_t checksum;
    char oem[6];
    uint8_t revision;
    uint32_t rsdt, length;
    uint64_t xsdt;
    uint8_t extended_checksum, reserved[3];
} __attribute__((packed));

struct table { /* 5.2.6 */
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem[6], oem_table[8];
    uint32_t oem_revision;
    char creator[4];
    uint32_t creator_revision;
} __attribute__((packed));

struct address { /* 5.2.3.2 */
    uint8_t space, width, offset, access;
    uint64_t address;
} __attribute__((packed));

struct fadt { /* 5.2.9 */
    struct table header;
    uint32_t facs, dsdt;
    uint8_t reserved0, profile;
    uint16_t sci_interrupt;
    uint32_t smi_command;
    uint8_t acpi_enable, acpi_disable, s4bios, pstate_control;
    uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer, gpe0, gpe1;
    uint8_t register_lengths[6], gpe1_base, cstate_control;
    uint16_t c2_latency, c3_latency, flush_size, flush_stride;
    uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
    uint16_t boot_flags;
    uint8_t reserved1;
    uint32_t flags;
    struct address reset;
    uint8_t reset_value;
    uint16_t arm_boot_flags;
    uint8_t minor_version;
    uint64_t x_facs, x_dsdt;
    struct address x_registers[8], sleep_control, sleep_status;
    uint64_t hypervisor;
} __attribute__((packed));

_Static_assert(sizeof(struct fadt) == 276, "FADT of revision 6");

struct madt_lapic { /* 5.2.12.2 */
    uint8_t type, length, uid, id;
    uint32_t flags;
} __attribute__((packed));

struct madt_ioapic { /* 5.2.12.3 */
    uint8_t type, length, id, reserved;
    uint32_t address, first_pin;
} __attribute__((packed));

struct madt { /* 5.2.12 */
    struct table header;
    uint32_t lapic, flags;
    struct madt_ioapic ioapic;
    struct madt_lapic cpu[VCPU_MAX];
} __attribute__((packed));

struct mcfg { /* PCI Firmware Specification 3.2, 4.1.2 */
    struct table header;
    uint64_t reserved;
    uint64_t base;
    uint16_t segment;
    uint8_t first_bus, last_bus;
    uint32_t reserved2;
} __attribute__((packed));

struct xsdt { /* 5.2.8 */
    struct table header;
    uint64_t table[3];
} __attribute__((packed));

/* Everything, as it lies in guest memory: tables on 16 bytes. */
struct tables {
    _Alignas(16) struct rsdp rsdp;
    _Alignas(16) struct xsdt xsdt;
    _Alignas(16) struct fadt fadt;
    _Alignas(16) struct madt madt;
    _Alignas(16) struct mcfg mcfg;
    _Alignas(16) uint8_t dsdt[];
};

_Static_assert(ACPI_TABLES + offsetof(struct tables, madt) == 0xe0190 && offsetof(struct madt, cpu) == 56 &&
                   sizeof(struct madt_lapic) == 8 && VCPU_MAX == 8,
               "the DSDT looks at the length of the MADT");

/* FADT (5.2.9, tables 5.10 and 5.11). */
enum {
    BOOT_NO_VGA = 1 << 2,
    BOOT_NO_ASPM = 1 << 4,
    FLAG_WBINVD = 1 << 0,
    FLAG_C1 = 1 << 2,
    FLAG_POWER_BUTTON_DEVICE = 1 << 4,
    FLAG_NO_SLEEP_BUTTON = 1 << 5,
    FLAG_RESET = 1 << 10,
    FLAG_HARDWARE_REDUCED = 1 << 20
};

static uint8_t checksum(const void *bytes, size_t length)
{
    const uint8_t *byte = bytes;
    unsigned sum = 0;

    while (length--)
        sum += *byte++;
    return (uint8_t)-sum;
}

/* The header, when all else of the table is there. */
static void finish(struct table *table, const char *signature, uint8_t revision, size_t length)
{
    memcpy(table->signature, signature, sizeof table->signature);
    memcpy(table->oem, "NOVA  ", sizeof table->oem);
    memcpy(table->oem_table, "BOARD   ", sizeof table->oem_table);
    memcpy(table->creator, "NOVA", sizeof table->creator);
    table->length = (uint32_t)length;
    table->revision = revision;
    table->oem_revision = 1;
    table->creator_revision = 1;
    table->checksum = checksum(table, length);
}

static struct address port(uint16_t number)
{
    return (struct address){.space = 1, .width = 8, .access = 1, .address = number};
}

static void write_fadt(struct fadt *fadt, uint64_t dsdt)
{
    fadt->dsdt = (uint32_t)dsdt;
    fadt->x_dsdt = dsdt;
    fadt->profile = 4;      /* enterprise server */
    fadt->c2_latency = 101; /* more than 100 and 1000: no such state */
    fadt->c3_latency = 1001;
    fadt->century = 0x32;
    fadt->boot_flags = BOOT_NO_VGA | BOOT_NO_ASPM;
    fadt->flags = FLAG_WBINVD | FLAG_C1 | FLAG_POWER_BUTTON_DEVICE | FLAG_NO_SLEEP_BUTTON | FLAG_RESET |
                  FLAG_HARDWARE_REDUCED;
    fadt->reset = port(ACPI_RESET);
    fadt->reset_value = ACPI_RESET_VALUE;
    fadt->sleep_control = port(ACPI_SLEEP_CONTROL);
    fadt->sleep_status = port(ACPI_SLEEP_STATUS);
    fadt->minor_version = 4;
    finish(&fadt->header, "FACP", 6, sizeof *fadt);
}

static void write_madt(struct madt *madt, unsigned vcpus)
{
    madt->lapic = LAPIC_BASE;
    madt->ioapic =
        (struct madt_ioapic){.type = 1, .length = sizeof madt->ioapic, .id = 0, .address = IOAPIC_BASE};
    for (unsigned i = 0; i < vcpus; i++) {
        madt->cpu[i] = (struct madt_lapic){
            .length = sizeof madt->cpu[i], .uid = (uint8_t)i, .id = (uint8_t)i, .flags = 1};
    }
    finish(&madt->header, "APIC", 5, offsetof(struct madt, cpu) + vcpus * sizeof madt->cpu[0]);
}

void acpi_write(unsigned vcpus)
{
    struct tables *tables = ram_at(ACPI_TABLES, ACPI_TABLES_END - ACPI_TABLES);
    size_t dsdt_size = (size_t)(acpi_dsdt_end - acpi_dsdt);

    memset(tables, 0, ACPI_TABLES_END - ACPI_TABLES);
    memcpy(tables->dsdt, acpi_dsdt, dsdt_size);
    write_fadt(&tables->fadt, ACPI_TABLES + offsetof(struct tables, dsdt));
    write_madt(&tables->madt, vcpus);

    tables->mcfg.base = PCI_ECAM;
    tables->mcfg.last_bus = PCI_ECAM_SIZE / 0x100000 - 1;
    finish(&tables->mcfg.header, "MCFG", 1, sizeof tables->mcfg);

    tables->xsdt.table[0] = ACPI_TABLES + offsetof(struct tables, fadt);
    tables->xsdt.table[1] = ACPI_TABLES + offsetof(struct tables, madt);
    tables->xsdt.table[2] = ACPI_TABLES + offsetof(struct tables, mcfg);
    finish(&tables->xsdt.header, "XSDT", 1, sizeof tables->xsdt);

    memcpy(tables->rsdp.signature, "RSD PTR ", 8);
    memcpy(tables->rsdp.oem, "NOVA  ", sizeof tables->rsdp.oem);
    tables->rsdp.revision = 2;
    tables->rsdp.length = sizeof tables->rsdp;
    tables->rsdp.xsdt = ACPI_TABLES + offsetof(struct tables, xsdt);
    tables->rsdp.checksum =
        checksum(&tables->rsdp, offsetof(struct rsdp, length)); /* of the first 20 bytes */
    tables->rsdp.extended_checksum = checksum(&tables->rsdp, sizeof tables->rsdp);
}
