/*
 * CPUID: what is announced of a host that has everything, and of one that has little; topology for all numbers of vCPUs.
 *
 * Sources: cpu/cpuid.c
 *
 * SPDX-License-Identifier: MIT
 */

#include <string.h>

#include "cpu/cpuid.h"
#include "tap.h"

enum { EAX, EBX, ECX, EDX };

static bool host_amd, host_full;

/* A CPU with every bit of every leaf set, or hardly any; caches of three levels; AVX and AVX-512 states. */
static void host(uint32_t leaf, uint32_t subleaf, struct cpuid *out)
{
    uint32_t fill = host_full ? UINT32_MAX : 0;

    *out = (struct cpuid){fill, fill, fill, fill};
    if (leaf == 0)
        *out = host_amd ? (struct cpuid){0x20, 0x68747541, 0x444d4163, 0x69746e65}
                        : (struct cpuid){0x20, 0x756e6547, 0x6c65746e, 0x49656e69};
    if (leaf == 0x80000000)
        *out = (struct cpuid){0x80000021, 0x68747541, 0x444d4163, 0x69746e65};
    if (leaf == (host_amd ? 0x8000001d : 4))
        *out = subleaf < 3 ? (struct cpuid){0xfc000000 | 0x3fc000 | (subleaf + 1) << 5 | 1, 0x1c0003f, 63, 0}
                           : (struct cpuid){0, 0, 0, 0};
    if (leaf == 0xd && subleaf == 2)
        *out = (struct cpuid){256, 576, 0, 0};
    if (leaf == 0xd && subleaf >= 5 && subleaf <= 7)
        *out = (struct cpuid){(uint32_t[]){64, 512, 1024}[subleaf - 5],
                              (uint32_t[]){1088, 1152, 1664}[subleaf - 5], 0, 0};
    if (leaf == 0x80000008)
        out->eax = 48 << 8 | 46;
}

static void build(bool amd, bool full, unsigned vcpus, uint64_t xcr0)
{
    host_amd = amd;
    host_full = full;
    cpuid_init(&(struct cpuid_machine){
        .vcpus = vcpus, .xcr0 = xcr0, .tsc_khz = 2000000, .apic_khz = 1000000, .host = host});
}

static struct cpuid ask(uint32_t leaf, uint32_t subleaf, unsigned number)
{
    const struct cpuid_vcpu self = {.number = number, .xcr0 = 1};
    struct cpuid out;

    memset(&out, 0xa5, sizeof(out));
    cpuid_answer(leaf, subleaf, &self, &out);
    return out;
}

static uint32_t reg(struct cpuid c, unsigned n)
{
    return (uint32_t[]){c.eax, c.ebx, c.ecx, c.edx}[n];
}

static void test_rules(void)
{
    for (unsigned i = 0; i < cpuid_rule_count; i++) {
        const struct cpuid_rule *r = &cpuid_rules[i];
        CHECK(r->reason && r->reason[0]);
        CHECK(r->host | r->always);
        for (unsigned j = 0; j < i; j++) {
            const struct cpuid_rule *o = &cpuid_rules[j];
            if (o->leaf == r->leaf && o->subleaf == r->subleaf && o->reg == r->reg)
                CHECK(!((o->host | o->always) & (r->host | r->always)) || r->leaf == 0x80000001);
        }
    }
    ok_checks("each bit has one rule, with a reason");
}

/* What a guest must never see, whatever the host has. */
static void test_forbidden(void)
{
    static const struct {
        uint32_t leaf, subleaf, reg, bit;
        const char *name;
    } bits[] = {
        {1, 0, ECX, 2, "64-bit DS area"},
        {1, 0, ECX, 3, "MONITOR"},
        {1, 0, ECX, 4, "CPL-qualified store"},
        {1, 0, ECX, 5, "VMX"},
        {1, 0, ECX, 6, "SMX"},
        {1, 0, ECX, 7, "EST"},
        {1, 0, ECX, 8, "TM2"},
        {1, 0, ECX, 15, "PDCM"},
        {1, 0, ECX, 18, "DCA"},
        {1, 0, EDX, 7, "MCE"},
        {1, 0, EDX, 14, "MCA"},
        {1, 0, EDX, 18, "serial number"},
        {1, 0, EDX, 21, "DS"},
        {1, 0, EDX, 22, "ACPI"},
        {1, 0, EDX, 29, "TM"},
        {7, 0, EBX, 1, "TSC_ADJUST"},
        {7, 0, EBX, 2, "SGX"},
        {7, 0, EBX, 12, "RDT-M"},
        {7, 0, EBX, 14, "MPX"},
        {7, 0, EBX, 25, "PT"},
        {7, 0, ECX, 3, "PKU"},
        {7, 0, ECX, 5, "WAITPKG"},
        {7, 0, ECX, 7, "CET shadow stack"},
        {7, 0, ECX, 16, "LA57"},
        {7, 0, ECX, 30, "SGX launch"},
        {7, 0, ECX, 31, "PKS"},
        {7, 0, EDX, 20, "CET IBT"},
        {7, 0, EDX, 24, "AMX"},
        {7, 0, EDX, 26, "SPEC_CTRL"},
        {0xd, 1, EAX, 3, "XSAVES"},
        {0x80000001, 0, ECX, 2, "SVM"},
        {0x80000001, 0, ECX, 3, "extended APIC"},
        {0x80000001, 0, ECX, 10, "IBS"},
        {0x80000001, 0, ECX, 12, "SKINIT"},
        {0x80000001, 0, ECX, 23, "performance counters"},
        {0x80000001, 0, ECX, 29, "MONITORX"},
    };

    for (unsigned amd = 0; amd < 2; amd++) {
        build(amd, true, 4, 0xe7);
        for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
            if (!CHECK(!(reg(ask(bits[i].leaf, bits[i].subleaf, 0), bits[i].reg) >> bits[i].bit & 1)))
                printf("# %s\n", bits[i].name);
        for (unsigned r = 0; r < 4; r++)
            for (uint32_t leaf = 0; leaf < 0x40; leaf++)
                if (leaf == 5 || (leaf > 7 && leaf != 0xb && leaf != 0xd) || leaf == 3)
                    CHECK(!reg(ask(leaf, 0, 0), r));
        CHECK(!ask(0x8000000a, 0, 0).edx && !ask(0x8000001f, 0, 0).eax && !ask(0xffffffff, 0, 0).eax);
        CHECK(!ask(0x3fffffff, 0, 0).eax && !ask(0x40000011, 0, 0).eax && !ask(0x7fffffff, 0, 0).eax);
    }
    ok_checks("nothing is announced that is not allowed");
}

static void test_always(void)
{
    for (unsigned amd = 0; amd < 2; amd++) {
        struct cpuid one;

        build(amd, false, 1, 0);
        one = ask(1, 0, 0);
        CHECK(one.ecx >> 21 & 1 && one.ecx >> 24 & 1 && one.ecx >> 31 & 1 && one.edx >> 9 & 1);
        CHECK(!(one.ecx >> 26 & 1) && !ask(0xd, 0, 0).eax && !ask(0xd, 1, 0).eax);
        CHECK(ask(6, 0, 0).eax == 4 && ask(0, 0, 0).eax == 13);
        CHECK(ask(0x40000000, 0, 0).ebx == 0x4b4d564b && ask(0x40000001, 0, 0).eax == 0x100004b);
        CHECK(ask(0x40000010, 0, 0).eax == 2000000 && ask(0x40000010, 0, 0).ebx == 1000000);
        CHECK(cpuid_is_amd() == amd && cpuid_physical_bits() == 46);
        CHECK(cpuid_has(1, 0, ECX, 21) && !cpuid_has(1, 0, ECX, 5));
    }
    ok_checks("what the VMM emulates is there on any host");
}

static void test_topology(void)
{
    for (unsigned amd = 0; amd < 2; amd++)
        for (unsigned n = 1; n <= 8; n++) {
            unsigned bits = n > 4 ? 3 : n > 2 ? 2 : n > 1;
            build(amd, true, n, 7);
            for (unsigned i = 0; i < n; i++) {
                struct cpuid one = ask(1, 0, i), level = ask(0xb, 1, i);
                CHECK(one.ebx >> 24 == i && (one.ebx >> 16 & 0xff) == n && (one.edx >> 28 & 1) == (n > 1));
                CHECK(ask(0xb, 0, i).eax == 0 && ask(0xb, 0, i).ebx == 1 && ask(0xb, 0, i).ecx == 0x100);
                CHECK(level.eax == bits && level.ebx == n && level.ecx == 0x201 && level.edx == i);
                CHECK(ask(0xb, 2, i).ebx == 0 && ask(0xb, 2, i).ecx == 2 && ask(0xb, 2, i).edx == i);
                if (amd) {
                    CHECK(ask(0x80000008, 0, i).ecx == (bits << 12 | (n - 1)));
                    CHECK(ask(0x8000001e, 0, i).eax == i && ask(0x8000001e, 0, i).ebx == i);
                    CHECK((ask(0x8000001d, 1, i).eax >> 14 & 0xfff) == 0);
                    CHECK((ask(0x8000001d, 2, i).eax >> 14 & 0xfff) == n - 1 && !ask(0x8000001d, 3, i).eax);
                    CHECK(!ask(4, 0, i).eax);
                } else {
                    CHECK(ask(4, 0, i).eax >> 26 == n - 1 && (ask(4, 1, i).eax >> 14 & 0xfff) == 0);
                    CHECK((ask(4, 2, i).eax >> 14 & 0xfff) == n - 1 && !ask(4, 3, i).eax);
                    CHECK(!(ask(0x80000001, 0, i).ecx >> 22 & 1));
                }
            }
        }
    ok_checks("topology of 1 to 8 vCPUs");
}

static uint32_t size_of(uint32_t subleaf, uint64_t xcr0)
{
    const struct cpuid_vcpu self = {.xcr0 = xcr0};
    struct cpuid out;

    cpuid_answer(0xd, subleaf, &self, &out);
    return out.ebx;
}

static void test_xsave(void)
{
    build(false, true, 1, 0xe7);
    CHECK(ask(0xd, 0, 0).eax == 0xe7 && ask(0xd, 0, 0).ecx == 2688);
    CHECK(size_of(0, 1) == 576 && size_of(0, 3) == 576 && size_of(0, 7) == 832 && size_of(0, 0xe7) == 2688);
    CHECK(size_of(1, 7) == 832 && size_of(1, 0xe7) == 832 + 64 + 512 + 1024);
    CHECK(ask(0xd, 2, 0).eax == 256 && ask(0xd, 2, 0).ebx == 576 && !ask(0xd, 3, 0).eax &&
          !ask(0xd, 63, 0).eax);
    CHECK(!ask(0xd, 64, 0).eax && !ask(0xd, UINT32_MAX, 0).eax);
    CHECK(cpuid_has(7, 0, EBX, 16) && cpuid_has(1, 0, ECX, 28));
    build(false, true, 1, 7);
    CHECK(ask(0xd, 0, 0).eax == 7 && !ask(0xd, 5, 0).eax && ask(0xd, 0, 0).ecx == 832);
    CHECK(!cpuid_has(7, 0, EBX, 16) && !cpuid_has(7, 0, ECX, 1) && cpuid_has(7, 0, EBX, 5));
    build(false, true, 1, 3);
    CHECK(ask(0xd, 0, 0).eax == 3 && !cpuid_has(1, 0, ECX, 28) && !cpuid_has(7, 0, EBX, 5) &&
          cpuid_has(1, 0, ECX, 25));
    ok_checks("leaf 0xd tells what XCR0 may hold, and features go with it");
}

int main(void)
{
    test_rules();
    test_forbidden();
    test_always();
    test_topology();
    test_xsave();
    return tap_done();
}
