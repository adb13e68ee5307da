/*
 * Events: exceptions through portals, single-stepping, portals that are missing or not usable
 * (specification 4.4.2, 8.6, 8.7.4). The transfer of state is in state.c.
 *
 * The victim is a local thread: whatever happens to it, its caller learns through the status of
 * the call (ABORTED if the victim was killed). Its events go to an observer on the same CPU.
 *
 * SPDX-License-Identifier: MIT
 */

#include "fault.h"
#include "system.h"
#include "tap.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define ALL_STATE (NOVA_MTD_GPR_0_7 | NOVA_MTD_GPR_8_15 | NOVA_MTD_RFLAGS | NOVA_MTD_RIP | NOVA_MTD_QUAL)

/* Victim and observer of one CPU. */
struct scene {
    uint64_t events; /* event base of the victim, in a block of 64 selectors */
    struct thread *victim, *observer;
    uint64_t call; /* portal of the victim */
};

static struct {
    uint64_t pid;
    uint32_t mtd;
    unsigned count;
    struct nova_arch_state state;
} seen;

/* What the observer does with the state in its UTCB; returns the MTD of the reply. */
static uint32_t (*observe)(struct nova_arch_state *state);
/* What the victim executes. */
static void (*act)(void);

PORTAL_ENTRY(event_entry, on_event);
PORTAL_ENTRY(victim_entry, on_victim);

static uint32_t on_event(uint64_t pid, uint32_t mtd)
{
    struct nova_arch_state *state = &thread_self()->utcb->arch;

    seen.pid = pid;
    seen.mtd = mtd;
    seen.count++;
    seen.state = *state;
    return observe(state);
}

static uint32_t on_victim(uint64_t pid, uint32_t mtd)
{
    (void)pid;
    (void)mtd;
    act();
    return 0;
}

static void scene_create(struct scene *s, unsigned cpu)
{
    s->events = sel_alloc(SEL_EVENT_BLOCK, SEL_EVENT_BLOCK);
    s->victim = thread_create(&sys.root, cpu, s->events, NOVA_EC_FPU);
    s->observer = local_create(cpu);
    s->call = portal_create(s->victim, victim_entry, 0, 0);
    for (unsigned i = 0; i < NOVA_EVT_HST_ARCH; i++)
        portal_create_at(s->events + i, s->observer, event_entry, i, ALL_STATE);
}

/* Lets the victim act; the status of the call. */
static unsigned perform(const struct scene *s, void (*action)(void),
                        uint32_t (*observer)(struct nova_arch_state *))
{
    uint32_t mtd = 0;

    act = action;
    observe = observer;
    seen.count = 0;
    return ipc_call(s->call, &mtd, 0);
}

/* -- Each exception that user code can raise -- */

/* Address of the instruction, and of where to go on after it. */
static uint64_t instruction_rip, next_rip;

/* An action that executes text between two labels. */
#define ACTION(name, text)                                                                                   \
    static void name(void)                                                                                   \
    {                                                                                                        \
        __asm__ volatile("lea 1f(%%rip), %%rax\n\tmov %%rax, %0\n\tlea 2f(%%rip), %%rax\n\t"                 \
                         "mov %%rax, %1\n\t" text "\n2:\n"                                                   \
                         : "=m"(instruction_rip), "=m"(next_rip)                                             \
                         :                                                                                   \
                         : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "memory");                              \
    }

ACTION(divide, "xor %%edx, %%edx; xor %%ecx, %%ecx; 1: div %%ecx")
ACTION(int3, "1: int3")
ACTION(ud2, "1: ud2")
ACTION(halt, "1: hlt")
ACTION(disable, "1: cli")
ACTION(write_cr3, "1: mov %%rax, %%cr3")
ACTION(read_dr7, "1: mov %%dr7, %%rax")
ACTION(read_msr, "mov $0x1b, %%ecx; 1: rdmsr")
ACTION(port_in, "mov $0x70, %%edx; 1: inb %%dx, %%al")
ACTION(interrupt_32, "1: int $0x20")
ACTION(interrupt_128, "1: int $0x80")
ACTION(interrupt_14, "1: int $0x0e")
ACTION(load_selector, "mov $0xfff8, %%ecx; 1: mov %%ecx, %%es")
ACTION(non_canonical, "mov $0x8000000000000000, %%rcx; 1: mov (%%rcx), %%rax")
ACTION(read_null, "mov $0x123, %%ecx; 1: mov (%%rcx), %%rax")
ACTION(write_kernel, "mov $0xffffffff80000000, %%rcx; 1: mov %%rax, (%%rcx)")
ACTION(
    simd,
    "sub $8, %%rsp; movl $0x1f00, (%%rsp); ldmxcsr (%%rsp); xorps %%xmm0, %%xmm0; movl $0x3f800000, (%%rsp);"
    "movss (%%rsp), %%xmm1; 1: divss %%xmm0, %%xmm1; 2: movl $0x1f80, (%%rsp); ldmxcsr (%%rsp);"
    "add $8, %%rsp; jmp 3f\n 3:")
ACTION(x87, "sub $8, %%rsp; fninit; movl $0x340, (%%rsp); fldcw (%%rsp); fldz; fld1; fdivp; 1: fwait;"
            "2: fninit; add $8, %%rsp; jmp 3f\n 3:")

/* Error code that emulators disagree about. */
#define ANY UINT64_MAX

struct exception {
    const char *name;
    void (*action)(void);
    unsigned vector;
    bool trap; /* RIP is behind the instruction */
    uint64_t error, address;
};

static const struct exception exceptions[] = {
    {"#DE", divide, 0x00, false, 0, 0},
    {"#BP by int3", int3, 0x03, true, 0, 0},
    {"#UD", ud2, 0x06, false, 0, 0},
    {"#GP by hlt", halt, 0x0d, false, 0, 0},
    {"#GP by cli", disable, 0x0d, false, 0, 0},
    {"#GP by mov to CR3", write_cr3, 0x0d, false, 0, 0},
    {"#GP by mov from DR7", read_dr7, 0x0d, false, 0, 0},
    {"#GP by rdmsr", read_msr, 0x0d, false, 0, 0},
    {"#GP by in", port_in, 0x0d, false, 0, 0},
    {"#GP by int 0x20", interrupt_32, 0x0d, false, ANY, 0},
    {"#GP by int 0x80", interrupt_128, 0x0d, false, ANY, 0},
    {"#GP by int 0x0e", interrupt_14, 0x0d, false, ANY, 0},
    {"#GP by a bad segment selector", load_selector, 0x0d, false, 0xfff8, 0},
    {"#GP by a non-canonical address", non_canonical, 0x0d, false, 0, 0},
    {"#PF by a read", read_null, 0x0e, false, PF_USER, 0x123},
    {"#MF", x87, 0x10, false, 0, 0},
};

static uint32_t skip_instruction(struct nova_arch_state *state)
{
    state->rip = next_rip;
    return NOVA_MTD_RIP;
}

static void each_exception(const struct scene *s, const char *where)
{
    for (unsigned i = 0; i < COUNT(exceptions); i++) {
        const struct exception *e = &exceptions[i];
        unsigned status = perform(s, e->action, skip_instruction);
        uint64_t rip = e->trap ? next_rip : instruction_rip;
        bool address = e->vector != 0x0e || seen.state.qual[1] == e->address;

        if (!tap_ok(status == NOVA_SUCCESS && seen.count == 1 && seen.pid == e->vector &&
                        seen.state.rip == rip && (seen.state.qual[0] == e->error || e->error == ANY) &&
                        address && seen.mtd == ALL_STATE,
                    "%s: %s", where, e->name))
            tap_diag("status %u, %u events, last 0x%lx at %lx (want %lx), error %lx, address %lx, mtd %x",
                     status, seen.count, seen.pid, seen.state.rip, rip, seen.state.qual[0],
                     seen.state.qual[1], seen.mtd);
    }
    perform(s, simd, skip_instruction);
    if (seen.count == 0)
        tap_skip("this CPU raises no SIMD exceptions", "%s: #XM", where);
    else
        tap_is(seen.pid, 0x13, "%s: #XM", where);

    perform(s, write_kernel, skip_instruction);
    tap_ok(seen.pid == VECTOR_PF && (seen.state.qual[0] & ~(uint64_t)PF_PRESENT) == (PF_USER | PF_WRITE) &&
               seen.state.qual[1] == 0xffffffff80000000,
           "%s: #PF by a write to a kernel address", where);
}

/* -- Single-stepping -- */

static uint64_t first_step;
static unsigned steps;

static uint32_t count_step(struct nova_arch_state *state)
{
    if (!steps++)
        first_step = state->rip;
    return 0;
}

ACTION(single_step,
       "pushfq; orl $0x100, (%%rsp); popfq; nop; 1: nop; nop; pushfq; andl $~0x100, (%%rsp); popfq")

static void stepping(const struct scene *s)
{
    steps = 0;
    tap_is(perform(s, single_step, count_step), NOVA_SUCCESS, "TF: the thread steps through its code");
    tap_is(first_step, instruction_rip, "TF: the first step is the instruction after popfq");
    tap_is(steps, 6, "TF: one #DB for each instruction");
    tap_is(seen.pid, VECTOR_DB, "TF: through the #DB portal");
}

/* -- Events that kill -- */

static uint32_t poison(struct nova_arch_state *state)
{
    state->rip += 2;
    return NOVA_MTD_POISON | NOVA_MTD_RIP;
}

/* A victim whose #UD selector holds copy of a capability (0: none). */
static unsigned killed(unsigned cpu, uint64_t capability, unsigned mask)
{
    uint64_t events = sel_alloc(SEL_EVENT_BLOCK, SEL_EVENT_BLOCK);
    const struct thread *victim = thread_create(&sys.root, cpu, events, 0);
    struct scene s = {.call = portal_create(victim, victim_entry, 0, 0)};

    if (capability)
        must(ctrl_pd(sys.root.obj, sys.root.obj, capability, events + VECTOR_UD, 0, mask, 0),
             "delegating a portal");
    return perform(&s, ud2, skip_instruction);
}

static void killing(const struct scene *s)
{
    struct scene doomed;
    unsigned cpu = s->victim->cpu, wrong = 0;
    uint64_t portal = s->events + VECTOR_UD;

    scene_create(&doomed, cpu);
    tap_is(perform(&doomed, ud2, poison), NOVA_ABORTED, "POISON in the reply kills");
    tap_is(perform(&doomed, ud2, skip_instruction), NOVA_ABORTED, "and the thread stays dead");

    for (unsigned mask = 0; mask < 8; mask++)
        wrong += killed(cpu, portal, mask) != (mask & NOVA_PT_EVENT ? NOVA_SUCCESS : NOVA_ABORTED);
    tap_is(wrong, 0, "exactly the portal permission EVENT lets events pass");
    tap_is(killed(cpu, 0, 0), NOVA_ABORTED, "no portal: the thread is killed");
    tap_is(killed(cpu, sys.never, NOVA_PERM_ALL), NOVA_ABORTED, "a semaphore instead of a portal: killed");
    tap_is(killed(cpu, doomed.call, NOVA_PERM_ALL), NOVA_ABORTED, "a portal of a dead thread: killed");
    tap_is(killed(cpu, portal, NOVA_PERM_ALL), NOVA_SUCCESS, "with a portal: not killed");
}

static void other_cpu(const struct scene *s)
{
    struct scene remote;
    unsigned other = (s->victim->cpu + 1) % sys.cpus;

    if (sys.cpus == 1) {
        tap_skip("one CPU", "a portal to another CPU: killed");
        return;
    }
    scene_create(&remote, other);
    tap_is(killed(s->victim->cpu, remote.events + VECTOR_UD, NOVA_PERM_ALL), NOVA_ABORTED,
           "a portal to another CPU: killed");
}

/* -- FPU use of a thread without FPU -- */

ACTION(use_sse, "1: movaps %%xmm0, %%xmm1")

static void no_fpu(unsigned cpu)
{
    uint64_t events = sel_alloc(SEL_EVENT_BLOCK, SEL_EVENT_BLOCK);
    const struct thread *victim = thread_create(&sys.root, cpu, events, 0);
    struct scene s = {.call = portal_create(victim, victim_entry, 0, 0)};

    for (unsigned i = 0; i < NOVA_EVT_HST_ARCH; i++)
        portal_create_at(events + i, local_create(cpu), event_entry, i, ALL_STATE);
    tap_is(perform(&s, use_sse, skip_instruction), NOVA_SUCCESS, "FPU use without FPU: can be handled");
    tap_ok(seen.count == 1 && seen.pid == VECTOR_NM && seen.state.rip == instruction_rip,
           "FPU use without FPU: #NM (%u events, 0x%lx)", seen.count, seen.pid);
}

/* -- All of it where the CPU is another one -- */

static uint64_t finished;

static void remote_exceptions(void *arg)
{
    each_exception(arg, "last CPU");
    sm_up(finished);
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    struct scene here, there;

    (void)hip;
    (void)magic;
    (void)mbi;
    scene_create(&here, sys.bsp);
    each_exception(&here, "BSP");
    stepping(&here);
    killing(&here);
    other_cpu(&here);
    no_fpu(sys.bsp);

    if (sys.cpus == 1) {
        tap_skip("one CPU", "exceptions on another CPU");
        return;
    }
    finished = sm_create(0);
    scene_create(&there, sys.cpus - 1);
    global_start(sys.cpus - 1, 10, remote_exceptions, &there);
    tap_is(sm_down_ms(finished, 10000), NOVA_SUCCESS, "exceptions on another CPU");
}
