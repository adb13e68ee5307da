/*
 * Semaphores: counter, order, timeouts, on one CPU and across CPUs (specification 5.3.5, 5.4.5).
 *
 * SPDX-License-Identifier: MIT
 */

#include "system.h"
#include "tap.h"

#define WAITERS 8

static unsigned down_past(uint64_t sm, unsigned flags)
{
    return ctrl_sm(sm, 1, NOVA_SM_DOWN | flags);
}

/* -- Counter -- */

static void counter(void)
{
    uint64_t sm = sm_create(3);
    unsigned wrong = 0;

    for (unsigned i = 0; i < 3; i++)
        wrong += sm_down(sm) != NOVA_SUCCESS;
    tap_is(wrong, 0, "the initial value is the number of downs that do not wait");
    tap_is(down_past(sm, 0), NOVA_TIMEOUT, "the next down waits, here until a time in the past");
    for (unsigned i = 0; i < 1000; i++)
        wrong += sm_up(sm) != NOVA_SUCCESS;
    for (unsigned i = 0; i < 1000; i++)
        wrong += down_past(sm, 0) != NOVA_SUCCESS;
    tap_is(wrong, 0, "a thousand ups are a thousand downs, also with a timeout in the past");
    tap_is(down_past(sm, 0), NOVA_TIMEOUT, "and not more");

    for (unsigned i = 0; i < 5; i++)
        sm_up(sm);
    tap_is(ctrl_sm(sm, 0, NOVA_SM_DOWN | NOVA_SM_ZERO), NOVA_SUCCESS, "down with Z");
    tap_is(down_past(sm, 0), NOVA_TIMEOUT, "has set the counter to zero");
    tap_is(down_past(sm, NOVA_SM_ZERO), NOVA_TIMEOUT, "down with Z waits too");
    tap_is(ctrl_sm(sm, 1, NOVA_SM_UP), NOVA_SUCCESS, "up ignores the timeout");
    tap_is(ctrl_sm(sm, 0, NOVA_SM_UP | NOVA_SM_ZERO), NOVA_SUCCESS, "up ignores Z");
    tap_is(sm_down(sm) + sm_down(sm) + down_past(sm, 0), NOVA_TIMEOUT, "both have counted");

    uint64_t full = sm_create(UINT64_MAX);

    tap_is(sm_up(full), NOVA_OVRFLOW, "the counter does not overflow");
    tap_is(sm_down(full), NOVA_SUCCESS, "it keeps its value");
    tap_is(sm_up(full), NOVA_SUCCESS, "and can be upped to 2^64-1");
    tap_is(sm_up(full), NOVA_OVRFLOW, "but not beyond");
    tap_is(ctrl_sm(full, 0, NOVA_SM_DOWN | NOVA_SM_ZERO), NOVA_SUCCESS, "down with Z");
    tap_is(down_past(full, 0), NOVA_TIMEOUT, "empties it at once");
}

/* -- Waiting threads -- */

static uint64_t queue; /* they wait here */
static uint64_t gone;  /* and up this once they have gone on */
static unsigned order[WAITERS], passed, result[WAITERS];
static uint64_t deadline[WAITERS];

static void waiter(void *arg)
{
    uint64_t i = (uint64_t)arg;

    result[i] = ctrl_sm(queue, deadline[i], NOVA_SM_DOWN);
    order[__atomic_fetch_add(&passed, 1, __ATOMIC_SEQ_CST)] = (unsigned)i;
    sm_up(gone);
}

static void sign(void *arg)
{
    sm_up((uint64_t)arg);
}

/* Returns when all other threads of the CPU wait: only then does one of the lowest priority run. */
static void settle(unsigned cpu)
{
    uint64_t idle = sm_create(0);

    global_start(cpu, 1, sign, (void *)idle);
    must(sm_down_ms(idle, 5000), "waiting for a CPU to be idle");
}

static void waiters_start(unsigned cpu, unsigned count)
{
    queue = sm_create(0);
    gone = sm_create(0);
    passed = 0;
    for (uint64_t i = 0; i < count; i++) {
        /* Priorities up and down, so that they have nothing to do with the order. */
        global_start(cpu, 10 + (unsigned)(i * 5 % WAITERS), waiter, (void *)i);
        settle(cpu);
    }
}

static void fifo(unsigned cpu)
{
    unsigned wrong = 0;

    for (unsigned i = 0; i < WAITERS; i++)
        deadline[i] = i & 1 ? tsc() + ticks(20000000) : 0;
    waiters_start(cpu, WAITERS);
    tap_is(passed, 0, "CPU %u: %u threads wait", cpu, WAITERS);
    for (unsigned i = 0; i < WAITERS; i++) {
        sm_up(queue);
        wrong += sm_down_ms(gone, 2000) != NOVA_SUCCESS;
        wrong += passed != i + 1 || order[i] != i || result[i] != NOVA_SUCCESS;
    }
    tap_is(wrong, 0, "CPU %u: each up releases one, in the order of their waiting", cpu);
    tap_is(down_past(queue, 0), NOVA_TIMEOUT, "CPU %u: the counter was not incremented", cpu);
}

/* Several ups at once, from a thread that the waiters cannot preempt. */
static void burst(unsigned cpu)
{
    unsigned wrong = 0;

    for (unsigned i = 0; i < WAITERS; i++)
        deadline[i] = 0;
    waiters_start(cpu, WAITERS / 2);
    for (unsigned i = 0; i < WAITERS; i++)
        sm_up(queue);
    for (unsigned i = 0; i < WAITERS / 2; i++)
        wrong += sm_down_ms(gone, 2000) != NOVA_SUCCESS;
    for (unsigned i = 0; i < WAITERS / 2; i++)
        wrong += down_past(queue, 0) != NOVA_SUCCESS;
    wrong += down_past(queue, 0) != NOVA_TIMEOUT;
    tap_is(wrong, 0, "CPU %u: twice as many ups as waiters: the rest is counted", cpu);
}

/* -- Timeouts -- */

/*
 * They wake in the order of their deadlines, not of their waiting. A busy emulator may stand still until several are over:
 * priorities are such that these come in the same order, but not all of them may be late.
 */
static void deadlines(unsigned cpu)
{
    uint64_t start = tsc(), last = start + ticks(300000 + (WAITERS - 1) * 100000);
    unsigned wrong = 0;

    for (unsigned i = 0; i < WAITERS; i++)
        deadline[i] = last - ticks(i * 5 % WAITERS * 100000);
    waiters_start(cpu, WAITERS);
    must(sm_down_ms(gone, 5000), "waiting for the first timeout");
    wrong += tsc() >= last;
    for (unsigned i = 1; i < WAITERS; i++)
        wrong += sm_down_ms(gone, 5000) != NOVA_SUCCESS;
    for (unsigned i = 0; i < WAITERS; i++)
        wrong += result[i] != NOVA_TIMEOUT || (i && deadline[order[i]] < deadline[order[i - 1]]);
    tap_is(wrong, 0, "CPU %u: %u timeouts trigger in order", cpu, WAITERS);
    tap_is(sm_up(queue), NOVA_SUCCESS, "CPU %u: an up after the timeouts", cpu);
    tap_is(down_past(queue, 0), NOVA_SUCCESS, "CPU %u: is counted, nobody waits any more", cpu);
}

static uint64_t woke, due;

static void sleeper(void *arg)
{
    (void)arg;
    due = tsc() + ticks(5000);
    result[0] = ctrl_sm(queue, due, NOVA_SM_DOWN);
    woke = tsc();
    sm_up(gone);
}

static volatile bool stop;

static void busy(void *arg)
{
    (void)arg;
    while (!stop)
        continue;
    sm_up(gone);
}

static void timeout(unsigned cpu, bool idle)
{
    queue = sm_create(0);
    gone = sm_create(0);
    stop = false;
    if (!idle)
        global_start(cpu, 5, busy, NULL);
    global_start(cpu, 50, sleeper, NULL);
    tap_is(sm_down_ms(gone, 5000), NOVA_SUCCESS, "CPU %u, %s: a timeout triggers", cpu,
           idle ? "idle" : "busy");
    tap_is(result[0], NOVA_TIMEOUT, "CPU %u, %s: with that status", cpu, idle ? "idle" : "busy");
    tap_ok(woke >= due, "CPU %u, %s: not too early (%lu ticks late)", cpu, idle ? "idle" : "busy",
           woke - due);
    stop = true;
    if (!idle)
        must(sm_down_ms(gone, 5000), "waiting for a thread");
}

static void far_future(unsigned cpu)
{
    const uint64_t times[] = {UINT64_MAX, UINT64_MAX / 2, 1UL << 62};

    for (unsigned i = 0; i < 3; i++)
        deadline[i] = times[i];
    waiters_start(cpu, 3);
    sleep_us(5000);
    tap_is(passed, 0, "CPU %u: timeouts in the far future do not trigger", cpu);
    for (unsigned i = 0; i < 3; i++) {
        sm_up(queue);
        must(sm_down_ms(gone, 2000), "waiting for a thread");
    }
    tap_is(result[0] + result[1] + result[2], NOVA_SUCCESS, "CPU %u: and do not keep an up from releasing",
           cpu);
}

/* Very short timeouts, many times: none is lost. */
static void many(void)
{
    unsigned wrong = 0;

    queue = sm_create(0);
    for (unsigned i = 0; i < 2000; i++)
        wrong += ctrl_sm(queue, tsc() + i, NOVA_SM_DOWN) != NOVA_TIMEOUT;
    tap_is(wrong, 0, "two thousand timeouts that are nearly due");
}

/* -- Across CPUs -- */

static uint64_t ping, pong;

static void player(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 500; i++) {
        sm_down(ping);
        sm_up(pong);
    }
    sm_up(gone);
}

static void ping_pong(unsigned cpu)
{
    unsigned wrong = 0;

    ping = sm_create(0);
    pong = sm_create(0);
    gone = sm_create(0);
    global_start(cpu, 50, player, NULL);
    for (unsigned i = 0; i < 500 && !wrong; i++) {
        sm_up(ping);
        wrong += sm_down_ms(pong, 5000) != NOVA_SUCCESS;
    }
    tap_is(wrong, 0, "BSP and CPU %u wake each other 500 times", cpu);
    tap_is(sm_down_ms(gone, 5000), NOVA_SUCCESS, "CPU %u: done", cpu);
}

/* All CPUs up and down one semaphore: what goes in comes out. */
static uint64_t shared;

static void producer(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 1000; i++)
        sm_up(shared);
    sm_up(gone);
}

static void consumer(void *arg)
{
    unsigned *status = arg;

    for (unsigned i = 0; i < 1000; i++)
        *status += sm_down_ms(shared, 20000);
    sm_up(gone);
}

static void conservation(void)
{
    unsigned status = 0, wrong = 0;

    shared = sm_create(0);
    gone = sm_create(0);
    for (unsigned cpu = 0; cpu < sys.cpus; cpu++) {
        global_start(cpu, 20, consumer, &status);
        global_start(cpu, 20, producer, NULL);
    }
    for (unsigned i = 0; i < 2 * sys.cpus; i++)
        wrong += sm_down_ms(gone, 20000) != NOVA_SUCCESS;
    tap_is(status + wrong, 0, "a thousand ups and downs on each CPU at once");
    tap_is(down_past(shared, 0), NOVA_TIMEOUT, "leave the counter at zero");
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    (void)hip;
    (void)magic;
    (void)mbi;
    counter();
    many();
    for (unsigned cpu = 0; cpu < sys.cpus; cpu++) {
        fifo(cpu);
        burst(cpu);
        deadlines(cpu);
        timeout(cpu, true);
        timeout(cpu, false);
        far_future(cpu);
        ping_pong(cpu);
    }
    conservation();
}
