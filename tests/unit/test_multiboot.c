/*
 * The boot information: what well-formed tags say is found, and broken ones (cut off, too long, empty, of odd
 * sizes, random bytes) neither lead outside of the information nor to an endless loop.
 *
 * Each window on memory is a copy of its exact size, so that the sanitizer sees every access beyond it.
 *
 * Sources: boot/multiboot.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "boot/boot.h"
#include "tap.h"
#include "x86/device.h"

#include <stdlib.h>
#include <string.h>

#define INFO 0x12345000UL
#define WINDOW_MAX BIT(20)
#define ROUNDS 200000

static uint8_t info[4096] __attribute__((aligned(8)));
static uint32_t filled; /* bytes of info that are in use */
static void *window;
static unsigned windows;

static struct nova_hip page;
struct nova_hip *const hip = &page;

const void *boot_window(uint64_t phys, size_t size)
{
    free(window);
    window = NULL;
    if (phys != INFO || size > WINDOW_MAX)
        return NULL;
    windows++;
    window = calloc(1, size ? size : 1);
    if (!window)
        abort();
    return memcpy(window, info, size < sizeof(info) ? size : sizeof(info));
}

static void begin(void)
{
    memset(info, 0, sizeof(info));
    filled = 8;
    boot_info = (struct boot_info){0};
    page = (struct nova_hip){.acpi_rsdp = NOVA_HIP_ABSENT, .uefi_map = NOVA_HIP_ABSENT};
}

static void put32(uint32_t v)
{
    memcpy(info + filled, &v, 4);
    filled += 4;
}

static void put64(uint64_t v)
{
    memcpy(info + filled, &v, 8);
    filled += 8;
}

/* Fills what is left of the tag that began at `start`, as far as the size that it claims goes, and aligns. */
static void pad(uint32_t start, uint32_t size)
{
    filled = (start + size + 7) & ~7U;
}

static uint32_t put_tag(uint32_t type, uint32_t size)
{
    uint32_t start = filled;

    put32(type);
    put32(size);
    return start;
}

static void put_module(uint32_t start, uint32_t end)
{
    uint32_t at = put_tag(3, 21);

    put32(start);
    put32(end);
    memcpy(info + filled, "root", 5);
    pad(at, 21);
}

static void put_memory(uint64_t base, uint64_t size, uint32_t type, uint32_t entry_size)
{
    uint32_t start = filled;

    put64(base);
    put64(size);
    put32(type);
    filled = start + entry_size;
}

static bool parse(void)
{
    put_tag(0, 8);
    memcpy(info, &filled, 4);
    return multiboot_parse(MULTIBOOT2_MAGIC, INFO);
}

static void test_good(void)
{
    begin();
    uint32_t at = put_tag(1, 13); /* command line */
    memcpy(info + filled, "quiet", 5);
    pad(at, 13);
    put_module(0x200000, 0x234567);
    put_module(0x300000, 0x400000);
    at = put_tag(6, 16 + 4 * 24);
    put32(24);
    put32(0);
    put_memory(0, 0x9fc00, 1, 24);
    put_memory(0x9fc00, 0x400, 2, 24);
    put_memory(0x100000, 0x7ff00000, 1, 24);
    put_memory(0xfec00000, 0x1000, 2, 24);
    uint32_t old = put_tag(14, 28);
    pad(old, 28);
    uint32_t map = put_tag(17, 16 + 96);
    put32(48);
    put32(1);
    pad(map, 16 + 96);
    CHECK(parse());
    CHECK(boot_info.magic == MULTIBOOT2_MAGIC && boot_info.info == INFO);
    CHECK(hip->root_start == 0x200000 && hip->root_end == 0x234567);
    CHECK(hip->acpi_rsdp == INFO + old + 8);
    CHECK(hip->uefi_map == INFO + map + 16 && hip->uefi_map_size == 96);
    CHECK(hip->uefi_desc_size == 48 && hip->uefi_desc_version == 1);
    CHECK(boot_info.low_page == 0x9e000);
    memcpy(info + map + 8, &(uint32_t){65536 + 48}, 4);
    page.uefi_map = NOVA_HIP_ABSENT;
    CHECK(multiboot_parse(MULTIBOOT2_MAGIC, INFO) && hip->uefi_map == NOVA_HIP_ABSENT);
    ok_checks("a complete boot information");
}

static void test_rsdp(void)
{
    for (unsigned order = 0; order < 2; order++) {
        uint32_t start[2];
        begin();
        for (unsigned i = 0; i < 2; i++) {
            uint32_t type = 14 + (i ^ order), size = type == 14 ? 28 : 44;
            start[type - 14] = put_tag(type, size);
            pad(start[type - 14], size);
        }
        CHECK(parse() && hip->acpi_rsdp == INFO + start[1] + 8);
    }
    begin();
    CHECK(parse() && hip->acpi_rsdp == UINT64_MAX && hip->uefi_map == UINT64_MAX);
    CHECK(hip->root_start == 0 && hip->root_end == 0);
    ok_checks("the RSDP of ACPI 2.0 wins over the old one in any order; defaults");
}

static uint64_t low_page_of(uint64_t base, uint64_t size, uint32_t type)
{
    begin();
    put_tag(6, 16 + 2 * 40);
    put32(40); /* entries may be larger than today's */
    put32(7);
    put_memory(0x1000, 0x1000, 1, 40); /* found if the other one does not qualify */
    put_memory(base, size, type, 40);
    CHECK(parse());
    return boot_info.low_page;
}

static void test_low_page(void)
{
    CHECK(low_page_of(0x2000, 0x1000, 1) == 0x2000);
    CHECK(low_page_of(0x2000, 0x1fff, 1) == 0x2000);
    CHECK(low_page_of(0x2000, 0x2000, 1) == 0x3000);
    CHECK(low_page_of(0x2001, 0x1fff, 1) == 0x3000);
    CHECK(low_page_of(0x2001, 0x1000, 1) == 0x1000); /* no whole page */
    CHECK(low_page_of(0x2000, 0xfff, 1) == 0x1000);
    CHECK(low_page_of(0x2000, 0, 1) == 0x1000);
    CHECK(low_page_of(0x9f000, 0x1000, 1) == 0x9f000);
    CHECK(low_page_of(0x9f000, 0x100000, 1) == 0x9f000);
    CHECK(low_page_of(0x90000, UINT64_MAX - 0x90000, 1) == 0x9f000);
    CHECK(low_page_of(0xa0000, 0x1000, 1) == 0x1000);
    CHECK(low_page_of(0x100000, 0x7ff00000, 1) == 0x1000);
    CHECK(low_page_of(BIT(40), BIT(30), 1) == 0x1000);
    for (uint32_t type = 0; type < 8; type++)
        CHECK(low_page_of(0x20000, 0x10000, type) == (type == 1 ? 0x2f000 : 0x1000));
    ok_checks("the page below 640 KiB lies in available memory, as a whole");
}

static void test_unusable(void)
{
    static const uint32_t magics[] = {0, 0x2badb002, 0x36d76288, 0xe85250d6, UINT32_MAX};

    begin();
    put_module(1, 2);
    put_tag(0, 8);
    memcpy(info, &filled, 4);
    for (unsigned i = 0; i < ARRAY_SIZE(magics); i++)
        CHECK(!multiboot_parse(magics[i], INFO) && hip->root_end == 0 && boot_info.magic == magics[i]);
    CHECK(!multiboot_parse(MULTIBOOT2_MAGIC, INFO + 8) && hip->root_end == 0);
    filled = WINDOW_MAX + 8;
    memcpy(info, &filled, 4);
    CHECK(!multiboot_parse(MULTIBOOT2_MAGIC, INFO) && hip->root_end == 0);
    ok_checks("wrong magic number, information out of reach or too large");
}

/* The total size ends anywhere; no tag counts that is not there in full. */
static void test_truncated(void)
{
    for (uint32_t size = 0; size < 200; size++) {
        begin();
        put_module(0x1000, 0x2000); /* 8 to 29 */
        put_tag(15, 44);            /* 32 to 76 */
        pad(32, 44);
        uint32_t map = put_tag(17, 16 + 40); /* 80 to 136 */
        put32(40);
        put32(1);
        pad(map, 16 + 40);
        put_tag(0, 8);
        memcpy(info, &size, 4);
        CHECK(multiboot_parse(MULTIBOOT2_MAGIC, INFO));
        CHECK((hip->root_end == 0x2000) == (size >= 29));
        CHECK((hip->acpi_rsdp == INFO + 40) == (size >= 76));
        CHECK((hip->uefi_map == INFO + 96) == (size >= 136));
    }
    ok_checks("information that ends too early");
}

/* A tag of each type with each size that is too small for it, and with sizes that lead out of it all. */
static void test_sizes(void)
{
    static const uint32_t huge[] = {0x1000,     0xfffff,    0x7ffffff8, 0x80000000,
                                    0xfffffff0, 0xfffffff8, 0xffffffff};

    for (uint32_t type = 1; type < 24; type++) {
        for (uint32_t size = 0; size < 64 + ARRAY_SIZE(huge); size++) {
            uint32_t claimed = size < 64 ? size : huge[size - 64];
            begin();
            uint32_t at = put_tag(type, claimed);
            put32(0x5000);
            put32(0x6000);
            pad(at, size < 64 ? size : 16);
            if (filled < at + 8)
                filled = at + 8;
            put_module(0x1000, 0x2000);
            CHECK(parse());
            bool whole = claimed >= 8 && size < 64;
            CHECK(hip->root_end == (!whole ? 0U : type == 3 && claimed >= 16 ? 0x6000U : 0x2000U));
            CHECK(hip->uefi_map == (whole && type == 17 && claimed >= 16 ? INFO + 24 : UINT64_MAX));
        }
    }
    ok_checks("tags that are too short or too long");
}

static void test_entries(void)
{
    for (uint32_t entry_size = 0; entry_size < 256; entry_size += 8) {
        for (uint32_t size = 16; size < 128; size++) {
            begin();
            put_tag(6, 16 + 24);
            put32(24);
            put32(0);
            put_memory(0x1000, 0x1000, 1, 24);
            uint32_t at = put_tag(6, size);
            put32(entry_size);
            put32(0);
            put_memory(0x30000, 0x1000, 1, 24);
            pad(at, size);
            CHECK(parse());
            bool found = entry_size >= 24 && size >= 16 + entry_size;
            CHECK(boot_info.low_page == (found ? 0x30000 : 0x1000));
        }
    }
    static const uint32_t sizes[] = {0x10000, 0x7ffffff8, 0x80000000, 0xfffffff8};
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        begin();
        put_tag(6, 16 + 24);
        put32(sizes[i]);
        put32(0);
        put_memory(0x40000, 0x1000, 1, 24);
        CHECK(parse() && boot_info.low_page != 0x40000);
    }
    ok_checks("memory maps with entries of any size");
}

/* Random tags with sizes that often fit: all that counts is that nothing is read outside. */
static void test_random(void)
{
    uint64_t state = 1;

    for (unsigned round = 0; round < ROUNDS; round++) {
        begin();
        uint32_t size = (uint32_t)(tap_random(&state) % 300);
        for (uint32_t i = 8; i < 304; i += 8) {
            uint64_t r = tap_random(&state);
            memcpy(info + i, &r, 8);
        }
        for (uint32_t at = 8; at < size;) {
            uint32_t type = (uint32_t)(tap_random(&state) % 20),
                     tag_size = (uint32_t)(tap_random(&state) % 80);
            uint32_t entry_size = (uint32_t)(tap_random(&state) % 6) * 8;
            memcpy(info + at, &type, 4);
            memcpy(info + at + 4, &tag_size, 4);
            memcpy(info + at + 8, &entry_size, 4);
            at += ((tag_size < 8 ? 8 : tag_size) + 7) & ~7U;
        }
        memcpy(info, &size, 4);
        CHECK(multiboot_parse(MULTIBOOT2_MAGIC, INFO));
        CHECK(hip->acpi_rsdp == UINT64_MAX || (hip->acpi_rsdp > INFO && hip->acpi_rsdp <= INFO + size));
        CHECK(hip->uefi_map == UINT64_MAX ||
              (hip->uefi_map > INFO && hip->uefi_map + hip->uefi_map_size <= INFO + size));
        CHECK(boot_info.low_page < 0xa0000 && boot_info.low_page % PAGE_SIZE == 0);
    }
    ok_checks("%u random informations", ROUNDS);
}

int main(void)
{
    test_good();
    test_rsdp();
    test_low_page();
    test_unusable();
    test_truncated();
    test_sizes();
    test_entries();
    test_random();
    CHECK(windows > 0);
    ok_checks("windows have been looked through");
    free(window);
    return tap_done();
}
