/*
 * ACPI tables. Runs once, on the bootstrap processor, before any other CPU is started.
 *
 * Pure parsing: physical memory is reached by boot_window only. As only the latest window is valid, the
 * addresses in the RSDT or XSDT are fetched one by one, and a table is done with before the next one is
 * opened. A table is looked at after its length and checksum were verified; field() keeps to that length.
 *
 * ACPI Specification 6.5; section numbers below are from there.
 *
 * SPDX-License-Identifier: MIT
 */

#include "x86/acpi.h"
#include "lib/console.h"
#include "lib/string.h"
#include "x86/device.h"

#define HEADER_SIZE 36 /* 5.2.6 */
#define RSDP_SIZE 36
#define RSDP_SIZE_V1 20
#define LAPIC_DEFAULT 0xfee00000

/* All 0 if there is none. */
struct table {
    uint64_t phys;
    const uint8_t *data; /* valid until the next window */
    uint32_t length;
    uint32_t size; /* of an address in the RSDT or XSDT */
};

struct acpi acpi;

/* Little endian, at any alignment; 0 if the table ends before it. */
static uint64_t field(struct table t, uint32_t offset, uint32_t size)
{
    uint64_t v = 0;
    if (size <= t.length && offset <= t.length - size)
        memcpy(&v, t.data + offset, size);
    return v;
}

static struct table open_window(uint64_t phys, uint32_t length)
{
    const uint8_t *data = boot_window(phys, length);
    return data ? (struct table){phys, data, length, 0} : (struct table){0};
}

/* None, too, if it is shorter than `min` or the bytes do not add up to 0. */
static struct table open_valid(uint64_t phys, uint64_t length, uint32_t min)
{
    struct table t = {0};
    uint8_t sum = 0;

    if (length >= min)
        t = open_window(phys, (uint32_t)length);
    for (uint32_t i = 0; i < t.length; i++)
        sum = (uint8_t)(sum + t.data[i]);
    return sum == 0 ? t : (struct table){0};
}

/* None, too, if it is not the table with this signature. */
static struct table open_table(uint64_t phys, const char *signature, uint32_t min)
{
    struct table t = open_window(phys, HEADER_SIZE);
    if (!t.length || memcmp(t.data, signature, 4))
        return (struct table){0};
    t = open_valid(phys, field(t, 4, 4), min);
    if (!t.length)
        print("acpi: broken %s at %lx\n", signature, phys);
    return t;
}

/* The first valid table with this signature. */
static struct table find_table(struct table root, const char *signature, uint32_t min)
{
    struct table t = {0};
    for (uint32_t at = HEADER_SIZE; at + root.size <= root.length && !t.length; at += root.size)
        t = open_table(field(open_window(root.phys + at, root.size), 0, root.size), signature, min);
    return t;
}

/* 5.2.5.3: the XSDT or, if it or what came with ACPI 2.0 is broken, the RSDT. */
static struct table find_root(uint64_t rsdp)
{
    struct table r = open_valid(rsdp, RSDP_SIZE_V1, RSDP_SIZE_V1), root = {0};
    if (!r.length || memcmp(r.data, "RSD PTR ", 8))
        return root;
    uint64_t revision = field(r, 15, 1), rsdt = field(r, 16, 4);
    if (revision >= 2) {
        r = open_valid(rsdp, field(open_window(rsdp, RSDP_SIZE), 20, 4), RSDP_SIZE);
        root = open_table(field(r, 24, 8), "XSDT", HEADER_SIZE);
        root.size = 8;
    }
    if (!root.length) {
        root = open_table(rsdt, "RSDT", HEADER_SIZE);
        root.size = 4;
    }
    return root;
}

/* 5.2.12.2, 5.2.12.12: one CPU may be listed both as local APIC and as local x2APIC. */
static void add_cpu(uint64_t apic_id, uint64_t flags)
{
    bool wanted = flags & 1;
    for (unsigned i = 0; i < acpi.cpus; i++)
        wanted = wanted && acpi.apic_id[i] != apic_id;
    if (wanted && acpi.cpus < CPU_MAX)
        acpi.apic_id[acpi.cpus++] = (uint32_t)apic_id;
}

/* 5.2.12.3 */
static void add_ioapic(uint64_t addr, uint64_t gsi)
{
    if (acpi.ioapics == ACPI_IOAPIC_MAX) {
        print("acpi: I/O APIC at %lx ignored\n", addr);
        return;
    }
    acpi.ioapic[acpi.ioapics++] = (struct acpi_ioapic){addr, (uint32_t)gsi};
}

/* 5.2.12 */
static void parse_madt(struct table t)
{
    static const uint8_t min[] = {[0] = 8, [1] = 12, [2] = 10, [5] = 12, [9] = 16};
    uint64_t size;

    acpi.lapic_addr = field(t, 36, 4);
    for (uint32_t at = 44; at < t.length; at += (uint32_t)size) {
        uint64_t type = field(t, at, 1);
        size = field(t, at + 1, 1);
        if (size < 2 || size > t.length - at || (type < ARRAY_SIZE(min) && size < min[type])) {
            print("acpi: MADT broken at offset %u\n", at);
            return;
        }
        if (type == 0)
            add_cpu(field(t, at + 3, 1), field(t, at + 4, 4));
        else if (type == 1)
            add_ioapic(field(t, at + 4, 4), field(t, at + 8, 4));
        else if (type == 5)
            acpi.lapic_addr = field(t, at + 4, 8);
        else if (type == 9)
            add_cpu(field(t, at + 4, 4), field(t, at + 8, 4));
    }
}

/* Only memory, ports and PCI configuration space are of use. */
static struct acpi_register make_register(uint64_t space, uint64_t width, uint64_t addr)
{
    bool usable = addr && width && (space == 0 || (space == 1 && addr <= UINT16_MAX) || space == 2);
    return usable ? (struct acpi_register){(uint8_t)space, (uint8_t)width, addr} : (struct acpi_register){0};
}

/* 5.2.3.2 */
static struct acpi_register generic_address(struct table t, uint32_t at)
{
    return make_register(field(t, at, 1), field(t, at + 1, 1), field(t, at + 4, 8));
}

/* Of the fixed hardware: since ACPI 2.0 by generic address, before that by port and number of bytes. */
static struct acpi_register fixed(struct table t, uint32_t generic, uint32_t port, uint32_t bytes)
{
    struct acpi_register r = generic_address(t, generic);
    return r.width ? r : make_register(1, min_u64(field(t, bytes, 1), 4) * 8, field(t, port, 4));
}

/* 5.2.9. Hardware-reduced platforms may hold anything in the fields of the fixed hardware. */
static void parse_fadt(struct table t)
{
    uint64_t flags = field(t, 112, 4), smi_cmd = field(t, 48, 4);
    if (!(flags & BIT(20))) {
        acpi.timer_32bit = flags & BIT(8);
        acpi.smi_cmd = smi_cmd <= UINT16_MAX ? (uint16_t)smi_cmd : 0;
        acpi.pm1a_cnt = fixed(t, 172, 64, 89);
        acpi.pm1b_cnt = fixed(t, 184, 68, 89);
        acpi.pm2_cnt = fixed(t, 196, 72, 90);
        acpi.pm_timer = fixed(t, 208, 76, 91);
    }
    if (flags & BIT(10) && t.length > 128) {
        acpi.reset = generic_address(t, 116);
        acpi.reset_value = (uint8_t)field(t, 128, 1);
    }
    acpi.sleep = generic_address(t, 244);
}

void acpi_parse(uint64_t rsdp)
{
    struct table root = {0};

    if (rsdp != UINT64_MAX)
        root = find_root(rsdp);
    acpi = (struct acpi){0};
    if (!root.length)
        print("acpi: no tables\n");
    parse_madt(find_table(root, "APIC", 44));
    parse_fadt(find_table(root, "FACP", 116));
    struct table hpet = find_table(root, "HPET", 56); /* its generic address may have width 0 */
    acpi.hpet = field(hpet, 40, 1) == 0 ? field(hpet, 44, 8) : 0;
    acpi.lapic_addr = acpi.lapic_addr ? acpi.lapic_addr : LAPIC_DEFAULT;
}
