/**
 * @file
 * Hypervisor information page and memory-buffer console.
 *
 * NOVA Microhypervisor Interface Specification (July 27, 2024), sections 6.3, 8.7.1, 8.7.2, C.1.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stddef.h>
#include <stdint.h>

#define NOVA_HIP_SIGNATURE 0x41564f4eU /**< "NOVA". */
#define NOVA_HIP_ABSENT UINT64_MAX     /**< Address fields: structure not present. */

/** @name Platform features
 * @{ */
#define NOVA_FEATURE_IOMMU (1ULL << 0) /**< DMA spaces and assign_dev work. */
#define NOVA_FEATURE_VMX (1ULL << 1)   /**< Guest ECs work, on Intel VMX. */
#define NOVA_FEATURE_SVM (1ULL << 2)   /**< Guest ECs work, on AMD SVM. */
/** @} */

/**
 * Hypervisor information page.
 *
 * The root PD finds it where its first stack pointer points to; where this page ends, user-accessible memory
 * ends. It is read-only and cannot be delegated. All addresses are physical, `_end` is the first byte behind.
 */
struct nova_hip {
    uint32_t signature;         /**< #NOVA_HIP_SIGNATURE. */
    uint16_t checksum;          /**< The 16-bit words of the whole HIP add up to 0. */
    uint16_t length;            /**< Bytes. */
    uint64_t nova_start;        /**< The microhypervisor, all memory that it allocates from included. */
    uint64_t nova_end;          /**< End of it. */
    uint64_t mbuf_start;        /**< Memory-buffer console, see struct nova_mbuf. */
    uint64_t mbuf_end;          /**< End of it. */
    uint64_t root_start;        /**< Image of the root PD. */
    uint64_t root_end;          /**< End of it. */
    uint64_t acpi_rsdp;         /**< ACPI root system description pointer, or #NOVA_HIP_ABSENT. */
    uint64_t uefi_map;          /**< UEFI memory map, or #NOVA_HIP_ABSENT. */
    uint32_t uefi_map_size;     /**< Its size in bytes, or 0. */
    uint16_t uefi_desc_size;    /**< Bytes of one of its descriptors, or 0. */
    uint16_t uefi_desc_version; /**< Version of its descriptors, or 0. */
    uint64_t stc_frequency;     /**< Of the system time counter, which is the TSC: Hz. */
    uint64_t sel_num;           /**< Selectors of an object space: 2^18. */
    uint16_t sel_hst_arch;      /**< Event selectors for exceptions of host ECs. */
    uint16_t sel_hst_nova;      /**< Further ones, for STARTUP and RECALL. */
    uint16_t sel_gst_arch;      /**< Event selectors for intercepts of guest ECs. */
    uint16_t sel_gst_nova;      /**< Further ones, for STARTUP and RECALL. */
    uint16_t cpu_num;           /**< CPUs: they are numbered from 0. */
    uint16_t cpu_bsp;           /**< The one that the root EC runs on. */
    uint16_t int_pin;           /**< Pin interrupts: numbers from 0 on. */
    uint16_t int_msi;           /**< Message interrupts: the numbers behind. */
    uint8_t mco_obj;            /**< Largest order of ctrl_pd that never fails half-way: object spaces. */
    uint8_t mco_hst;            /**< Largest order of ctrl_pd that never fails half-way: host spaces. */
    uint8_t mco_gst;            /**< Largest order of ctrl_pd that never fails half-way: guest spaces. */
    uint8_t mco_dma;            /**< Largest order of ctrl_pd that never fails half-way: DMA spaces. */
    uint8_t mco_pio;            /**< Largest order of ctrl_pd that never fails half-way: port I/O spaces. */
    uint8_t mco_msr;            /**< Largest order of ctrl_pd that never fails half-way: MSR spaces. */
    uint16_t key_max;           /**< Highest key identifier for memory encryption: 0. */
    uint64_t features;          /**< `NOVA_FEATURE_` bits. */
    uint64_t tpm_log_addr;      /**< TPM event log: not filled in. */
    uint32_t tpm_log_size;      /**< Its size in bytes. */
    uint32_t tpm_log_offset;    /**< Offset of its first free byte. */
};

_Static_assert(offsetof(struct nova_hip, uefi_map_size) == 0x48, "HIP layout");
_Static_assert(offsetof(struct nova_hip, sel_hst_arch) == 0x60, "HIP layout");
_Static_assert(offsetof(struct nova_hip, mco_obj) == 0x70, "HIP layout");
_Static_assert(offsetof(struct nova_hip, tpm_log_addr) == 0x80, "HIP layout");
_Static_assert(sizeof(struct nova_hip) == 0x90, "HIP size");

/** Memory-buffer console: the consumer advances rd, the microhypervisor wr. See @ref nova_console. */
struct nova_mbuf {
    uint32_t rd;   /**< Index of the next character to read. */
    uint32_t wr;   /**< Index of the next character to be written; the buffer is empty if equal to rd. */
    char buffer[]; /**< nova_hip::mbuf_end - nova_hip::mbuf_start - 8 characters. */
};
