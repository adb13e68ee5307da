/*
 * Guest test: start of further CPUs, interrupts between them, NMI, INIT, HLT, atomic operations, time.
 *
 * SPDX-License-Identifier: MIT
 */

#include "lib/guest.h"

#define ROUNDS 2000

static volatile unsigned ipis[MAX_CPUS], nmis[MAX_CPUS], started[MAX_CPUS], counter, phase;
static volatile uint64_t newest;
static volatile bool backwards;

static void ipi(struct frame *frame)
{
    (void)frame;
    ipis[cpu_self()->number]++;
    apic_write(APIC_EOI, 0);
}

static void nmi(struct frame *frame)
{
    (void)frame;
    nmis[cpu_self()->number]++;
}

/* What all CPUs do; the phase says what. */
static void others(void)
{
    unsigned number = cpu_self()->number;

    started[number]++;
    for (;;) {
        switch (__atomic_load_n(&phase, __ATOMIC_ACQUIRE)) {
        case 0: /* waits for interrupts, halted */
            __asm__ volatile("sti; hlt; cli" : : : "memory");
            break;
        case 1: /* counts */
            for (unsigned i = 0; i < ROUNDS; i++)
                __atomic_add_fetch(&counter, 1, __ATOMIC_SEQ_CST);
            while (__atomic_load_n(&phase, __ATOMIC_ACQUIRE) == 1)
                __builtin_ia32_pause();
            break;
        case 2: /* compares clocks */
            for (unsigned i = 0; i < ROUNDS; i++) {
                uint64_t last = __atomic_load_n(&newest, __ATOMIC_SEQ_CST), now = rdtsc();

                if (now < last)
                    backwards = true;
                while (last < now && !__atomic_compare_exchange_n(&newest, &last, now, false,
                                                                  __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
                    ;
            }
            __atomic_add_fetch(&counter, 1, __ATOMIC_SEQ_CST);
            while (__atomic_load_n(&phase, __ATOMIC_ACQUIRE) == 2)
                __builtin_ia32_pause();
            break;
        case 3: /* runs with interrupts */
            interrupts(true);
            while (__atomic_load_n(&phase, __ATOMIC_ACQUIRE) == 3)
                __builtin_ia32_pause();
            interrupts(false);
            break;
        default: /* does not want to hear anything */
            interrupts(false);
            for (;;)
                __builtin_ia32_pause();
        }
    }
}

static unsigned sum(const volatile unsigned *counts)
{
    unsigned total = 0;

    for (unsigned i = 0; i < MAX_CPUS; i++)
        total += counts[i];
    return total;
}

/* Moves all to a phase; halted CPUs need an interrupt. */
static void go(unsigned to)
{
    __atomic_store_n(&phase, to, __ATOMIC_RELEASE);
    apic_ipi(0, ICR_OTHERS | ICR_ASSERT | 0x45);
    wait_a_little();
}

static void test_ipis(const char *state)
{
    unsigned before, peers = cpu_count - 1;

    before = sum(ipis);
    apic_ipi(0, ICR_OTHERS | ICR_ASSERT | 0x41);
    tap_ok(WAIT_FOR(sum(ipis) == before + peers), "%s: to all others", state);
    apic_ipi(0, ICR_ALL | ICR_ASSERT | 0x41);
    tap_ok(WAIT_FOR(sum(ipis) == before + peers + cpu_count), "%s: to all", state);
    apic_ipi(0, ICR_SELF | ICR_ASSERT | 0x41);
    tap_ok(WAIT_FOR(ipis[0] == 2), "%s: to itself", state);
    ipis[0] = 0;
    before = sum(ipis);
    for (unsigned i = 0; i < 500; i++) {
        apic_ipi(1, ICR_ASSERT | 0x41);
        if (!WAIT_FOR(sum(ipis) == before + i + 1))
            break;
    }
    tap_is(sum(ipis), before + 500, "%s: 500 to APIC id 1", state);
    before = sum(ipis);
    apic_ipi(0x55, ICR_ASSERT | 0x41);
    wait_a_little();
    tap_is(sum(ipis), before, "%s: to nobody", state);
}

static void test_nmi(const char *state)
{
    unsigned before = sum(nmis);

    apic_ipi(1, ICR_NMI | ICR_ASSERT);
    tap_ok(WAIT_FOR(sum(nmis) == before + 1), "%s: NMI to APIC id 1", state);
    apic_ipi(0, ICR_OTHERS | ICR_NMI | ICR_ASSERT);
    tap_ok(WAIT_FOR(sum(nmis) == before + cpu_count), "%s: NMI to all others", state);
    tap_is(nmis[0], 0, "%s: and none here", state);
}

/* Flat logical destinations: a bit for each CPU. */
static void test_logical(void)
{
    unsigned before = sum(ipis);

    apic_ipi(0x02, ICR_LOGICAL | ICR_ASSERT | 0x41);
    tap_ok(WAIT_FOR(sum(ipis) == before + 1), "logical destination: CPU 1");
    apic_ipi(0x03, ICR_LOGICAL | ICR_ASSERT | 0x41);
    tap_ok(WAIT_FOR(sum(ipis) == before + 3), "logical destination: CPUs 0 and 1");
}

static void set_logical(struct frame *frame)
{
    (void)frame;
    apic_write(APIC_DFR, 0xffffffff);
    apic_write(APIC_LDR, 1U << (24 + cpu_self()->number));
    __atomic_add_fetch(&counter, 1, __ATOMIC_SEQ_CST);
    apic_write(APIC_EOI, 0);
}

static void nothing(struct frame *frame)
{
    (void)frame;
    apic_write(APIC_EOI, 0);
}

void test(void)
{
    unsigned first;

    handle(0x41, ipi);
    handle(0x43, set_logical);
    handle(0x45, nothing);
    handle(VECTOR_NMI, nmi);
    smp_start(others);
    if (cpu_count == 1) {
        tap_skip("one CPU only", "interrupts between CPUs");
        return;
    }
    tap_ok(WAIT_FOR(sum(started) == cpu_count - 1), "%u CPUs run", cpu_count);
    test_ipis("halted");
    test_nmi("halted");
    go(3);
    ipis[0] = 0;
    test_ipis("running");
    test_nmi("running");
    apic_ipi(0, ICR_ALL | ICR_ASSERT | 0x43);
    WAIT_FOR(counter == cpu_count);
    test_logical();
    counter = 0;

    go(1);
    tap_ok(WAIT_FOR(counter == ROUNDS * (cpu_count - 1)), "atomic operations");
    counter = 0;
    newest = rdtsc();
    go(2);
    tap_ok(WAIT_FOR(counter == cpu_count - 1) && !backwards, "the TSC of no CPU is behind that of another");

    /* A CPU that hears nothing, and is not halted, hears INIT. It starts again, as CPU number after all others. */
    go(4);
    first = sum(started);
    wait_a_little();
    if (cpu_count < MAX_CPUS) {
        apic_ipi(1, ICR_INIT | ICR_ASSERT | ICR_LEVEL);
        wait_a_little();
        tap_is(sum(started), first, "INIT alone does not start a CPU");
        apic_ipi(1, ICR_STARTUP | ICR_ASSERT | LOW_BASE >> 12);
        apic_ipi(1, ICR_STARTUP | ICR_ASSERT | LOW_BASE >> 12);
        tap_ok(WAIT_FOR(sum(started) == first + 1), "INIT and start-up start it again");
        wait_a_little();
        tap_is(sum(started), first + 1, "a second start-up does nothing");
    }
}
