/*
 * Guest test, in a VM only: the paravirtual interface of KVM (Documentation/virt/kvm/x86/cpuid.rst, msr.rst): signature, clock,
 * end of interrupt without exit.
 *
 * SPDX-License-Identifier: MIT
 */

#include "lib/guest.h"

#define FEATURES 0x40000001
#define FEATURE_CLOCKSOURCE2 (1U << 3)
#define FEATURE_PV_EOI (1U << 6)
#define FEATURE_STABLE (1U << 24)
#define MSR_WALL_CLOCK 0x4b564d00
#define MSR_SYSTEM_TIME 0x4b564d01
#define MSR_PV_EOI 0x4b564d04

static volatile struct {
    uint32_t version, pad0;
    uint64_t tsc, system_time;
    uint32_t multiplier;
    int8_t shift;
    uint8_t flags, pad[2];
} time_info __attribute__((aligned(64)));

static volatile struct {
    uint32_t version, seconds, nanoseconds;
} wall __attribute__((aligned(64)));

static volatile uint32_t eoi __attribute__((aligned(4)));
static volatile unsigned seen, skipped;

static uint64_t system_time(void)
{
    uint64_t delta = rdtsc() - time_info.tsc;

    delta = time_info.shift >= 0 ? delta << time_info.shift : delta >> -time_info.shift;
    return time_info.system_time + (uint64_t)((unsigned __int128)delta * time_info.multiplier >> 32);
}

static void test_clock(uint32_t features)
{
    uint64_t before, now;
    bool backwards = false;

    tap_ok(features & FEATURE_CLOCKSOURCE2, "the clock is announced");
    tap_is(try_wrmsr(MSR_SYSTEM_TIME, (uint64_t)&time_info | 1), NO_FAULT, "the clock is switched on");
    tap_ok(time_info.version && !(time_info.version & 1), "its version is even, and not 0");
    tap_ok(time_info.multiplier, "it has a multiplier");
    tap_ok(!(features & FEATURE_STABLE) || (time_info.flags & 1),
           "it says that it is stable, if that is announced");
    before = system_time();
    for (unsigned i = 0; i < 10000; i++) {
        now = system_time();
        backwards |= now < before;
        before = now;
    }
    tap_ok(!backwards, "it does not run backwards");
    now = system_time();
    wait_a_little();
    tap_ok(system_time() > now, "it runs");
    tap_is(try_wrmsr(MSR_WALL_CLOCK, (uint64_t)&wall), NO_FAULT, "wall clock");
    tap_ok(!(wall.version & 1) && wall.nanoseconds < 1000000000, "... is filled in");
    tap_is(try_wrmsr(MSR_SYSTEM_TIME, 0xfffffffffffff000UL | 1),
           try_wrmsr(MSR_SYSTEM_TIME, 0xfffffffffffff000UL | 1),
           "a clock where no memory is: the VM goes on");
    tap_is(try_wrmsr(MSR_SYSTEM_TIME, 0), NO_FAULT, "the clock is switched off");
}

static void arrives(struct frame *frame)
{
    (void)frame;
    seen++;
    if (__atomic_exchange_n(&eoi, 0, __ATOMIC_SEQ_CST) & 1)
        skipped++;
    else
        apic_write(APIC_EOI, 0);
}

static void test_eoi(uint32_t features)
{
    if (!(features & FEATURE_PV_EOI)) {
        tap_skip("not announced", "end of interrupt without exit");
        return;
    }
    handle(0x41, arrives);
    handle(0x52, arrives);
    tap_is(try_wrmsr(MSR_PV_EOI, (uint64_t)&eoi | 1), NO_FAULT,
           "end of interrupt without exit is switched on");
    for (unsigned i = 0; i < 100; i++) {
        apic_ipi(apic_id(), ICR_ASSERT | 0x41);
        WAIT_FOR(seen == i + 1);
    }
    tap_is(seen, 100, "100 interrupts");
    tap_ok(skipped > 50, "most of them end without exit: %u", skipped);
    seen = 0;
    for (unsigned i = 0; i < 100; i++) {
        apic_ipi(apic_id(), ICR_ASSERT | 0x52);
        apic_ipi(apic_id(), ICR_ASSERT | 0x41);
        WAIT_FOR(seen == 2 * i + 2);
    }
    tap_is(seen, 200, "two at a time");
    tap_is(apic_read(APIC_ISR + 0x20), 0, "none is left in service");
    tap_is(try_wrmsr(MSR_PV_EOI, 0), NO_FAULT, "switched off");
}

void test(void)
{
    uint32_t out[4], features;

    if (!in_vm()) {
        tap_skip("not in a VM", "paravirtual interface");
        return;
    }
    cpuid(0x40000000, 0, out);
    tap_ok(out[1] == 0x4b4d564b && out[2] == 0x564b4d56 && out[3] == 0x4d, "signature");
    tap_ok(out[0] >= FEATURES && out[0] <= 0x400000ff, "highest leaf");
    cpuid(FEATURES, 0, out);
    features = out[0];
    tap_diag("features 0x%x", features);
    apic_enable();
    test_clock(features);
    test_eoi(features);
    cpuid(1, 0, out);
    tap_ok(out[2] & 1U << 21 && out[2] & 1 << 24, "x2APIC and TSC deadline are announced");
    cpuid(6, 0, out);
    tap_ok(out[0] & 4, "the timer runs in all states (ARAT)");
}
