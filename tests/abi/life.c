/*
 * Life of objects: an extension. The specification does not say when the memory of an object is
 * given back; this microhypervisor does so once the last capability is gone.
 *
 * Free memory is measured from outside, as the number of objects that can be created. Run times
 * can be changed on the command line: count=N objects in all.
 *
 * SPDX-License-Identifier: MIT
 */

#include "capacity.h"
#include "system.h"
#include "tap.h"

#define BATCH 64

static unsigned before;
static uint64_t batch; /* selectors of one batch */
static uint64_t no_events;

/* Free memory is what it was at the beginning. */
static void nothing_lost(const char *what)
{
    unsigned now = capacity_reaches(before, 3000);

    tap_ok(now + CAPACITY_TABLES >= before, "%s: no memory lost (%u of %u)", what, now, before);
}

static void drop(uint64_t sel, unsigned order)
{
    must(ctrl_pd(sys.root.obj, sys.root.obj, sel, sel, order, 0, 0), "dropping objects");
    if (!order)
        sel_free(sel);
}

/* -- Many -- */

static unsigned waits;

/* Dropped objects may take a moment: the status once there is memory, or after a second without. */
#define PATIENTLY(call)                                                                                      \
    __extension__({                                                                                          \
        unsigned patience = 0, result;                                                                       \
        while ((result = (call)) >= NOVA_MEM_OBJ && patience++ < 1000) {                                     \
            waits++;                                                                                         \
            sleep_us(1000);                                                                                  \
        }                                                                                                    \
        result;                                                                                              \
    })

static unsigned one_sm(uint64_t sel)
{
    return PATIENTLY(create_sm(sel, sys.root.pd, 0));
}

static unsigned one_pd(uint64_t sel)
{
    return PATIENTLY(create_pd(sel, sys.root.pd, NOVA_PD_PD));
}

static uint64_t window;

static unsigned one_ec(uint64_t sel)
{
    uint64_t utcb = window + (sel - batch) * PAGE_SIZE;

    return PATIENTLY(
        create_ec(sel, sys.root.pd, utcb, (unsigned)(sel % sys.cpus), 0, no_events, NOVA_EC_GLOBAL));
}

static uint64_t server_ec;

static unsigned one_pt(uint64_t sel)
{
    return PATIENTLY(create_pt(sel, sys.root.pd, server_ec, 0));
}

/* An EC and its SC: two objects. Its STARTUP has no portal, so it dies at once. */
static unsigned one_sc(uint64_t sel)
{
    return one_ec(sel) | PATIENTLY(create_sc(sel + BATCH, sys.root.pd, sel, NOVA_SCD(20UL, 1)));
}

static void many(const char *what, unsigned (*create)(uint64_t), uint64_t count)
{
    uint64_t done = 0;
    unsigned status = NOVA_SUCCESS;

    waits = 0;
    while (done < count && status == NOVA_SUCCESS) {
        for (unsigned i = 0; i < BATCH && status == NOVA_SUCCESS; i++, done++)
            status = create(batch + i);
        drop(batch, 7);
    }
    tap_is(status, NOVA_SUCCESS, "%lu %s created and dropped (%u pauses)", done, what, waits);
    nothing_lost(what);
}

/* -- Whole protection domains, with references in circles -- */

static uint32_t on_child(uint64_t pid, uint32_t mtd);

PORTAL_ENTRY(child_entry, on_child);

static uint32_t on_child(uint64_t pid, uint32_t mtd)
{
    (void)mtd;
    return (uint32_t)pid;
}

static void child_pds(unsigned count)
{
    unsigned all_selectors = 63 - (unsigned)__builtin_clzl(sys.hip->sel_num);
    uint64_t base = sel_alloc(8, 8);
    unsigned wrong = 0;

    for (unsigned i = 0; i < count; i++) {
        uint64_t pd = base, obj = base + 1, hst = base + 2, pio = base + 3, ec = base + 4, pt = base + 5;
        uint32_t mtd = 0;

        wrong += PATIENTLY(create_pd(pd, sys.root.pd, NOVA_PD_PD));
        wrong += PATIENTLY(create_pd(obj, pd, NOVA_PD_OBJ));
        wrong += PATIENTLY(create_pd(hst, pd, NOVA_PD_HST));
        wrong += PATIENTLY(create_pd(pio, pd, NOVA_PD_PIO));
        struct pd p = {pd, obj, hst, pio};

        pd_share_image(&p);
        struct thread *t = thread_create(&p, sys.bsp, no_events, 0);

        wrong += ctrl_pd(sys.root.obj, sys.root.obj, t->ec, ec, 0, NOVA_PERM_ALL, 0);
        wrong += PATIENTLY(create_pt(pt, pd, ec, (uint64_t)child_entry));
        wrong += ipc_call(pt, &mtd, 0);

        /* All of them in its own object space too, and pages all over its memory. */
        wrong += ctrl_pd(sys.root.obj, obj, base, 0x1000, 3, NOVA_PERM_ALL, 0);
        wrong += ctrl_pd(sys.root.obj, obj, base, sys.hip->sel_num - 8, 3, NOVA_PERM_ALL, 0);
        for (unsigned j = 0; j < 4; j++)
            wrong += ctrl_pd(sys.root.hst, hst, (uint64_t)image_data / PAGE_SIZE, 1UL << (18 + 3 * j), 0,
                             NOVA_MEM_R, 0);
        thread_free(t);

        /* One hypercall empties the object space of the child; then the parent lets go. */
        wrong += ctrl_pd(obj, obj, 0, 0, all_selectors, 0, 0);
        drop(base, 3);
    }
    tap_is(wrong, 0, "%u protection domains created, used and dropped", count);
    nothing_lost("protection domains");
}

/* -- Threads that are dropped wherever they are -- */

static uint64_t gate, ready;
static volatile uint32_t counter;

static void block_on_gate(void *arg)
{
    (void)arg;
    sm_up(ready);
    sm_down(gate);
    counter++;
    thread_exit();
}

static void block_with_timeout(void *arg)
{
    (void)arg;
    sm_up(ready);
    ctrl_sm(gate, tsc() + ticks(10000), NOVA_SM_DOWN);
    counter++;
    thread_exit();
}

static void count(void *arg)
{
    (void)arg;
    sm_up(ready);
    for (;;)
        counter++;
}

static void drop_blocked(unsigned cpu, void (*entry)(void *), const char *what)
{
    uint32_t seen;

    counter = 0;
    gate = sm_create(0);
    for (unsigned i = 0; i < 50; i++) {
        struct thread *t = global_start(cpu, 20, entry, NULL);

        must(sm_down_ms(ready, 5000), "waiting for a thread");
        if (i & 1)
            sleep_us(200);
        thread_free(t);
    }
    sleep_us(30000);
    seen = counter;
    tap_is(sm_up(gate), NOVA_SUCCESS, "CPU %u, %s: an up afterwards", cpu, what);
    tap_is(ctrl_sm(gate, 1, NOVA_SM_DOWN), NOVA_SUCCESS, "CPU %u, %s: finds nobody waiting", cpu, what);
    tap_is(counter, seen, "CPU %u, %s: none of them runs any more", cpu, what);
    drop(gate, 0);
    nothing_lost(what);
}

static void drop_running(unsigned cpu)
{
    unsigned moving = 0;

    for (unsigned i = 0; i < 20; i++) {
        struct thread *t = global_start(cpu, 20, count, NULL);
        uint32_t seen;
        unsigned patience = 0;

        must(sm_down_ms(ready, 5000), "waiting for a thread");
        sleep_us(300);
        thread_free(t);
        do {
            sleep_us(2000);
            seen = counter;
            sleep_us(1000);
        } while (counter != seen && patience++ < 1000);
        moving += counter != seen;
    }
    tap_is(moving, 0, "CPU %u: a running thread stops when EC and SC are dropped", cpu);
    nothing_lost("running threads");
}

/* A semaphore dropped while threads wait for it. */
static void drop_semaphore(unsigned cpu)
{
    for (unsigned i = 0; i < 50; i++) {
        gate = sm_create(0);
        struct thread *t = global_start(cpu, 20, block_on_gate, NULL);

        must(sm_down_ms(ready, 5000), "waiting for a thread");
        sleep_us(i & 1 ? 200 : 0);
        drop(gate, 0);
        sleep_us(i & 1 ? 0 : 200);
        thread_free(t);
    }
    nothing_lost("semaphores with waiting threads");
}

/* -- Partners in a call -- */

static uint64_t server_portal, caller_result;
static unsigned call_status;

PORTAL_ENTRY(wait_entry, on_wait);

static uint32_t on_wait(uint64_t pid, uint32_t mtd)
{
    (void)pid;
    (void)mtd;
    sm_up(ready);
    sm_down(gate);
    return 0;
}

static void caller(void *arg)
{
    uint32_t mtd = 0;

    (void)arg;
    call_status = ipc_call(server_portal, &mtd, 0);
    sm_up(caller_result);
    thread_exit();
}

/* The server disappears while a call is in progress: the caller gets ABORTED. */
static void drop_callee(unsigned cpu)
{
    unsigned wrong = 0;

    for (unsigned i = 0; i < 50; i++) {
        gate = sm_create(0);
        struct thread *server = local_create(cpu), *client;

        server_portal = portal_create(server, wait_entry, 0, 0);
        call_status = 99;
        client = global_start(cpu, 20, caller, NULL);
        must(sm_down_ms(ready, 5000), "waiting for the server");
        drop(server_portal, 0);
        thread_free(server);
        wrong += sm_down_ms(caller_result, 5000) != NOVA_SUCCESS || call_status != NOVA_ABORTED;
        thread_free(client);
        drop(gate, 0);
    }
    tap_is(wrong, 0, "CPU %u: a callee that is dropped aborts the call", cpu);
    nothing_lost("callees");
}

static void silent_caller(void *arg)
{
    uint32_t mtd = 0;

    (void)arg;
    ipc_call(server_portal, &mtd, 0);
    thread_exit();
}

/* The caller disappears: the server goes on and serves the next one. The reply finds the caller dead or dying. */
static void drop_caller(unsigned cpu)
{
    struct thread *server = local_create(cpu);
    unsigned wrong = 0;

    gate = sm_create(0);
    server_portal = portal_create(server, wait_entry, 0, 0);
    for (unsigned i = 0; i < 50; i++) {
        struct thread *client = global_start(cpu, 20, silent_caller, NULL), *next;

        must(sm_down_ms(ready, 5000), "waiting for the server");
        thread_free(client);
        sleep_us(i & 1 ? 0 : 10000);
        sm_up(gate);
        next = global_start(cpu, 20, caller, NULL);
        call_status = 99;
        wrong += sm_down_ms(ready, 5000) != NOVA_SUCCESS;
        sm_up(gate);
        wrong += sm_down_ms(caller_result, 5000) != NOVA_SUCCESS || call_status != NOVA_SUCCESS;
        thread_free(next);
    }
    tap_is(wrong, 0, "CPU %u: a server survives a caller that is dropped", cpu);
    drop(server_portal, 0);
    thread_free(server);
    drop(gate, 0);
    nothing_lost("callers");
}

/* -- Capabilities that keep an object -- */

static void last_capability(void)
{
    uint64_t one = SEL(), two = SEL();

    must(create_sm(one, sys.root.pd, 5), "create_sm");
    must(ctrl_pd(sys.root.obj, sys.root.obj, one, two, 0, NOVA_SM_CTRL_DN, 0), "ctrl_pd");
    drop(one, 0);
    sleep_us(5000);
    for (unsigned i = 0; i < 500; i++)
        create_sm(batch + i % BATCH, sys.root.pd, 0);
    drop(batch, 7);
    tap_is(sm_down(two), NOVA_SUCCESS, "an object lives as long as one capability is left");
    drop(two, 0);

    /* A PD whose space capabilities are gone still works, for its threads need them. */
    struct pd pd;
    uint32_t mtd = 0;

    pd_create(&pd);
    pd_share_image(&pd);
    struct thread *t = thread_create(&pd, sys.bsp, no_events, 0);
    uint64_t portal = portal_create(t, child_entry, 3, 0);

    drop(pd.pd, 0);
    drop(pd.obj, 0);
    drop(pd.hst, 0);
    drop(pd.pio, 0);
    sleep_us(20000);
    capacity(sys.root.pd, NULL);
    tap_is(ipc_call(portal, &mtd, 0), NOVA_SUCCESS, "a thread keeps its PD and spaces");
    drop(portal, 0);
    thread_free(t);
    nothing_lost("the PD of a thread that was dropped last");
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    uint64_t total = option("count", 1000000);
    unsigned status;

    (void)magic;
    (void)mbi;
    no_events = hip->sel_num - 0x80;
    ready = sm_create(0);
    caller_result = sm_create(0);
    batch = sel_alloc(2 * BATCH, 2 * BATCH);
    window = va_alloc(2 * BATCH * PAGE_SIZE, 512 * PAGE_SIZE);
    server_ec = local_create(sys.bsp)->ec;

    capacity(sys.root.pd, &status);
    tap_ok(status == NOVA_MEM_OBJ || status == NOVA_MEM_CAP,
           "kernel memory ends with MEM_OBJ or MEM_CAP (%u)", status);
    sleep_us(50000);
    capacity_reaches(UINT32_MAX, 300);
    before = capacity(sys.root.pd, NULL);
    nothing_lost("the measurement itself");

    last_capability();
    many("semaphores", one_sm, total * 70 / 100);
    many("portals", one_pt, total * 10 / 100);
    many("protection domains", one_pd, total * 10 / 100);
    many("execution contexts", one_ec, total * 6 / 100);
    many("threads", one_sc, total * 2 / 100);
    child_pds((unsigned)(total / 5000));
    for (unsigned cpu = sys.bsp;; cpu = sys.cpus - 1) {
        drop_blocked(cpu, block_on_gate, "blocked threads");
        drop_blocked(cpu, block_with_timeout, "threads with a timeout");
        drop_running(cpu);
        drop_semaphore(cpu);
        drop_callee(cpu);
        drop_caller(cpu);
        if (cpu == sys.cpus - 1)
            break;
    }
}
