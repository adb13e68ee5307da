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

/* A tag, and an entry of the memory map, wherever they lie. */
struct tag {
    uint32_t type, size;
    uint32_t word[2]; /* module: start and end; memory map: size of an entry, version */
    char rest[];      /* module: command line; memory map: entries */
} __attribute__((packed));

struct memory_entry {
    uint64_t start, bytes;
    uint32_t type, reserved;
} __attribute__((packed));

static bool add_module(struct boot *boot, const struct tag *tag)
{
    size_t length = tag->size - sizeof(*tag);

    if (boot->modules == BOOT_MODULES || tag->size <= sizeof(*tag) || tag->rest[length - 1])
        return false;
    boot->module[boot->modules++] = (struct boot_module){tag->word[0], tag->word[1], tag->rest};
    return tag->word[0] <= tag->word[1];
}

bool boot_parse(const void *info, size_t size, struct boot *boot)
{
    const struct tag *tag;

    *boot = (struct boot){.modules = 0};
    for (size_t at = 8; at + 8 <= size; at += (tag->size + 7UL) & ~7UL) {
        tag = (const void *)((const char *)info + at);
        if (tag->size < 8 || tag->size > size - at)
            return false;
        if (tag->type == TAG_END)
            return boot->modules && boot->map;
        if (tag->type == TAG_MODULE && !add_module(boot, tag))
            return false;
        if (tag->type == TAG_MEMORY_MAP) {
            if (tag->size < sizeof(*tag) || tag->word[0] < sizeof(struct memory_entry))
                return false;
            boot->map = tag;
        }
    }
    return false;
}

bool boot_memory(const struct boot *boot, unsigned n, struct range *memory)
{
    uint64_t at = (uint64_t)n * boot->map->word[0];
    const struct memory_entry *e = (const void *)(boot->map->rest + at);

    if (at + sizeof(*e) > boot->map->size - sizeof(*boot->map))
        return false;
    *memory = (struct range){e->start, e->start + e->bytes};
    if (memory->end < memory->start || e->type != MEMORY_AVAILABLE)
        memory->end = memory->start;
    return true;
}
