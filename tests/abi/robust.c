/*
 * Robustness: what a thread does to itself must not reach the kernel. Bad instruction pointers in
 * portals, replies and at start-up, a system call at the end of user memory, RFLAGS at system calls,
 * UTCBs that are replaced, threads that wait for themselves.
 *
 * SPDX-License-Identifier: MIT
 */

#include "fault.h"
#include "registers.h"
#include "system.h"
#include "tap.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define NON_CANONICAL 0x8000000000000000UL
#define KERNEL_ADDRESS 0xffffffff80000000UL

static uint64_t done, no_events, next_utcb = UTCB_WINDOW + 0x1000000;

static uint64_t utcb_page(void)
{
    next_utcb += PAGE_SIZE;
    return next_utcb - PAGE_SIZE;
}

PORTAL_ENTRY(echo_entry, on_echo);

static uint32_t on_echo(uint64_t pid, uint32_t mtd)
{
    thread_self()->utcb->word[0] = pid;
    return mtd & 0x1ff;
}

static void end(void *arg)
{
    (void)arg;
    sm_up(done);
}

/* The system still works on a CPU: threads start and answer calls. */
static void healthy(unsigned cpu, const char *after)
{
    unsigned status = NOVA_SUCCESS;

    global_start(cpu, 10, end, NULL);
    if (cpu == sys.bsp) {
        uint32_t mtd = 0;
        struct thread *server = local_create(cpu);

        status = ipc_call(portal_create(server, echo_entry, 7, 0), &mtd, 0);
        status |= thread_self()->utcb->word[0] != 7;
    }
    tap_ok(status == NOVA_SUCCESS && sm_down_ms(done, 5000) == NOVA_SUCCESS, "CPU %u works after: %s", cpu,
           after);
}

/* -- Instruction pointers in replies -- */

static unsigned events;
static uint64_t reply_rip, seen_pid;

PORTAL_ENTRY(observer_entry, on_event);

static uint32_t on_event(uint64_t pid, uint32_t mtd)
{
    struct nova_arch_state *s = &thread_self()->utcb->arch;

    (void)mtd;
    seen_pid = pid;
    if (events++) /* the second one is the consequence of the first reply */
        return NOVA_MTD_POISON;
    s->rip = reply_rip;
    return NOVA_MTD_RIP;
}

PORTAL_ENTRY(ud2_entry, on_ud2);

static uint32_t on_ud2(uint64_t pid, uint32_t mtd)
{
    (void)pid;
    (void)mtd;
    for (unsigned i = 0; i < REGISTERS; i++)
        registers_in[i] = i;
    registers_in[RFLAGS] = 0x202;
    registers_ud2();
    return 0;
}

/* A victim raises #UD; the reply is set by the globals above. Status of the call. */
static unsigned raise_ud2(void)
{
    const uint32_t all = NOVA_MTD_GPR_0_7 | NOVA_MTD_RFLAGS | NOVA_MTD_RIP | NOVA_MTD_QUAL;
    uint64_t base = sel_alloc(SEL_EVENT_BLOCK, SEL_EVENT_BLOCK);
    const struct thread *victim = thread_create(&sys.root, sys.bsp, base, 0);
    const struct thread *observer = local_create(sys.bsp);
    uint32_t mtd = 0;

    for (unsigned i = 0; i < NOVA_EVT_HST_ARCH; i++)
        portal_create_at(base + i, observer, observer_entry, i, all);
    events = 0;
    return ipc_call(portal_create(victim, ud2_entry, 0, 0), &mtd, 0);
}

/* Addresses that no instruction pointer should have: the thread dies of them, nothing else does. */
static void bad_replies(void)
{
    const uint64_t address[] = {NON_CANONICAL,        KERNEL_ADDRESS,
                                0xffff800000000000UL, (uint64_t)sys.hip + PAGE_SIZE,
                                0x0000800000000000UL, UINT64_MAX};

    for (unsigned i = 0; i < COUNT(address); i++) {
        reply_rip = address[i];
        tap_is(raise_ud2(), NOVA_ABORTED, "a reply with RIP %lx", address[i]);
        tap_ok(events <= 2 && (events < 2 || seen_pid == VECTOR_GP || seen_pid == VECTOR_PF),
               "kills, or faults in the thread (%u events, last 0x%lx)", events, seen_pid);
    }
    healthy(sys.bsp, "bad instruction pointers in replies");
}

static void bad_portals(void)
{
    const uint64_t address[] = {NON_CANONICAL,
                                KERNEL_ADDRESS,
                                0xffff800000000000UL,
                                (uint64_t)sys.hip + PAGE_SIZE,
                                0x0000800000000000UL,
                                UINT64_MAX,
                                0,
                                (uint64_t)sys.hip};

    for (unsigned i = 0; i < COUNT(address); i++) {
        const struct thread *t = thread_create(&sys.root, sys.bsp, no_events, 0);
        uint64_t sel = SEL();
        unsigned status = create_pt(sel, sys.root.pd, t->ec, address[i]);
        uint32_t mtd = 0;

        if (status == NOVA_SUCCESS)
            status = ipc_call(sel, &mtd, 0);
        else
            status = status == NOVA_BAD_PAR ? NOVA_ABORTED : status;
        tap_is(status, NOVA_ABORTED, "a portal to %lx", address[i]);
    }
    healthy(sys.bsp, "portals to bad addresses");
}

/* -- STARTUP -- */

static struct nova_arch_state startup_state;

PORTAL_ENTRY(startup_portal, on_startup_event);

static uint32_t on_startup_event(uint64_t pid, uint32_t mtd)
{
    struct nova_arch_state *s = &thread_self()->utcb->arch;

    (void)mtd;
    startup_state = *s;
    s->rip = pid;
    sm_up(done);
    return NOVA_MTD_RIP;
}

static void startup(void)
{
    const uint64_t address[] = {NON_CANONICAL, KERNEL_ADDRESS, 0x0000800000000000UL, 0};

    for (unsigned i = 0; i < COUNT(address); i++)
        for (unsigned cpu = 0; cpu<sys.cpus; cpu += sys.cpus> 1 ? sys.cpus - 1 : 1) {
            uint64_t base = sel_alloc(SEL_EVENT_BLOCK, SEL_EVENT_BLOCK), ec = SEL();
            unsigned leak = 0;

            must(create_ec(ec, sys.root.pd, utcb_page(), cpu, 0x1234567890, base, NOVA_EC_GLOBAL),
                 "create_ec");
            portal_create_at(base + NOVA_EVT_HST_ARCH, local_create(cpu), startup_portal, address[i],
                             NOVA_MTD_GPR_0_7 | NOVA_MTD_GPR_8_15 | NOVA_MTD_RIP);
            must(create_sc(SEL(), sys.root.pd, ec, NOVA_SCD(20UL, 10)), "create_sc");
            must(sm_down_ms(done, 5000), "waiting for STARTUP");
            for (unsigned j = 0; j < 16; j++)
                leak += j != RSP && startup_state.gpr[j] != 0;
            tap_is(leak, 0, "CPU %u: a new thread has nothing in its registers", cpu);
            sleep_us(1000);
            healthy(cpu, "a thread that starts at a bad address");
        }
}

/* -- A SYSCALL at the very end of user memory: the address to return to is not canonical -- */

static uint32_t on_edge(uint64_t pid, uint32_t mtd);

PORTAL_ENTRY(edge_entry, on_edge);

static uint32_t on_edge(uint64_t pid, uint32_t mtd)
{
    (void)mtd;
    __asm__ volatile("jmp *%0" : : "r"(pid), "D"(0xfUL) : "memory");
    return 0;
}

static void edge(void)
{
    uint64_t top = (uint64_t)sys.hip + PAGE_SIZE;
    uint8_t *code = page_alloc(1);
    uint32_t mtd = 0;
    struct pd pd;

    code[PAGE_SIZE - 2] = 0x0f;
    code[PAGE_SIZE - 1] = 0x05;
    pd_create(&pd);
    pd_share_image(&pd);

    uint64_t frame = phys_alloc(0), va = va_alloc(PAGE_SIZE, PAGE_SIZE);

    must(ctrl_pd(sys.nova_hst, sys.root.hst, frame / PAGE_SIZE, va / PAGE_SIZE, 0, NOVA_PERM_ALL, 0),
         "ctrl_pd");
    __builtin_memcpy((void *)va, code, PAGE_SIZE);
    ctrl_pd(sys.root.hst, pd.hst, va / PAGE_SIZE, top / PAGE_SIZE - 1, 0, NOVA_PERM_ALL, 0);

    const struct thread *t = thread_create(&pd, sys.bsp, no_events, 0);

    tap_is(ipc_call(portal_create(t, edge_entry, top - 2, 0), &mtd, 0), NOVA_ABORTED,
           "syscall in the last bytes of user memory");
    healthy(sys.bsp, "syscall in the last bytes of user memory");
}

/* -- Single-stepping into the kernel -- */

static void flags_at_syscall(void)
{
    const uint64_t flags[] = {1UL << 8, 1UL << 14, 1UL << 10, 1UL << 18, 1UL << 21};
    const char *const name[] = {"TF", "NT", "DF", "AC", "ID"};

    for (unsigned i = 0; i < COUNT(flags); i++) {
        for (unsigned j = 0; j < REGISTERS; j++)
            registers_in[j] = j;
        registers_in[RDI] = NOVA_HYPERCALL(NOVA_CTRL_SM, (uint64_t)NOVA_SM_DOWN, sys.never);
        registers_in[RSI] = tsc() + ticks(1000);
        registers_in[RFLAGS] = 0x202 | flags[i];
        thread_self()->recover = 0;
        registers_syscall();
        tap_ok((registers_out[RDI] & 0xff) == NOVA_TIMEOUT && registers_out[RFLAGS] == 0x202,
               "a hypercall that blocks, with %s set (RFLAGS %lx)", name[i], registers_out[RFLAGS]);
    }
}

/* -- Pages of the microhypervisor as destinations -- */

static void utcb_overwritten(void)
{
    const struct thread *server = local_create(sys.bsp);
    uint64_t portal = portal_create(server, echo_entry, 9, 0), page = (uint64_t)page_alloc(1);
    uint32_t mtd = NOVA_MTD_WORDS(512);

    ctrl_pd(sys.root.hst, sys.root.hst, page / PAGE_SIZE, (uint64_t)server->utcb / PAGE_SIZE, 0,
            NOVA_PERM_ALL, 0);
    ipc_call(portal, &mtd, 0);
    ctrl_pd(sys.root.hst, sys.root.hst, page / PAGE_SIZE, (uint64_t)server->utcb / PAGE_SIZE, 0, 0, 0);
    mtd = NOVA_MTD_WORDS(512);
    ipc_call(portal_create(local_create(sys.bsp), echo_entry, 9, 0), &mtd, 0);
    healthy(sys.bsp, "a UTCB replaced by another page");

    uint64_t one = SEL(), two = SEL(), where = utcb_page();
    unsigned first = create_ec(one, sys.root.pd, where, 0, 0, no_events, 0);
    unsigned second = create_ec(two, sys.root.pd, where, 0, 0, no_events, 0);

    tap_ok(first == NOVA_SUCCESS, "two UTCBs at one address: status %u", second);
    ctrl_pd(sys.root.obj, sys.root.obj, one, one, 0, 0, 0);
    ctrl_pd(sys.root.obj, sys.root.obj, two, two, 0, 0, 0);
    sleep_us(5000);
    healthy(sys.bsp, "two UTCBs at one address");
    tap_is(create_ec(SEL(), sys.root.pd, page, 0, 0, no_events, 0) <= NOVA_MEM_CAP, true,
           "a UTCB over other memory");
    healthy(sys.bsp, "a UTCB over other memory");
}

/* -- Threads that wait for themselves -- */

static uint64_t circle[2];
static unsigned circle_status;

PORTAL_ENTRY(circle_entry, on_circle);

static uint32_t on_circle(uint64_t pid, uint32_t mtd)
{
    circle_status = ipc_call(circle[pid], &mtd, 0);
    return 0;
}

/* Nobody could ever reply: the call that closes the circle is refused, and all others come back. */
static void circles(void)
{
    uint32_t mtd = 0;

    circle[1] = portal_create(local_create(sys.bsp), circle_entry, 1, 0);
    tap_is(ipc_call(circle[1], &mtd, 0), NOVA_SUCCESS, "a thread that calls itself comes back");
    tap_is(circle_status, NOVA_ABORTED, "its call was refused");

    circle_status = 0;
    circle[0] = portal_create(local_create(sys.bsp), circle_entry, 1, 0);
    circle[1] = portal_create(local_create(sys.bsp), circle_entry, 0, 0);
    tap_is(ipc_call(circle[0], &mtd, 0), NOVA_SUCCESS, "two threads that call each other come back");
    global_start(sys.bsp, 30, end, NULL);
    tap_is(sm_down_ms(done, 2000), NOVA_SUCCESS, "and do not keep other threads from running");
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    (void)magic;
    (void)mbi;
    no_events = hip->sel_num - 0x80;
    done = sm_create(0);
    flags_at_syscall();
    bad_replies();
    bad_portals();
    startup();
    edge();
    utcb_overwritten();
    circles();
}
