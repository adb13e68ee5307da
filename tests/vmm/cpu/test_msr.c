/*
 * MSRs: those that exist, on the CPUs of either vendor, and that all others fault; values that a guest must not write.
 *
 * Sources: cpu/cpuid.c cpu/inject.c cpu/msr.c cpu/time.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "memory.h"
#include "cpu/stubs.h"
#include "cpu/cpuid.h"
#include "cpu/time.h"
#include "tap.h"

#define X2APIC 0xc00UL

static struct vcpu v;
static struct nova_arch_state s;
static bool amd;

static void host(uint32_t leaf, uint32_t subleaf, struct cpuid *out)
{
    (void)subleaf;
    *out = (struct cpuid){0, 0, 0, 0};
    if (leaf == 0)
        *out = (struct cpuid){13, amd ? 0x68747541 : 0x756e6547, 0, 0};
}

static void fresh(bool is_amd)
{
    amd = is_amd;
    cpuid_init(&(struct cpuid_machine){.vcpus = 1, .host = host});
    memset(&v, 0, sizeof(v));
    memset(&s, 0, sizeof(s));
    v.complete = true;
    msr_reset(&v);
}

static enum msr_result get(uint32_t msr, uint64_t *value)
{
    return msr_read(&v, &s, msr, value);
}

static enum msr_result set(uint32_t msr, uint64_t value)
{
    uint32_t mtd = 0;

    return msr_write(&v, &s, msr, value, &mtd);
}

/* All MSRs but some: the guest gets #GP. */
static void test_unknown(void)
{
    for (unsigned which = 0; which < 2; which++) {
        uint64_t value, before = msr_unknown();
        unsigned known = 0, writable = 0;

        fresh(which);
        for (uint32_t msr = 0; msr < 0x2000; msr++) {
            known += get(msr, &value) == MSR_DONE;
            known += get(0xc0000000 + msr, &value) == MSR_DONE;
            known += get(0xc0010000 + msr, &value) == MSR_DONE;
            writable += set(0xc0010000 + msr, 0) == MSR_DONE;
        }
        CHECK(known == (which ? 29U : 26U));
        CHECK(writable == (which ? 5U : 0U));
        CHECK(msr_unknown() > before + 0x2000 * 4 - 102);
        CHECK(get(0x3a, &value) == (which ? MSR_FAULT : MSR_DONE));
        CHECK(get(0xc0010114, &value) == (which ? MSR_DONE : MSR_FAULT));
        CHECK(get(0x48, &value) == MSR_FAULT && get(0xda0, &value) == MSR_FAULT);
        CHECK(get(0xffffffff, &value) == MSR_FAULT);
    }
    ok_checks("MSRs that are not in the table fault, and are counted");
}

static void test_state(void)
{
    uint64_t value;
    uint32_t mtd = 0;

    fresh(true);
    s.efer = 0xd01;
    s.cr0 = 0x80000011;
    CHECK(get(0xc0000080, &value) == MSR_DONE && value == 0xd01);
    CHECK(msr_write(&v, &s, 0xc0000080, 0x901, &mtd) == MSR_DONE && s.efer == 0xd01 && mtd == NOVA_MTD_EFER);
    CHECK(set(0xc0000080, 0x1d01) == MSR_FAULT); /* SVME */
    CHECK(set(0xc0000080, 0x801) == MSR_FAULT);  /* LME while paging is on */
    CHECK(set(0xc0000080, 1UL << 63) == MSR_FAULT && s.efer == 0xd01);
    CHECK(set(0x277, 0x0007040600070106) == MSR_DONE && s.pat == 0x0007040600070106);
    CHECK(set(0x277, 0x0007040600070206) == MSR_FAULT && set(0x277, 0x8000000000000000) == MSR_FAULT);
    CHECK(set(0xc0000082, 0x0000800000000000) == MSR_FAULT &&
          set(0xc0000082, 0xffff800000000000) == MSR_DONE);
    CHECK(set(0xc0000103, 0x100000000) == MSR_FAULT);
    v.complete = false;
    CHECK(get(0xc0000080, &value) == MSR_STATE && set(0x277, 0) == MSR_STATE);
    ok_checks("MSRs of the message: EFER, PAT and addresses are checked");
}

static void test_apic(void)
{
    uint64_t value;

    fresh(true);
    CHECK(get(0x802, &value) == MSR_FAULT && set(0x80b, 0) == MSR_FAULT);
    v.lapic.base = 0xfee00000 | X2APIC;
    CHECK(get(0x802, &value) == MSR_DONE && value == 0x1002);
    CHECK(set(0x830, 0x123456789) == MSR_DONE && stub_value == 0x123456789);
    CHECK(get(0x83f, &value) == MSR_FAULT && set(0x83f, 0) == MSR_FAULT);
    CHECK(set(0x6e0, 77) == MSR_DONE && get(0x6e0, &value) == MSR_DONE && value == 77);
    CHECK(set(0x1b, 0xfee00900) == MSR_DONE && set(0x1b, 1) == MSR_FAULT);
    ok_checks("x2APIC, TSC deadline and APIC base");
}

static void test_clock(void)
{
    const struct time_page *page;
    uint64_t value;

    fresh(true);
    memory_make(0x200000);
    page = ram_at(0x1000, sizeof(*page));
    time_init(1000000000, 0);
    CHECK(set(0x4b564d01, 0x1001) == MSR_DONE && page->version == 2 && get(0x4b564d01, &value) == MSR_DONE &&
          value == 0x1001);
    msr_resumed(&v);
    CHECK(page->version == 4 && page->flags == (TIME_STABLE | TIME_STOPPED));
    CHECK(set(0x12, 0) == MSR_DONE);
    msr_resumed(&v);
    CHECK(page->version == 4);
    CHECK(set(0x4b564d01, 0x200001) == MSR_FAULT && set(0x4b564d01, 0x1fffe1 + 0x10) == MSR_FAULT);
    CHECK(set(0x4b564d01, 0x1003) == MSR_FAULT && set(0x4b564d01, UINT64_MAX) == MSR_FAULT);
    CHECK(get(0x12, &value) == MSR_DONE && !value); /* what has faulted has changed nothing */
    CHECK(set(0x4b564d00, 0x2000) == MSR_DONE && set(0x4b564d00, 0x2001) == MSR_FAULT);
    CHECK(set(0x4b564d00, 0x1ffff8) == MSR_FAULT && set(0x11, 0x3000) == MSR_DONE);
    CHECK(set(0x4b564d04, 0x1005) == MSR_DONE && set(0x4b564d04, 0x200001) == MSR_FAULT);
    CHECK(set(0x4b564d04, 0x1003) == MSR_FAULT && set(0x4b564d04, 0) == MSR_DONE);
    ok_checks("paravirtual clock, wall clock and EOI want memory");
}

static void test_rest(void)
{
    uint64_t value;

    fresh(true);
    CHECK(get(0x2ff, &value) == MSR_DONE && value == 0x806 && set(0x2ff, 0xc06) == MSR_DONE);
    CHECK(set(0x2ff, 0x802) == MSR_FAULT && set(0x2ff, 0x1806) == MSR_FAULT);
    CHECK(get(0xfe, &value) == MSR_DONE && !value && set(0xfe, 0) == MSR_FAULT &&
          get(0x200, &value) == MSR_FAULT);
    CHECK(set(0x1d9, 1) == MSR_FAULT && set(0x1d9, 0) == MSR_DONE);
    CHECK(set(0xc0000083, 5) == MSR_DONE && get(0xc0000083, &value) == MSR_DONE && value == 5);
    CHECK(get(0xc0011029, &value) == MSR_DONE && value == 2);
    stub_errors = 0;
    CHECK(set(0x10, 0) == MSR_DONE && stub_errors == 1);
    ok_checks("memory types, stored values, the TSC");
}

int main(void)
{
    test_unknown();
    test_state();
    test_apic();
    test_clock();
    test_rest();
    return tap_done();
}
