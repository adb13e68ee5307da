/*
 * The boot information: tags of 8-byte aligned sizes.
 *
 * SPDX-License-Identifier: MIT
 */

#include "boot/multiboot.h"

#include "x86/device.h"

#define TAG_END 0
#define TAG_MODULE 3
#define TAG_MEMORY_MAP 6
#define TAG_RSDP_OLD 14
#define TAG_RSDP_NEW 15
#define TAG_UEFI_MAP 17

#define MEMORY_AVAILABLE 1
#define LOW_MEMORY_END 0xa0000UL

struct tag {
    uint32_t type, size;
};

struct tag_module {
    struct tag tag;
    uint32_t start, end;
};

struct tag_memory_map {
    struct tag tag;
    uint32_t entry_size, entry_version;
};

struct memory {
    uint64_t base, size;
    uint32_t type, reserved;
};

struct tag_uefi_map {
    struct tag tag;
    uint32_t desc_size, desc_version;
};

struct boot_info boot_info = {.rsdp = UINT64_MAX, .uefi_map = UINT64_MAX};
static uint64_t low_page;

static void parse_memory_map(const struct tag_memory_map *map)
{
    const char *entry = (const char *)(map + 1), *end = (const char *)map + map->tag.size;

    if (map->entry_size < sizeof(struct memory) || map->entry_size % 8)
        return;
    for (; entry + map->entry_size <= end;
         entry += map->entry_size) {
        const struct memory *m = (const struct memory *)entry;
        uint64_t top = min_u64(m->base + m->size, LOW_MEMORY_END) & ~(PAGE_SIZE - 1);
        if (m->type == MEMORY_AVAILABLE && m->base + PAGE_SIZE <= top)
            low_page = top - PAGE_SIZE;
    }
}

static void parse_tag(const struct tag *tag, uint64_t phys)
{
    switch (tag->type) {
    case TAG_MODULE:
        if (!boot_info.root_end && tag->size >= sizeof(struct tag_module)) {
            boot_info.root_start = ((const struct tag_module *)tag)->start;
            boot_info.root_end = ((const struct tag_module *)tag)->end;
        }
        break;
    case TAG_MEMORY_MAP:
        if (tag->size >= sizeof(struct tag_memory_map))
            parse_memory_map((const struct tag_memory_map *)tag);
        break;
    case TAG_RSDP_OLD:
        if (boot_info.rsdp == UINT64_MAX)
            boot_info.rsdp = phys + sizeof(struct tag);
        break;
    case TAG_RSDP_NEW:
        boot_info.rsdp = phys + sizeof(struct tag);
        break;
    case TAG_UEFI_MAP:
        if (tag->size >= sizeof(struct tag_uefi_map)) {
            boot_info.uefi_map = phys + sizeof(struct tag_uefi_map);
            boot_info.uefi_map_size = tag->size - (uint32_t)sizeof(struct tag_uefi_map);
            boot_info.uefi_desc_size = ((const struct tag_uefi_map *)tag)->desc_size;
            boot_info.uefi_desc_version = ((const struct tag_uefi_map *)tag)->desc_version;
        }
        break;
    default:
        break;
    }
}

bool multiboot_parse(uint32_t magic, uint64_t info)
{
    const uint32_t *head = boot_window(info, 8);
    uint32_t size;
    const char *base;

    boot_info.magic = magic;
    boot_info.info = info;
    if (magic != MULTIBOOT2_MAGIC || !head)
        return false;
    size = head[0];
    boot_info.info_end = info + size;
    base = boot_window(info, size);
    if (!base)
        return false;
    for (uint32_t at = 8; at + sizeof(struct tag) <= size;) {
        const struct tag *tag = (const struct tag *)(base + at);
        if (tag->type == TAG_END || tag->size < sizeof(struct tag) || tag->size > size - at)
            break;
        parse_tag(tag, info + at);
        at += (tag->size + 7) & ~7U;
    }
    return true;
}

uint64_t multiboot_low_page(void)
{
    return low_page;
}
