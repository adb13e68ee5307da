/*
 * Linux bzImage by its 64-bit boot protocol (Documentation/x86/boot.rst, "64-bit boot protocol" and "Details of header
 * fields"): the kernel starts in 64-bit mode with RSI at the zero page, which describes memory, initrd and command line.
 *
 * All checks come before guest memory is written. Called while no vCPU runs.
 *
 * SPDX-License-Identifier: MIT
 */

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "acpi/acpi.h"
#include "boot/layout.h"
#include "ram.h"

#define MIB 0x100000UL
#define SECTOR 512UL
#define HEADER 0x1f1 /* offset of the setup header in image and zero page */
#define VERSION_2_12 0x20c
#define LOADED_HIGH 0x1
#define KERNEL_64 0x1 /* xloadflags: there is a 64-bit entry point, at offset ENTRY_64 */
#define ENTRY_64 0x200
#define LOADER_OTHER 0xff /* type_of_loader: one without a number */
#define SEED_TYPE 9       /* SETUP_RNG_SEED */
#define SEED_SIZE 32

struct setup_header {
    uint8_t setup_sects;
    uint16_t root_flags;
    uint32_t syssize;
    uint16_t ram_size, vid_mode, root_dev, boot_flag;
    uint8_t jump, header_end; /* the header ends at 0x202 + header_end */
    uint32_t magic;
    uint16_t version;
    uint32_t realmode_swtch;
    uint16_t start_sys_seg, kernel_version;
    uint8_t type_of_loader, loadflags;
    uint16_t setup_move_size;
    uint32_t code32_start, ramdisk_image, ramdisk_size, bootsect_kludge;
    uint16_t heap_end_ptr;
    uint8_t ext_loader_ver, ext_loader_type;
    uint32_t cmd_line_ptr, initrd_addr_max, kernel_alignment;
    uint8_t relocatable_kernel, min_alignment;
    uint16_t xloadflags;
    uint32_t cmdline_size, hardware_subarch;
    uint64_t hardware_subarch_data;
    uint32_t payload_offset, payload_length;
    uint64_t setup_data, pref_address;
    uint32_t init_size;
} __attribute__((packed));

_Static_assert(HEADER + sizeof(struct setup_header) == 0x264, "setup header");

struct e820_entry {
    uint64_t start, size;
    uint32_t type;
} __attribute__((packed));

struct zero_page {
    uint8_t screen_info[0x70];
    uint64_t acpi_rsdp_addr;
    uint8_t reserved0[0x1e8 - 0x78];
    uint8_t e820_entries;
    uint8_t reserved1[HEADER - 0x1e9];
    struct setup_header header;
    uint8_t rest_of_header[0x2d0 - 0x264];
    struct e820_entry e820[128];
    uint8_t reserved2[4096 - 0x2d0 - 128 * 20];
} __attribute__((packed));

_Static_assert(sizeof(struct zero_page) == 4096, "zero page");

struct setup_seed {
    uint64_t next;
    uint32_t type, size;
    uint8_t seed[SEED_SIZE];
};

/* What the image says, checked. */
struct kernel {
    struct setup_header header;
    const uint8_t *code; /* what runs in protected mode */
    size_t size;
    uint64_t address, end; /* with the memory that it needs before it has read the map */
};

static const char *check_header(const uint8_t *image, size_t size, struct kernel *kernel)
{
    struct setup_header *header = &kernel->header;
    size_t setup;

    if (size < 0x2d0)
        return boot_error("%zu bytes are no bzImage", size);
    memcpy(header, image + HEADER, sizeof *header);
    if (header->boot_flag != 0xaa55 || memcmp(&header->magic, "HdrS", 4) != 0)
        return "not a bzImage: it has no boot flag, or no setup header";
    if (header->version < VERSION_2_12 || 0x202U + header->header_end < HEADER + sizeof *header) {
        return boot_error("the kernel's boot protocol is %u.%u, 2.12 or newer is needed",
                          header->version >> 8, header->version & 0xff);
    }
    if (!(header->loadflags & LOADED_HIGH))
        return "the kernel is a zImage, which loads below 1 MiB";
    if (!(header->xloadflags & KERNEL_64))
        return "the kernel has no 64-bit entry point (xloadflags)";
    setup = (header->setup_sects ? header->setup_sects + 1U : 5U) * SECTOR;
    kernel->size = header->syssize * 16UL;
    if (setup > size || size - setup < kernel->size || kernel->size <= ENTRY_64)
        return boot_error("the kernel is cut off: %zu bytes, of %zu", size, setup + kernel->size);
    kernel->code = image + setup;
    return NULL;
}

/*
 * At the address that it prefers. A relocatable 64-bit kernel that lies lower moves itself up to there before it unpacks itself,
 * so it needs the memory at that address in any case.
 */
static const char *find_place(struct kernel *kernel)
{
    const struct setup_header *header = &kernel->header;
    uint64_t need = header->init_size > kernel->size ? header->init_size : kernel->size;

    kernel->address = header->pref_address;
    if (kernel->address < MIB || kernel->address >= RAM_LOW_END || !ram_at(kernel->address, need)) {
        return boot_error("the kernel needs %lu MiB from %#lx on, the VM has %lu MiB of memory",
                          (need + MIB - 1) / MIB, kernel->address, ram_size() / MIB);
    }
    kernel->end = kernel->address + need;
    return NULL;
}

static void fill_map(struct zero_page *page)
{
    struct boot_region map[BOOT_REGIONS];

    page->e820_entries = (uint8_t)boot_map(map);
    for (unsigned i = 0; i < page->e820_entries; i++)
        page->e820[i] = (struct e820_entry){map[i].start, map[i].size, map[i].type};
}

/* Entropy for the kernel's generator; without any it starts with what it finds itself. */
static void add_seed(struct zero_page *page)
{
    struct setup_seed *data = ram_at(BOOT_SETUP, sizeof *data);

    if (getentropy(data->seed, SEED_SIZE) == 0) {
        data->type = SEED_TYPE;
        data->size = SEED_SIZE;
        page->header.setup_data = BOOT_SETUP;
    }
}

const char *boot_linux(const void *image, size_t image_size, const void *initrd, size_t initrd_size,
                       const char *cmdline, struct boot_state *state)
{
    struct kernel kernel;
    struct zero_page *page;
    uint64_t initrd_address = 0;
    const char *error;

    if ((error = check_header(image, image_size, &kernel)) || (error = find_place(&kernel)) ||
        (error = boot_prepare(cmdline, kernel.header.cmdline_size)) ||
        (initrd_size && (error = boot_place(initrd, initrd_size, kernel.header.initrd_addr_max + 1UL,
                                            kernel.address, kernel.end, &initrd_address))))
        return error;
    memcpy(ram_at(kernel.address, kernel.size), kernel.code, kernel.size);

    page = ram_at(BOOT_INFO, sizeof *page);
    page->header = kernel.header;
    page->header.type_of_loader = LOADER_OTHER;
    page->header.code32_start = (uint32_t)kernel.address;
    page->header.cmd_line_ptr = (uint32_t)BOOT_CMDLINE;
    page->header.ramdisk_image = (uint32_t)initrd_address;
    page->header.ramdisk_size = (uint32_t)initrd_size;
    page->header.setup_data = 0;
    page->acpi_rsdp_addr = ACPI_TABLES;
    fill_map(page);
    add_seed(page);

    boot_enter_64(state);
    state->rip = kernel.address + ENTRY_64;
    state->rsi = BOOT_INFO;
    return NULL;
}
