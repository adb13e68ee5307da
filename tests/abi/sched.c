/*
 * Scheduling: priorities, round robin by budget, time accounting (specification 2.3, 4.5, 5.3.3,
 * 5.4.3). On the BSP, where the main thread has the highest priority, and on the last CPU.
 *
 * Only orders and ratios are tested, no durations: time here is that of an emulator on a busy host.
 *
 * SPDX-License-Identifier: MIT
 */

#include "registers.h"
#include "system.h"
#include "tap.h"

static volatile bool stop;
static uint64_t done;

static unsigned log_entry[64];
static volatile uint32_t log_length;

static void note(unsigned what)
{
    log_entry[__atomic_fetch_add(&log_length, 1, __ATOMIC_SEQ_CST)] = what;
}

static bool log_is(const unsigned *want, unsigned count)
{
    bool same = log_length == count;

    for (unsigned i = 0; i < count; i++)
        same = same && log_entry[i] == want[i];
    for (unsigned i = 0; !same && i < log_length; i++)
        tap_diag("event %u: %u", i, log_entry[i]);
    return same;
}

static void wait_done(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        must(sm_down_ms(done, 20000), "waiting for a thread");
}

static void spin(void *arg)
{
    (void)arg;
    while (!stop)
        continue;
    sm_up(done);
}

static uint64_t start_sc(unsigned cpu, unsigned prio, unsigned budget, void (*entry)(void *), void *arg)
{
    struct thread *t = thread_create(&sys.root, cpu, STANDARD_EVENTS(cpu), NOVA_EC_GLOBAL);

    thread_run(t, prio, budget, entry, arg);
    return t->sc;
}

static uint64_t time_of(uint64_t sc)
{
    uint64_t time = 0;

    must(ctrl_sc(sc, &time), "ctrl_sc");
    return time;
}

/* Until a thread that was started has been scheduled: a busy host may let its CPU sleep for long. */
static void wait_running(uint64_t sc)
{
    while (!time_of(sc))
        sleep_us(500);
}

/* -- Priority order -- */

static void note_and_end(void *arg)
{
    note((unsigned)(uint64_t)arg);
    sm_up(done);
}

/* Runs on the CPU under test with the highest priority and makes others ready. */
static void starter(void *arg)
{
    static const uint64_t prios[] = {5, 100, 1, 64, 63, 2, 126, 17, 65, 99};
    unsigned cpu = (unsigned)(uint64_t)arg;

    for (unsigned i = 0; i < 10; i++)
        global_start(cpu, (unsigned)prios[i], note_and_end, (void *)prios[i]);
    note(1000);
    sm_up(done);
}

static void priorities(unsigned cpu)
{
    const unsigned want[] = {1000, 126, 100, 99, 65, 64, 63, 17, 5, 2, 1};

    log_length = 0;
    global_start(cpu, 127, starter, (void *)(uint64_t)cpu);
    wait_done(11);
    tap_ok(log_is(want, 11), "CPU %u: threads run in the order of their priorities, 127 first", cpu);
}

/* -- Preemption by wake-up -- */

static uint64_t wake;

static void high(void *arg)
{
    (void)arg;
    sm_up(done);
    for (unsigned i = 0; i < 3; i++) {
        sm_down(wake);
        note(100 + i);
    }
    sm_up(done);
}

static void low(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 3; i++) {
        note(i);
        sm_up(wake);
    }
    note(3);
    sm_up(done);
}

static void preemption(unsigned cpu)
{
    const unsigned above[] = {0, 100, 1, 101, 2, 102, 3}, below[] = {0, 1, 2, 3, 100, 101, 102};

    wake = sm_create(0);
    log_length = 0;
    global_start(cpu, 60, high, NULL);
    wait_done(1);
    sleep_us(2000);
    global_start(cpu, 50, low, NULL);
    wait_done(2);
    tap_ok(log_is(above, 7), "CPU %u: a thread that becomes ready preempts one of lower priority at once",
           cpu);

    log_length = 0;
    global_start(cpu, 40, high, NULL);
    wait_done(1);
    sleep_us(2000);
    global_start(cpu, 50, low, NULL);
    wait_done(2);
    tap_ok(log_is(below, 7), "CPU %u: but not one of higher priority", cpu);
}

/* -- Starvation: strictly higher priorities always win -- */

static void strictness(unsigned cpu)
{
    uint64_t lower, upper;

    stop = false;
    lower = start_sc(cpu, 30, 10, spin, NULL);
    sleep_us(3000);
    upper = start_sc(cpu, 31, 1, spin, NULL);
    wait_running(upper);
    uint64_t before = time_of(lower);

    sleep_us(30000);
    tap_is(time_of(lower) - before, 0, "CPU %u: a lower priority gets no time while a higher one runs", cpu);
    stop = true;
    wait_done(2);
    tap_ok(time_of(upper) > ticks(10000), "CPU %u: which got it all", cpu);
}

/* -- Round robin -- */

static void share(unsigned cpu, const unsigned *budget, uint64_t *time)
{
    uint64_t sc[3];

    stop = false;
    for (unsigned i = 0; i < 3; i++)
        sc[i] = start_sc(cpu, 20, budget[i], spin, NULL);
    sleep_us(90000);
    stop = true;
    wait_done(3);
    for (unsigned i = 0; i < 3; i++)
        time[i] = time_of(sc[i]);
}

/* A host that stops the emulator for a while spoils one measurement, but never makes a wrong ratio right. */
static void round_robin(unsigned cpu)
{
    const unsigned budget[] = {1, 1, 8};
    uint64_t time[3];
    bool fair = false, all = false;

    for (unsigned round = 0; round < 10 && !fair; round++) {
        share(cpu, budget, time);
        all = time[0] && time[1] && time[2];
        fair = time[2] > 2 * time[0] && time[2] > 2 * time[1];
    }
    tap_ok(all, "CPU %u: threads of the same priority share the CPU", cpu);
    tap_ok(fair, "CPU %u: in the ratio of their budgets 1:1:8 (%lu, %lu, %lu us)", cpu,
           time[0] * 1000000 / sys.hip->stc_frequency, time[1] * 1000000 / sys.hip->stc_frequency,
           time[2] * 1000000 / sys.hip->stc_frequency);
}

/* -- Preemption keeps all registers -- */

static void spin_with_pattern(void *arg)
{
    (void)arg;
    registers_spin();
    sm_up(done);
}

static void registers(unsigned cpu)
{
    unsigned wrong = 0;

    for (unsigned i = 0; i < REGISTERS; i++)
        registers_in[i] = 0x123456789abcdefUL * (i + 3);
    registers_in[RFLAGS] = 0x202;
    registers_release = 0;
    stop = false;
    start_sc(cpu, 20, 1, spin_with_pattern, NULL);
    start_sc(cpu, 20, 1, spin, NULL);
    sleep_us(30000);
    registers_release = 1;
    stop = true;
    wait_done(2);
    for (unsigned i = 0; i < 16; i++)
        wrong += registers_out[i] != registers_in[i];
    tap_is(wrong, 0, "CPU %u: a preempted thread keeps all its registers", cpu);
}

/* -- Accounting -- */

/* How much of the time that goes by a thread gets, of two equal ones; again, if the host has spoilt it. */
static bool half(uint64_t sc, uint64_t *spent, uint64_t *elapsed)
{
    for (unsigned round = 0; round < 10; round++) {
        uint64_t start = tsc(), before = time_of(sc);

        sleep_us(40000);
        *spent = time_of(sc) - before;
        *elapsed = tsc() - start;
        if (*spent > *elapsed / 10 && *spent < *elapsed)
            return true;
    }
    return false;
}

static void accounting(unsigned cpu)
{
    uint64_t idle = SEL(), sc, idle_before, elapsed, spent;
    bool is_half;

    must(ctrl_pd(sys.nova_obj, sys.root.obj, cpu, idle, 0, NOVA_PERM_ALL, 0), "taking an idle SC");
    stop = false;
    sc = start_sc(cpu, 20, 1, spin, NULL);
    start_sc(cpu, 20, 1, spin, NULL);
    wait_running(sc);
    idle_before = time_of(idle);
    is_half = half(sc, &spent, &elapsed);
    tap_is(time_of(idle) - idle_before, 0, "CPU %u: the idle SC gets no time while others run", cpu);
    tap_ok(is_half, "CPU %u: one of two equal threads got %lu of %lu ticks", cpu, spent, elapsed);
    stop = true;
    wait_done(2);
    while (time_of(idle) == idle_before) /* not before both block */
        sleep_us(500);
    spent = time_of(sc);
    sleep_us(20000);
    tap_is(time_of(sc), spent, "CPU %u: a blocked thread gets no time", cpu);
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    unsigned last = sys.cpus - 1;

    (void)hip;
    (void)magic;
    (void)mbi;
    done = sm_create(0);
    for (unsigned cpu = sys.bsp;; cpu = last) {
        priorities(cpu);
        preemption(cpu);
        strictness(cpu);
        round_robin(cpu);
        registers(cpu);
        accounting(cpu);
        if (cpu == last)
            break;
    }
}
