/*
 * Boot information: command line of the root module and the largest range of free RAM.
 *
 * Sources are the Multiboot2 information structure and, where the firmware is UEFI, the memory map
 * that the hypervisor information page points to (specification 8.3.1). RAM is free if it is
 * available, above 1 MiB, and outside the kernel, this image, the memory console, all modules and
 * the boot information itself.
 *
 * SPDX-License-Identifier: MIT
 */

#include "multiboot.h"

#include "system.h"

#define MAGIC 0x36d76289
#define TAG_END 0
#define TAG_MODULE 3
#define TAG_MEMORY_MAP 6
#define MEMORY_AVAILABLE 1
#define UEFI_CONVENTIONAL 7
#define RESERVED_MAX 32

struct tag {
    uint32_t type, size;
};

struct tag_module {
    struct tag tag;
    uint32_t start, end;
    char string[];
};

struct tag_memory_map {
    struct tag tag;
    uint32_t entry_size, entry_version;
    uint8_t entries[];
};

struct memory_entry {
    uint64_t base, length;
    uint32_t type, reserved;
};

struct uefi_entry {
    uint32_t type, pad;
    uint64_t base, virtual_base, pages;
};

static struct memory_range reserved[RESERVED_MAX];
static unsigned reserved_count;

static void reserve(uint64_t start, uint64_t end)
{
    if (start < end && reserved_count < RESERVED_MAX)
        reserved[reserved_count++] = (struct memory_range){start, end};
}

/* Keeps the largest piece of RAM that is free of reserved ranges. */
static void add_ram(uint64_t start, uint64_t end, unsigned from, struct memory_range *best)
{
    for (unsigned i = from; i < reserved_count; i++) {
        const struct memory_range *r = &reserved[i];

        if (r->end <= start || r->start >= end)
            continue;
        if (r->start > start)
            add_ram(start, r->start, i + 1, best);
        if (r->end < end)
            add_ram(r->end, end, i + 1, best);
        return;
    }
    start = (start + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
    end &= ~(PAGE_SIZE - 1);
    if (start < end && end - start > best->end - best->start)
        *best = (struct memory_range){start, end};
}

static void add_memory_map(const struct tag_memory_map *map, struct memory_range *best)
{
    for (const uint8_t *p = map->entries; p < (const uint8_t *)map + map->tag.size; p += map->entry_size) {
        const struct memory_entry *e = (const void *)p;

        if (e->type == MEMORY_AVAILABLE)
            add_ram(e->base, e->base + e->length, 0, best);
    }
}

static void add_uefi_map(const struct nova_hip *hip, struct memory_range *best)
{
    const uint8_t *map = map_phys(hip->uefi_map, hip->uefi_map_size, NOVA_MEM_R, NOVA_MAD_WB);

    for (uint32_t at = 0; at + hip->uefi_desc_size <= hip->uefi_map_size; at += hip->uefi_desc_size) {
        const struct uefi_entry *e = (const void *)(map + at);

        if (e->type == UEFI_CONVENTIONAL)
            add_ram(e->base, e->base + e->pages * PAGE_SIZE, 0, best);
    }
}

void multiboot_parse(uint64_t magic, uint64_t mbi, const char **cmdline, struct memory_range *pool)
{
    const struct nova_hip *hip = sys.hip;
    const struct tag_memory_map *memory_map = NULL;

    *cmdline = "";
    if (magic != MAGIC)
        return;

    uint32_t size = *(const uint32_t *)map_phys(mbi, 8, NOVA_MEM_R, NOVA_MAD_WB);
    const uint8_t *info = map_phys(mbi, size, NOVA_MEM_R, NOVA_MAD_WB);

    reserve(0, 0x100000);
    reserve(mbi, mbi + size);
    reserve(hip->nova_start, hip->nova_end);
    reserve(hip->mbuf_start, hip->mbuf_end);
    reserve(hip->root_start, hip->root_end);

    for (uint32_t at = 8; at < size;) {
        const struct tag *tag = (const void *)(info + at);

        if (tag->type == TAG_MODULE) {
            const struct tag_module *module = (const void *)tag;

            reserve(module->start, module->end);
            if (module->start == hip->root_start)
                *cmdline = module->string;
        } else if (tag->type == TAG_MEMORY_MAP) {
            memory_map = (const void *)tag;
        } else if (tag->type == TAG_END) {
            break;
        }
        at += (tag->size + 7) & ~7U;
    }

    if (hip->uefi_map != NOVA_HIP_ABSENT)
        add_uefi_map(hip, pool);
    else if (memory_map)
        add_memory_map(memory_map, pool);
}
