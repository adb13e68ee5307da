/*
 * ACPI: from the RSDP in the hypervisor information page by XSDT or RSDT and FADT to the DSDT.
 *
 * SPDX-License-Identifier: MIT
 */

#include "system.h"

#define TABLE_MAX 0x200000U
#define HEADER 36U
#define NAME_OP 0x08
#define PACKAGE_OP 0x12
#define BYTE_PREFIX 0x0a

unsigned acpi_find_s5(const uint8_t *aml, size_t size)
{
    static const uint8_t name[] = {'_', 'S', '5', '_',
                                   PACKAGE_OP}; /* behind the opcode, or the root of all names */
    unsigned type[2] = {0, 0};
    size_t at = 1;

    while (at + sizeof(name) < size &&
           (memcmp(aml + at, name, sizeof(name)) != 0 || (aml[at - 1] != NAME_OP && aml[at - 1] != '\\')))
        at++;
    at += sizeof(name);
    if (at >= size)
        return 0;
    at += 2 + (aml[at] >> 6); /* length of the package (20.2.4), number of elements */
    for (unsigned i = 0; i < 2; i++) {
        at += at < size && aml[at] == BYTE_PREFIX;
        type[i] = at < size ? aml[at++] & 7 : 0;
    }
    return type[0] | type[1] << 3;
}

/* A table, its length in bytes 4 to 7; null if there is none. */
static const uint8_t *table(uint64_t start)
{
    const uint8_t *t = map_physical(start & -PAGE_SIZE, TABLE_MAX + PAGE_SIZE, NOVA_MEM_R);
    uint32_t length;

    t += start % PAGE_SIZE;
    memcpy(&length, t + 4, 4);
    return start && length >= HEADER && length <= TABLE_MAX ? t : NULL;
}

/* A number in a table; 0 behind its end. */
static uint64_t field(const uint8_t *t, size_t at, size_t bytes)
{
    uint32_t length;
    uint64_t value = 0;

    memcpy(&length, t + 4, 4);
    if (at + bytes <= length)
        memcpy(&value, t + at, bytes);
    return value;
}

unsigned acpi_s5(void)
{
    uint64_t rsdp = hip->acpi_rsdp, address = 0, size = 8;
    const uint8_t *list, *t;

    if (rsdp == NOVA_HIP_ABSENT)
        return 0;
    map_physical(rsdp & ~(PAGE_SIZE - 1), 2 * PAGE_SIZE, NOVA_MEM_R);
    t = physical(rsdp); /* 5.2.5.3 */
    if (t[15] >= 2)
        memcpy(&address, t + 24, 8);
    if (!address)
        memcpy(&address, t + 16, size = 4);
    list = table(address);
    for (size_t at = HEADER; list && (address = field(list, at, size)); at += size) {
        t = table(address);
        if (!t || memcmp(t, "FACP", 4) != 0)
            continue;
        address = field(t, 140, 8); /* X_DSDT, DSDT: 5.2.9 */
        t = table(address ? address : field(t, 40, 4));
        return t ? acpi_find_s5(t + HEADER, field(t, 4, 4) - HEADER) : 0;
    }
    return 0;
}
