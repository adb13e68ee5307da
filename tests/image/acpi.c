/*
 * ACPI tables: from the RSDP in the hypervisor information page through the RSDT or XSDT. The tables
 * are trusted, as everything that firmware says; only lengths are respected.
 *
 * SPDX-License-Identifier: MIT
 */

#include "acpi.h"

#include "system.h"

#define HEADER 36

struct rsdp {
    char signature[8];
    uint8_t checksum;
    char oem[6];
    uint8_t revision;
    uint32_t rsdt;
    uint32_t length;
    uint64_t xsdt;
} __attribute__((packed));

static const struct acpi_table *map_table(uint64_t phys)
{
    const struct acpi_table *table = map_phys(phys, HEADER, NOVA_MEM_R, NOVA_MAD_WB);

    return map_phys(phys, table->length, NOVA_MEM_R, NOVA_MAD_WB);
}

uint64_t acpi_field(const struct acpi_table *table, unsigned offset, unsigned bytes)
{
    uint64_t value = 0;

    if (offset + bytes <= table->length)
        __builtin_memcpy(&value, (const uint8_t *)table + offset, bytes);
    return value;
}

const struct acpi_table *acpi_find(const char *signature)
{
    if (sys.hip->acpi_rsdp == NOVA_HIP_ABSENT)
        return NULL;

    const struct rsdp *rsdp = map_phys(sys.hip->acpi_rsdp, sizeof(*rsdp), NOVA_MEM_R, NOVA_MAD_WB);
    bool wide = rsdp->revision >= 2 && rsdp->xsdt;
    const struct acpi_table *root = map_table(wide ? rsdp->xsdt : rsdp->rsdt);
    unsigned size = wide ? 8 : 4;

    for (unsigned at = HEADER; at + size <= root->length; at += size) {
        const struct acpi_table *table = map_table(acpi_field(root, at, size));

        if (!__builtin_memcmp(table->signature, signature, 4))
            return table;
    }
    return NULL;
}
