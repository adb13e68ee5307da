/*
 * The hypervisor information page.
 *
 * SPDX-License-Identifier: MIT
 */

#include "boot/boot.h"
#include "core/interrupt.h"
#include "lib/console.h"
#include "virt/virt.h"
#include "x86/clock.h"

/* What is always the same stands here already. */
static union {
    struct nova_hip hip;
    uint16_t words[PAGE_SIZE / 2];
} page __attribute__((aligned(PAGE_SIZE))) = {
    .hip = {.signature = NOVA_HIP_SIGNATURE,
            .length = sizeof(struct nova_hip),
            .acpi_rsdp = NOVA_HIP_ABSENT,
            .uefi_map = NOVA_HIP_ABSENT,
            .sel_num = OBJ_SELECTORS,
            .sel_hst_arch = NOVA_EVT_HST_ARCH,
            .sel_hst_nova = 2,
            .sel_gst_arch = NOVA_EVT_GST_ARCH,
            .sel_gst_nova = 2,
            .mco_obj = 9, /* one table */
            .mco_hst = 9, /* likewise: a 2 MiB page is split or a table filled */
            .mco_gst = 9,
            .mco_dma = 9,
            .mco_pio = 16, /* all of them: no memory is needed */
            .mco_msr = 31},
};
struct nova_hip *const hip = &page.hip;

extern char image_start[], image_end[];

void hip_init(void)
{
    uint16_t sum = 0;

    hip->nova_start = phys_of(image_start);
    hip->nova_end = phys_of(image_end);
    hip->mbuf_start = phys_of(console_buffer);
    hip->mbuf_end = phys_of(console_buffer_end);
    hip->stc_frequency = clock_frequency;
    hip->cpu_num = (uint16_t)cpu_count;
    hip->cpu_bsp = (uint16_t)cpu_bsp;
    hip->int_pin = (uint16_t)interrupt_pins;
    hip->int_msi = (uint16_t)(INTERRUPT_MAX - interrupt_pins);
    hip->features = virt ? virt->feature : 0;
    for (unsigned i = 0; i < sizeof(*hip) / 2; i++)
        sum = (uint16_t)(sum + page.words[i]);
    hip->checksum = (uint16_t)-sum;
}
