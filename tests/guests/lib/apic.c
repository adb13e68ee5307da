/*
 * Local APIC in xAPIC and x2APIC mode, and the tables of ACPI.
 *
 * SPDX-License-Identifier: MIT
 */

#include "guest.h"

#define MSR_APIC_BASE 0x1b
#define BASE_X2 0x400
#define BASE_ENABLE 0x800
#define MSR_X2 0x800
#define ICR_PENDING 0x1000

static bool x2;

uint32_t apic_read(unsigned offset)
{
    if (x2)
        return (uint32_t)rdmsr(MSR_X2 + offset / 16);
    return *(volatile uint32_t *)(APIC_BASE + offset);
}

void apic_write(unsigned offset, uint32_t value)
{
    if (x2)
        __asm__ volatile("wrmsr" : : "c"(MSR_X2 + offset / 16), "a"(value), "d"(0) : "memory");
    else
        *(volatile uint32_t *)(APIC_BASE + offset) = value;
}

/* In x2APIC mode the ICR is one register, and the id has all 32 bits. */
void apic_ipi(uint32_t destination, uint32_t command)
{
    if (x2) {
        __asm__ volatile("wrmsr" : : "c"(MSR_X2 + APIC_ICR / 16), "a"(command), "d"(destination) : "memory");
        return;
    }
    while (apic_read(APIC_ICR) & ICR_PENDING)
        __builtin_ia32_pause();
    apic_write(APIC_ICR_HIGH, destination << 24);
    apic_write(APIC_ICR, command);
}

uint32_t apic_id(void)
{
    return x2 ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
}

void apic_enable(void)
{
    apic_write(APIC_SVR, 0x1ff);
    apic_write(APIC_TPR, 0);
}

bool apic_set_x2(bool on)
{
    uint64_t base = rdmsr(MSR_APIC_BASE);
    uint32_t out[4];

    cpuid(1, 0, out);
    if (!(out[2] & 1 << 21))
        return !on;
    if (on && !x2)
        try_wrmsr(MSR_APIC_BASE, base | BASE_X2);
    if (!on && x2) { /* only by way of a disabled APIC (Intel SDM volume 3, 11.12.5) */
        try_wrmsr(MSR_APIC_BASE, base & ~(uint64_t)(BASE_X2 | BASE_ENABLE));
        try_wrmsr(MSR_APIC_BASE, (base & ~(uint64_t)BASE_X2) | BASE_ENABLE);
    }
    x2 = rdmsr(MSR_APIC_BASE) & BASE_X2;
    return x2 == on;
}

static bool same(const uint8_t *a, const char *b, size_t n)
{
    while (n && *a == (uint8_t)*b)
        a++, b++, n--;
    return !n;
}

const uint8_t *acpi_table(const char *signature)
{
    for (uint64_t at = 0xe0000; at < 0x100000; at += 16) {
        const uint8_t *rsdp = (const uint8_t *)at, *root;
        bool wide;
        uint32_t length;

        if (!same(rsdp, "RSD PTR ", 8))
            continue;
        wide = rsdp[15] >= 2 && *(const uint64_t *)(rsdp + 24);
        root = (const uint8_t *)(wide ? *(const uint64_t *)(rsdp + 24) : *(const uint32_t *)(rsdp + 16));
        length = *(const uint32_t *)(root + 4);
        for (uint32_t entry = 36; entry < length; entry += wide ? 8 : 4) {
            const uint8_t *table = (const uint8_t *)(uint64_t) * (const uint32_t *)(root + entry);

            if (same(table, signature, 4))
                return table;
        }
    }
    return NULL;
}

uint64_t pci_ecam(void)
{
    const uint8_t *mcfg = acpi_table("MCFG");

    return mcfg ? *(const uint64_t *)(mcfg + 44) : 0;
}
