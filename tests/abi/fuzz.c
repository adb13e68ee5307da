/*
 * Hypercall fuzzer. On each CPU three workers issue random and half-valid hypercalls: one in the root
 * PD, one in a PD that holds the NOVA host, PIO and MSR spaces and interrupts, one in a PD that holds
 * nothing but itself. A worker that got stuck, died or wrecked its PD is replaced, PD and all.
 * Afterwards the microhypervisor must still work, and no memory may be lost.
 *
 * Command line: seed=N (the sequence of each worker depends on it and on nothing else), count=N
 * (hypercalls in all).
 *
 * SPDX-License-Identifier: MIT
 */

#include "capacity.h"
#include "chaos.h"
#include "system.h"
#include "tap.h"

#define RW (NOVA_MEM_R | NOVA_MEM_W)
#define KINDS 3
#define SLOT_MAX (KINDS * 8)
#define CALLS_PER_LIFE 20000
#define PD_LIMIT 300 /* pages of kernel memory per PD */

#define REGIONS 0x700000000000UL

struct slot {
    struct worker *w;
    enum kind kind;
    unsigned cpu, stale, starts;
    uint64_t base;  /* selectors in the root object space: those of the PD, or of a root worker */
    uint64_t seen;  /* calls at the last look */
    uint64_t since; /* calls at the start */
    bool finished;
};

static struct slot slots[SLOT_MAX];
static uint64_t startup_portal[CPU_MAX], recall_portal[CPU_MAX];
static uint64_t shared_sm, scratch;
static unsigned slot_count, all_selectors;
static bool limits; /* the microhypervisor knows NOVA_PD_LIMITED */

PORTAL_ENTRY(fuzz_startup_entry, on_fuzz_startup);

static uint32_t on_fuzz_startup(uint64_t pid, uint32_t mtd)
{
    (void)pid;
    (void)mtd;
    thread_self()->utcb->arch.rip = (uint64_t)chaos_worker;
    return NOVA_MTD_RIP;
}

PORTAL_ENTRY(fuzz_recall_entry, on_fuzz_recall);

static uint32_t on_fuzz_recall(uint64_t pid, uint32_t mtd)
{
    (void)pid;
    (void)mtd;
    return 0;
}

/* Into the object space of a PD, at its selector; failures show later. */
static void give(const struct slot *s, uint64_t sel, unsigned as, unsigned mask)
{
    uint64_t dst = s->kind == ROOT ? sys.root.obj : s->base + S_OBJ;
    uint64_t dsb = (s->kind == ROOT ? s->base : 0) + as;

    ctrl_pd(sys.root.obj, dst, sel, dsb, 0, mask, 0);
}

/* The PD of a worker; for a worker in the root PD, a victim whose spaces it may change. */
static unsigned create_fuzz_pd(const struct slot *s)
{
    uint64_t pd = s->base + (s->kind == ROOT ? S_VICTIM : S_PD);
    unsigned status;

    if (limits)
        status =
            hypercall_3(NOVA_HYPERCALL(NOVA_CREATE_PD, (uint64_t)NOVA_PD_LIMITED, pd), sys.root.pd, PD_LIMIT);
    else
        status = create_pd(pd, sys.root.pd, NOVA_PD_PD);
    status |= create_pd(s->base + S_OBJ, pd, NOVA_PD_OBJ);
    status |= create_pd(s->base + S_HST, pd, NOVA_PD_HST);
    status |= create_pd(s->base + S_PIO, pd, NOVA_PD_PIO);
    status |= create_pd(s->base + S_MSR, pd, NOVA_PD_MSR);
    create_pd(s->base + S_GST, pd, NOVA_PD_GST); /* only where there is virtualization */
    return status;
}

/* Code and read-only data of the image, and the region of the worker. */
static void map_worker(const struct slot *s)
{
    uint64_t hst = s->base + S_HST, text = (uint64_t)image_text / PAGE_SIZE,
             rodata = (uint64_t)image_rodata / PAGE_SIZE;
    uint64_t region = (uint64_t)s->w / PAGE_SIZE;

    ctrl_range(sys.root.hst, hst, text, text, rodata - text, NOVA_MEM_R | NOVA_MEM_XU | NOVA_MEM_XS, 0);
    ctrl_range(sys.root.hst, hst, rodata, rodata, (uint64_t)image_data / PAGE_SIZE - rodata, NOVA_MEM_R, 0);
    ctrl_range(sys.root.hst, hst, region, region, FRAMES, RW, 0);
}

/* All that a worker plays with, into its object space; again now and then, for it loses some. */
static void provide(const struct slot *s)
{
    uint64_t obj = s->kind == ROOT ? sys.root.obj : s->base + S_OBJ, offset = s->kind == ROOT ? s->base : 0;

    if (s->kind == ROOT)
        give(s, sys.root.pd, S_PD, NOVA_PERM_ALL);
    else
        for (unsigned i = 0; i <= S_GST; i++)
            give(s, s->base + i, i, NOVA_PERM_ALL);
    give(s, shared_sm, S_SHARED, NOVA_PERM_ALL);
    if (s->kind != ISOLATED) {
        give(s, sys.nova_hst, S_NOVA_HST, NOVA_PERM_ALL);
        give(s, sys.nova_pio, S_NOVA_PIO, NOVA_PERM_ALL);
        give(s, sys.nova_msr, S_NOVA_MSR, NOVA_PERM_ALL);
        ctrl_pd(sys.nova_obj, obj, s->cpu, offset + S_IDLE, 0, NOVA_PERM_ALL, 0);
        for (unsigned i = 0; i < 4; i++)
            ctrl_pd(sys.nova_obj, obj, NOVA_SEL_INT + sys.hip->int_pin + i, offset + S_INT + i, 0,
                    NOVA_PERM_ALL, 0);
    }
    give(s, startup_portal[s->cpu], EVENTS_OFFSET + NOVA_EVT_HST_ARCH + NOVA_EVT_STARTUP, NOVA_PT_EVENT);
    give(s, recall_portal[s->cpu], EVENTS_OFFSET + NOVA_EVT_HST_ARCH + NOVA_EVT_RECALL, NOVA_PT_EVENT);
}

static unsigned start(struct slot *s)
{
    uint64_t base = s->base, region = (uint64_t)s->w, pd = s->kind == ROOT ? sys.root.pd : base + S_PD;
    uint64_t events = (s->kind == ROOT ? base : 0) + EVENTS_OFFSET;
    uint64_t utcb = region + UTCBS + s->starts++ % UTCB_PAIRS * 2 * PAGE_SIZE;
    unsigned status = create_fuzz_pd(s);

    status |= create_ec(base + S_EC, pd, utcb, s->cpu, region + WORKER_TOP, events, NOVA_EC_GLOBAL);
    status |= create_ec(base + S_SERVER, pd, utcb + PAGE_SIZE, s->cpu, region + SERVER_TOP, events, 0);
    status |= create_pt(base + S_PORTAL, pd, base + S_SERVER, (uint64_t)chaos_server);
    status |= create_sm(base + S_SM, pd, 0);
    if (status != NOVA_SUCCESS)
        return status;
    if (s->kind != ROOT)
        map_worker(s);
    provide(s);
    s->stale = 0;
    s->since = s->w->calls;
    return create_sc(base + S_SC, pd, base + S_EC, NOVA_SCD(20UL, 5));
}

/* Takes everything back: the PD empties its object space, the root PD drops what it holds. */
static void end(const struct slot *s)
{
    if (s->kind != ROOT)
        ctrl_pd(s->base + S_OBJ, s->base + S_OBJ, 0, 0, all_selectors, 0, 0);
    ctrl_pd(sys.root.obj, sys.root.obj, s->base, s->base, 7, 0, 0);
    ctrl_pd(sys.root.hst, sys.root.hst, (uint64_t)s->w / PAGE_SIZE + 64, (uint64_t)s->w / PAGE_SIZE + 64, 6,
            0, 0);
}

/* A worker that replaces the one before, whose memory may take a moment to come free. */
static void restart(struct slot *s)
{
    end(s);
    for (unsigned i = 0; i < 200; i++) {
        if (start(s) == NOVA_SUCCESS)
            return;
        end(s);
        sleep_us(5000);
    }
    tap_bail("worker on CPU %u cannot be restarted", s->cpu);
}

static void create_slot(enum kind kind, unsigned cpu, uint64_t seed, uint64_t target)
{
    struct slot *s = &slots[slot_count];
    uint64_t region = REGIONS + slot_count * REGION_SIZE;

    *s = (struct slot){.kind = kind, .cpu = cpu, .base = sel_alloc(128, 128), .w = (struct worker *)region};
    for (unsigned i = 0; i < FRAMES; i++)
        must(ctrl_pd(sys.nova_hst, sys.root.hst, phys_alloc(0) / PAGE_SIZE, region / PAGE_SIZE + i, 0, RW, 0),
             "mapping a region");
    __builtin_memset(s->w, 0, FRAMES * PAGE_SIZE);
    *s->w = (struct worker){.random = seed * 0x100000001b3 + slot_count,
                            .target = target,
                            .sel_base = kind == ROOT ? s->base : 0,
                            .sel_num = sys.hip->sel_num,
                            .top = (uint64_t)sys.hip + PAGE_SIZE,
                            .scratch = scratch / PAGE_SIZE,
                            .us = ticks(1),
                            .entry = (uint64_t)chaos_server,
                            .cpus = sys.cpus,
                            .kind = kind};
    slot_count++;
}

/* What a worker has lost is given again; a worker of the root PD cannot drop its objects itself. */
static void refresh(const struct slot *s)
{
    provide(s);
    if (s->kind == ROOT)
        ctrl_pd(sys.root.obj, sys.root.obj, s->base + S_POOL, s->base + S_POOL, 5, 0, 0);
}

/* Looks after the workers until all are done. */
static bool supervise(uint64_t seconds)
{
    uint64_t deadline = tsc() + ticks(seconds * 1000000);
    unsigned left = slot_count;

    while (left && tsc() < deadline) {
        sleep_us(2000);
        for (unsigned i = 0; i < slot_count; i++) {
            struct slot *s = &slots[i];

            if (s->finished)
                continue;
            s->stale = s->w->calls == s->seen ? s->stale + 1 : 0;
            s->seen = s->w->calls;
            if (s->w->calls >= s->w->target) {
                end(s);
                s->finished = true;
                left--;
            } else if (s->stale > 10 || s->w->calls - s->since > CALLS_PER_LIFE) {
                restart(s);
            } else {
                refresh(s);
            }
        }
    }
    return !left;
}

/* -- Afterwards -- */

static uint64_t done;

static void alive(void *arg)
{
    uint64_t va = REGIONS + 0x10000000 + (uint64_t)arg * PAGE_SIZE;

    if (ctrl_pd(sys.nova_hst, sys.root.hst, scratch / PAGE_SIZE, va / PAGE_SIZE, 0, RW, 0) == NOVA_SUCCESS) {
        *(volatile uint64_t *)va = 1;
        ctrl_pd(sys.root.hst, sys.root.hst, va / PAGE_SIZE, va / PAGE_SIZE, 0, 0, 0);
        sleep_us(1000);
        sm_up(done);
    }
}

static void health(void)
{
    done = sm_create(0);
    for (uint64_t cpu = 0; cpu < sys.cpus; cpu++) {
        global_start((unsigned)cpu, 10, alive, (void *)cpu);
        tap_is(sm_down_ms(done, 5000), NOVA_SUCCESS, "CPU %lu: threads, memory and timeouts work", cpu);
    }
}

static void report(uint64_t seed)
{
    const char *const kind[] = {"root", "privileged", "isolated"};
    uint64_t calls = 0, restarts = 0, status[NOVA_MEM_CAP + 1] = {0};

    for (unsigned i = 0; i < slot_count; i++) {
        const struct slot *s = &slots[i];

        tap_diag("CPU %u, %s: %lu calls, %lu successful, replaced %u times", s->cpu, kind[s->kind],
                 s->w->calls, s->w->status[0], s->starts - 2);
        calls += s->w->calls;
        restarts += s->starts - 2;
        for (unsigned j = 0; j <= NOVA_MEM_CAP; j++)
            status[j] += s->w->status[j];
    }
    for (unsigned j = 0; j <= NOVA_MEM_CAP; j++)
        tap_diag("status 0x%x: %lu", j, status[j]);
    tap_diag("seed=%lu: %lu calls, %lu workers replaced", seed, calls, restarts);
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    uint64_t seed = option("seed", 1), count = option("count", 1000000), probe = SEL();
    unsigned cpus = sys.cpus < SLOT_MAX / KINDS ? sys.cpus : SLOT_MAX / KINDS, before;

    (void)magic;
    (void)mbi;
    tap_diag("seed=%lu count=%lu", seed, count);
    all_selectors = 63 - (unsigned)__builtin_clzl(hip->sel_num);
    limits = hypercall_3(NOVA_HYPERCALL(NOVA_CREATE_PD, (uint64_t)NOVA_PD_LIMITED, probe), sys.root.pd, 10) ==
             NOVA_SUCCESS;
    ctrl_pd(sys.root.obj, sys.root.obj, probe, probe, 0, 0, 0);
    shared_sm = sm_create(0);
    scratch = phys_alloc(6);
    for (unsigned cpu = 0; cpu < cpus; cpu++) {
        const struct thread *t = local_create(cpu);

        startup_portal[cpu] = portal_create(t, fuzz_startup_entry, 0, 0);
        recall_portal[cpu] = portal_create(t, fuzz_recall_entry, 0, 0);
        for (unsigned kind = 0; kind < KINDS; kind++)
            create_slot(kind, cpu, seed, count / (KINDS * cpus));
    }

    /* Once through all of it, so that tables which stay are there before memory is measured. */
    for (unsigned i = 0; i < slot_count; i++) {
        restart(&slots[i]);
        end(&slots[i]);
    }
    before = limits ? capacity_reaches(UINT32_MAX, 500) : 0;

    for (unsigned i = 0; i < slot_count; i++)
        restart(&slots[i]);
    tap_ok(supervise(600), "all hypercalls were made");
    report(seed);
    health();
    if (!limits) {
        tap_skip("this microhypervisor does not give memory back", "no memory lost");
        return;
    }
    unsigned now = capacity_reaches(before, 3000);

    tap_ok(now + CAPACITY_TABLES >= before, "no memory lost (%u of %u)", now, before);
}
