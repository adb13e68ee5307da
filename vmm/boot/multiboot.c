/*
 * Multiboot images (Multiboot Specification 0.6.96): ELF of 32 or 64 bits, or addresses in the header. The guest starts in
 * 32-bit protected mode without paging; EAX has the magic, EBX the address of the information.
 *
 * Images are hostile: every field is read once from the image and checked. Called while no vCPU runs.
 *
 * SPDX-License-Identifier: MIT
 */

#include <elf.h>
#include <stdbool.h>
#include <string.h>

#include "boot/layout.h"
#include "ram.h"

#define SEARCH 8192UL /* the header is in these first bytes (3.1) */
#define HEADER_MAGIC 0x1badb002
#define ENTRY_MAGIC 0x2badb002
#define WANTS_VIDEO 0x4
#define WANTS_UNKNOWN 0xfff8 /* flags of what a loader must know, and this one does not */
#define HAS_ADDRESSES 0x10000

struct header {
    uint32_t magic, flags, checksum;
    uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};

/* Information for the guest (3.3), as far as it is filled in; what follows is in the same page. */
struct info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
    uint32_t mmap_length, mmap_addr, drives_length, drives_addr, config_table, boot_loader_name;
};

struct module {
    uint32_t start, end, string, reserved;
};

struct map_entry {
    uint32_t size; /* of what follows */
    uint64_t start, length;
    uint32_t type;
} __attribute__((packed));

struct page {
    struct info info;
    struct module module;
    struct map_entry map[BOOT_REGIONS];
    char name[8];
};

_Static_assert(sizeof(struct page) <= BOOT_SETUP - BOOT_INFO, "Multiboot information");

enum {
    INFO_MEMORY = 1 << 0,
    INFO_CMDLINE = 1 << 2,
    INFO_MODS = 1 << 3,
    INFO_MAP = 1 << 6,
    INFO_NAME = 1 << 9
};

struct image {
    const uint8_t *data;
    size_t size;
    uint64_t entry;
    uint64_t start, end; /* what has been loaded */
};

/* A part of the image in memory, the rest of it zero. */
static const char *load(struct image *image, uint64_t offset, uint64_t file_size, uint64_t address,
                        uint64_t size)
{
    uint8_t *memory;

    if (offset > image->size || file_size > image->size - offset || file_size > size) {
        return boot_error("a segment of %lu bytes at offset %lu is not in the image of %zu bytes", file_size,
                          offset, image->size);
    }
    memory = address < BOOT_KERNELS || address >= RAM_LOW_END ? NULL : ram_at(address, size);
    if (!memory) {
        return boot_error("a segment of %lu bytes at %#lx is not in the VM's memory from 1 MiB on", size,
                          address);
    }
    memcpy(memory, image->data + offset, file_size);
    memset(memory + file_size, 0, size - file_size);
    image->start = address < image->start ? address : image->start;
    image->end = address + size > image->end ? address + size : image->end;
    return NULL;
}

/* Program header `i`, in the 64-bit form. */
static Elf64_Phdr program_header(const uint8_t *at, bool is_64)
{
    Elf64_Phdr wide;
    Elf32_Phdr narrow;

    if (is_64) {
        memcpy(&wide, at, sizeof wide);
        return wide;
    }
    memcpy(&narrow, at, sizeof narrow);
    return (Elf64_Phdr){
        .p_type = narrow.p_type,
        .p_offset = narrow.p_offset,
        .p_vaddr = narrow.p_vaddr,
        .p_paddr = narrow.p_paddr,
        .p_filesz = narrow.p_filesz,
        .p_memsz = narrow.p_memsz,
    };
}

/* The entry point of ELF files is virtual: it is where its segment lies in memory. */
static const char *load_elf(struct image *image)
{
    bool is_64 = image->size > EI_CLASS && image->data[EI_CLASS] == ELFCLASS64;
    size_t header_size = is_64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
    size_t entry_size = is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
    bool found = false;
    Elf64_Ehdr elf;
    Elf32_Ehdr narrow;

    if (image->size < header_size || memcmp(image->data, ELFMAG, SELFMAG) != 0)
        return "the Multiboot image is no ELF file, and its header has no addresses";
    memcpy(&elf, image->data, header_size);
    if (!is_64) {
        memcpy(&narrow, image->data, sizeof narrow);
        elf.e_entry = narrow.e_entry;
        elf.e_phoff = narrow.e_phoff;
        elf.e_phnum = narrow.e_phnum;
        elf.e_phentsize = narrow.e_phentsize;
    }
    if (elf.e_machine != (is_64 ? EM_X86_64 : EM_386) || elf.e_phentsize != entry_size) {
        return boot_error("the ELF file is for machine %u, or its program headers have another size",
                          elf.e_machine);
    }
    if (elf.e_phoff > image->size || elf.e_phnum > (image->size - elf.e_phoff) / entry_size)
        return boot_error("%u program headers at offset %#lx are not in the image", elf.e_phnum, elf.e_phoff);
    for (unsigned i = 0; i < elf.e_phnum; i++) {
        Elf64_Phdr part = program_header(image->data + elf.e_phoff + i * entry_size, is_64);
        const char *error;

        if (part.p_type != PT_LOAD || !part.p_memsz)
            continue;
        error = load(image, part.p_offset, part.p_filesz, part.p_paddr, part.p_memsz);
        if (error)
            return error;
        if (elf.e_entry - part.p_vaddr < part.p_memsz) {
            image->entry = elf.e_entry - part.p_vaddr + part.p_paddr;
            found = true;
        }
    }
    return found ? NULL : boot_error("the entry point %#lx is in no segment", elf.e_entry);
}

/* Addresses in the header (3.1.3): the image lies in memory as in the file, from load_addr on. */
static const char *load_addresses(struct image *image, const struct header *header, size_t header_offset)
{
    uint64_t before =
        header->header_addr - (uint64_t)header->load_addr; /* bytes of the image before the header */
    uint64_t offset = header_offset - before;
    uint64_t file_size, size;
    const char *error;

    if (header->load_addr > header->header_addr || before > header_offset) {
        return boot_error("load address %#x does not fit a header at %#x, offset %zu", header->load_addr,
                          header->header_addr, header_offset);
    }
    file_size =
        header->load_end_addr ? header->load_end_addr - (uint64_t)header->load_addr : image->size - offset;
    size = header->bss_end_addr ? header->bss_end_addr - (uint64_t)header->load_addr : file_size;
    error = load(image, offset, file_size, header->load_addr, size);
    if (!error && header->entry_addr - (uint64_t)header->load_addr >= size)
        return boot_error("the entry point %#x is not in what was loaded", header->entry_addr);
    image->entry = header->entry_addr;
    return error;
}

static const char *load_image(struct image *image)
{
    struct header header = {0};

    for (size_t at = 0; at + 12 <= image->size && at + 12 <= SEARCH; at += 4) {
        memcpy(&header, image->data + at, 12);
        if (header.magic != HEADER_MAGIC || header.magic + header.flags + header.checksum != 0)
            continue;
        if (header.flags & (WANTS_VIDEO | WANTS_UNKNOWN)) {
            return boot_error(
                "the Multiboot image wants what this machine has not (flags %#x): a video mode?",
                header.flags & 0xffff);
        }
        if (!(header.flags & HAS_ADDRESSES))
            return load_elf(image);
        if (image->size - at < sizeof header)
            return "the Multiboot header is cut off";
        memcpy(&header, image->data + at, sizeof header);
        return load_addresses(image, &header, at);
    }
    return "the kernel is neither a bzImage nor a Multiboot image";
}

static void fill_info(struct page *page, uint64_t module, size_t module_size)
{
    struct boot_region map[BOOT_REGIONS];
    unsigned regions = boot_map(map);
    const uint32_t here = BOOT_INFO;

    for (unsigned i = 0; i < regions; i++)
        page->map[i] = (struct map_entry){sizeof page->map[i] - 4, map[i].start, map[i].size, map[i].type};
    memcpy(page->name, "nova", 5);
    page->info = (struct info){
        .flags = INFO_MEMORY | INFO_CMDLINE | INFO_MODS | INFO_MAP | INFO_NAME,
        .mem_lower = BOOT_SMALL_END / 1024,
        .mem_upper = (uint32_t)((ram_low_end() - BOOT_KERNELS) / 1024),
        .cmdline = BOOT_CMDLINE,
        .mods_count = module_size != 0,
        .mods_addr = here + (uint32_t)offsetof(struct page, module),
        .mmap_length = regions * (uint32_t)sizeof *page->map,
        .mmap_addr = here + (uint32_t)offsetof(struct page, map),
        .boot_loader_name = here + (uint32_t)offsetof(struct page, name),
    };
    page->module = (struct module){
        .start = (uint32_t)module,
        .end = (uint32_t)(module + module_size),
        .string = BOOT_CMDLINE, /* a module has no name of its own */
    };
}

const char *boot_multiboot(const void *kernel, size_t kernel_size, const void *initrd, size_t initrd_size,
                           const char *cmdline, struct boot_state *state)
{
    struct image image = {.data = kernel, .size = kernel_size, .start = UINT64_MAX};
    uint64_t module = 0;
    const char *error;

    if ((error = boot_prepare(cmdline, SIZE_MAX)) || (error = load_image(&image)) ||
        (initrd_size &&
         (error = boot_place(initrd, initrd_size, RAM_LOW_END, image.start, image.end, &module))))
        return error;
    fill_info(ram_at(BOOT_INFO, sizeof(struct page)), module, initrd_size);
    boot_enter_32(state);
    state->rip = image.entry;
    state->rax = ENTRY_MAGIC;
    state->rbx = BOOT_INFO;
    return NULL;
}
