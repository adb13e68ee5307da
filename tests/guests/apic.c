/*
 * Guest test: the local APIC in xAPIC and, if there is one, x2APIC mode: registers, priorities, interrupts to itself, timers.
 *
 * SPDX-License-Identifier: MIT
 */

#include "lib/guest.h"

#define VECTORS 256
#define LVT_MASKED 0x10000
#define TIMER_PERIODIC 0x20000
#define TIMER_DEADLINE 0x40000
#define MSR_DEADLINE 0x6e0
#define ESR_ILLEGAL_SEND 0x20
#define ESR_ILLEGAL_REGISTER 0x80

static volatile unsigned seen[VECTORS], order[16], arrived;
static volatile uint64_t seen_time;

static void count(struct frame *frame)
{
    seen[frame->vector]++;
    seen_time = rdtsc();
    if (arrived < 16)
        order[arrived++] = (unsigned)frame->vector;
    apic_write(APIC_EOI, 0);
}

/* Handlers that leave the interrupt in service. */
static void keep(struct frame *frame)
{
    seen[frame->vector]++;
}

static void spurious(struct frame *frame)
{
    seen[frame->vector]++;
}

static bool bit(unsigned base, unsigned vector)
{
    return apic_read(base + vector / 32 * 16) >> vector % 32 & 1;
}

static void send_self(unsigned vector)
{
    apic_ipi(apic_id(), ICR_ASSERT | vector);
}

static void clear(void)
{
    arrived = 0;
    for (unsigned i = 0; i < VECTORS; i++)
        seen[i] = 0;
}

static void open(void)
{
    interrupts(true);
    wait_a_little();
    interrupts(false);
}

/*
 * The timer was set at `start`, to end after `ticks` at the earliest, and has just been stopped: does no interrupt come? One may, if
 * the host let us sleep for so long that it was not stopped in time.
 */
static bool stopped(uint64_t start, uint64_t ticks)
{
    bool in_time = rdtsc() - start < ticks;

    clear();
    interrupts(true);
    wait_until_later();
    interrupts(false);
    return seen[0x71] == 0 || !in_time;
}

static void test_registers(const char *mode)
{
    uint32_t version = apic_read(APIC_VERSION);

    tap_ok((version & 0xff) >= 0x10 && (version & 0xff) <= 0x15 && (version >> 16 & 0xff) >= 3, "%s: version",
           mode);
    tap_is(apic_id(), 0, "%s: id", mode);
    apic_write(APIC_TPR, 0x57);
    tap_is(apic_read(APIC_TPR), 0x57, "%s: task priority", mode);
    tap_is(READ_CR(8), 5, "%s: task priority in CR8", mode);
    TRY_CR(8, 3);
    tap_is(apic_read(APIC_TPR) & 0xf0, 0x30, "%s: CR8 in the task priority", mode);
    apic_write(APIC_TPR, 0);
    apic_write(APIC_LINT0, LVT_MASKED | 0x700 | 0x33);
    tap_is(apic_read(APIC_LINT0) & 0x107ff, LVT_MASKED | 0x733, "%s: LINT0", mode);
    apic_write(APIC_LINT0, LVT_MASKED);
}

static void test_self(const char *mode)
{
    clear();
    handle(0x41, count);
    handle(0x52, count);
    handle(0x63, count);
    send_self(0x41);
    tap_ok(bit(APIC_IRR, 0x41) && !bit(APIC_ISR, 0x41), "%s: an interrupt waits in IRR", mode);
    open();
    tap_ok(seen[0x41] == 1 && !bit(APIC_IRR, 0x41) && !bit(APIC_ISR, 0x41), "%s: it arrives, once", mode);
    tap_ok(!bit(APIC_TMR, 0x41), "%s: it is edge-triggered", mode);

    clear();
    send_self(0x52);
    send_self(0x41);
    send_self(0x63);
    send_self(0x41);
    open();
    tap_ok(arrived == 3 && order[0] == 0x63 && order[1] == 0x52 && order[2] == 0x41,
           "%s: the highest priority first", mode);

    clear();
    TRY_CR(8, 5);
    send_self(0x52);
    send_self(0x63);
    open();
    tap_ok(seen[0x63] == 1 && seen[0x52] == 0 && bit(APIC_IRR, 0x52),
           "%s: the task priority holds interrupts back", mode);
    interrupts(true);
    TRY_CR(8, 4);
    wait_a_little();
    interrupts(false);
    tap_is(seen[0x52], 1, "%s: ... until it is lower", mode);
    TRY_CR(8, 0);

    clear();
    handle(0x63, keep);
    send_self(0x63);
    open();
    send_self(0x52);
    open();
    tap_ok(seen[0x63] == 1 && bit(APIC_ISR, 0x63) && seen[0x52] == 0,
           "%s: what is in service holds lower ones back", mode);
    handle(0x63, count);
    apic_write(APIC_EOI, 0);
    open();
    tap_ok(!bit(APIC_ISR, 0x63) && seen[0x52] == 1, "%s: ... until its end", mode);

    clear();
    for (unsigned i = 0; i < 500; i++) {
        send_self(0x41);
        interrupts(true);
        __asm__ volatile("nop; nop");
        interrupts(false);
    }
    if (!tap_ok(WAIT_FOR(seen[0x41] == 500), "%s: 500 of them", mode))
        tap_diag("%u", seen[0x41]);
    clear();
    send_self(0x41);
    __asm__ volatile("sti; hlt; cli" : : : "memory");
    tap_is(seen[0x41], 1, "%s: HLT with an interrupt that waits", mode);
}

static void test_errors(const char *mode)
{
    clear();
    handle(5, count);
    apic_write(APIC_ESR, 0);
    apic_write(APIC_ESR, 0);
    send_self(5);
    open();
    handle(5, NULL);
    tap_is(seen[5], 0, "%s: vectors below 16 do not arrive", mode);
    apic_write(APIC_ESR, 0);
    tap_ok(apic_read(APIC_ESR) & (ESR_ILLEGAL_SEND | 0x40), "%s: vectors below 16 are errors", mode);
    apic_write(APIC_ESR, 0);
    tap_is(apic_read(APIC_ESR), 0, "%s: the error is read once", mode);
    clear();
    handle(0x41, count);
    handle(0xff, spurious);
    apic_write(APIC_SVR, 0xff);
    tap_ok(apic_read(APIC_TIMER) & LVT_MASKED, "%s: disabled by software, the timer is masked", mode);
    apic_write(APIC_TIMER, 0x41);
    tap_ok(apic_read(APIC_TIMER) & LVT_MASKED, "%s: ... and stays so", mode);
    apic_write(APIC_SVR, 0x1ff);
}

static void test_timer(const char *mode)
{
    uint32_t count_before, count_after;
    uint64_t start;

    clear();
    handle(0x71, count);
    apic_write(APIC_DIVIDE, 0xb);
    tap_is(apic_read(APIC_DIVIDE), 0xb, "%s: timer: divisor", mode);
    apic_write(APIC_TIMER, LVT_MASKED | 0x71);
    apic_write(APIC_INITIAL, 0xffffffff);
    count_before = apic_read(APIC_CURRENT);
    wait_a_little();
    count_after = apic_read(APIC_CURRENT);
    tap_ok(count_after < count_before && count_after != 0, "%s: timer: it counts down", mode);
    apic_write(APIC_INITIAL, 0);
    tap_is(apic_read(APIC_CURRENT), 0, "%s: timer: stopped", mode);

    apic_write(APIC_TIMER, 0x71);
    apic_write(APIC_INITIAL, 100000);
    tap_ok(WAIT_FOR(seen[0x71] == 1), "%s: timer: once", mode);
    open();
    tap_ok(seen[0x71] == 1 && apic_read(APIC_CURRENT) == 0, "%s: timer: and no more", mode);

    start = rdtsc();
    apic_write(APIC_INITIAL, LATER / 4); /* the TSC is faster, but not by more than that */
    apic_write(APIC_INITIAL, 0);
    tap_ok(stopped(start, LATER / 4), "%s: timer: stopped before it ends", mode);

    clear();
    apic_write(APIC_TIMER, LVT_MASKED | 0x71);
    apic_write(APIC_INITIAL, 1000);
    open();
    tap_is(seen[0x71], 0, "%s: timer: masked", mode);

    clear();
    apic_write(APIC_TIMER, TIMER_PERIODIC | 0x71);
    apic_write(APIC_INITIAL, 1000000);
    tap_ok(WAIT_FOR(seen[0x71] >= 5), "%s: timer: periodic", mode);
    apic_write(APIC_INITIAL, 0);
    apic_write(APIC_TIMER, LVT_MASKED);
    open();

    clear();
    apic_write(APIC_TIMER, 0x71);
    start = rdtsc();
    apic_write(APIC_INITIAL, 5000000);
    __asm__ volatile("sti; hlt; cli" : : : "memory");
    tap_ok(seen[0x71] == 1 && seen_time > start, "%s: timer: ends HLT", mode);
}

static void test_deadline(const char *mode)
{
    uint32_t out[4];
    uint64_t deadline, read;

    cpuid(1, 0, out);
    if (!(out[2] & 1 << 24)) {
        tap_skip("not there", "%s: TSC deadline", mode);
        return;
    }
    clear();
    apic_write(APIC_TIMER, TIMER_DEADLINE | 0x71);
    deadline = rdtsc() + LATER / 4;
    try_wrmsr(MSR_DEADLINE, deadline);
    read = rdmsr(MSR_DEADLINE);
    tap_ok(read == deadline || (read == 0 && rdtsc() >= deadline),
           "%s: TSC deadline reads as written, or is over", mode);
    __asm__ volatile("sti; hlt; cli" : : : "memory");
    tap_ok(seen[0x71] == 1 && seen_time >= deadline, "%s: TSC deadline: not before its time", mode);
    tap_is(rdmsr(MSR_DEADLINE), 0, "%s: TSC deadline is 0 after it", mode);
    try_wrmsr(MSR_DEADLINE, 1);
    open();
    tap_is(seen[0x71], 2, "%s: TSC deadline in the past", mode);
    deadline = rdtsc() + LATER;
    try_wrmsr(MSR_DEADLINE, deadline);
    try_wrmsr(MSR_DEADLINE, 0);
    tap_ok(stopped(deadline - LATER, LATER), "%s: TSC deadline taken back", mode);
    deadline = rdtsc() + LATER;
    try_wrmsr(MSR_DEADLINE, deadline);
    apic_write(APIC_TIMER, 0x71);
    tap_ok(stopped(deadline - LATER, LATER), "%s: TSC deadline, then another mode", mode);
    clear();
    apic_write(APIC_INITIAL, 1000);
    tap_ok(WAIT_FOR(seen[0x71] == 1), "%s: one-shot again", mode);
    apic_write(APIC_TIMER, LVT_MASKED);
}

static void test_all(const char *mode)
{
    apic_enable();
    test_registers(mode);
    test_self(mode);
    test_errors(mode);
    test_timer(mode);
    test_deadline(mode);
}

/* What is special about the MSRs of x2APIC mode. */
static void test_x2(void)
{
    uint64_t value, vector;

    tap_is(try_rdmsr(0x800 + APIC_EOI / 16, &value), VECTOR_GP, "x2APIC: EOI cannot be read");
    tap_is(try_wrmsr(0x800 + APIC_EOI / 16, 1), VECTOR_GP, "x2APIC: EOI takes 0 only");
    tap_is(try_wrmsr(0x800 + APIC_ID / 16, 1), VECTOR_GP, "x2APIC: the id is fixed");
    tap_is(try_rdmsr(0x800 + APIC_DFR / 16, &value), VECTOR_GP, "x2APIC: no DFR");
    tap_is(try_rdmsr(0x800 + APIC_ICR_HIGH / 16, &value), VECTOR_GP, "x2APIC: no upper half of the ICR");
    tap_is(try_wrmsr(0x800 + APIC_TPR / 16, 1UL << 32), VECTOR_GP, "x2APIC: reserved upper half");
    tap_is(try_rdmsr(0x800 + APIC_LDR / 16, &value), NO_FAULT, "x2APIC: LDR");
    tap_is(value, 1, "x2APIC: LDR comes from the id");
    clear();
    handle(0x41, count);
    tap_is(try_wrmsr(0x83f, 0x41), NO_FAULT, "x2APIC: SELF IPI");
    open();
    tap_is(seen[0x41], 1, "x2APIC: SELF IPI arrives");
    vector = try_wrmsr(0x1b, rdmsr(0x1b) & ~0x800UL);
    tap_ok(vector == VECTOR_GP || !(rdmsr(0x1b) & 0x800), "x2APIC: disabled without leaving the mode");
}

void test(void)
{
    outb(0x3f9, 0);
    test_all("xAPIC");
    if (!apic_set_x2(true)) {
        tap_skip("not there", "x2APIC");
        return;
    }
    test_all("x2APIC");
    test_x2();
}
