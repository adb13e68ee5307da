/*
 * Guest test: what a Multiboot loader hands over (Multiboot Specification 0.6.96, 3.3): command line, a module, the map of memory.
 * The command line is `mib=N module=BYTES first=C': memory, length of the module and its first character.
 *
 * SPDX-License-Identifier: MIT
 */

#include "lib/guest.h"

#define INFO_ALL 0x24d /* memory, command line, modules, map, name of the loader */
#define MIB 0x100000UL
#define RAM 1

struct info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4], mmap_length,
        mmap_addr;
    uint32_t drives[2], config_table, boot_loader_name;
};

struct module {
    uint32_t start, end, string, reserved;
};

struct region {
    uint32_t size;
    uint64_t start, length;
    uint32_t type;
} __attribute__((packed));

extern const char _start[];

static const struct info *info;

static void *at(uint64_t address)
{
    return (void *)address;
}

/* The type of memory in the map; 0: it is not there, or twice. */
static uint32_t type_of(uint64_t address)
{
    uint32_t type = 0, found = 0;

    for (uint32_t offset = 0; offset < info->mmap_length;) {
        const struct region *r = at(info->mmap_addr + offset);

        if (address - r->start < r->length) {
            type = r->type;
            found++;
        }
        offset += r->size + 4;
    }
    return found == 1 ? type : 0;
}

static uint64_t ram(void)
{
    uint64_t sum = 0;

    for (uint32_t offset = 0; offset < info->mmap_length;) {
        const struct region *r = at(info->mmap_addr + offset);

        sum += r->type == RAM ? r->length : 0;
        offset += r->size + 4;
    }
    return sum;
}

static void test_map(void)
{
    uint64_t mib = option("mib", 0), end = mib * MIB;

    tap_is(info->mem_upper, (mib - 1) * 1024, "memory from 1 MiB on");
    tap_ok(info->mem_lower >= 512 && info->mem_lower <= 640, "memory below: %u KiB", info->mem_lower);
    tap_is(ram() / MIB, mib - 1, "MiB of memory in the map, and almost one more");
    tap_ok(type_of(0) == RAM && type_of(MIB) == RAM && type_of(end - 1) == RAM,
           "memory from its start to its end");
    tap_ok(type_of(end) != RAM && type_of(0xa0000) != RAM, "no memory behind it, nor where screens were");
    tap_ok(type_of(0xe0000) == 2 && type_of(pci_ecam()) == 2 && type_of(APIC_BASE) == 2,
           "tables and devices are reserved");
    tap_ok(type_of(boot_info) == RAM && type_of(info->cmdline) == RAM, "the information is in memory");
}

static void test_module(void)
{
    const struct module *m = at(info->mods_addr);

    tap_is(info->mods_count, 1, "a module");
    tap_is(m->end - m->start, option("module", 0), "its length");
    tap_is(*(const uint8_t *)at(m->start), option("first", 0), "its first character");
    tap_is(*(const uint8_t *)at(m->end - 1), '\n', "its last one");
    tap_ok(m->start % 4096 == 0 && (m->start >= MIB) && (m->end <= option("mib", 0) * MIB),
           "it is in memory, on a page");
}

void test(void)
{
    info = at(boot_info);
    tap_is(boot_magic, 0x2badb002, "magic");
    tap_is(info->flags & INFO_ALL, INFO_ALL, "what is there");
    test_map();
    test_module();
}
