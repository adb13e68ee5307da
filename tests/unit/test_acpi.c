/*
 * ACPI tables: good ones, and ones that are broken in every way we could think of. Physical memory is a few
 * regions in this program; a window is a heap copy of exactly the size that was asked for and is freed when
 * the next one is opened, so that the sanitizers catch any access outside of a window or to an old one.
 *
 * Sources: x86/acpi.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "x86/acpi.h"
#include "lib/console.h"
#include "tap.h"
#include "x86/device.h"

#include <stdlib.h>
#include <string.h>

/* Where the good tables lie, in this order. */
#define MEMORY 0x7ff0000UL
#define MEMORY_SIZE 0x2000U
#define RSDP (MEMORY + 0x10)
#define TABLES (MEMORY + 0x101) /* tables may lie at any address */
#define HIGH 0x1234567000UL
#define MAX_WINDOW 0x100000UL
#define MAX_TABLES 16

static uint8_t memory[MEMORY_SIZE], high_memory[PAGE_SIZE], *low_page;
static void *window;
static unsigned windows, wrong_windows, messages;

/* The tables built so far; the addresses in the RSDT and the XSDT. */
static uint64_t table_end, tables[MAX_TABLES];
static unsigned table_count;

static uint8_t *at(uint64_t phys)
{
    return memory + (phys - MEMORY);
}

const void *boot_window(uint64_t phys, size_t size)
{
    const uint8_t *from = NULL;
    if (phys >= MEMORY && phys <= MEMORY + MEMORY_SIZE && size <= MEMORY + MEMORY_SIZE - phys)
        from = memory + (phys - MEMORY);
    else if (phys >= HIGH && phys <= HIGH + PAGE_SIZE && size <= HIGH + PAGE_SIZE - phys)
        from = high_memory + (phys - HIGH);
    else if (low_page && phys <= PAGE_SIZE && size <= PAGE_SIZE - phys)
        from = low_page + phys;
    windows++;
    wrong_windows += size == 0;
    free(window);
    window = NULL;
    if (from && size && size <= MAX_WINDOW) {
        window = malloc(size);
        memcpy(window, from, size);
    }
    return window;
}

void print(const char *format, ...)
{
    char line[160];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    messages++;
}

static void put(uint8_t *to, uint64_t v, unsigned size)
{
    memcpy(to, &v, size);
}

static uint32_t length_of(uint64_t table)
{
    uint32_t v;
    memcpy(&v, at(table) + 4, 4);
    return v;
}

static void fix_sum(uint8_t *bytes, size_t size, size_t sum_at)
{
    uint8_t sum = 0;
    bytes[sum_at] = 0;
    for (size_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + bytes[i]);
    bytes[sum_at] = (uint8_t)-sum;
}

static void fix_table(uint64_t table)
{
    fix_sum(at(table), length_of(table), 9);
}

static void set_length(uint64_t table, uint32_t length)
{
    put(at(table) + 4, length, 4);
    fix_table(table);
}

/* A table with an empty body, zeroed. */
static uint64_t add_table(const char *signature, uint32_t length)
{
    uint64_t table = table_end;
    table_end += length + 3;
    memset(at(table), 0, length);
    memcpy(at(table), signature, 4);
    put(at(table) + 4, length, 4);
    fix_table(table);
    if (table_count < MAX_TABLES)
        tables[table_count++] = table;
    return table;
}

static uint64_t add_root(const char *signature, unsigned size)
{
    unsigned count = table_count;
    uint64_t root = add_table(signature, 36 + count * size);
    table_count = count;
    for (unsigned i = 0; i < count; i++)
        put(at(root) + 36 + i * size, tables[i], size);
    fix_table(root);
    return root;
}

static void put_rsdp(uint8_t revision, uint64_t rsdt, uint64_t xsdt)
{
    uint8_t *r = at(RSDP);
    memset(r, 0, 36);
    memcpy(r, "RSD PTR NOVA  ", 14);
    r[15] = revision;
    put(r + 16, rsdt, 4);
    fix_sum(r, 20, 8);
    if (revision >= 2) {
        put(r + 20, 36, 4);
        put(r + 24, xsdt, 8);
        fix_sum(r, 36, 32);
    }
}

/* Appends an entry to a MADT, which must be the last table; the bytes after type and length. */
static void add_entry(uint64_t madt, uint8_t type, const uint8_t *bytes, uint8_t size)
{
    uint32_t length = length_of(madt);
    uint8_t *e = at(madt) + length;
    e[0] = type;
    e[1] = (uint8_t)(size + 2);
    memcpy(e + 2, bytes, size);
    table_end += size + 2U;
    set_length(madt, length + size + 2);
}

static void add_lapic(uint64_t madt, uint8_t id, uint8_t flags)
{
    add_entry(madt, 0, (uint8_t[]){7, id, flags, 0, 0, 0}, 6);
}

static void add_x2apic(uint64_t madt, uint32_t id, uint8_t flags)
{
    uint8_t e[14] = {0};
    put(e + 2, id, 4);
    e[6] = flags;
    add_entry(madt, 9, e, sizeof(e));
}

static void add_ioapic(uint64_t madt, uint32_t addr, uint32_t gsi)
{
    uint8_t e[10] = {1};
    put(e + 2, addr, 4);
    put(e + 6, gsi, 4);
    add_entry(madt, 1, e, sizeof(e));
}

static void add_override(uint64_t madt, uint8_t irq, uint32_t gsi, uint8_t flags)
{
    uint8_t e[8] = {0, irq};
    put(e + 2, gsi, 4);
    e[6] = flags;
    add_entry(madt, 2, e, sizeof(e));
}

static uint64_t add_madt(void)
{
    uint64_t madt = add_table("APIC", 44);
    put(at(madt) + 36, 0xfee01000, 4);
    fix_table(madt);
    return madt;
}

static void put_address(uint64_t table, unsigned offset, uint8_t space, uint8_t width, uint64_t addr)
{
    at(table)[offset] = space;
    at(table)[offset + 1] = width;
    put(at(table) + offset + 4, addr, 8);
}

/* All fields are there, those of ACPI 1.0 and the others with different values. */
static uint64_t add_fadt(uint32_t flags)
{
    uint64_t fadt = add_table("FACP", 276);
    uint8_t *t = at(fadt);
    put(t + 48, 0xb2, 4);
    put(t + 64, 0x604, 4);
    put(t + 72, 0x50, 4);
    put(t + 76, 0x608, 4);
    t[89] = 2;
    t[90] = 1;
    t[91] = 4;
    put(t + 112, flags, 4);
    put_address(fadt, 116, 1, 8, 0xcf9);
    t[128] = 6;
    put_address(fadt, 172, 1, 16, 0x1804);
    put_address(fadt, 208, 0, 32, 0xfed00100);
    put_address(fadt, 244, 0, 8, 0xfed00200);
    fix_table(fadt);
    return fadt;
}

static struct {
    uint64_t madt, fadt, hpet, rsdt, xsdt;
} good;

/* A set of everything that the parser knows. */
static void build(void)
{
    memset(memory, 0, sizeof(memory));
    table_end = TABLES;
    table_count = 0;

    good.madt = add_madt();
    add_lapic(good.madt, 0, 1);
    add_lapic(good.madt, 2, 1);
    add_lapic(good.madt, 3, 0);
    add_lapic(good.madt, 5, 2);
    add_x2apic(good.madt, 2, 1);
    add_x2apic(good.madt, 0x1234, 1);
    add_ioapic(good.madt, 0xfec00000, 0);
    add_ioapic(good.madt, 0xfec01000, 24);
    add_override(good.madt, 0, 2, 0);
    add_override(good.madt, 9, 20, 0xd);
    add_override(good.madt, 10, 10, 0xf);
    add_override(good.madt, 11, 11, 0xc);
    add_override(good.madt, 12, 12, 0x7);
    add_entry(good.madt, 4, (uint8_t[]){0xff, 0, 0, 1}, 4);
    table_end += 3;
    good.fadt = add_fadt(BIT(8) | BIT(10));
    add_table("MCFI", 44 + 32);
    add_table("MCFG", 44 + 32);
    good.hpet = add_table("HPET", 56);
    put_address(good.hpet, 40, 0, 0, 0xfed00000);
    fix_table(good.hpet);
    add_table("DMAR", 64);
    add_table("SSDT", 40);
    add_table("IVRS", 56);
    good.rsdt = add_root("RSDT", 4);
    good.xsdt = add_root("XSDT", 8);
    put_rsdp(2, good.rsdt, good.xsdt);
}

static void parse(void)
{
    windows = wrong_windows = messages = 0;
    memset(&acpi, 0xa5, sizeof(acpi));
    acpi_parse(RSDP);
}

static bool same(struct acpi_register r, uint8_t space, uint8_t width, uint64_t addr)
{
    return r.space == space && r.width == width && r.addr == addr;
}

static bool absent(struct acpi_register r)
{
    return same(r, 0, 0, 0);
}

static bool is_default(void)
{
    return acpi.lapic_addr == 0xfee00000 && acpi.cpus == 0 && acpi.ioapics == 0 && absent(acpi.pm1a_cnt) &&
           absent(acpi.pm_timer) && absent(acpi.reset) && absent(acpi.sleep) && !acpi.smi_cmd && !acpi.hpet;
}

/* Holds whatever the tables contain. */
static bool is_sane(void)
{
    const struct acpi_register regs[] = {acpi.pm1a_cnt, acpi.pm1b_cnt, acpi.pm2_cnt,
                                         acpi.pm_timer, acpi.reset,    acpi.sleep};
    bool sane = acpi.cpus <= CPU_MAX && acpi.ioapics <= ACPI_IOAPIC_MAX && acpi.lapic_addr && !wrong_windows;
    for (unsigned i = 0; i < ARRAY_SIZE(regs); i++) {
        sane = sane && (absent(regs[i]) || (regs[i].width && regs[i].addr && regs[i].space <= 2 &&
                                            (regs[i].space != 1 || regs[i].addr <= UINT16_MAX)));
    }
    for (unsigned i = 0; sane && i < acpi.cpus; i++)
        for (unsigned j = 0; j < i; j++)
            sane = sane && acpi.apic_id[i] != acpi.apic_id[j];
    return sane;
}

static void test_good(void)
{
    build();
    parse();
    ok(messages == 0 && is_sane(), "good tables: no complaints");
    ok(acpi.lapic_addr == 0xfee01000, "address of the local APIC");
    ok(acpi.cpus == 3 && acpi.apic_id[0] == 0 && acpi.apic_id[1] == 2 && acpi.apic_id[2] == 0x1234,
       "the enabled CPUs, each once, in the order of the table");
    ok(acpi.ioapics == 2 && acpi.ioapic[0].addr == 0xfec00000 && acpi.ioapic[0].gsi == 0 &&
           acpi.ioapic[1].addr == 0xfec01000 && acpi.ioapic[1].gsi == 24,
       "I/O APICs");
    ok(acpi.timer_32bit && acpi.smi_cmd == 0xb2, "flags, SMI_CMD");
    ok(same(acpi.pm1a_cnt, 1, 16, 0x1804) && same(acpi.pm_timer, 0, 32, 0xfed00100),
       "generic addresses are preferred");
    ok(same(acpi.pm2_cnt, 1, 8, 0x50), "32-bit field where there is no generic address");
    ok(absent(acpi.pm1b_cnt), "register that is absent in both");
    ok(same(acpi.reset, 1, 8, 0xcf9) && acpi.reset_value == 6, "reset register");
    ok(same(acpi.sleep, 0, 8, 0xfed00200), "sleep register");
    ok(acpi.hpet == 0xfed00000, "HPET, although its register has width 0");
}

/* Each case makes the XSDT unusable; the RSDT is made to lead to nothing but the MADT. */
static void test_root(void)
{
    build();
    memset(at(good.rsdt) + 40, 0, length_of(good.rsdt) - 40);
    fix_table(good.rsdt);

    parse();
    ok(acpi.cpus == 3 && acpi.hpet, "XSDT is preferred");
    put_rsdp(0, good.rsdt, 0);
    parse();
    ok(acpi.cpus == 3 && !acpi.hpet && !messages, "ACPI 1.0: RSDT; addresses of 0 are skipped");
    put_rsdp(2, good.rsdt, 0);
    parse();
    ok(acpi.cpus == 3 && !acpi.hpet, "no XSDT: RSDT");
    put_rsdp(2, good.rsdt, HIGH - 1);
    parse();
    ok(acpi.cpus == 3 && !acpi.hpet, "XSDT outside of memory: RSDT");
    put_rsdp(2, good.rsdt, UINT64_MAX - 8);
    parse();
    ok(acpi.cpus == 3 && !acpi.hpet, "XSDT at the end of the address space: RSDT");
    put_rsdp(2, good.rsdt, good.xsdt);
    at(RSDP)[32]++;
    parse();
    ok(acpi.cpus == 3 && !acpi.hpet, "extended checksum of the RSDP is wrong: RSDT");
    put_rsdp(2, good.rsdt, good.xsdt);
    put(at(RSDP) + 20, 35, 4);
    fix_sum(at(RSDP), 35, 32);
    parse();
    ok(acpi.cpus == 3 && !acpi.hpet, "RSDP says it is too short: RSDT");
    put(at(RSDP) + 20, UINT32_MAX, 4);
    parse();
    ok(acpi.cpus == 3 && !acpi.hpet, "RSDP says it is huge: RSDT");
    put_rsdp(2, good.rsdt, good.xsdt);
    at(good.xsdt)[36]++;
    parse();
    ok(acpi.cpus == 3 && !acpi.hpet && messages == 1, "checksum of the XSDT is wrong: RSDT, one message");
    at(good.rsdt)[36]++;
    parse();
    ok(is_default() && messages, "checksum of the RSDT is wrong, too: defaults, message");

    build();
    put_rsdp(2, 0, good.xsdt);
    parse();
    ok(acpi.cpus == 3 && acpi.hpet, "XSDT without RSDT");
    put_rsdp(2, good.madt, good.fadt);
    parse();
    ok(is_default() && messages, "other tables in the place of RSDT and XSDT");
    set_length(good.xsdt, 36);
    put_rsdp(2, 0, good.xsdt);
    parse();
    ok(is_default() && !messages, "empty XSDT");
}

static void test_rsdp(void)
{
    build();
    messages = 0;
    memset(&acpi, 0xa5, sizeof(acpi));
    windows = 0;
    acpi_parse(UINT64_MAX);
    ok(is_default() && !windows, "no RSDP: defaults, memory is not read");
    acpi_parse(MEMORY + MEMORY_SIZE - 19);
    ok(is_default(), "RSDP beyond the end of memory");
    acpi_parse(UINT64_MAX - 3);
    ok(is_default(), "RSDP beyond the end of the address space");
    at(RSDP)[8]++;
    parse();
    ok(is_default() && messages, "wrong checksum");
    build();
    at(RSDP)[0]++;
    fix_sum(at(RSDP), 20, 8);
    parse();
    ok(is_default() && messages, "wrong signature");

    build();
    memcpy(memory + MEMORY_SIZE - 20, at(RSDP), 20);
    memory[MEMORY_SIZE - 20 + 15] = 0;
    fix_sum(memory + MEMORY_SIZE - 20, 20, 8);
    acpi_parse(MEMORY + MEMORY_SIZE - 20);
    ok(acpi.cpus == 3, "RSDP of ACPI 1.0 in the last 20 bytes of memory");

    low_page = memory;
    build();
    put_rsdp(2, 0, 0);
    parse();
    ok(is_default(), "tables at address 0 are none");
    low_page = NULL;

    build();
    uint32_t length = length_of(good.madt);
    memcpy(high_memory + PAGE_SIZE - length, at(good.madt), length);
    memset(at(good.madt), 0, 4);
    put(at(good.xsdt) + 36, HIGH + PAGE_SIZE - length, 8);
    fix_table(good.xsdt);
    parse();
    ok(acpi.cpus == 3 && !messages, "table above 4 GiB that ends with the memory");
}

static void test_limits(void)
{
    build();
    uint64_t madt = table_end;
    put(at(good.xsdt) + 36, madt, 8);
    fix_table(good.xsdt);
    add_madt();
    for (unsigned i = 0; i < CPU_MAX + 10; i++)
        add_x2apic(madt, 3 * i, 1);
    for (unsigned i = 0; i < ACPI_IOAPIC_MAX + 3; i++)
        add_ioapic(madt, 0xfec00000 + i * 0x1000, 24 * i);
    add_x2apic(madt, 3, 1);
    parse();
    ok(acpi.cpus == CPU_MAX && acpi.apic_id[CPU_MAX - 1] == 3 * (CPU_MAX - 1),
       "as many CPUs as there is room for");
    ok(acpi.ioapics == ACPI_IOAPIC_MAX && acpi.ioapic[ACPI_IOAPIC_MAX - 1].gsi == 24 * (ACPI_IOAPIC_MAX - 1),
       "as many I/O APICs as there is room for");
    ok(messages == 3, "the others are reported");

    build();
    madt = table_end;
    put(at(good.xsdt) + 36, madt, 8);
    fix_table(good.xsdt);
    add_madt();
    add_lapic(madt, 1, 1);
    add_entry(madt, 5, (uint8_t[]){0, 0, 0, 0x10, 0, 0, 0x20, 0, 0, 0}, 10);
    parse();
    ok(acpi.lapic_addr == 0x2000001000, "64-bit address of the local APIC");
    put(at(madt) + 44 + 8 + 4, 0, 8);
    fix_table(madt);
    parse();
    ok(acpi.lapic_addr == 0xfee00000, "address 0 of the local APIC: default");
}

/* The entries of the good MADT: type, length. A length is made wrong, a table ends within an entry. */
static void test_madt(void)
{
    for (uint32_t length = 0; length < 400; length++) {
        build();
        uint32_t full = length_of(good.madt);
        set_length(good.madt, length < full ? length : full);
        parse();
        unsigned cpus = 0U + (length >= 44 + 8) + (length >= 44 + 16) + (length >= 44 + 64);
        unsigned ioapics = 0U + (length >= 44 + 64 + 12) + (length >= 44 + 64 + 24);
        CHECK(is_sane() && acpi.cpus == cpus && acpi.ioapics == ioapics && acpi.hpet);
        CHECK(acpi.lapic_addr == (length >= 44 ? 0xfee01000 : 0xfee00000));
    }
    ok_checks("MADT of every length");

    for (uint32_t offset = 0; offset < 180; offset += 2) {
        for (unsigned length = 0; length < 256; length++) {
            build();
            uint8_t *e = at(good.madt) + 44 + offset;
            e[1] = (uint8_t)length;
            fix_table(good.madt);
            parse();
            CHECK(is_sane());
            CHECK(offset != 0 || length >= 8 || (acpi.cpus == 0 && messages == 1));
            CHECK(offset != 8 || length >= 8 || (acpi.cpus == 1 && messages == 1));
            CHECK(offset != 32 || length >= 16 || (acpi.cpus == 2 && acpi.ioapics == 0 && messages == 1));
            CHECK(offset != 64 || length >= 12 || (acpi.cpus == 3 && acpi.ioapics == 0 && messages == 1));
        }
    }
    ok_checks("entries of every length");
}

static void test_fadt(void)
{
    for (uint32_t length = 0; length <= 276; length++) {
        build();
        set_length(good.fadt, length);
        parse();
        bool x_pm1a = length >= 172 + 12, x_timer = length >= 208 + 12;
        CHECK(is_sane() && acpi.cpus == 3);
        if (length < 116) {
            CHECK(absent(acpi.pm1a_cnt) && absent(acpi.pm_timer) && !acpi.smi_cmd && messages == 1);
            continue;
        }
        CHECK(acpi.timer_32bit && acpi.smi_cmd == 0xb2 && !messages);
        CHECK(x_pm1a ? same(acpi.pm1a_cnt, 1, 16, 0x1804) : same(acpi.pm1a_cnt, 1, 16, 0x604));
        CHECK(x_timer ? same(acpi.pm_timer, 0, 32, 0xfed00100) : same(acpi.pm_timer, 1, 32, 0x608));
        CHECK(length > 128 ? same(acpi.reset, 1, 8, 0xcf9) && acpi.reset_value == 6 : absent(acpi.reset));
        CHECK(length >= 244 + 12 ? same(acpi.sleep, 0, 8, 0xfed00200) : absent(acpi.sleep));
    }
    ok_checks("FADT of every length, from ACPI 1.0 (116 bytes) on");

    build();
    put(at(good.fadt) + 112, BIT(20) | BIT(10) | BIT(8), 4);
    fix_table(good.fadt);
    parse();
    ok(absent(acpi.pm1a_cnt) && absent(acpi.pm2_cnt) && absent(acpi.pm_timer) && !acpi.smi_cmd &&
           !acpi.timer_32bit,
       "hardware-reduced: no fixed hardware");
    ok(same(acpi.reset, 1, 8, 0xcf9) && same(acpi.sleep, 0, 8, 0xfed00200), "but reset and sleep registers");

    build();
    put(at(good.fadt) + 112, 0, 4);
    put(at(good.fadt) + 48, 0x100b2, 4);
    put_address(good.fadt, 172, 1, 16, 0x10000);
    put_address(good.fadt, 208, 0x7f, 32, 0x1234);
    put(at(good.fadt) + 72, 0x10000, 4);
    at(good.fadt)[91] = 255;
    fix_table(good.fadt);
    parse();
    ok(absent(acpi.reset) && !acpi.timer_32bit, "no reset register without its flag");
    ok(!acpi.smi_cmd && absent(acpi.pm2_cnt), "ports beyond 64 Ki are none");
    ok(same(acpi.pm1a_cnt, 1, 16, 0x604), "generic address with such a port: 32-bit field");
    ok(same(acpi.pm_timer, 1, 32, 0x608),
       "generic address in an unknown space: 32-bit field, at most 32 bits");
}

static void test_others(void)
{
    build();
    put_address(good.hpet, 40, 1, 64, 0x400);
    fix_table(good.hpet);
    parse();
    ok(!acpi.hpet, "HPET that is not in memory is none");
    for (uint32_t length = 0; length <= 76; length++) {
        build();
        set_length(good.hpet, length < 56 ? length : 56);
        parse();
        CHECK(is_sane() && acpi.cpus == 3);
        CHECK(acpi.hpet == (length >= 56 ? 0xfed00000 : 0));
    }
    ok_checks("HPET of every length");

    build();
    put(at(good.madt) + 4, 0x10000000, 4);
    put(at(good.hpet) + 4, UINT32_MAX, 4);
    parse();
    ok(!acpi.cpus && !acpi.hpet && acpi.timer_32bit && messages == 2,
       "lengths beyond memory: reported, the others count");

    build();
    uint64_t second = add_madt();
    add_lapic(second, 9, 1);
    put(at(good.xsdt) + 36 + 5 * 8, second, 8);
    put(at(good.xsdt) + 36 + 6 * 8, HIGH + PAGE_SIZE, 8);
    put(at(good.xsdt) + 36 + 7 * 8, UINT64_MAX, 8);
    fix_table(good.xsdt);
    parse();
    ok(acpi.cpus == 3 && acpi.hpet, "of two tables the first counts; addresses of nothing");
    at(good.madt)[44]++;
    parse();
    ok(acpi.cpus == 1 && acpi.apic_id[0] == 9, "of two tables the valid one counts");
    ok(messages == 1, "the other one is reported");
}

/* Changes every byte of the good tables to several values, without and with a checksum that fits again. */
static void test_every_byte(void)
{
    static uint8_t original[MEMORY_SIZE];
    build();
    memcpy(original, memory, sizeof(memory));
    const uint64_t all[] = {good.madt, good.fadt, good.hpet, good.rsdt, good.xsdt};

    for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
        uint32_t length = length_of(all[i]);
        for (uint32_t offset = 0; offset < length; offset++) {
            const uint8_t old = at(all[i])[offset];
            const uint8_t values[] = {
                0, 1, 2, 0x7f, 0x80, 0xff, (uint8_t)~old, (uint8_t)(old + 1), (uint8_t)(old - 1)};
            for (unsigned v = 0; v < 2 * ARRAY_SIZE(values); v++) {
                at(all[i])[offset] = values[v / 2];
                if (v % 2)
                    fix_sum(at(all[i]), length, 9);
                parse();
                CHECK(is_sane());
                bool broken = v % 2 == 0 && values[v / 2] != old && (offset < 4 || offset > 7);
                CHECK(!broken || i != 0 || (acpi.cpus == 0 && acpi.ioapics == 0));
                CHECK(!broken || i != 1 || absent(acpi.pm_timer));
                CHECK(!broken || i != 2 || acpi.hpet == 0);
                CHECK(!broken || i < 3 || (acpi.cpus == 3 && acpi.hpet && acpi.timer_32bit));
                memcpy(memory, original, sizeof(memory));
            }
        }
    }
    ok_checks("every byte of every table changed");

    for (uint32_t offset = 0; offset < 36; offset++) {
        for (unsigned value = 0; value < 256; value++) {
            for (unsigned fix = 0; fix < 3; fix++) {
                uint8_t *r = at(RSDP), old = r[offset];
                r[offset] = (uint8_t)value;
                if (fix)
                    fix_sum(r, 20, 8);
                if (fix == 2)
                    fix_sum(r, 36, 32);
                parse();
                CHECK(is_sane());
                CHECK(fix || old == value || offset >= 20 || is_default());
                memcpy(memory, original, sizeof(memory));
            }
        }
    }
    ok_checks("every byte of the RSDP changed to every value");
}

/* Noise in the bodies of tables, with checksums that fit. */
static void test_noise(void)
{
    uint64_t seed = 88172645463325252;
    for (unsigned round = 0; round < 4000; round++) {
        build();
        const uint64_t all[] = {good.madt, good.fadt, good.xsdt};
        uint64_t table = all[round % ARRAY_SIZE(all)];
        for (uint32_t offset = 36; offset < length_of(table); offset++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            if (table == good.xsdt ? seed % 4 == 0 : seed % 3 != 0)
                at(table)[offset] = (uint8_t)(seed >> 32 & (seed & BIT(40) ? 0x1f : 0xff));
        }
        fix_table(table);
        parse();
        CHECK(is_sane());
    }
    ok_checks("noise in valid tables");
}

int main(void)
{
    test_good();
    test_root();
    test_rsdp();
    test_limits();
    test_madt();
    test_fadt();
    test_others();
    test_every_byte();
    test_noise();
    free(window);
    return tap_done();
}
