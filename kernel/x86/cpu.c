/*
 * Features of the CPUs.
 *
 * SPDX-License-Identifier: MIT
 */

#include "x86/cpu.h"

#include "lib/panic.h"

bool cpu_has_fsgsbase, cpu_has_xsave, cpu_has_pcid, cpu_has_ibpb, cpu_has_smap, cpu_has_1g, cpu_has_tsc_aux;
unsigned cpu_phys_bits;

static uint64_t cr4_bits;

/* CR4: DE, PAE, MCE, PGE, OSFXSR, OSXMMEXCPT: on every x86-64 CPU. */
#define CR4_BITS (BIT(3) | BIT(5) | BIT(6) | CR4_PGE | BIT(9) | BIT(10))

/* PAT: WB, WT, WC, UC, WP, UC, UC, UC: the order of the NOVA_MAD_ values. */
#define PAT_VALUE 0x0000000500010406UL

#define EFER_SCE BIT(0)
#define EFER_NXE BIT(11)

void cpu_features(void)
{
    struct cpuid c1 = cpuid(1, 0), c7 = cpuid(7, 0), e1 = cpuid(0x80000001, 0), e8 = cpuid(0x80000008, 0);

    if (~e1.edx & (BIT(11) | BIT(20)))
        panic("the CPU has no SYSCALL, or no execute-disable bit");
    cpu_has_fsgsbase = c7.ebx >> 0 & 1;
    cpu_has_smap = c7.ebx >> 20 & 1;
    cpu_has_pcid = c1.ecx >> 17 & 1;
    cpu_has_ibpb = (c7.edx >> 26 & 1) || (e8.ebx >> 12 & 1);
    cpu_has_xsave = c1.ecx >> 26 & 1;
    cpu_has_1g = e1.edx >> 26 & 1;
    cpu_has_tsc_aux = (e1.edx >> 27 & 1) || (c7.ecx >> 22 & 1); /* RDTSCP, RDPID */
    cpu_phys_bits = e8.eax & 0xff ? e8.eax & 0xff : 36;

    cr4_bits = CR4_BITS | (c7.ecx >> 2 & 1 ? BIT(11) : 0); /* UMIP */
    cr4_bits |= cpu_has_fsgsbase ? BIT(16) : 0;            /* FSGSBASE */
    cr4_bits |= cpu_has_pcid ? BIT(17) : 0;                /* PCIDE */
    cr4_bits |= cpu_has_xsave ? BIT(18) : 0;               /* OSXSAVE */
    cr4_bits |= c7.ebx >> 7 & 1 ? BIT(20) : 0;             /* SMEP */
    cr4_bits |= cpu_has_smap ? BIT(21) : 0;                /* SMAP */
}

void cpu_enable(void)
{
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE | EFER_NXE);
    wrmsr(MSR_PAT, PAT_VALUE);
    if (cpu_has_tsc_aux)
        wrmsr(MSR_TSC_AUX, 0);
    wrmsr(MSR_SYSENTER_CS, 0);                          /* SYSENTER faults, whatever the firmware left */
    __asm__ volatile("mov %0, %%dr7" : : "r"(0x400UL)); /* no breakpoints */
    write_cr0(CPU_CR0);
    write_cr4(cr4_bits);
}
