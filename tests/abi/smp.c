/*
 * Several CPUs at once: memory, ports and objects are taken away while another CPU uses them, and
 * all CPUs map, unmap, create and drop at the same time (specification 5.4.1: a delegation has
 * happened when the hypercall returns).
 *
 * SPDX-License-Identifier: MIT
 */

#include "fault.h"
#include "system.h"
#include "tap.h"

#define RW (NOVA_MEM_R | NOVA_MEM_W)
#define ROUNDS 100

static uint8_t frame[2][4096] __attribute__((aligned(4096)));
static volatile bool stop;
static uint64_t done;

static unsigned map(uint64_t src_va, uint64_t dst_va, unsigned order, unsigned mask)
{
    return ctrl_pd(sys.root.hst, sys.root.hst, src_va / PAGE_SIZE, dst_va / PAGE_SIZE, order, mask, 0);
}

static volatile uint64_t *at(const void *va)
{
    return (volatile uint64_t *)va;
}

static void wait_done(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        must(sm_down_ms(done, 30000), "waiting for a thread");
}

/* Pauses without leaving user mode. */
static void delay(unsigned us)
{
    uint64_t end = tsc() + ticks(us);

    while (tsc() < end)
        continue;
}

/* -- A page that another CPU writes to -- */

static uint64_t target; /* address it writes to */
static volatile uint32_t writes, write_faults;

static void writer(void *arg)
{
    uint64_t value = (uint64_t)arg;
    struct thread *t = thread_self();

    while (!stop) {
        t->fault_vector = NO_FAULT;
        TRY_(t, "mov %[value], (%[a])", , [a] "r"(target), [value] "r"(value));
        if (t->fault_vector == NO_FAULT)
            writes++;
        else
            write_faults++;
    }
    sm_up(done);
}

static bool progress(volatile uint32_t *count)
{
    return spin_until(count, *count + 3, 5000);
}

/* Takes the page away by an operation, ROUNDS times; afterwards no write may arrive. */
static void take_away(unsigned cpu, const char *what, void (*give)(void), void (*take)(void))
{
    unsigned late = 0, stuck = 0, no_fault = 0;

    stop = false;
    give();
    global_start(cpu, 20, writer, (void *)0x1111);
    for (unsigned i = 0; i < ROUNDS; i++) {
        stuck += !progress(&writes);
        take();
        *at(frame[0]) = 0xfeed;
        no_fault += !progress(&write_faults);
        delay(20);
        late += *at(frame[0]) != 0xfeed;
        give();
    }
    stop = true;
    wait_done(1);
    tap_is(stuck, 0, "CPU %u, %s: it writes while it may", cpu, what);
    tap_is(no_fault, 0, "CPU %u, %s: it faults afterwards", cpu, what);
    tap_is(late, 0, "CPU %u, %s: nothing is written after the hypercall has returned", cpu, what);
}

static void give_page(void)
{
    must(map((uint64_t)frame[0], target, 0, RW), "ctrl_pd");
}

static void revoke_page(void)
{
    must(map((uint64_t)frame[0], target, 0, 0), "ctrl_pd");
}

static void reduce_page(void)
{
    must(map((uint64_t)frame[0], target, 0, NOVA_MEM_R), "ctrl_pd");
}

/* Revokes a range of 512 pages around the page. */
static void revoke_range(void)
{
    uint64_t base = target & ~(512 * PAGE_SIZE - 1);

    must(map(base, base, 9, 0), "ctrl_pd");
}

/* The page is replaced by another one: writes must arrive there, and only there. */
static void replaced(unsigned cpu)
{
    unsigned late = 0, stuck = 0;

    stop = false;
    give_page();
    global_start(cpu, 20, writer, (void *)0x2222);
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned other = ~i & 1;

        stuck += !progress(&writes);
        must(map((uint64_t)frame[other], target, 0, RW), "ctrl_pd");
        *at(frame[!other]) = 0xfeed;
        *at(frame[other]) = 0xbeef;
        stuck += !progress(&writes);
        delay(20);
        late += *at(frame[!other]) != 0xfeed || *at(frame[other]) != 0x2222;
    }
    stop = true;
    wait_done(1);
    tap_is(stuck, 0, "CPU %u, page replaced: it goes on writing", cpu);
    tap_is(late, 0, "CPU %u, page replaced: only to the new page", cpu);
}

/* A large mapping disappears under a CPU that walks over it. */
static uint64_t large, large_size;

static void walker(void *arg)
{
    (void)arg;
    while (!stop)
        for (uint64_t a = large; a < large + large_size && !stop; a += 7 * PAGE_SIZE)
            if (try_load(a) == NO_FAULT)
                writes++;
            else
                write_faults++;
    sm_up(done);
}

static void large_pages(unsigned cpu)
{
    uint64_t frames = phys_alloc(10), through;
    unsigned wrong = 0;

    if (!frames)
        tap_bail("out of memory");
    large_size = 1024 * PAGE_SIZE;
    large = va_alloc(large_size, large_size);
    through = va_alloc(large_size, large_size);
    must(ctrl_pd(sys.nova_hst, sys.root.hst, frames / PAGE_SIZE, through / PAGE_SIZE, 10, RW, 0), "ctrl_pd");
    stop = false;
    must(map(through, large, 10, RW), "ctrl_pd");
    global_start(cpu, 20, walker, NULL);
    for (unsigned i = 0; i < 100; i++) {
        wrong += !progress(&writes);
        must(map(large, large, 10, 0), "ctrl_pd");
        wrong += !progress(&write_faults);
        uint32_t reads = writes;

        delay(20);
        wrong += writes != reads;
        must(map(through, large, i & 1 ? 10 : 9, RW), "ctrl_pd");
        must(map(through + i * PAGE_SIZE, large + i * PAGE_SIZE, 0, NOVA_MEM_R), "ctrl_pd");
    }
    stop = true;
    wait_done(1);
    tap_is(wrong, 0, "CPU %u: large mappings come, split and go under a CPU that reads them", cpu);
}

/* -- A port that another CPU reads -- */

static void port_reader(void *arg)
{
    (void)arg;
    while (!stop)
        if (try_in(0x71) == NO_FAULT)
            writes++;
        else
            write_faults++;
    sm_up(done);
}

static void ports(unsigned cpu)
{
    unsigned wrong = 0;

    stop = false;
    must(ctrl_pd(sys.nova_pio, sys.root.pio, 0x71, 0x71, 0, NOVA_PIO_A, 0), "ctrl_pd");
    global_start(cpu, 20, port_reader, NULL);
    for (unsigned i = 0; i < ROUNDS; i++) {
        wrong += !progress(&writes);
        must(ctrl_pd(sys.root.pio, sys.root.pio, 0x71, 0x71, 0, 0, 0), "ctrl_pd");
        wrong += !progress(&write_faults);
        uint32_t reads = writes;

        delay(20);
        wrong += writes != reads;
        must(ctrl_pd(sys.nova_pio, sys.root.pio, 0x71, 0x71, 0, NOVA_PIO_A, 0), "ctrl_pd");
    }
    stop = true;
    wait_done(1);
    tap_is(wrong, 0, "CPU %u: a revoked port cannot be read", cpu);
}

/* -- An object that another CPU uses -- */

static uint64_t victim_sm;

static void upper(void *arg)
{
    (void)arg;
    while (!stop) {
        unsigned status = sm_up(victim_sm);

        if (status == NOVA_SUCCESS)
            writes++;
        else if (status == NOVA_BAD_CAP)
            write_faults++;
    }
    sm_up(done);
}

static void objects(unsigned cpu)
{
    uint64_t keep = sm_create(0);
    unsigned wrong = 0;

    victim_sm = SEL();
    stop = false;
    must(ctrl_pd(sys.root.obj, sys.root.obj, keep, victim_sm, 0, NOVA_PERM_ALL, 0), "ctrl_pd");
    global_start(cpu, 20, upper, NULL);
    for (unsigned i = 0; i < ROUNDS; i++) {
        wrong += !progress(&writes);
        must(ctrl_pd(sys.root.obj, sys.root.obj, keep, victim_sm, 0, 0, 0), "ctrl_pd");
        wrong += !progress(&write_faults);
        must(ctrl_pd(sys.root.obj, sys.root.obj, keep, victim_sm, 0, NOVA_PERM_ALL, 0), "ctrl_pd");
    }
    stop = true;
    wait_done(1);
    tap_is(wrong, 0, "CPU %u: a revoked semaphore cannot be used", cpu);
}

/* -- All CPUs at once -- */

static unsigned errors;
static uint64_t start_line;

static void error(bool condition)
{
    __atomic_fetch_add(&errors, condition, __ATOMIC_RELAXED);
}

static void all_cpus(void (*run)(void *), const char *what)
{
    errors = 0;
    start_line = sm_create(0);
    for (uint64_t cpu = 0; cpu < sys.cpus; cpu++)
        global_start((unsigned)cpu, 20, run, (void *)cpu);
    for (unsigned i = 0; i < sys.cpus; i++)
        sm_up(start_line);
    for (unsigned i = 0; i < sys.cpus; i++)
        must(sm_down_ms(done, 60000), what);
    tap_is(errors, 0, "all CPUs: %s", what);
}

static uint64_t storm_va; /* a page per CPU, in one 2 MiB region */

/* Each maps, uses and revokes its own page; all tables and all CPUs are shared. */
static void storm(void *arg)
{
    uint64_t cpu = (uint64_t)arg, va = storm_va + cpu * PAGE_SIZE;

    sm_down(start_line);
    for (unsigned i = 0; i < 300; i++) {
        error(map((uint64_t)frame[cpu & 1], va, 0, RW) != NOVA_SUCCESS);
        error(try_store(va) != NO_FAULT);
        error(map(va, va, 0, NOVA_MEM_R) != NOVA_SUCCESS);
        error(try_store(va) != VECTOR_PF);
        error(try_load(va) != NO_FAULT);
        error(map(va, va, 0, 0) != NOVA_SUCCESS);
        error(try_load(va) != VECTOR_PF);
    }
    sm_up(done);
}

/* All map and revoke the same page: after one's own revocation it may be there or not, but nothing breaks. */
static void same_page(void *arg)
{
    (void)arg;
    sm_down(start_line);
    for (unsigned i = 0; i < 300; i++) {
        error(map((uint64_t)frame[i & 1], storm_va, 0, RW) != NOVA_SUCCESS);
        try_store(storm_va);
        error(map(storm_va, storm_va, 0, 0) != NOVA_SUCCESS);
        try_store(storm_va);
    }
    sm_up(done);
}

/* Two large ranges, mapped from and to each other's frames, split and joined. */
static void same_range(void *arg)
{
    uint64_t cpu = (uint64_t)arg;

    sm_down(start_line);
    for (unsigned i = 0; i < 50; i++) {
        error(map(large, large, 9, i & 1 ? RW : NOVA_MEM_R) != NOVA_SUCCESS);
        error(map(large + 512 * PAGE_SIZE, large, 9, RW) != NOVA_SUCCESS);
        error(map(large + (cpu + i) * PAGE_SIZE, large + (cpu + i) * PAGE_SIZE, 0, 0) != NOVA_SUCCESS);
        try_load(large + (cpu + i) * PAGE_SIZE);
        error(map(large, large, 9, 0) != NOVA_SUCCESS);
    }
    sm_up(done);
}

/* Creates and drops objects at its own selectors. */
static uint64_t object_sel;

static void create_and_drop(void *arg)
{
    uint64_t cpu = (uint64_t)arg, sel = object_sel + cpu * 8;

    sm_down(start_line);
    for (unsigned i = 0; i < 200; i++) {
        error(create_sm(sel, sys.root.pd, i) != NOVA_SUCCESS);
        error(create_pd(sel + 1, sys.root.pd, NOVA_PD_PD) != NOVA_SUCCESS);
        error(create_pd(sel + 2, sel + 1, NOVA_PD_OBJ) != NOVA_SUCCESS);
        error(ctrl_pd(sys.root.obj, sel + 2, sel, 5, 0, NOVA_PERM_ALL, 0) != NOVA_SUCCESS);
        error(ctrl_pd(sel + 2, sys.root.obj, 5, sel + 3, 0, NOVA_PERM_ALL, 0) != NOVA_SUCCESS);
        error(sm_up(sel + 3) != NOVA_SUCCESS);
        error(ctrl_pd(sys.root.obj, sys.root.obj, sel, sel, 3, 0, 0) != NOVA_SUCCESS);
        error(sm_up(sel) != NOVA_BAD_CAP);
    }
    sm_up(done);
}

/* All create at the same selectors: one of them wins each. */
static unsigned won;

static void same_selector(void *arg)
{
    (void)arg;
    sm_down(start_line);
    for (unsigned i = 0; i < 500; i++) {
        unsigned status = create_sm(object_sel + i, sys.root.pd, 0);

        if (status == NOVA_SUCCESS)
            __atomic_fetch_add(&won, 1, __ATOMIC_RELAXED);
        else
            error(status != NOVA_BAD_CAP);
    }
    sm_up(done);
}

static void recaller(void *arg)
{
    (void)arg;
    sm_down(start_line);
    for (unsigned i = 0; i < 300; i++)
        error(ctrl_ec(*(uint64_t *)arg, i & 1 ? NOVA_EC_STRONG : 0) != NOVA_SUCCESS);
    sm_up(done);
}

/* Threads on all CPUs recall one thread per CPU that only spins. */
static void recall_storm(void)
{
    const struct thread *spinner[CPU_MAX];

    stop = false;
    errors = 0;
    start_line = sm_create(0);
    for (unsigned cpu = 0; cpu < sys.cpus; cpu++) {
        target = (uint64_t)frame[0];
        spinner[cpu] = global_start(cpu, 10, writer, NULL);
    }
    for (unsigned cpu = 0; cpu < sys.cpus; cpu++)
        for (unsigned i = 0; i < sys.cpus; i++)
            global_start(cpu, 20, recaller, (void *)(uint64_t)&spinner[i]->ec);
    for (unsigned i = 0; i < sys.cpus * sys.cpus; i++)
        sm_up(start_line);
    wait_done(sys.cpus * sys.cpus);
    stop = true;
    wait_done(sys.cpus);
    tap_is(errors, 0, "all CPUs: recall each other's threads");
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    (void)hip;
    (void)magic;
    (void)mbi;
    if (sys.cpus == 1) {
        tap_skip("one CPU", "several CPUs at once");
        return;
    }
    done = sm_create(0);
    target = va_alloc(512 * PAGE_SIZE, 512 * PAGE_SIZE) + 5 * PAGE_SIZE;
    storm_va = va_alloc(512 * PAGE_SIZE, 512 * PAGE_SIZE);
    object_sel = sel_alloc(512, 512);

    for (unsigned cpu = 1; cpu < sys.cpus; cpu = cpu == sys.cpus - 1 ? cpu + 1 : sys.cpus - 1) {
        take_away(cpu, "page revoked", give_page, revoke_page);
        take_away(cpu, "page made read-only", give_page, reduce_page);
        take_away(cpu, "range revoked", give_page, revoke_range);
        replaced(cpu);
        large_pages(cpu);
        ports(cpu);
        objects(cpu);
    }
    all_cpus(storm, "map, use and revoke");
    all_cpus(same_page, "map and revoke the same page");
    all_cpus(same_range, "map and revoke the same large range");
    all_cpus(create_and_drop, "create and drop objects");
    all_cpus(same_selector, "create at the same selectors");
    tap_is(won, 500, "and each selector was won once");
    recall_storm();
}
