/*
 * The boot information: tags of 8-byte aligned sizes.
 *
 * SPDX-License-Identifier: MIT
 */

#include "boot/boot.h"
#include "x86/device.h"

#define TAG_HEAD 8 /* bytes: type and size */
#define TAG_END 0
#define TAG_MODULE 3
#define TAG_MEMORY_MAP 6
#define TAG_RSDP_OLD 14
#define TAG_RSDP_NEW 15
#define TAG_UEFI_MAP 17

#define MEMORY_AVAILABLE 1
#define LOW_MEMORY_END 0xa0000UL

/* With the first two words of its contents: start and end of a module; size and version of the entries of a map. */
struct tag {
    uint32_t type, size;
    uint32_t first, second;
};

struct memory {
    uint64_t base, size;
    uint32_t type, reserved;
};

struct boot_info boot_info;

static void parse_memory_map(const struct tag *tag)
{
    const char *entry = (const char *)(tag + 1), *end = (const char *)tag + tag->size;

    if (tag->first < sizeof(struct memory) || tag->first % 8)
        return;
    for (; entry + tag->first <= end; entry += tag->first) {
        const struct memory *m = (const struct memory *)entry;
        uint64_t top = min_u64(m->base + m->size, LOW_MEMORY_END) & ~(PAGE_SIZE - 1);
        if (m->type == MEMORY_AVAILABLE && m->base + PAGE_SIZE <= top)
            boot_info.low_page = top - PAGE_SIZE;
    }
}

static void parse_tag(const struct tag *tag, uint64_t phys)
{
    switch (tag->type) {
    case TAG_MODULE:
        if (!hip->root_end) {
            hip->root_start = tag->first;
            hip->root_end = tag->second;
        }
        break;
    case TAG_MEMORY_MAP:
        parse_memory_map(tag);
        break;
    case TAG_RSDP_OLD:
    case TAG_RSDP_NEW:
        if (tag->type == TAG_RSDP_NEW || hip->acpi_rsdp == NOVA_HIP_ABSENT)
            hip->acpi_rsdp = phys + TAG_HEAD;
        break;
    case TAG_UEFI_MAP:
        if (tag->first > UINT16_MAX) /* more than the HIP can say */
            break;
        hip->uefi_map = phys + sizeof(*tag);
        hip->uefi_map_size = tag->size - (uint32_t)sizeof(*tag);
        hip->uefi_desc_size = (uint16_t)tag->first;
        hip->uefi_desc_version = (uint16_t)tag->second;
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
    base = boot_window(info, size);
    if (!base)
        return false;
    for (uint32_t at = 8; at + TAG_HEAD <= size;) {
        const struct tag *tag = (const struct tag *)(base + at);
        if (tag->type == TAG_END || tag->size < TAG_HEAD || tag->size > size - at)
            break;
        if (tag->size >= sizeof(*tag))
            parse_tag(tag, info + at);
        at += (tag->size + 7) & ~7U;
    }
    return true;
}
