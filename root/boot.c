/*
 * Multiboot2 information: a header of 8 bytes, then tags of 8-byte aligned sizes.
 *
 * SPDX-License-Identifier: MIT
 */

#include "boot.h"

#define TAG_END 0
#define TAG_MODULE 3
#define TAG_MEMORY_MAP 6

#define MEMORY_AVAILABLE 1

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;

    __builtin_memcpy(&v, p, sizeof(v));
    return v;
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t v;

    __builtin_memcpy(&v, p, sizeof(v));
    return v;
}

static bool add_module(struct boot *boot, const uint8_t *tag, uint32_t size)
{
    struct boot_module *m = &boot->module[boot->modules];

    if (boot->modules == sizeof(boot->module) / sizeof(*m) || size < 17 || tag[size - 1] != 0)
        return false;
    *m = (struct boot_module){get32(tag + 8), get32(tag + 12), (const char *)tag + 16};
    boot->modules++;
    return m->start <= m->end;
}

bool boot_parse(const void *info, size_t size, struct boot *boot)
{
    const uint8_t *p = info;

    *boot = (struct boot){.modules = 0};
    for (size_t at = 8; at + 8 <= size;) {
        uint32_t type = get32(p + at), bytes = get32(p + at + 4);

        if (bytes < 8 || bytes > size - at)
            return false;
        if (type == TAG_END)
            return boot->modules != 0 && boot->map;
        if (type == TAG_MODULE && !add_module(boot, p + at, bytes))
            return false;
        if (type == TAG_MEMORY_MAP && bytes >= 16) {
            boot->map = p + at + 16;
            boot->map_size = bytes - 16;
            boot->map_entry = get32(p + at + 8);
            if (boot->map_entry < 24)
                return false;
        }
        at += (bytes + 7UL) & ~7UL;
    }
    return false;
}

bool boot_memory(const struct boot *boot, unsigned n, struct range *memory)
{
    uint64_t at = (uint64_t)n * boot->map_entry, start, end;

    if (at + 24 > boot->map_size)
        return false;
    start = get64(boot->map + at);
    end = start + get64(boot->map + at + 8);
    *memory =
        (struct range){start, end < start || get32(boot->map + at + 16) != MEMORY_AVAILABLE ? start : end};
    return true;
}
