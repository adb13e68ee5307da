/*
 * ACPI tables: checksums, lengths, what they point to, and that iasl takes all of them apart without complaint.
 *
 * Sources: acpi/tables.c acpi/dsdt.S
 *
 * SPDX-License-Identifier: MIT
 */

#include <string.h>
#include <unistd.h>

#include "acpi/acpi.h"
#include "cpu/vcpu.h"
#include "dev/irq.h"
#include "dev/lapic.h"
#include "dev/pci.h"
#include "memory.h"
#include "tap.h"

static uint64_t number(const uint8_t *at, size_t bytes)
{
    uint64_t value = 0;

    memcpy(&value, at, bytes);
    return value;
}

static bool sums_to_zero(const uint8_t *at, size_t bytes)
{
    uint8_t sum = 0;

    while (bytes--)
        sum = (uint8_t)(sum + *at++);
    return !sum;
}

/* A table by its address: signature, length within the area, checksum, bytes aligned. */
static const uint8_t *table_at(uint64_t address, const char *signature)
{
    const uint8_t *table = ram_at(address, 36);

    if (CHECK(address >= ACPI_TABLES && address < ACPI_TABLES_END - 36 && address % 16 == 0) &&
        CHECK(memcmp(table, signature, 4) == 0) && CHECK(number(table + 4, 4) <= ACPI_TABLES_END - address) &&
        CHECK(number(table + 4, 4) >= 36) && CHECK(sums_to_zero(table, number(table + 4, 4))))
        return table;
    return NULL;
}

/* Whether iasl disassembles the table without a word about errors or warnings; `text` must be in what it writes. */
static bool iasl_takes(const uint8_t *table, const char *name, const char *text)
{
    char folder[] = "/tmp/acpi.XXXXXX", command[400];
    bool written;
    FILE *file;
    int status;

    if (!mkdtemp(folder))
        return false;
    snprintf(command, sizeof command, "%s/%s.aml", folder, name);
    file = fopen(command, "w");
    written = file && fwrite(table, number(table + 4, 4), 1, file) == 1 && fclose(file) == 0;
    snprintf(
        command, sizeof command,
        "cd %s && iasl -d %s.aml >log 2>&1 && ! grep -i -E 'error|warning|invalid|bad|unknown' log %s.dsl && "
        "grep -q '%s' %s.dsl; status=$?; [ $status = 0 ] || sed 's/^/# /' log; rm -r %s; exit $status",
        folder, name, name, text, name, folder);
    status = system(command);
    return written && status == 0;
}

static void check_fadt(const uint8_t *fadt)
{
    CHECK(number(fadt + 4, 4) == 276 && fadt[8] == 6);
    CHECK(number(fadt + 40, 4) == number(fadt + 140, 8)); /* DSDT */
    CHECK(number(fadt + 112, 4) & 1 << 20);               /* hardware-reduced */
    CHECK(number(fadt + 112, 4) & 1 << 10);               /* reset register */
    CHECK(number(fadt + 120, 8) == ACPI_RESET && fadt[128] == ACPI_RESET_VALUE && fadt[116] == 1);
    CHECK(number(fadt + 248, 8) == ACPI_SLEEP_CONTROL && fadt[244] == 1);
    CHECK(number(fadt + 260, 8) == ACPI_SLEEP_STATUS && fadt[256] == 1);
    CHECK((number(fadt + 109, 2) & (1 << 2 | 1 << 1 | 1 << 5 | 1 << 3)) == 1 << 2); /* VGA, 8042, RTC, MSI */
}

static void check_madt(const uint8_t *madt, unsigned vcpus)
{
    size_t end = number(madt + 4, 4), at = 44;
    unsigned cpus = 0, ioapics = 0;

    CHECK(number(madt + 36, 4) == LAPIC_BASE);
    CHECK(!(number(madt + 40, 4) & 1)); /* no PIC */
    while (at + 2 <= end && CHECK(madt[at + 1] >= 2)) {
        if (madt[at] == 0) {
            CHECK(madt[at + 1] == 8 && madt[at + 3] == cpus && number(madt + at + 4, 4) == 1);
            cpus++;
        } else if (CHECK(madt[at] == 1)) {
            CHECK(madt[at + 1] == 12 && number(madt + at + 4, 4) == IOAPIC_BASE && !number(madt + at + 8, 4));
            ioapics++;
        }
        at += madt[at + 1];
    }
    CHECK(at == end && cpus == vcpus && ioapics == 1);
}

/* Whether four bytes stand in the AML. */
static bool has_number(const uint8_t *dsdt, uint32_t value)
{
    for (size_t at = 36; at + 4 <= number(dsdt + 4, 4); at++) {
        if (number(dsdt + at, 4) == value) {
            return true;
        }
    }
    return false;
}

static void check_tables(unsigned vcpus)
{
    const uint8_t *rsdp, *xsdt, *fadt, *madt, *mcfg, *dsdt;

    memory_make(16 << 20);
    acpi_write(vcpus);
    rsdp = ram_at(ACPI_TABLES, 36);
    CHECK(memcmp(rsdp, "RSD PTR ", 8) == 0 && rsdp[15] == 2 && number(rsdp + 20, 4) == 36);
    CHECK(sums_to_zero(rsdp, 20) && sums_to_zero(rsdp, 36));
    xsdt = table_at(number(rsdp + 24, 8), "XSDT");
    CHECK(xsdt && number(xsdt + 4, 4) == 36 + 3 * 8);
    fadt = table_at(number(xsdt + 36, 8), "FACP");
    madt = table_at(number(xsdt + 44, 8), "APIC");
    mcfg = table_at(number(xsdt + 52, 8), "MCFG");
    dsdt = fadt ? table_at(number(fadt + 140, 8), "DSDT") : NULL;
    if (CHECK(fadt && madt && mcfg && dsdt)) {
        check_fadt(fadt);
        check_madt(madt, vcpus);
        CHECK(number(mcfg + 4, 4) == 60 && number(mcfg + 44, 8) == PCI_ECAM);
        CHECK(!number(mcfg + 52, 2) && mcfg[54] == 0 && mcfg[55] == 0); /* bus 0 only */
        CHECK(has_number(dsdt, PCI_ECAM) && has_number(dsdt, PCI_ECAM_SIZE));
        CHECK(has_number(dsdt, PCI_WINDOW) && has_number(dsdt, PCI_WINDOW + PCI_WINDOW_SIZE - 1));
        CHECK(has_number(dsdt, IRQ_GED) && has_number(dsdt, IRQ_UART));
    }
    ok_checks("tables of %u vCPUs: lengths, checksums, contents", vcpus);
    if (vcpus == 1 || vcpus == VCPU_MAX) {
        ok(iasl_takes(xsdt, "xsdt", "XSDT") && iasl_takes(fadt, "fadt", "Hardware Reduced (V5) : 1") &&
               iasl_takes(madt, "madt", "I/O APIC") &&
               iasl_takes(mcfg, "mcfg", "Base Address : 00000000E0000000") &&
               iasl_takes(dsdt, "dsdt", "PNP0A08"),
           "iasl -d takes the tables of %u vCPUs", vcpus);
    }
}

int main(void)
{
    for (unsigned vcpus = 1; vcpus <= VCPU_MAX; vcpus++)
        check_tables(vcpus);
    return tap_done();
}
