/*
 * STARTUP and RECALL: what starts a global thread, and what stops a thread anywhere (specification
 * 5.3.2, 5.4.2, 8.6.2). On the BSP and on the last CPU.
 *
 * SPDX-License-Identifier: MIT
 */

#include "guest.h"
#include "registers.h"
#include "system.h"
#include "tap.h"

#define ALL_STATE (NOVA_MTD_GPR_0_7 | NOVA_MTD_GPR_8_15 | NOVA_MTD_RFLAGS | NOVA_MTD_RIP | NOVA_MTD_QUAL)
#define STARTUP (NOVA_EVT_HST_ARCH + NOVA_EVT_STARTUP)
#define RECALL (NOVA_EVT_HST_ARCH + NOVA_EVT_RECALL)

/* A thread whose events this file sees. */
struct actor {
    struct thread *thread, *observer;
    uint64_t events;
};

static struct {
    volatile uint32_t count;
    uint64_t pid;
    struct nova_arch_state state;
} startup, recall;

static uint64_t hold;                   /* if not 0: the RECALL handler blocks on this semaphore */
static void (*volatile redirect)(void); /* if not NULL: the RECALL handler continues the thread there */
static volatile uint32_t counter;
static volatile bool stop;
static uint64_t started; /* upped by threads that have begun */

PORTAL_ENTRY(startup_portal, on_startup_event);
PORTAL_ENTRY(recall_portal, on_recall_event);

static uint32_t on_startup_event(uint64_t pid, uint32_t mtd)
{
    struct nova_arch_state *s = &thread_self()->utcb->arch;
    const struct thread *t = (const struct thread *)((s->gpr[RSP] - 1) & ~(THREAD_SIZE - 1UL));

    (void)mtd;
    startup.pid = pid;
    startup.state = *s;
    startup.count++;
    s->rip = (uint64_t)t->entry;
    s->gpr[RDI] = (uint64_t)t->arg;
    s->gpr[RSP] -= 8; /* as if called */
    return NOVA_MTD_RIP | NOVA_MTD_GPR_0_7;
}

static uint32_t on_recall_event(uint64_t pid, uint32_t mtd)
{
    struct nova_arch_state *s = &thread_self()->utcb->arch;

    (void)mtd;
    recall.pid = pid;
    recall.state = *s;
    recall.count++;
    if (hold)
        sm_down(hold);
    if (!redirect)
        return 0;
    s->rip = (uint64_t)redirect;
    return NOVA_MTD_RIP;
}

static void actor_create(struct actor *a, unsigned cpu)
{
    a->events = sel_alloc(SEL_EVENT_BLOCK, SEL_EVENT_BLOCK);
    a->thread = thread_create(&sys.root, cpu, a->events, NOVA_EC_GLOBAL);
    a->observer = local_create(cpu);
    portal_create_at(a->events + STARTUP, a->observer, startup_portal, 0xabc, ALL_STATE);
    portal_create_at(a->events + RECALL, a->observer, recall_portal, 0xdef, ALL_STATE);
}

static void actor_run(const struct actor *a, void (*entry)(void *), void *arg)
{
    recall.count = 0;
    startup.count = 0;
    hold = 0;
    redirect = NULL;
    stop = false;
    counter = 0;
    started = sm_create(0);
    thread_run(a->thread, 20, 10, entry, arg);
    must(sm_down_ms(started, 5000), "waiting for a thread");
}

/* Ends a thread that counts. */
static bool finish(const struct actor *a)
{
    uint64_t end = tsc() + ticks(2000000);

    stop = true;
    while (!a->thread->done && tsc() < end)
        sleep_us(500);
    return a->thread->done;
}

/* Waits for a number of RECALL events. */
static bool recalls(uint32_t n)
{
    uint64_t end = tsc() + ticks(2000000);

    while (recall.count < n && tsc() < end)
        sleep_us(500);
    return recall.count == n;
}

/* -- What the threads do -- */

static void spin_with_pattern(void *arg)
{
    sm_up(started);
    registers_spin();
    sm_up(*(uint64_t *)arg);
    thread_exit();
}

static void count(void *arg)
{
    (void)arg;
    sm_up(started);
    while (!stop)
        counter++;
    thread_exit();
}

static void wait_on(void *arg)
{
    sm_up(started);
    counter = 100 + sm_down(*(uint64_t *)arg);
    thread_exit();
}

static void escape(void)
{
    counter = 12345;
    thread_exit();
}

/* -- The tests -- */

static void starting(unsigned cpu)
{
    struct actor a;
    uint64_t sp;

    actor_create(&a, cpu);
    sp = (uint64_t)a.thread + THREAD_SIZE;
    sleep_us(2000);
    tap_is(startup.count, 0, "CPU %u: no STARTUP before there is an SC", cpu);
    actor_run(&a, count, NULL);
    tap_is(startup.count, 1, "CPU %u: one STARTUP event", cpu);
    tap_is(startup.pid, 0xabc, "CPU %u: through the portal at event base + 32", cpu);
    tap_is(startup.state.gpr[RSP], sp, "CPU %u: RSP as given to create_ec", cpu);
    tap_ok(finish(&a), "CPU %u: the thread runs", cpu);
}

/* Recall of a thread that spins with a pattern in all registers. */
static void recall_running(unsigned cpu, unsigned flags, const char *name, unsigned times)
{
    struct actor a;
    uint64_t done = sm_create(0), rip;
    unsigned wrong = 0;

    actor_create(&a, cpu);
    registers_release = 0;
    for (unsigned i = 0; i < REGISTERS; i++)
        registers_in[i] = 0x9e3779b97f4a7c15UL * (i + cpu + 1);
    registers_in[RFLAGS] = 0x202;
    actor_run(&a, spin_with_pattern, &done);
    sleep_us(50000);

    for (unsigned i = 0; i < times; i++)
        wrong += ctrl_ec(a.thread->ec, flags) != NOVA_SUCCESS;
    tap_is(wrong, 0, "CPU %u, %s: succeeds", cpu, name);
    for (unsigned i = 0; i < 1000 && (!i || !recall.count); i++)
        sleep_us(5000);
    tap_ok(recall.count >= 1 && recall.count <= times && recall.pid == 0xdef, "CPU %u, %s: %u RECALL events",
           cpu, name, recall.count);
    rip = recall.state.rip - (uint64_t)registers_at_spin;
    tap_ok(rip <= 7, "CPU %u, %s: where the thread was", cpu, name);
    for (unsigned i = 0; i < 16; i++)
        wrong += recall.state.gpr[i] != registers_in[i];
    tap_is(wrong, 0, "CPU %u, %s: with the registers it had", cpu, name);

    registers_release = 1;
    tap_is(sm_down_ms(done, 2000), NOVA_SUCCESS, "CPU %u, %s: it goes on", cpu, name);
    for (unsigned i = 0; i < 16; i++)
        wrong += registers_out[i] != registers_in[i];
    tap_is(wrong, 0, "CPU %u, %s: registers unchanged", cpu, name);
}

/* Once a strong recall has returned, the thread does not execute another instruction before the event. */
static void recall_stops(unsigned cpu)
{
    uint64_t gate = sm_create(0);
    unsigned moved = 0;
    struct actor a;

    actor_create(&a, cpu);
    actor_run(&a, count, NULL);
    hold = gate;
    for (unsigned i = 0; i < 20; i++) {
        uint32_t before, target = recall.count + 1;

        sleep_us(300);
        must(ctrl_ec(a.thread->ec, NOVA_EC_STRONG), "ctrl_ec");
        before = counter;
        sleep_us(300);
        moved += counter != before;
        sm_up(gate);
        while (recall.count < target)
            sleep_us(100);
    }
    tap_is(moved, 0, "CPU %u: a strong recall has stopped the thread when it returns", cpu);
    hold = 0;
    finish(&a);
}

static void recall_blocked(unsigned cpu)
{
    uint64_t sm = sm_create(0);
    struct actor a;

    actor_create(&a, cpu);
    actor_run(&a, wait_on, &sm);
    sleep_us(2000);
    tap_is(ctrl_ec(a.thread->ec, 0), NOVA_SUCCESS, "CPU %u: weak recall of a blocked thread", cpu);
    tap_is(ctrl_ec(a.thread->ec, NOVA_EC_STRONG), NOVA_SUCCESS, "CPU %u: strong recall of a blocked thread",
           cpu);
    sleep_us(2000);
    tap_is(counter, 0, "CPU %u: it stays blocked", cpu);
    sm_up(sm);
    tap_ok(recalls(1), "CPU %u: one RECALL once it is released", cpu);
    sleep_us(2000);
    tap_is(counter, 100 + NOVA_SUCCESS, "CPU %u: and its down was successful", cpu);
}

static void recall_redirects(unsigned cpu)
{
    struct actor a;

    actor_create(&a, cpu);
    actor_run(&a, count, NULL);
    redirect = escape;
    ctrl_ec(a.thread->ec, 0);
    tap_ok(recalls(1), "CPU %u: RECALL with a new RIP", cpu);
    sleep_us(2000);
    tap_is(counter, 12345, "CPU %u: the thread goes on there", cpu);
}

static void recall_without_portal(unsigned cpu)
{
    uint32_t before;
    struct actor a;

    actor_create(&a, cpu);
    actor_run(&a, count, NULL);
    sleep_us(2000);
    must(ctrl_pd(sys.root.obj, sys.root.obj, a.events + RECALL, a.events + RECALL, 0, 0, 0),
         "revoking a portal");
    ctrl_ec(a.thread->ec, 0);
    sleep_us(2000);
    before = counter;
    sleep_us(2000);
    tap_ok(before && counter == before, "CPU %u: recall without a portal kills", cpu);
}

static void recall_idle(unsigned cpu)
{
    struct actor a;

    actor_create(&a, cpu);
    tap_is(ctrl_ec(a.thread->ec, 0), NOVA_SUCCESS, "CPU %u: weak recall of a thread without SC", cpu);
    tap_is(ctrl_ec(a.thread->ec, NOVA_EC_STRONG), NOVA_SUCCESS,
           "CPU %u: strong recall of a thread without SC", cpu);
    tap_is(ctrl_ec(a.observer->ec, NOVA_EC_STRONG), NOVA_SUCCESS, "CPU %u: recall of an idle local thread",
           cpu);
}

static void recall_itself(void *arg)
{
    uint32_t before = recall.count;
    unsigned status = ctrl_ec(*(uint64_t *)arg, 0);

    counter = 1000 * (recall.count - before) + status;
    status = ctrl_ec(*(uint64_t *)arg, NOVA_EC_STRONG);
    counter += 1000000 * (recall.count - before) + 100 * status;
    sm_up(started);
    thread_exit();
}

static void recall_self(unsigned cpu)
{
    struct actor a;

    actor_create(&a, cpu);
    actor_run(&a, recall_itself, &a.thread->ec);
    tap_is(counter, 2001000, "CPU %u: a recall of itself arrives before the hypercall returns", cpu);
}

/* -- Recalls of a thread that cannot run do not slow down the one of higher priority that does -- */

static volatile uint64_t progress;

static void waits(void *arg)
{
    (void)arg;
    sm_down(sys.never);
}

static void works(void *arg)
{
    (void)arg;
    while (!stop)
        progress = progress + 1;
    thread_exit();
}

static uint64_t progress_during(uint64_t recalled, uint64_t us)
{
    uint64_t end = tsc() + ticks(us), before = progress;

    while (tsc() < end)
        if (recalled)
            ctrl_ec(recalled, 0);
    return progress - before;
}

static void storm(unsigned cpu)
{
    const struct thread *low = global_start(cpu, 5, waits, NULL);
    uint64_t alone, storm;

    sleep_us(10000);
    stop = false;
    global_start(cpu, 100, works, NULL);
    sleep_us(10000);
    alone = progress_during(0, 100000);
    storm = progress_during(low->ec, 100000);
    stop = true;
    tap_ok(storm > alone / 2, "a storm of recalls: %lu steps instead of %lu", storm, alone);
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    unsigned last = sys.cpus - 1;

    (void)hip;
    (void)magic;
    (void)mbi;
    for (unsigned cpu = sys.bsp;; cpu = last) {
        startup.count = 0;
        starting(cpu);
        recall_running(cpu, 0, "weak recall", 1);
        recall_running(cpu, NOVA_EC_STRONG, "strong recall", 1);
        recall_running(cpu, 0, "a thousand recalls", 1000);
        recall_stops(cpu);
        recall_blocked(cpu);
        recall_redirects(cpu);
        recall_without_portal(cpu);
        recall_idle(cpu);
        recall_self(cpu);
        if (cpu == last)
            break;
    }
    if (last && !guest_tcg())
        storm(last == sys.bsp ? 0 : last);
    else
        tap_skip("QEMU's CPUs take time from each other", "a storm of recalls");
}
