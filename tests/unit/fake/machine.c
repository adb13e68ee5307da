/*
 * The simulated machine, and stubs of what is below the kernel sources that are tested with it.
 *
 * SPDX-License-Identifier: MIT
 */

#define _GNU_SOURCE
#include "machine.h"

#include "boot/paging.h"
#include "core/interrupt.h"
#include "core/ipc.h"
#include "core/switch.h"
#include "lib/console.h"
#include "lib/panic.h"
#include "low.h"
#include "mem/tlb.h"
#include "nova/abi/cap.h"
#include "nova/abi/hypercall.h"
#include "virt/virt.h"
#include "x86/apic.h"
#include "x86/cpu.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#define PAGES 8192UL

struct cpu fake_cpus[CPU_MAX];
_Thread_local unsigned fake_self;
uint64_t fake_now;
struct machine_state machine[CPU_MAX];
struct pd *machine_root;
void (*machine_space_destroyed)(struct object *space);
void (*machine_ec_destroyed)(const struct ec *ec);
void (*machine_serves)(struct cpu *cpu);

uint64_t kernel_delta, clock_frequency;
bool cpu_has_fsgsbase = true, cpu_has_xsave = true;
unsigned fpu_order;

static _Thread_local jmp_buf outside;

/* The kernel's entry points that only assembly code calls. */
_Noreturn void schedule_next(struct cpu *cpu);
_Noreturn void reactivate_sc(struct cpu *cpu);
_Noreturn void leave_to(struct cpu *cpu, struct ec *ec);
_Noreturn void exception_user(struct ec *ec);
_Noreturn void exception_kernel(struct frame *frame);

static _Noreturn void leave_kernel(enum machine_exit how, struct ec *ec, unsigned event)
{
    struct machine_state *state = &machine[fake_self];

    state->how = how;
    state->ec = ec;
    state->event = event;
    longjmp(outside, 1);
}

/* Idle CPUs end with STI, HLT, which user mode must not do. */
static struct sigaction fatal;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    const ucontext_t *c = context;
    const uint8_t *code = (const uint8_t *)(uintptr_t)c->uc_mcontext.gregs[REG_RIP];

    (void)signal, (void)info;
    if (code[0] == 0xfb && code[1] == 0xf4) {
        leave_kernel(EXIT_IDLE, NULL, 0);
    }
    sigaction(SIGSEGV, &fatal, NULL); /* happens again, and is reported */
}

static void add_space(struct space **place, enum object_type type)
{
    struct space *space = page_alloc(NULL, 0);

    object_init(&space->object, type, NULL);
    *place = space;
}

void machine_init(unsigned cpus)
{
    static void *memory;

    if (!memory) {
        struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
        sigaction(SIGSEGV, &action, &fatal);
        memory = low_memory(PAGES * PAGE_SIZE);
        kernel_delta = (uint64_t)(uintptr_t)memory - 0x1000000;
    }
    pool_init(memory, PAGES * PAGE_SIZE);
    memset(fake_cpus, 0, sizeof(fake_cpus));
    memset(machine, 0, sizeof(machine));
    machine_space_destroyed = NULL;
    machine_ec_destroyed = NULL;
    machine_serves = NULL;
    clock_frequency = MACHINE_HZ;
    fake_now = 1000000;
    machine_root = pd_create(NULL, PAGES);
    add_space(&machine_root->spaces[OBJECT_OBJ], OBJECT_OBJ);
    add_space(&machine_root->spaces[OBJECT_HST], OBJECT_HST);
    add_space(&machine_root->spaces[OBJECT_PIO], OBJECT_PIO);
    cpu_count = cpus;
    for (unsigned i = 0; i < cpus; i++) {
        cpu_area_create(i, i);
        fake_cpus[i].started = true;
    }
    for (unsigned i = cpus; i-- > 0;) {
        machine_on(i);
        machine_schedule();
    }
}

struct cpu *machine_on(unsigned cpu)
{
    fake_self = cpu;
    return &fake_cpus[cpu];
}

const struct machine_state *machine_reactivate(void)
{
    if (setjmp(outside) == 0) {
        reactivate_sc(cpu_self());
    }
    return &machine[fake_self];
}

const struct machine_state *machine_schedule(void)
{
    if (setjmp(outside) == 0) {
        schedule_next(cpu_self());
    }
    return &machine[fake_self];
}

const struct machine_state *machine_block(struct ec *ec)
{
    if (setjmp(outside) == 0) {
        schedule_blocked(cpu_self(), ec);
    }
    return &machine[fake_self];
}

const struct machine_state *machine_leave(struct ec *ec)
{
    if (setjmp(outside) == 0) {
        leave(cpu_self(), ec);
    }
    return &machine[fake_self];
}

const struct machine_state *machine_interrupt(unsigned vector)
{
    static _Thread_local struct frame frame;
    struct machine_state *state = &machine[fake_self];

    if (setjmp(outside) == 0) {
        if (state->how == EXIT_IDLE) {
            frame.vector = vector;
            frame.cs = SEL_KERNEL_CODE;
            exception_kernel(&frame);
        }
        state->ec->frame.vector = vector;
        exception_user(state->ec);
    }
    return state;
}

void machine_deliver(void)
{
    struct machine_state *state = &machine[fake_self];

    if (__atomic_exchange_n(&state->pending, false, __ATOMIC_SEQ_CST)) {
        machine_interrupt(VECTOR_IPI);
    }
    if (state->timer <= clock_now()) {
        state->timer = UINT64_MAX;
        machine_interrupt(VECTOR_TIMER);
    }
}

struct ec *machine_thread(unsigned cpu, unsigned prio, unsigned budget_ms, struct sc **sc)
{
    struct ec *ec;

    if (ec_create(machine_root, NOVA_EC_GLOBAL, cpu, 0, 0, &ec) != NOVA_SUCCESS) {
        abort();
    }
    ec->cont = CONT_SYSRET;
    if (sc && sc_create(machine_root, ec, NOVA_SCD(prio, budget_ms), sc) != NOVA_SUCCESS) {
        abort();
    }
    return ec;
}

/* entry/entry.S: the stack is not reset here. */

_Noreturn void schedule(struct cpu *cpu)
{
    schedule_next(cpu);
}

_Noreturn void reactivate(struct cpu *cpu)
{
    reactivate_sc(cpu);
}

_Noreturn void leave(struct cpu *cpu, struct ec *ec)
{
    leave_to(cpu, ec);
}

_Noreturn void exit_sysret(struct ec *ec)
{
    leave_kernel(EXIT_SYSRET, ec, 0);
}

_Noreturn void exit_iret(struct ec *ec)
{
    leave_kernel(EXIT_IRET, ec, 0);
}

/* core/ipc.c */

_Noreturn void ipc_event(struct cpu *cpu, struct ec *ec, unsigned event)
{
    (void)cpu;
    leave_kernel(EXIT_EVENT, ec, event);
}

_Noreturn void ipc_exception(struct cpu *cpu, struct ec *ec, unsigned vector)
{
    ipc_event(cpu, ec, vector);
}

_Noreturn void ipc_retry(struct cpu *cpu, struct ec *ec)
{
    (void)cpu;
    leave_kernel(EXIT_RETRY, ec, 0);
}

/* x86/apic.c */

void apic_ipi(uint32_t target, uint32_t command)
{
    if (command != VECTOR_IPI) {
        abort();
    }
    __atomic_fetch_add(&machine[target].asked, 1, __ATOMIC_RELAXED);
    if (__atomic_load_n(&fake_cpus[target].idle, __ATOMIC_SEQ_CST)) {
        __atomic_fetch_add(&machine[target].woken, 1, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&machine[target].pending, true, __ATOMIC_SEQ_CST);
}

void apic_eoi(void)
{
}

void apic_timer(uint64_t deadline)
{
    machine[fake_self].timer = deadline;
    machine[fake_self].timer_set++;
}

/* Spaces and what belongs to them. */

void space_unbind(struct space *space)
{
    (void)space;
}

void space_destroy(struct space *space)
{
    if (machine_space_destroyed) {
        machine_space_destroyed(&space->object);
    }
}

bool hst_map_kernel(struct space_hst *hst, uint64_t page, const void *kernel_page, unsigned perm)
{
    (void)hst, (void)page, (void)kernel_page, (void)perm;
    return true;
}

void hst_unmap_kernel(struct space_hst *hst, uint64_t page, const void *kernel_page)
{
    (void)hst, (void)page, (void)kernel_page;
}

void tlb_serve(struct cpu *cpu)
{
    if (machine_serves) {
        machine_serves(cpu);
    }
}

void switch_io(struct cpu *cpu)
{
    (void)cpu;
}

void switch_to(struct cpu *cpu, struct ec *to)
{
    cpu_set_ec(cpu, to);
}

void switch_forget(struct cpu *cpu, struct ec *ec)
{
    if (cpu_ec(cpu) == ec) {
        cpu_set_ec(cpu, &cpu->idle_ec);
    }
    if (machine_ec_destroyed) {
        machine_ec_destroyed(ec);
    }
}

void fpu_initial(void *state)
{
    (void)state;
}

uint64_t *paging_entry(uint64_t address)
{
    static uint64_t entries[2];

    (void)address;
    return entries;
}

void panic_check(void)
{
}

/* Not reached: there are no guests. */

const struct virt_ops *virt;

struct ec *vcpu_alloc(struct pd *pd)
{
    (void)pd;
    abort();
}

void vcpu_init(struct vcpu *vcpu, bool offset)
{
    (void)vcpu, (void)offset;
    abort();
}

void vcpu_forget(struct cpu *cpu, struct vcpu *vcpu)
{
    (void)cpu, (void)vcpu;
    abort();
}

void vcpu_free(struct vcpu *vcpu, struct pd *pd)
{
    (void)vcpu, (void)pd;
    abort();
}

_Noreturn void vcpu_run(struct cpu *cpu, struct vcpu *vcpu)
{
    (void)cpu, (void)vcpu;
    abort();
}

void interrupt_arrived(unsigned vector)
{
    (void)vector;
    abort();
}

void print(const char *text, ...)
{
    (void)text;
}

_Noreturn void panic(const char *text, ...)
{
    (void)text;
    abort();
}

_Noreturn void panic_frame(const struct frame *frame)
{
    (void)frame;
    abort();
}
