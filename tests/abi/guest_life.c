/*
 * Life and death of guests: vCPUs that are destroyed in every state, on their CPU and on another one; those that lose their
 * handler; more of them than there are ASIDs; kernel memory is given back.
 *
 * SPDX-License-Identifier: MIT
 */

#include "capacity.h"
#include "guest.h"
#include "system.h"
#include "tap.h"

#define IF 0x200
#define NOTHING_MS 200 /* so long nothing comes from a vCPU that is dead */

static struct guest g;

GUEST_PROGRAM(loop, ".code64", "1: incq 0x10000; jmp 1b");
GUEST_PROGRAM(hlt, ".code64", "1: hlt; jmp 1b");

static volatile uint64_t *counter(void)
{
    return (volatile uint64_t *)(void *)(g.memory + 0x10000);
}

static void drop(uint64_t sel)
{
    must(ctrl_pd(sys.root.obj, sys.root.obj, sel, sel, 0, 0, 0), "dropping a capability");
}

static bool counts(void)
{
    uint64_t last = *counter();

    for (unsigned i = 0; i < 100 && *counter() == last; i++)
        sleep_us(2000);
    return *counter() != last;
}

/* Waits until the guest has stopped counting. */
static bool stops(void)
{
    uint64_t last;
    unsigned i = 0;

    do {
        last = *counter();
        sleep_us(20000);
    } while (*counter() != last && ++i < 100);
    return *counter() == last;
}

static void start(struct guest_cpu *v, unsigned cpu, const char *program, const char *end)
{
    guest_cpu_create(v, &g, cpu, NOVA_EC_FPU | NOVA_EC_OFFSET);
    guest_load(&g, GUEST_CODE, program, end);
    guest_long(v, GUEST_CODE);
    v->state.rflags = 2 | IF;
}

/* -- Death of the vCPU -- */

static void running(unsigned cpu)
{
    struct guest_cpu v;

    start(&v, cpu, loop, loop_end);
    guest_reply(&v, v.mtd);
    tap_ok(counts(), "CPU %u: the guest runs", cpu);
    drop(v.ec);
    tap_ok(counts(), "CPU %u: without a capability for its EC", cpu);
    drop(v.sc);
    tap_ok(stops(), "CPU %u: not without an SC", cpu);
    guest_cpu_destroy(&v);

    start(&v, cpu, loop, loop_end);
    guest_reply(&v, v.mtd);
    tap_ok(counts(), "CPU %u: the guest runs", cpu);
    drop(v.sc);
    tap_ok(stops(), "CPU %u: not without an SC", cpu);
    must(create_sc(v.sc, sys.root.pd, v.ec, NOVA_SCD(10UL, 10)), "create_sc");
    tap_ok(counts(), "CPU %u: it goes on with another one", cpu);
    guest_cpu_destroy(&v);
    tap_ok(stops(), "CPU %u: and dies", cpu);
}

static void in_an_event(unsigned cpu)
{
    struct guest_cpu v;

    start(&v, cpu, hlt, hlt_end);
    guest_run(&v, v.mtd);
    drop(v.ec);
    drop(v.sc);
    sleep_us(20000);
    guest_reply(&v, NOVA_MTD_RIP);
    tap_is((uint64_t)guest_wait(&v, NOTHING_MS), GUEST_TIMEOUT, "CPU %u: dies while its handler works", cpu);
    guest_cpu_destroy(&v);

    /* The handler is free for others afterwards: it was bound to the event portals only. */
    start(&v, cpu, hlt, hlt_end);
    tap_is((uint64_t)guest_run(&v, v.mtd), GUEST_HLT, "CPU %u: the next one lives", cpu);
    guest_reply(&v, NOVA_MTD_POISON);
    tap_is((uint64_t)guest_wait(&v, NOTHING_MS), GUEST_TIMEOUT, "CPU %u: POISON", cpu);
    guest_cpu_destroy(&v);

    start(&v, cpu, hlt, hlt_end);
    guest_run(&v, v.mtd);
    ctrl_pd(sys.root.obj, sys.root.obj, v.events, v.events, 9, 0, 0);
    v.state.rip++;
    guest_reply(&v, NOVA_MTD_RIP);
    tap_is((uint64_t)guest_wait(&v, NOTHING_MS), GUEST_TIMEOUT, "CPU %u: no portal", cpu);
    guest_cpu_destroy(&v);

    start(&v, cpu, hlt, hlt_end);
    guest_run(&v, v.mtd);
    ctrl_pd(sys.root.obj, sys.root.obj, v.events, v.events, 9, NOVA_PERM_ALL & ~NOVA_PT_EVENT, 0);
    v.state.rip++;
    guest_reply(&v, NOVA_MTD_RIP);
    tap_is((uint64_t)guest_wait(&v, NOTHING_MS), GUEST_TIMEOUT, "CPU %u: portal without EVENT", cpu);
    guest_cpu_destroy(&v);

    /* The handler dies with what it has not replied to; then the portals lead to a dead EC. */
    start(&v, cpu, hlt, hlt_end);
    guest_run(&v, v.mtd);
    ctrl_pd(sys.root.obj, sys.root.obj, v.events, v.events, 9, 0, 0);
    drop(v.handler->ec);
    sleep_us(20000);
    tap_is(ctrl_ec(v.ec, NOVA_EC_STRONG), NOVA_SUCCESS, "CPU %u: the handler dies", cpu);
    guest_cpu_destroy(&v);
}

/* Portals of a handler on another CPU. */
static void wrong_cpu(void)
{
    struct guest_cpu v = {.guest = &g, .ec = SEL(), .sc = SEL()};

    if (sys.cpus < 2)
        return;
    guest_portals(&v, 0);
    must(create_ec(v.ec, sys.root.pd, va_alloc(PAGE_SIZE, PAGE_SIZE), 1, 0, v.events, NOVA_EC_GUEST), "create_ec");
    must(create_sc(v.sc, sys.root.pd, v.ec, NOVA_SCD(10UL, 10)), "create_sc");
    tap_is((uint64_t)guest_wait(&v, NOTHING_MS), GUEST_TIMEOUT, "portals on another CPU");
    guest_cpu_destroy(&v);
}

/* A recall, a wish for death and an exit at about the same time. */
static void storm(unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        struct guest_cpu v;
        start(&v, i % sys.cpus, i % 3 ? loop : hlt, i % 3 ? loop_end : hlt_end);
        guest_reply(&v, v.mtd);
        for (uint64_t until = tsc() + ticks(i * 7 % 500); tsc() < until;) {
        }
        ctrl_ec(v.ec, i % 2 ? NOVA_EC_STRONG : 0);
        guest_cpu_destroy(&v);
    }
    tap_ok(true, "%u vCPUs recalled and destroyed", rounds);
}

/* -- More vCPUs than ASIDs: none finds a translation of another one -- */

#define MANY 40

/* Reads the number of the guest at an address that is the same for all; each has its own page there. */
GUEST_PROGRAM(numbers, ".code64",
              "mov $0x40000000, %ebx; 1: mov (%rbx), %rax; cmp %rax, %rsi; jne 2f; mov 8(%rbx), %rcx; inc %rcx;"
              "mov %rcx, 8(%rbx); cpuid; jmp 1b; 2: hlt");

static void many(unsigned cpu)
{
    static struct guest_cpu v[MANY];
    static uint64_t spaces;
    unsigned wrong = 0, rounds = 30;

    if (!spaces)
        spaces = sel_alloc(MANY, 64);

    GUEST_LOAD(&g, numbers);
    for (unsigned i = 0; i < MANY; i++) {
        struct guest own = g;
        uint64_t *page = (uint64_t *)(void *)(g.memory + 0x40000 + i * PAGE_SIZE);

        must(create_pd(spaces + i, sys.root.pd, NOVA_PD_GST), "create_pd");
        own.gst = spaces + i;
        guest_map(&own, 0, g.memory, GUEST_ORDER, NOVA_PERM_ALL);
        guest_map(&own, 0x40000000, page, 0, NOVA_PERM_ALL);
        page[0] = i;
        page[1] = 0;
        guest_cpu_create(&v[i], &g, cpu, NOVA_EC_FPU);
        guest_long(&v[i], GUEST_CODE);
        v[i].state.gpr[6] = i;
        v[i].state.sel_gst = spaces + i;
        wrong += guest_run(&v[i], v[i].mtd) != GUEST_CPUID;
    }
    tap_is(wrong, 0, "CPU %u: %u vCPUs", cpu, MANY);
    for (unsigned round = 0; round < rounds; round++)
        for (unsigned i = 0; i < MANY; i++) {
            wrong += guest_skip(&v[i * 7 % MANY], 2, round % 5 ? 0 : NOVA_MTD_TLB) != GUEST_CPUID;
        }
    for (unsigned i = 0; i < MANY; i++) {
        const uint64_t *page = (const uint64_t *)(void *)(g.memory + 0x40000 + i * PAGE_SIZE);
        wrong += page[0] != i || page[1] != rounds + 1;
        guest_cpu_destroy(&v[i]);
    }
    tap_is(wrong, 0, "CPU %u: %u rounds of them", cpu, rounds);
    ctrl_pd(sys.root.obj, sys.root.obj, spaces, spaces, 5, 0, 0);
    ctrl_pd(sys.root.obj, sys.root.obj, spaces + 32, spaces + 32, 3, 0, 0);
}

/* -- Translations of the guest -- */

GUEST_PROGRAM(translations, ".code64",
              "mov $0x50000000, %ebx; 1: mov (%rbx), %eax; cpuid; invlpg (%rbx); jmp 1b");

/* The VMM changes a page table of the guest; MTD.TLB makes that seen, whatever the guest does. */
static void flushes(void)
{
    uint64_t *entry = (uint64_t *)(void *)(g.memory + GUEST_TABLES + 0x3000) + (0x50000000 >> 21) % 512;
    struct guest_cpu v;
    unsigned wrong = 0;

    *(uint32_t *)(void *)(g.memory + 0x100000) = 0x11;
    *(uint32_t *)(void *)(g.memory + 0x101000) = 0x22;
    for (unsigned i = 0; i < 2; i++) { /* a page table each, at 0xc000 and 0xd000 */
        uint64_t *table = (uint64_t *)(void *)(g.memory + 0xc000 + i * 0x1000);
        table[0] = (0x100000 + i * 0x1000) | 7;
    }
    start(&v, sys.bsp, translations, translations_end);
    for (unsigned i = 0; i < 50; i++) {
        *entry = (0xc000 + i % 2 * 0x1000) | 7;
        if (i)
            guest_skip(&v, 2 + 3 + 2, NOVA_MTD_TLB); /* jumps over INVLPG, back to the start */
        else
            guest_run(&v, v.mtd);
        wrong += v.exit != GUEST_CPUID || v.state.gpr[0] != (i % 2 ? 0x22U : 0x11U);
        v.state.rip -= 2 + 3 + 2 + 2; /* CPUID, INVLPG, JMP; and MOV */
    }
    tap_is(wrong, 0, "MTD.TLB: 50 changes of a page table");
    guest_cpu_destroy(&v);
}

/* -- Memory -- */

static void memory(void)
{
    unsigned before, after;

    for (unsigned i = 0; i < sys.cpus && i < 2; i++)
        many(i); /* from now on, the object space has all tables that are needed */
    before = capacity_reaches(~0U, 500);
    for (unsigned i = 0; i < sys.cpus && i < 2; i++)
        many(i);
    storm(100);
    after = capacity_reaches(before, 10000);
    tap_ok(after >= before, "kernel memory is given back: room for %u ECs before, %u after", before, after);
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    (void)hip;
    (void)magic;
    (void)mbi;
    if (!guest_possible()) {
        tap_skip("no virtualization", "life of guests");
        return;
    }
    guest_create(&g);
    for (unsigned cpu = 0; cpu < sys.cpus && cpu < 2; cpu++) {
        running(cpu);
        in_an_event(cpu);
    }
    wrong_cpu();
    flushes();
    memory();
    guest_destroy(&g);
}
