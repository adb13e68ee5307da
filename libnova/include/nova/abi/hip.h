/*
 * Hypervisor information page and memory-buffer console.
 *
 * NOVA Microhypervisor Interface Specification (July 27, 2024), sections 6.3, 8.7.1, 8.7.2, C.1.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef NOVA_ABI_HIP_H
#define NOVA_ABI_HIP_H

#include <stddef.h>
#include <stdint.h>

#define NOVA_HIP_SIGNATURE 0x41564f4eU
#define NOVA_HIP_ABSENT UINT64_MAX /* address fields: structure not present */

/* Platform features. */
#define NOVA_FEATURE_IOMMU (1ULL << 0)
#define NOVA_FEATURE_VMX (1ULL << 1)
#define NOVA_FEATURE_SVM (1ULL << 2)

struct nova_hip {
    uint32_t signature;
    uint16_t checksum; /* the 16-bit words of the whole HIP add up to 0 */
    uint16_t length;   /* bytes */
    uint64_t nova_start, nova_end; /* physical addresses */
    uint64_t mbuf_start, mbuf_end;
    uint64_t root_start, root_end;
    uint64_t acpi_rsdp;
    uint64_t uefi_map;
    uint32_t uefi_map_size;
    uint16_t uefi_desc_size;
    uint16_t uefi_desc_version;
    uint64_t stc_frequency; /* Hz */
    uint64_t sel_num;
    uint16_t sel_hst_arch, sel_hst_nova;
    uint16_t sel_gst_arch, sel_gst_nova;
    uint16_t cpu_num, cpu_bsp;
    uint16_t int_pin, int_msi;
    uint8_t mco_obj, mco_hst, mco_gst, mco_dma, mco_pio, mco_msr;
    uint16_t key_max;
    uint64_t features;
    uint64_t tpm_log_addr;
    uint32_t tpm_log_size;
    uint32_t tpm_log_offset;
};

_Static_assert(offsetof(struct nova_hip, uefi_map_size) == 0x48, "HIP layout");
_Static_assert(offsetof(struct nova_hip, sel_hst_arch) == 0x60, "HIP layout");
_Static_assert(offsetof(struct nova_hip, mco_obj) == 0x70, "HIP layout");
_Static_assert(offsetof(struct nova_hip, tpm_log_addr) == 0x80, "HIP layout");
_Static_assert(sizeof(struct nova_hip) == 0x90, "HIP size");

/* Memory-buffer console: the consumer advances rd, the microhypervisor advances wr. */
struct nova_mbuf {
    uint32_t rd;
    uint32_t wr;
    char buffer[];
};

#endif
