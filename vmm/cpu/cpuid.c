/*
 * CPUID.
 *
 * Leaves are built when the VMM starts: for each register the bits that a rule allows, and the rest zero. What depends on the
 * vCPU is put in when it asks. Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E; for 0x40000000 and above Linux,
 * Documentation/virt/kvm/x86/cpuid.rst.
 *
 * SPDX-License-Identifier: MIT
 */

#include "cpu/cpuid.h"

#include <stddef.h>
#include <string.h>

enum { EAX, EBX, ECX, EDX };

#define BIT(n) (1U << (n))
#define ALL UINT32_MAX

/* A leaf without a rule for a register has zero there; without any, it is all zero. */
const struct cpuid_rule cpuid_rules[] = {
    /* Vendor, family, caches: what they say is true of the CPU that the guest runs on. */
    {0x00, 0, EBX, ALL, 0, "vendor"},
    {0x00, 0, ECX, ALL, 0, "vendor"},
    {0x00, 0, EDX, ALL, 0, "vendor"},
    {0x01, 0, EAX, ALL, 0, "family, model, stepping"},
    {0x01, 0, EBX, 0x0000ffff, 0, "brand, size of CLFLUSH; APIC id and count are filled in"},
    {0x01, 0, ECX, BIT(0) | BIT(9) | BIT(19) | BIT(20), 0,
     "SSE3, SSSE3, SSE4: the kernel switches the state"},
    {0x01, 0, ECX, BIT(1) | BIT(25), 0, "PCLMULQDQ, AES: SSE state only"},
    {0x01, 0, ECX, BIT(13) | BIT(22) | BIT(23) | BIT(30), 0, "CMPXCHG16B, MOVBE, POPCNT, RDRAND: no state"},
    {0x01, 0, ECX, BIT(17), 0, "PCID: translations are tagged by guest as well"},
    {0x01, 0, ECX, BIT(26), 0, "XSAVE: XCR0 belongs to the vCPU"},
    {0x01, 0, ECX, BIT(12) | BIT(28) | BIT(29), 0, "FMA, AVX, F16C: the kernel switches the state"},
    {0x01, 0, ECX, 0, BIT(21) | BIT(24) | BIT(31), "x2APIC, TSC deadline: emulated; hypervisor"},
    {0x01, 0, EDX, BIT(0) | BIT(1) | BIT(2) | BIT(3) | BIT(6) | BIT(13) | BIT(16) | BIT(17), 0,
     "FPU, VME, DE, PSE, PAE, PGE, PAT, PSE36: the guest owns FPU, CR4 and its page tables"},
    {0x01, 0, EDX, BIT(4) | BIT(5) | BIT(8) | BIT(11) | BIT(15) | BIT(19) | BIT(24), 0,
     "TSC, MSR, CMPXCHG8B, SYSENTER, CMOV, CLFLUSH, FXSAVE"},
    {0x01, 0, EDX, BIT(23) | BIT(25) | BIT(26) | BIT(27), 0, "MMX, SSE, SSE2, self-snoop"},
    {0x01, 0, EDX, 0, BIT(9) | BIT(12), "APIC: emulated; MTRR: there are none, all memory is write-back"},
    {0x02, 0, EAX, ALL, 0, "caches and TLBs"},
    {0x02, 0, EBX, ALL, 0, "caches and TLBs"},
    {0x02, 0, ECX, ALL, 0, "caches and TLBs"},
    {0x02, 0, EDX, ALL, 0, "caches and TLBs"},
    {0x06, 0, EAX, 0, BIT(2), "the APIC timer never stops"},
    {0x07, 0, EAX, 1, 0, "subleaf 1"},
    {0x07, 0, EBX, BIT(0) | BIT(3) | BIT(8) | BIT(18) | BIT(19), 0,
     "FSGSBASE, BMI, RDSEED, ADX: no further state"},
    {0x07, 0, EBX, BIT(7) | BIT(9) | BIT(10) | BIT(20), 0,
     "SMEP, ERMS, INVPCID, SMAP: between the guest and its CR4"},
    {0x07, 0, EBX, BIT(23) | BIT(24) | BIT(29), 0, "CLFLUSHOPT, CLWB, SHA"},
    {0x07, 0, EBX, BIT(5), 0, "AVX2: as AVX"},
    {0x07, 0, EBX, BIT(16) | BIT(17) | BIT(21) | BIT(28) | BIT(30) | BIT(31), 0,
     "AVX-512: the kernel switches the state"},
    {0x07, 0, ECX, BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14), 0, "AVX-512"},
    {0x07, 0, ECX, BIT(2) | BIT(8) | BIT(9) | BIT(10) | BIT(22), 0, "UMIP, GFNI, VAES, VPCLMULQDQ, RDPID"},
    {0x07, 0, EDX, BIT(4) | BIT(8) | BIT(10), 0, "fast short REP MOVSB, VP2INTERSECT, MD_CLEAR"},
    {0x07, 1, EAX, BIT(4) | BIT(5), 0, "AVX-VNNI, AVX512-BF16"},
    {0x0d, 1, EAX, BIT(0) | BIT(1) | BIT(2), 0,
     "XSAVEOPT, XSAVEC, XGETBV with ECX = 1; not XSAVES: XSS is zero"},
    {0x80000000, 0, EBX, ALL, 0, "vendor"},
    {0x80000000, 0, ECX, ALL, 0, "vendor"},
    {0x80000000, 0, EDX, ALL, 0, "vendor"},
    {0x80000001, 0, EAX, ALL, 0, "family, model, stepping"},
    {0x80000001, 0, EBX, ALL, 0, "brand"},
    {0x80000001, 0, ECX, BIT(0) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(22), 0,
     "LAHF, CR8 by LOCK MOV, LZCNT, SSE4A, misaligned SSE, prefetch, topology leaves"},
    {0x80000001, 0, EDX, 0x0183f1ff & ~(BIT(7) | BIT(9) | BIT(12)), 0, "AMD: as leaf 1"},
    {0x80000001, 0, EDX, BIT(11) | BIT(20) | BIT(22) | BIT(26) | BIT(27) | BIT(29) | BIT(30) | BIT(31), 0,
     "SYSCALL, NX, MMX extensions, 1 GiB pages, RDTSCP, long mode, 3DNow"},
    {0x80000002, 0, EAX, ALL, 0, "name"},
    {0x80000002, 0, EBX, ALL, 0, "name"},
    {0x80000002, 0, ECX, ALL, 0, "name"},
    {0x80000002, 0, EDX, ALL, 0, "name"},
    {0x80000003, 0, EAX, ALL, 0, "name"},
    {0x80000003, 0, EBX, ALL, 0, "name"},
    {0x80000003, 0, ECX, ALL, 0, "name"},
    {0x80000003, 0, EDX, ALL, 0, "name"},
    {0x80000004, 0, EAX, ALL, 0, "name"},
    {0x80000004, 0, EBX, ALL, 0, "name"},
    {0x80000004, 0, ECX, ALL, 0, "name"},
    {0x80000004, 0, EDX, ALL, 0, "name"},
    {0x80000005, 0, EAX, ALL, 0, "L1 cache and TLB"},
    {0x80000005, 0, EBX, ALL, 0, "L1 cache and TLB"},
    {0x80000005, 0, ECX, ALL, 0, "L1 cache and TLB"},
    {0x80000005, 0, EDX, ALL, 0, "L1 cache and TLB"},
    {0x80000006, 0, EAX, ALL, 0, "L2 cache and TLB"},
    {0x80000006, 0, EBX, ALL, 0, "L2 cache and TLB"},
    {0x80000006, 0, ECX, ALL, 0, "L2 cache and TLB"},
    {0x80000006, 0, EDX, ALL, 0, "L3 cache"},
    {0x80000007, 0, EDX, BIT(8), 0, "TSC at constant rate"},
    {0x80000008, 0, EAX, 0x0000ffff, 0, "address sizes"},
    {0x80000008, 0, EBX, BIT(0) | BIT(2), 0, "CLZERO; FXRSTOR restores error pointers"},
};

const unsigned cpuid_rule_count = sizeof(cpuid_rules) / sizeof(cpuid_rules[0]);

#define BASIC_LEAVES 14    /* 0 to 0xd */
#define EXTENDED_LEAVES 31 /* 0x80000000 to 0x8000001e */
#define CACHES 4
#define COMPONENTS 64

#define SIGNATURE_LEAVES 17 /* 0x40000000 to 0x40000010 */

/* Features of the paravirtual interface, 0x40000001 EAX. */
#define KVM_CLOCK (BIT(0) | BIT(3)) /* the clock, at its old and its new MSRs */
#define KVM_NOP_IO_DELAY BIT(1)     /* no delays between port accesses */
#define KVM_PV_EOI BIT(6)           /* EOI in memory */
#define KVM_CLOCK_STABLE BIT(24)    /* the clock is the same on all CPUs */

static struct {
    struct cpuid basic[BASIC_LEAVES], extended[EXTENDED_LEAVES], signature[SIGNATURE_LEAVES];
    struct cpuid features1;              /* leaf 7, subleaf 1 */
    struct cpuid caches[CACHES];         /* leaf 4, or 0x8000001d */
    struct cpuid components[COMPONENTS]; /* leaf 0xd */
} cpuid;

static const struct cpuid none;
static struct cpuid_machine machine;
static unsigned id_bits; /* of an APIC id */
static bool amd;

static uint32_t *reg_of(struct cpuid *c, unsigned reg)
{
    return (uint32_t *[]){&c->eax, &c->ebx, &c->ecx, &c->edx}[reg];
}

/* Where a leaf that consists of feature bits is kept; null: it is not. */
static struct cpuid *entry_of(uint32_t leaf, uint32_t subleaf)
{
    if (leaf == 7 && subleaf == 1)
        return &cpuid.features1;
    if (leaf == 0xd)
        return subleaf < COMPONENTS ? &cpuid.components[subleaf] : NULL;
    if (leaf - 0x80000000U < EXTENDED_LEAVES)
        return &cpuid.extended[leaf - 0x80000000U];
    return leaf < BASIC_LEAVES ? &cpuid.basic[leaf] : NULL;
}

static void apply_rules(void)
{
    for (const struct cpuid_rule *r = cpuid_rules; r < cpuid_rules + cpuid_rule_count; r++) {
        uint32_t *value = reg_of(entry_of(r->leaf, r->subleaf), r->reg);
        struct cpuid first, host = none;

        machine.host(r->leaf & 0x80000000U, 0, &first);
        if (first.eax >= r->leaf) /* leaves beyond the last one have the data of others */
            machine.host(r->leaf, r->subleaf, &host);
        *value |= (*reg_of(&host, r->reg) & r->host) | r->always;
    }
}

/* One package of as many cores as there are vCPUs, each with one thread; APIC ids are numbers of vCPUs. */
static void build_topology(void)
{
    uint32_t cores = machine.vcpus - 1;

    while (1U << id_bits < machine.vcpus)
        id_bits++;
    cpuid.basic[1].ebx |= machine.vcpus << 16;
    if (machine.vcpus > 1)
        cpuid.basic[1].edx |= BIT(28);
    if (amd) {
        if (machine.vcpus > 1)
            cpuid.extended[1].ecx |= BIT(1); /* the threads are cores */
        cpuid.extended[8].ecx = id_bits << 12 | cores;
    } else {
        cpuid.extended[1].ecx &= ~BIT(22);
    }
}

/* Caches up to the second level belong to one core, the third to all; Intel's leaf also tells the number of cores. */
static void build_caches(void)
{
    uint32_t leaf = amd ? 0x8000001d : 4, cores = machine.vcpus - 1;
    struct cpuid first;

    machine.host(leaf & 0x80000000U, 0, &first);
    if (first.eax < leaf || (amd && !(cpuid.extended[1].ecx & BIT(22))))
        return;
    for (uint32_t i = 0; i < CACHES; i++) {
        struct cpuid *c = &cpuid.caches[i];
        machine.host(leaf, i, c);
        if (!(c->eax & 0x1f)) {
            *c = none;
            return;
        }
        c->eax = (c->eax & 0x3fff) | ((c->eax >> 5 & 7) >= 3 ? cores << 14 : 0);
        if (!amd)
            c->eax |= cores << 26;
    }
}

/* Leaf 0xd: sizes and places are the host's, so the format is that of the CPU. */
static void build_xsave(void)
{
    struct cpuid host;

    if (!(cpuid.basic[1].ecx & BIT(26))) {
        machine.xcr0 = 0;
        cpuid.components[1] = none;
        return;
    }
    cpuid.components[0].eax = (uint32_t)machine.xcr0;
    cpuid.components[0].edx = (uint32_t)(machine.xcr0 >> 32);
    cpuid.components[0].ecx = 576; /* legacy area and header */
    for (uint32_t i = 2; i < COMPONENTS; i++) {
        if (!(machine.xcr0 >> i & 1))
            continue;
        machine.host(0xd, i, &host);
        cpuid.components[i] = (struct cpuid){.eax = host.eax, .ebx = host.ebx, .ecx = host.ecx & 2};
        if (host.eax + host.ebx > cpuid.components[0].ecx)
            cpuid.components[0].ecx = host.eax + host.ebx;
    }
}

/* Features that need a component of the state which is not there. */
static void drop_without_state(void)
{
    if ((machine.xcr0 & 0x6) != 0x6) {
        cpuid.basic[1].ecx &= ~(BIT(12) | BIT(28) | BIT(29));
        cpuid.basic[7].ebx &= ~BIT(5);
        cpuid.basic[7].ecx &= ~(BIT(9) | BIT(10));
        cpuid.features1.eax &= ~BIT(4);
    }
    if ((machine.xcr0 & 0xe6) != 0xe6) {
        cpuid.basic[7].ebx &= ~(BIT(16) | BIT(17) | BIT(21) | BIT(28) | BIT(30) | BIT(31));
        cpuid.basic[7].ecx &= ~(BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14));
        cpuid.basic[7].edx &= ~BIT(8);
        cpuid.features1.eax &= ~BIT(5);
    }
}

void cpuid_init(const struct cpuid_machine *m)
{
    struct cpuid host;

    machine = *m;
    memset(&cpuid, 0, sizeof(cpuid));
    id_bits = 0;
    apply_rules();
    amd = cpuid.basic[0].ebx == 0x68747541; /* "Auth" of AuthenticAMD */
    cpuid.basic[0].eax = BASIC_LEAVES - 1;
    machine.host(0x80000000, 0, &host);
    cpuid.extended[0].eax = host.eax < 0x80000008 ? 0x80000008 : host.eax;
    if (cpuid.extended[0].eax > 0x8000001e)
        cpuid.extended[0].eax = 0x8000001e;
    build_topology();
    build_caches();
    build_xsave();
    drop_without_state();
    cpuid.signature[0] = (struct cpuid){CPUID_SIGNATURE + SIGNATURE_LEAVES - 1, 0x4b4d564b, 0x564b4d56, 0x4d};
    cpuid.signature[1].eax = KVM_CLOCK | KVM_NOP_IO_DELAY | KVM_PV_EOI | KVM_CLOCK_STABLE;
    cpuid.signature[16] = (struct cpuid){machine.tsc_khz, machine.apic_khz, 0, 0};
}

/* Levels of the topology: threads of a core (there is one), cores. */
static void answer_levels(uint32_t subleaf, uint32_t number, struct cpuid *out)
{
    *out = (struct cpuid){.ecx = subleaf & 0xff, .edx = number};
    if (subleaf == 0) {
        out->ebx = 1;
        out->ecx |= 1 << 8;
    } else if (subleaf == 1) {
        out->eax = id_bits;
        out->ebx = machine.vcpus;
        out->ecx |= 2 << 8;
    }
}

/* Subleaf 0 tells the size of what is enabled now, subleaf 1 that in the compacted format. */
static void answer_xsave(uint32_t subleaf, uint64_t xcr0, struct cpuid *out)
{
    uint32_t standard = 576, compact = 576;

    *out = subleaf < COMPONENTS ? cpuid.components[subleaf] : none;
    if (subleaf > 1)
        return;
    for (uint32_t i = 2; xcr0 >> i && i < COMPONENTS; i++) {
        const struct cpuid *c = &cpuid.components[i];
        if (!(xcr0 >> i & 1))
            continue;
        if (c->ecx & 2)
            compact = (compact + 63) & ~63U;
        compact += c->eax;
        if (c->eax + c->ebx > standard)
            standard = c->eax + c->ebx;
    }
    if (cpuid.components[0].eax)
        out->ebx = subleaf ? compact : standard;
}

/* The numbers that go into leaves of an AMD CPU. */
static void answer_extended(uint32_t leaf, uint32_t subleaf, uint32_t number, struct cpuid *out)
{
    *out = cpuid.extended[leaf - 0x80000000U];
    if (!amd || !(cpuid.extended[1].ecx & BIT(22)))
        return;
    if (leaf == 0x8000001d && subleaf < CACHES)
        *out = cpuid.caches[subleaf];
    else if (leaf == 0x8000001e)
        *out = (struct cpuid){.eax = number, .ebx = number};
}

void cpuid_answer(uint32_t leaf, uint32_t subleaf, const struct cpuid_vcpu *vcpu, struct cpuid *out)
{
    if (leaf - 0x80000000U <= cpuid.extended[0].eax - 0x80000000U) {
        answer_extended(leaf, subleaf, vcpu->number, out);
        return;
    }
    if (leaf - CPUID_SIGNATURE < SIGNATURE_LEAVES) {
        *out = cpuid.signature[leaf - CPUID_SIGNATURE];
        return;
    }
    *out = none;
    if (leaf >= BASIC_LEAVES)
        return;
    switch (leaf) {
    case 1:
        *out = cpuid.basic[1];
        out->ebx |= vcpu->number << 24;
        out->ecx |= vcpu->osxsave ? BIT(27) : 0;
        break;
    case 4:
        if (!amd && subleaf < CACHES)
            *out = cpuid.caches[subleaf];
        break;
    case 7:
        *out = subleaf == 0 ? cpuid.basic[7] : subleaf == 1 ? cpuid.features1 : none;
        break;
    case 0xb:
        answer_levels(subleaf, vcpu->number, out);
        break;
    case 0xd:
        answer_xsave(subleaf, vcpu->xcr0, out);
        break;
    default:
        *out = cpuid.basic[leaf];
    }
}

bool cpuid_has(uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit)
{
    return *reg_of(entry_of(leaf, subleaf), reg) >> bit & 1;
}

bool cpuid_is_amd(void)
{
    return amd;
}

unsigned cpuid_physical_bits(void)
{
    return cpuid.extended[8].eax & 0xff;
}
