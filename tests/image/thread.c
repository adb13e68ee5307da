/*
 * Protection domains, threads, portals and semaphores.
 *
 * Each CPU has one handler EC in the root PD, a local thread to which the 34 event portals of that
 * CPU are bound. Its STARTUP portal sends a new global thread to its function; the exception
 * portals continue a thread that expects a fault (fault.h), and otherwise report a crash and end the
 * test. All PDs made here see these portals at the same selectors. The handler itself has no event
 * portals: if it faults, it is killed.
 *
 * SPDX-License-Identifier: MIT
 */

#include "thread.h"

#include "serial.h"
#include "system.h"
#include "tap.h"

#define EVENTS (NOVA_EVT_HST_ARCH + 2)

union block {
    struct thread thread;
    char stack[THREAD_SIZE];
};

_Static_assert(SEL_THREADS + 2 * THREAD_MAX <= SEL_FREE, "selectors of threads");
_Static_assert(sizeof(struct thread) <= 256, "thread structures must leave room for stacks");

extern union block root_thread;
extern void thread_enter(void);

union block root_thread __attribute__((aligned(THREAD_SIZE)));
static union block block[THREAD_MAX] __attribute__((aligned(THREAD_SIZE)));

PORTAL_ENTRY(startup_entry, on_startup);
PORTAL_ENTRY(recall_entry, on_recall);
PORTAL_ENTRY(exception_entry, on_exception);

/* The block that a stack pointer belongs to; the top of a stack is the end of its block. */
static struct thread *thread_at(uint64_t sp)
{
    return (struct thread *)((sp - 1) & ~(THREAD_SIZE - 1UL));
}

struct thread *thread_self(void)
{
    return thread_at((uint64_t)__builtin_frame_address(0));
}

static uint32_t on_startup(uint64_t pid, uint32_t mtd)
{
    struct nova_arch_state *s = &thread_self()->utcb->arch;
    const struct thread *t = thread_at(s->gpr[4]);

    (void)pid;
    (void)mtd;
    s->rip = (uint64_t)thread_enter;
    s->gpr[3] = (uint64_t)t->entry;
    s->gpr[7] = (uint64_t)t->arg;
    return NOVA_MTD_RIP | NOVA_MTD_GPR_0_7;
}

static uint32_t on_recall(uint64_t pid, uint32_t mtd)
{
    (void)pid;
    (void)mtd;
    return 0;
}

static uint32_t on_exception(uint64_t pid, uint32_t mtd)
{
    struct nova_arch_state *s = &thread_self()->utcb->arch;
    struct thread *t = thread_at(s->gpr[4]);
    bool known = t == &root_thread.thread || (t >= &block[0].thread && t <= &block[THREAD_MAX - 1].thread);

    (void)mtd;
    if (known && t->recover) {
        t->fault_vector = pid;
        t->fault_error = s->qual[0];
        t->fault_address = s->qual[1];
        s->rip = t->recover;
        return NOVA_MTD_RIP;
    }
    tap_diag("RAX %016lx RCX %016lx RDX %016lx RBX %016lx", s->gpr[0], s->gpr[1], s->gpr[2], s->gpr[3]);
    tap_diag("RSP %016lx RBP %016lx RSI %016lx RDI %016lx", s->gpr[4], s->gpr[5], s->gpr[6], s->gpr[7]);
    tap_bail("exception 0x%lx on CPU %u: RIP %lx error %lx CR2 %lx", pid, thread_self()->cpu, s->rip,
             s->qual[0], s->qual[1]);
}

uint64_t sm_create(uint64_t count)
{
    uint64_t sel = SEL();

    must(create_sm(sel, sys.root.pd, count), "create_sm");
    return sel;
}

void portal_create_at(uint64_t sel, const struct thread *t, void (*entry)(void), uint64_t pid, uint32_t mtd)
{
    must(create_pt(sel, sys.root.pd, t->ec, (uint64_t)entry), "create_pt");
    must(ctrl_pt(sel, pid, mtd), "ctrl_pt");
}

uint64_t portal_create(const struct thread *t, void (*entry)(void), uint64_t pid, uint32_t mtd)
{
    uint64_t sel = SEL();

    portal_create_at(sel, t, entry, pid, mtd);
    return sel;
}

/* A free block, or if there is none, that of a thread which is done. */
static union block *block_alloc(void)
{
    for (unsigned i = 0; i < THREAD_MAX; i++)
        if (!block[i].thread.used)
            return &block[i];

    for (unsigned i = 0; i < THREAD_MAX; i++)
        if (block[i].thread.done) {
            thread_free(&block[i].thread);
            return &block[i];
        }
    tap_bail("out of threads");
}

/* An address that no thread has. It is used again as late as possible, for the last EC there may still be dying. */
static union nova_utcb *utcb_alloc(void)
{
    static uint64_t next;
    bool taken;
    uint64_t utcb;

    do {
        utcb = UTCB_WINDOW + next++ % UTCB_MAX * PAGE_SIZE;
        taken = false;
        for (unsigned i = 0; i < THREAD_MAX; i++)
            taken |= block[i].thread.used && (uint64_t)block[i].thread.utcb == utcb;
    } while (taken);
    return (union nova_utcb *)utcb;
}

struct thread *thread_create(const struct pd *pd, unsigned cpu, uint64_t evt, unsigned flags)
{
    union block *b = block_alloc();
    struct thread *t = &b->thread;
    uint64_t top = (uint64_t)(b + 1);

    uint64_t index = (uint64_t)(b - block);

    *t = (struct thread){.used = true, .cpu = cpu, .ec = SEL_THREADS + 2 * index};
    t->utcb = utcb_alloc();
    must(create_ec(t->ec, pd->pd, (uint64_t)t->utcb, cpu, top, evt, flags), "create_ec");
    return t;
}

struct thread *local_create(unsigned cpu)
{
    return thread_create(&sys.root, cpu, STANDARD_EVENTS(cpu), 0);
}

void thread_run(struct thread *t, unsigned prio, unsigned budget_ms, void (*entry)(void *), void *arg)
{
    t->entry = entry;
    t->arg = arg;
    t->sc = t->ec + 1;
    must(create_sc(t->sc, sys.root.pd, t->ec, NOVA_SCD((uint64_t)prio, budget_ms)), "create_sc");
}

struct thread *global_start(unsigned cpu, unsigned prio, void (*entry)(void *), void *arg)
{
    struct thread *t = thread_create(&sys.root, cpu, STANDARD_EVENTS(cpu), NOVA_EC_GLOBAL);

    thread_run(t, prio, 10, entry, arg);
    return t;
}

void thread_exit(void)
{
    uint64_t wait = NOVA_HYPERCALL(NOVA_CTRL_SM, (uint64_t)NOVA_SM_DOWN, sys.never);

    /* Once the thread is done its stack may be used by another one: no memory access behind the first. */
    __asm__ volatile("movb $1, %[done]\n"
                     "1: mov %[wait], %%rdi\n\txor %%esi, %%esi\n\tsyscall\n\tjmp 1b"
                     : [done] "=m"(thread_self()->done)
                     : [wait] "r"(wait)
                     : "rdi", "rsi", "rcx", "r11");
    __builtin_unreachable();
}

void thread_free(struct thread *t)
{
    ctrl_pd(sys.root.obj, sys.root.obj, t->ec, t->ec, 0, 0, 0);
    if (t->sc)
        ctrl_pd(sys.root.obj, sys.root.obj, t->sc, t->sc, 0, 0, 0);
    t->used = false;
}

void pd_create(struct pd *pd)
{
    *pd = (struct pd){.pd = SEL(), .obj = SEL(), .hst = SEL(), .pio = SEL()};
    must(create_pd(pd->pd, sys.root.pd, NOVA_PD_PD), "create_pd");
    must(create_pd(pd->obj, pd->pd, NOVA_PD_OBJ), "create_pd (object space)");
    must(create_pd(pd->hst, pd->pd, NOVA_PD_HST), "create_pd (host space)");
    must(create_pd(pd->pio, pd->pd, NOVA_PD_PIO), "create_pd (port space)");

    must(ctrl_pd(sys.root.obj, pd->obj, sys.never, sys.never, 0, NOVA_PERM_ALL, 0), "delegating a semaphore");
    must(ctrl_range(sys.root.obj, pd->obj, SEL_CPU_EVENTS, SEL_CPU_EVENTS,
                    (uint64_t)SEL_EVENT_BLOCK * sys.cpus, NOVA_PT_EVENT, 0),
         "delegating event portals");
}

static void share(const struct pd *pd, const char *start, const char *end, unsigned pmm)
{
    uint64_t first = (uint64_t)start / PAGE_SIZE;

    must(ctrl_range(sys.root.hst, pd->hst, first, first, (uint64_t)end / PAGE_SIZE - first, pmm, 0),
         "delegating the image");
}

void pd_share_image(const struct pd *pd)
{
    share(pd, image_text, image_rodata, NOVA_MEM_R | NOVA_MEM_XU | NOVA_MEM_XS);
    share(pd, image_rodata, image_data, NOVA_MEM_R);
    share(pd, image_data, image_end, NOVA_MEM_R | NOVA_MEM_W);
    must(ctrl_pd(sys.root.pio, pd->pio, SERIAL_PORT, SERIAL_PORT, 3, NOVA_PIO_A, 0), "delegating ports");
}

/* The handler EC of one CPU and its event portals. */
static void create_handler(unsigned cpu)
{
    const uint32_t state =
        NOVA_MTD_GPR_0_7 | NOVA_MTD_GPR_8_15 | NOVA_MTD_RFLAGS | NOVA_MTD_RIP | NOVA_MTD_QUAL;
    uint64_t none = sys.hip->sel_num - SEL_EVENT_BLOCK * 2;
    const struct thread *t = thread_create(&sys.root, cpu, none, 0);

    for (unsigned i = 0; i < NOVA_EVT_HST_ARCH; i++)
        portal_create_at(STANDARD_EVENTS(cpu) + i, t, exception_entry, i, state);
    portal_create_at(STANDARD_EVENTS(cpu) + NOVA_EVT_HST_ARCH + NOVA_EVT_STARTUP, t, startup_entry, 0,
                     NOVA_MTD_GPR_0_7 | NOVA_MTD_RIP);
    portal_create_at(STANDARD_EVENTS(cpu) + NOVA_EVT_HST_ARCH + NOVA_EVT_RECALL, t, recall_entry, 0, 0);
}

void threads_init(void)
{
    struct thread *self = &root_thread.thread;

    *self = (struct thread){.used = true, .ec = sys.ec, .sc = sys.sc, .cpu = sys.bsp};
    self->utcb = (union nova_utcb *)((uint64_t)sys.hip - PAGE_SIZE);

    for (unsigned cpu = 0; cpu < sys.cpus; cpu++)
        create_handler(cpu);

    /* The event base of the root EC is 0. */
    must(ctrl_range(sys.root.obj, sys.root.obj, STANDARD_EVENTS(sys.bsp), 0, EVENTS, NOVA_PT_EVENT, 0),
         "delegating event portals");
}
