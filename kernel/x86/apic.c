/*
 * Local APIC. Every function but apic_init works on the APIC of the CPU that runs it, with interrupts off, so
 * nothing here needs a lock.
 *
 * The registers are the same in both modes: at 16-byte steps of a page in xAPIC mode, in consecutive MSRs in
 * x2APIC mode. Only the ICR differs. All CPUs use the mode that apic_init chose.
 *
 * Intel SDM volume 3, chapter 11; section numbers below are from there.
 *
 * SPDX-License-Identifier: MIT
 */

#include "x86/apic.h"
#include "x86/acpi.h"
#include "x86/asm.h"
#include "x86/device.h"

#define MSR_APIC_BASE 0x1b
#define APIC_BASE_EXTD BIT(10)
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC 0x800

/* Offsets in xAPIC mode (table 11-1). */
#define REG_ID 0x20
#define REG_VERSION 0x30
#define REG_TPR 0x80
#define REG_EOI 0xb0
#define REG_SVR 0xf0
#define REG_ESR 0x280
#define REG_ICR 0x300
#define REG_ICR_HIGH 0x310
#define REG_LVT_TIMER 0x320
#define REG_LVT_ERROR 0x370
#define REG_TIMER_INITIAL 0x380
#define REG_TIMER_CURRENT 0x390
#define REG_TIMER_DIVIDE 0x3e0

#define SVR_ENABLE 0x100
#define LVT_MASKED 0x10000
#define LVT_TSC_DEADLINE 0x40000
#define DIVIDE_BY_1 0xb
#define ICR_PENDING 0x1000
#define ICR_ASSERT 0x4000

static volatile uint32_t *mmio; /* null in x2APIC mode */

uint64_t apic_timer_ratio;

static uint32_t reg_read(unsigned reg)
{
    return mmio ? mmio[reg / 4] : (uint32_t)rdmsr(MSR_X2APIC + reg / 16);
}

static void reg_write(unsigned reg, uint32_t v)
{
    if (mmio)
        mmio[reg / 4] = v;
    else
        wrmsr(MSR_X2APIC + reg / 16, v);
}

void apic_init(void)
{
    uint32_t features = cpuid(1, 0).ecx;
    if (!(features & BIT(21)))
        mmio = device_map(acpi.lapic_addr);
    apic_timer_ratio = features & BIT(24) ? 0 : BIT(32);
}

/*
 * Vectors 0-15 are illegal in an LVT entry even if it is masked (11.5.1). Entries that the version register
 * does not announce must not be written (#GP in x2APIC mode): here they are in the order in which it counts
 * them.
 */
void apic_enable(void)
{
    static const uint16_t lvt[] = {REG_LVT_TIMER, 0x350, 0x360, REG_LVT_ERROR, 0x340, 0x330, 0x2f0};

    if (!mmio) /* enabled as xAPIC since reset: from disabled no way leads straight to x2APIC (11.12.5) */
        wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_EXTD);
    reg_write(REG_SVR, SVR_ENABLE | VECTOR_SPURIOUS); /* first: the LVT stays masked until then (11.4.7.2) */
    for (unsigned i = 0; i < ARRAY_SIZE(lvt) && i <= (reg_read(REG_VERSION) >> 16 & 0xff); i++)
        reg_write(lvt[i], LVT_MASKED | VECTOR_SPURIOUS);
    reg_write(REG_TPR, 0);
    reg_write(REG_ESR, 0);
    reg_write(REG_LVT_ERROR, VECTOR_ERROR);
    reg_write(REG_TIMER_DIVIDE, DIVIDE_BY_1);
    reg_write(REG_LVT_TIMER, VECTOR_TIMER | (apic_timer_ratio ? 0 : LVT_TSC_DEADLINE));
    /* In xAPIC mode the entry may else be written after the first deadline (11.5.4.1). */
    __asm__ volatile("mfence" : : : "memory");
    apic_timer(UINT64_MAX);
}

uint32_t apic_id(void)
{
    return mmio ? reg_read(REG_ID) >> 24 : reg_read(REG_ID);
}

void apic_eoi(void)
{
    reg_write(REG_EOI, 0);
}

/*
 * xAPIC: a write to the low half sends. While the APIC is still sending, both halves must be left alone; that
 * state always ends, so it needs no time-out. Target 255 would be all CPUs, and higher ones do not fit.
 * x2APIC: WRMSR does not wait for earlier stores, which the target is going to read (11.12.3).
 */
void apic_ipi(uint32_t target, uint32_t command)
{
    if (!mmio) {
        __asm__ volatile("mfence; lfence" : : : "memory");
        wrmsr(MSR_X2APIC + REG_ICR / 16, (uint64_t)target << 32 | ICR_ASSERT | command);
    } else if (target < 255) {
        while (reg_read(REG_ICR) & ICR_PENDING)
            cpu_relax();
        reg_write(REG_ICR_HIGH, target << 24);
        reg_write(REG_ICR, ICR_ASSERT | command);
    }
}

/*
 * Deadline mode: "never" wraps to 0, which disarms (11.5.4.1); 0 itself becomes 1, a time that is past.
 * One-shot: rounded up, so that an interrupt is early only if the distance is more than the counter holds.
 */
void apic_timer(uint64_t deadline)
{
    if (!apic_timer_ratio) {
        wrmsr(MSR_TSC_DEADLINE, deadline + 1);
        return;
    }
    uint64_t now = __builtin_ia32_rdtsc(), distance = deadline > now ? deadline - now : 0;
    unsigned __int128 count = ((unsigned __int128)distance * apic_timer_ratio >> 32) + 1;
    uint32_t initial = count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
    reg_write(REG_TIMER_INITIAL, deadline == UINT64_MAX ? 0 : initial);
}

uint32_t apic_timer_read(void)
{
    return reg_read(REG_TIMER_CURRENT);
}
