/*
 * The hypervisor information page.
 *
 * SPDX-License-Identifier: MIT
 */

#include "boot/hip.h"

#include "boot/multiboot.h"
#include "core/cpu.h"
#include "core/interrupt.h"
#include "core/space.h"
#include "lib/console.h"
#include "nova/abi/cap.h"
#include "virt/virt.h"
#include "x86/clock.h"

static char page[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
struct nova_hip *const hip = (struct nova_hip *)page;

extern char image_start[], image_end[];

void hip_init(void)
{
    uint16_t sum = 0;

    *hip = (struct nova_hip){
        .signature = NOVA_HIP_SIGNATURE,
        .length = sizeof(*hip),
        .nova_start = phys_of(image_start),
        .nova_end = phys_of(image_end),
        .mbuf_start = phys_of(console_buffer),
        .mbuf_end = phys_of(console_buffer_end),
        .root_start = boot_info.root_start,
        .root_end = boot_info.root_end,
        .acpi_rsdp = boot_info.rsdp,
        .uefi_map = boot_info.uefi_map,
        .uefi_map_size = boot_info.uefi_map_size,
        .uefi_desc_size = (uint16_t)boot_info.uefi_desc_size,
        .uefi_desc_version = (uint16_t)boot_info.uefi_desc_version,
        .stc_frequency = clock_frequency,
        .sel_num = OBJ_SELECTORS,
        .sel_hst_arch = NOVA_EVT_HST_ARCH,
        .sel_hst_nova = 2,
        .sel_gst_arch = NOVA_EVT_GST_ARCH,
        .sel_gst_nova = 2,
        .cpu_num = (uint16_t)cpu_count,
        .cpu_bsp = (uint16_t)cpu_bsp,
        .int_pin = (uint16_t)interrupt_pins,
        .int_msi = (uint16_t)(INTERRUPT_MAX - interrupt_pins),
        .mco_obj = 9, /* one table */
        .mco_hst = 9, /* likewise: a 2 MiB page is split or a table filled */
        .mco_gst = 9,
        .mco_dma = 9,
        .mco_pio = 16, /* all of them: no memory is needed */
        .mco_msr = 31,
        .features = virt ? virt->feature : 0,
    };
    for (unsigned i = 0; i < sizeof(*hip) / 2; i++)
        sum = (uint16_t)(sum + ((const uint16_t *)page)[i]);
    hip->checksum = (uint16_t)-sum;
}
