/*
 * Loaders: what a good image finds in guest memory and registers, the error for every kind of bad one, and damaged images at
 * random.
 *
 * Sources: boot/linux.c boot/load.c boot/multiboot.c ../libnova/src/format.c
 *
 * SPDX-License-Identifier: MIT
 */

#include <elf.h>
#include <string.h>

#include "acpi/acpi.h"
#include "boot/layout.h"
#include "dev/irq.h"
#include "dev/lapic.h"
#include "dev/pci.h"
#include "memory.h"
#include "tap.h"

#define MIB 0x100000UL
#define GIB 0x40000000UL
#define PREFERRED (16 * MIB)
#define INITRD_SIZE 5000
#define ROUNDS 20000

static uint8_t image[16384], initrd[INITRD_SIZE];
static size_t image_size;
static struct boot_state state;

static void put(size_t offset, size_t bytes, uint64_t value)
{
    memcpy(image + offset, &value, bytes);
}

static uint64_t get(uint64_t gpa, size_t bytes)
{
    uint64_t value = 0;
    const void *at = ram_at(gpa, bytes);

    if (CHECK(at))
        memcpy(&value, at, bytes);
    return value;
}

/* A bzImage with two sectors of setup, and 8 KiB that say which offset they are. */
static void make_linux(void)
{
    memset(image, 0, sizeof image);
    image_size = 3 * 512 + 8192;
    put(0x1f1, 1, 2);         /* setup_sects */
    put(0x1f4, 4, 8192 / 16); /* syssize */
    put(0x1fe, 2, 0xaa55);
    put(0x200, 2, 0x6aeb); /* jump; the header ends at 0x26c */
    memcpy(image + 0x202, "HdrS", 4);
    put(0x206, 2, 0x20f);
    put(0x211, 1, 1); /* LOADED_HIGH */
    put(0x22c, 4, 0x7fffffff);
    put(0x230, 4, 2 * MIB);
    put(0x234, 1, 1); /* relocatable */
    put(0x236, 2, 3); /* 64-bit entry */
    put(0x238, 4, 2047);
    put(0x258, 8, PREFERRED);
    put(0x260, 4, 40 * MIB);
    for (size_t i = 0; i < 8192; i += 4)
        put(3 * 512 + i, 4, i);
}

static const char *load(const char *cmdline)
{
    memset(&state, 0x5a, sizeof state);
    return boot_load(image, image_size, initrd, sizeof initrd, cmdline, &state);
}

/* Segments as the UTCB has them agree with the GDT in guest memory (Intel SDM volume 3, 3.4.5). */
static void check_segment(const struct nova_segment *segment)
{
    uint64_t descriptor = get(state.gdtr.base + segment->sel, 8);

    CHECK(segment->sel + 7U <= state.gdtr.limit);
    CHECK((descriptor >> 40 & 0xff) == (segment->ar & 0xff));
    CHECK((descriptor >> 52 & 0xf) == (segment->ar >> 8 & 0xf));
    CHECK(segment->limit == UINT32_MAX && (descriptor & 0xf00000000ffffUL) == 0xf00000000ffffUL &&
          !segment->base);
}

/* All of the low 4 GiB is where it is. */
static void check_identity(void)
{
    for (uint64_t address = 0; address < 4 * GIB; address += 2 * MIB) {
        uint64_t pml4e = get(state.cr3, 8);
        uint64_t pdpte = get((pml4e & ~0xfffUL) + address / GIB * 8, 8);
        uint64_t pde = get((pdpte & ~0xfffUL) + address % GIB / (2 * MIB) * 8, 8);

        CHECK((pml4e & 3) == 3 && (pdpte & 3) == 3 && !(pdpte & 0x80) && pde == (address | 0x83));
    }
}

/* An array of {start, size, type}, as E820 and, with its length before each, as Multiboot has it. */
static void check_map(uint64_t map, unsigned entries, unsigned stride)
{
    static const uint64_t holes[][2] = {
        {ACPI_TABLES, ACPI_TABLES_END},
        {PCI_ECAM, PCI_ECAM + PCI_ECAM_SIZE},
        {IOAPIC_BASE, IOAPIC_BASE + 4096},
        {LAPIC_BASE, LAPIC_BASE + 4096},
    };
    uint64_t memory = 0, end = 0;
    unsigned reserved = 0;

    for (unsigned i = 0; i < entries; i++, map += stride) {
        uint64_t start = get(map, 8), size = get(map + 8, 8), type = get(map + 16, 4);

        CHECK(start >= end && size);
        end = start + size;
        memory += type == 1 ? size : 0;
        CHECK(type != 1 || ram_at(start, size));
        CHECK(type != 1 || end <= 0xa0000 || start >= 0x100000);
        for (unsigned h = 0; h < 4; h++)
            reserved += type == 2 && start == holes[h][0] && end == holes[h][1];
    }
    CHECK(reserved == 4);
    CHECK(memory == ram_size() - 0x60000);
}

static void check_initrd(uint64_t address, uint64_t limit, uint64_t kernel, uint64_t kernel_end)
{
    const void *memory = ram_at(address, INITRD_SIZE);

    CHECK(memory && memcmp(memory, initrd, INITRD_SIZE) == 0);
    CHECK(address % 4096 == 0 && address + INITRD_SIZE <= limit && address >= MIB);
    CHECK(address >= kernel_end || address + INITRD_SIZE <= kernel);
}

/* What the loader has done with the image of make_linux(). */
static void check_linux(uint64_t kernel, const char *cmdline)
{
    uint64_t zero = state.rsi, seed = get(zero + 0x250, 8);

    CHECK(state.rip == kernel + 0x200 && state.rflags == 2);
    CHECK(state.cr0 == 0x80000031 && state.cr4 == 0x20 && state.efer == 0x500);
    CHECK(state.cs.ar & 0x200 && state.cs.sel == 0x10 && state.data.sel == 0x18);
    CHECK(state.tr.ar == 0x8b && state.ldtr.ar == 0x1000);
    check_segment(&state.cs);
    check_segment(&state.data);
    check_identity();
    CHECK(memcmp(ram_at(kernel, 8192), image + 3 * 512, 8192) == 0);
    CHECK(memcmp(ram_at(zero + 0x1fe, 8), image + 0x1fe, 8) == 0);
    CHECK(get(zero + 0x70, 8) == ACPI_TABLES);
    CHECK(get(zero + 0x210, 1) == 0xff && !get(zero + 0x1ef, 1)); /* loader; sentinel */
    check_map(zero + 0x2d0, (unsigned)get(zero + 0x1e8, 1), 20);
    CHECK(get(zero + 0x21c, 4) == INITRD_SIZE);
    check_initrd(get(zero + 0x218, 4), 0x80000000, kernel, kernel + 40 * MIB);
    CHECK(strcmp(ram_at(get(zero + 0x228, 4), 2048), cmdline) == 0);
    CHECK(get(seed, 8) == 0 && get(seed + 8, 4) == 9 && get(seed + 12, 4) == 32);
    CHECK(get(seed + 16, 8) && get(seed + 16, 8) != get(seed + 24, 8));
}

static void test_linux(void)
{
    static const uint64_t sizes[] = {64 * MIB, 512 * MIB, 3 * GIB, 3 * GIB + 2 * MIB, 5 * GIB};
    uint64_t high;

    make_linux();
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        memory_make(sizes[i]);
        memset(ram_at(0, 0xa0000), 0xa5, 0xa0000); /* a guest has been here */
        CHECK(!load("console=ttyS0 quiet"));
        check_linux(PREFERRED, "console=ttyS0 quiet");
        ok_checks("Linux in %lu MiB", sizes[i] / MIB);
    }
    high = get(get(state.rsi + 0x218, 4), 1); /* 5 GiB: still below the limit that the header gives */
    CHECK(get(state.rsi + 0x218, 4) == ((0x80000000 - INITRD_SIZE) & ~0xfffUL));
    CHECK(high == initrd[0]);
    ok_checks("the initrd is as high as the kernel allows");

    memory_make(56 * MIB + 4096);
    CHECK(!load(""));
    check_linux(PREFERRED, "");
    CHECK(get(state.rsi + 0x218, 4) < PREFERRED);
    ok_checks("an initrd that does not fit above the kernel is below it");

    memory_make(64 * MIB);
    CHECK(!boot_load(image, image_size, NULL, 0, "", &state));
    CHECK(get(state.rsi + 0x218, 4) == 0 && get(state.rsi + 0x21c, 4) == 0);
    ok_checks("no initrd");
}

/* A bad image: what is changed, and what the error has to say. */
static void expect(const char *what, const char *wanted)
{
    const char *error = load("");
    struct boot_state untouched;

    memset(&untouched, 0x5a, sizeof untouched);
    ok(error && strstr(error, wanted) && memcmp(&state, &untouched, sizeof state) == 0, "%s: %s", what,
       error ? error : "(none)");
}

static void test_bad_linux(void)
{
    static const struct {
        const char *what, *error;
        size_t offset, bytes;
        uint64_t value;
    } bad[] = {
        {"no boot flag", "no boot flag", 0x1fe, 2, 0},
        {"boot protocol 2.11", "2.11", 0x206, 2, 0x20b},
        {"header that ends early", "boot protocol", 0x201, 1, 0x20},
        {"zImage", "below 1 MiB", 0x211, 1, 0},
        {"no 64-bit entry", "xloadflags", 0x236, 2, 2},
        {"more code than there is", "cut off", 0x1f4, 4, 513},
        {"no code", "cut off", 0x1f4, 4, 32},
        {"more setup than there is", "cut off", 0x1f1, 1, 255},
        {"needs 4 GiB", "needs 4096 MiB from 0x1000000 on, the VM has 64 MiB", 0x260, 4, UINT32_MAX},
        {"needs a page too much", "needs 49 MiB", 0x260, 4, 48 * MIB + 4096},
        {"address below 1 MiB", "from 0xff000 on", 0x258, 8, MIB - 4096},
        {"address beyond the memory", "from 0x3c00000 on", 0x258, 8, 60 * MIB},
        {"address at the end of the address space", "from 0xffffffffffffff9b on", 0x258, 8, UINT64_MAX - 100},
        {"initrd below 1 MiB", "no room for an initrd", 0x22c, 4, 0xfffff},
    };

    memory_make(64 * MIB);
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        make_linux();
        put(bad[i].offset, bad[i].bytes, bad[i].value);
        expect(bad[i].what, bad[i].error);
    }
    make_linux();
    put(0x238, 4, 3);
    ok(strstr(load("four"), "has 4 characters, the kernel takes 3") != NULL,
       "a command line that is too long");
    image_size = 0x250;
    expect("half a header", "no bzImage");
    image_size = 0;
    expect("an empty image", "neither");
    memory_make(MIB);
    make_linux();
    expect("1 MiB of memory", "MiB");
}

static void put_header(size_t offset, uint32_t flags)
{
    put(offset, 4, 0x1badb002);
    put(offset + 4, 4, flags);
    put(offset + 8, 4, 0UL - 0x1badb002U - flags);
}

/* A Multiboot ELF file: a segment of 64 bytes at 2 MiB, 1000 with zeros; linked elsewhere. */
static void make_elf32(void)
{
    Elf32_Ehdr elf = {
        .e_ident = "\177ELF\1\1\1", .e_type = ET_EXEC, .e_machine = EM_386, .e_entry = 0xc0200010};
    Elf32_Phdr part = {.p_type = PT_LOAD, .p_offset = 256, .p_vaddr = 0xc0200000, .p_paddr = 2 * MIB};

    elf.e_phoff = sizeof elf;
    elf.e_phentsize = sizeof part;
    elf.e_phnum = 2;
    part.p_filesz = 64;
    part.p_memsz = 1000;
    memset(image, 0, sizeof image);
    memcpy(image, &elf, sizeof elf);
    memcpy(image + sizeof elf + sizeof part, &part, sizeof part); /* the first one is PT_NULL */
    put_header(512, 3);
    memset(image + 256, 0x11, 64);
    image_size = 600;
}

static void make_elf64(void)
{
    Elf64_Ehdr elf = {
        .e_ident = "\177ELF\2\1\1", .e_type = ET_EXEC, .e_machine = EM_X86_64, .e_entry = 2 * MIB + 16};
    Elf64_Phdr part = {.p_type = PT_LOAD, .p_offset = 256, .p_vaddr = 2 * MIB, .p_paddr = 2 * MIB};

    elf.e_phoff = sizeof elf;
    elf.e_phentsize = sizeof part;
    elf.e_phnum = 1;
    part.p_filesz = 64;
    part.p_memsz = 1000;
    memset(image, 0, sizeof image);
    memcpy(image, &elf, sizeof elf);
    memcpy(image + sizeof elf, &part, sizeof part);
    put_header(512, 3);
    memset(image + 256, 0x11, 64);
    image_size = 600;
}

/* The same without ELF: addresses in the header. The image is loaded from offset 256 on. */
static void make_addresses(void)
{
    static const uint32_t addresses[] = {2 * MIB + 64, 2 * MIB, 2 * MIB + 96, 2 * MIB + 1000, 2 * MIB + 16};

    memset(image, 0, sizeof image);
    put_header(320, 0x10003);
    memcpy(image + 332, addresses, sizeof addresses);
    memset(image + 256, 0x11, 64);
    image_size = 600;
}

static void check_multiboot(const char *name)
{
    uint64_t info = state.rbx, module;

    CHECK(state.rax == 0x2badb002 && state.rip == 2 * MIB + 16 && state.rflags == 2);
    CHECK(state.cr0 == 0x31 && state.cr4 == 0 && state.efer == 0);
    CHECK((state.cs.ar & 0x600) == 0x400);
    check_segment(&state.cs);
    check_segment(&state.data);
    CHECK(get(2 * MIB, 8) == 0x1111111111111111 && get(2 * MIB + 56, 8) == 0x1111111111111111);
    CHECK(!get(2 * MIB + 96, 8) && !get(2 * MIB + 992, 8) && get(2 * MIB + 1000, 8) == 0xa5a5a5a5a5a5a5a5);
    CHECK((get(info, 4) & 0x4d) == 0x4d && get(info + 4, 4) == 640);
    CHECK(get(info + 8, 4) == (ram_low_end() - MIB) / 1024);
    CHECK(strcmp(ram_at(get(info + 16, 4), 100), "test=1") == 0);
    check_map(get(info + 48, 4) + 4, (unsigned)get(info + 44, 4) / 24, 24);
    CHECK(get(get(info + 48, 4), 4) == 20);
    module = get(info + 24, 4);
    CHECK(get(info + 20, 4) == 1 && get(module + 4, 4) - get(module, 4) == INITRD_SIZE);
    check_initrd(get(module, 4), ram_low_end(), 2 * MIB, 2 * MIB + 1000);
    ok_checks("Multiboot: %s", name);
}

static void test_multiboot(void)
{
    static void (*const make[])(void) = {make_elf32, make_elf64, make_addresses};
    static const char *const name[] = {"ELF32", "ELF64", "addresses in the header"};

    for (unsigned i = 0; i < 3; i++) {
        memory_make(i == 1 ? 4 * GIB : 64 * MIB);
        memset(ram_at(0, 3 * MIB), 0xa5, 3 * MIB);
        make[i]();
        CHECK(!load("test=1"));
        check_multiboot(name[i]);
    }
}

static void test_bad_multiboot(void)
{
    memory_make(64 * MIB);
    make_elf32();
    put(520, 4, 0);
    expect("wrong checksum", "neither");
    make_elf32();
    put_header(512, 7);
    expect("video mode", "video");
    make_elf32();
    put_header(512, 9);
    expect("unknown flag", "flags 0x9");
    make_elf32();
    put(0, 4, 0);
    expect("no ELF", "no ELF file");
    make_elf32();
    put(18, 2, EM_ARM);
    expect("another machine", "machine 40");
    make_elf32();
    put(44, 2, 100);
    expect("too many program headers", "100 program headers");
    make_elf32();
    put(28, 4, UINT32_MAX);
    expect("program headers elsewhere", "not in the image");
    make_elf32();
    put(84 + 4, 4, 590);
    expect("segment beyond the file", "is not in the image");
    make_elf32();
    put(84 + 16, 4, 2000);
    expect("segment with more file than memory", "is not in the image");
    make_elf32();
    put(84 + 12, 4, 0x8000);
    expect("segment below 1 MiB", "from 1 MiB on");
    make_elf32();
    put(84 + 12, 4, 64 * MIB - 100);
    expect("segment beyond the memory", "from 1 MiB on");
    make_elf32();
    put(24, 4, 0x1000);
    expect("entry point outside", "in no segment");
    make_addresses();
    put(336, 4, 3 * MIB);
    expect("load address above the header", "does not fit");
    make_addresses();
    put(332, 4, 2 * MIB + 1000);
    expect("header too far from the load address", "does not fit");
    make_addresses();
    put(340, 4, 2 * MIB - 1);
    expect("end before start", "is not in the image");
    make_addresses();
    put(348, 4, MIB);
    expect("entry before start", "entry point");
    make_addresses();
    image_size = 340;
    expect("header cut off", "cut off");
}

/* Damaged images: an error, or a state that lies in memory. Sanitizers see the rest. */
static void test_damage(const char *name, void (*make)(void), size_t from, size_t to)
{
    static const uint64_t edges[] = {0,    1,       0xff,     0x1000,     0x7fff,         0xffff,
                                     MIB,  2 * MIB, 64 * MIB, 0x7fffffff, 0x80000000,     0xfffff000,
                                     ~0UL, 4 * GIB, 3 * GIB,  GIB - 1,    ~0UL - 64 * MIB};
    uint64_t random = 0x9e3779b97f4a7c15;
    unsigned loaded = 0;

    memory_make(64 * MIB);
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned changes = 1 + (unsigned)(tap_random(&random) % 3);
        uint8_t *copy;
        const char *error;

        make();
        while (changes--) {
            size_t bytes = 1UL << tap_random(&random) % 4,
                   at = from + tap_random(&random) % (to - from - bytes + 1);
            uint64_t value = tap_random(&random);

            put(at, bytes,
                value & 1 ? edges[value / 2 % (sizeof edges / sizeof *edges)] : value >> (value / 2 % 64));
        }
        if (tap_random(&random) % 8 == 0)
            image_size = tap_random(&random) % (image_size + 1);
        copy = malloc(image_size + 1); /* of its own, so that reading beyond it is seen */
        memcpy(copy + 1, image, image_size);
        error = boot_load(copy + 1, image_size, initrd, sizeof initrd, "x", &state);
        free(copy);
        if (error) {
            CHECK(strlen(error) > 10 && strlen(error) < 159);
            continue;
        }
        loaded++;
        CHECK(ram_at(state.rip, 1) && state.rip >= MIB);
    }
    CHECK(loaded > ROUNDS / 50 && loaded < ROUNDS);
    ok_checks("%u damaged images, %s: %u could be loaded", ROUNDS, name, loaded);
}

int main(void)
{
    for (size_t i = 0; i < sizeof initrd; i++)
        initrd[i] = (uint8_t)(i * 7 + 1);
    test_linux();
    test_bad_linux();
    test_multiboot();
    test_bad_multiboot();
    test_damage("Linux", make_linux, 0x1f1, 0x26c);
    test_damage("ELF32", make_elf32, 0, 116);
    test_damage("ELF64", make_elf64, 0, 120);
    test_damage("addresses", make_addresses, 320, 352);
    return tap_done();
}
