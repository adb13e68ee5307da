/*
 * The scheduler of a CPU. Only the CPU itself touches its queues.
 *
 * The running SC is in no queue. It is charged, and its budget reduced, when it stops running.
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/sc.h"

#include "core/ipc.h"
#include "core/sm.h"
#include "core/switch.h"
#include "virt/virt.h"
#include "x86/apic.h"
#include "x86/clock.h"

unsigned sc_create(struct pd *pd, struct ec *ec, uint64_t scd, struct sc **result)
{
    uint64_t budget = scd & 0xffff, prio = scd >> 16 & 0x7f, cos = scd >> 23 & 0xffff;
    struct sc *sc;

    if (!ec || ec->local)
        return NOVA_BAD_CAP;
    if (!budget || !prio || cos)
        return NOVA_BAD_PAR;
    sc = slab_alloc(&pd->small);
    if (!sc)
        return NOVA_MEM_OBJ;
    /* An EC that is marked as bound and then found dead cannot be bound any more anyway. */
    if (__atomic_test_and_set(&ec->bound, __ATOMIC_RELAXED) || !object_get(&ec->object)) {
        slab_free(sc);
        return NOVA_ABORTED;
    }
    object_init(&sc->object, OBJECT_SC, pd);
    sc->cpu = ec->cpu;
    sc->ec = ec;
    sc->prio = (uint8_t)prio;
    sc->budget = clock_ticks(budget);
    sc->left = sc->budget;
    list_init(&sc->link);
    *result = sc;
    return NOVA_SUCCESS;
}

void sc_start(struct sc *sc)
{
    struct cpu *home = sc->cpu;

    if (home == cpu_self()) {
        sc_ready(home, sc);
        return;
    }
    lock(&home->wake_lock);
    list_insert(&home->fresh, &sc->link);
    unlock(&home->wake_lock);
    cpu_ask(home);
}

void sc_take_fresh(struct cpu *cpu)
{
    while (!list_empty(&cpu->fresh)) {
        struct sc *sc;
        lock(&cpu->wake_lock);
        sc = CONTAINER(cpu->fresh.next, struct sc, link);
        list_remove(&sc->link);
        unlock(&cpu->wake_lock);
        sc_ready(cpu, sc);
    }
}

/* Takes an SC out of its ready queue, or out of ec->waiting. */
static void dequeue(struct cpu *cpu, struct sc *sc)
{
    list_remove(&sc->link);
    if (list_empty(&cpu->ready[sc->prio]))
        cpu->ready_bits[sc->prio / 64] &= ~BIT(sc->prio % 64);
}

void sc_destroy(struct sc *sc)
{
    struct cpu *cpu = sc->cpu;

    sc_take_fresh(cpu);
    dequeue(cpu, sc);
    if (cpu->sc == sc) {
        cpu->sc = 0;
        cpu->hazard |= HAZARD_SCHEDULE;
    }
    __atomic_clear(&sc->ec->bound, __ATOMIC_RELAXED);
    object_put(&sc->ec->object);
    slab_free(sc);
}

uint64_t sc_time(const struct sc *sc)
{
    uint64_t time = __atomic_load_n(&sc->time, __ATOMIC_ACQUIRE);

    return time & SC_RUNS ? (time + clock_now()) & ~SC_RUNS : time;
}

/* At the tail with a new budget if the old one is used up; else where the caller wants it. */
static void enqueue(struct cpu *cpu, struct sc *sc, bool front)
{
    struct list *queue = &cpu->ready[sc->prio];

    list_insert(front && sc->left ? queue->next : queue, &sc->link);
    if (!sc->left)
        sc->left = sc->budget;
    cpu->ready_bits[sc->prio / 64] |= BIT(sc->prio % 64);
}

void sc_ready(struct cpu *cpu, struct sc *sc)
{
    enqueue(cpu, sc, false);
    if (!cpu->sc || sc->prio > cpu->sc->prio)
        cpu->hazard |= HAZARD_SCHEDULE;
}

void sc_release(struct cpu *cpu, struct ec *ec)
{
    list_remove(&ec->awaited);
    while (!list_empty(&ec->waiting)) {
        struct sc *sc = CONTAINER(ec->waiting.next, struct sc, link);
        list_remove(&sc->link);
        sc_ready(cpu, sc);
    }
}

void sc_release_all(struct cpu *cpu)
{
    while (!list_empty(&cpu->awaited))
        sc_release(cpu, CONTAINER(cpu->awaited.next, struct ec, awaited));
}

/* The running SC stops: its time is charged. */
static struct sc *stop(struct cpu *cpu, uint64_t now)
{
    struct sc *sc = cpu->sc;

    cpu->sc = 0;
    if (sc) {
        WRITE_ONCE(sc->time, (sc->time + now) & ~SC_RUNS);
        sc->left = now < cpu->budget_end ? cpu->budget_end - now : 0;
    }
    return sc;
}

static struct sc *pick(struct cpu *cpu)
{
    unsigned word = cpu->ready_bits[1] ? 1 : 0, prio;
    struct sc *sc;

    if (!cpu->ready_bits[word])
        return &cpu->idle_sc;
    prio = word * 64 + bit_highest(cpu->ready_bits[word]);
    sc = CONTAINER(cpu->ready[prio].next, struct sc, link);
    dequeue(cpu, sc);
    return sc;
}

void sc_timer(struct cpu *cpu)
{
    uint64_t next = min_u64(cpu->budget_end, min_u64(timeout_next(&cpu->timeouts), cpu->grace.deadline));

    if (next != cpu->timer) {
        cpu->timer = next;
        apic_timer(next);
    }
}

void sc_tick(struct cpu *cpu)
{
    uint64_t now = clock_now();
    struct timeout *t;

    cpu->timer = 0; /* one shot: must be set again even if the deadline is the same */
    while ((t = timeout_expire(&cpu->timeouts, now)))
        sm_cancel(CONTAINER(t, struct ec, timeout), NOVA_TIMEOUT);
    if (now >= cpu->grace.deadline)
        cpu->hazard |= HAZARD_GRACE;
    if (now >= cpu->budget_end)
        cpu->hazard |= HAZARD_SCHEDULE;
    sc_timer(cpu);
}

/* `schedule` of entry/entry.S comes here with an empty stack. */
_Noreturn void schedule_next(struct cpu *cpu)
{
    uint64_t now = clock_now();
    struct sc *sc = stop(cpu, now);

    if (sc && sc != &cpu->idle_sc) /* preempted: goes on next, unless its time is up */
        enqueue(cpu, sc, true);
    cpu->hazard &= ~HAZARD_SCHEDULE;
    sc = pick(cpu);
    cpu->sc = sc;
    cpu->budget_end = sc == &cpu->idle_sc ? UINT64_MAX : now + sc->left;
    WRITE_ONCE(sc->time, (sc->time - now) | SC_RUNS);
    sc_timer(cpu);
    reactivate(cpu);
}

_Noreturn void schedule_blocked(struct cpu *cpu, struct ec *ec)
{
    struct sc *sc = stop(cpu, clock_now());

    if (sc)
        list_insert(&ec->waiting, &sc->link);
    list_remove(&ec->awaited);
    list_insert(&cpu->awaited, &ec->awaited);
    schedule(cpu);
}

/* `reactivate` of entry/entry.S comes here with an empty stack. */
_Noreturn void reactivate_sc(struct cpu *cpu)
{
    struct ec *ec;

    if (cpu->hazard & HAZARD_GRACE) {
        grace_run(cpu);
        cpu->hazard &= ~HAZARD_GRACE;
    }
    if (cpu->hazard & HAZARD_SCHEDULE || !cpu->sc)
        schedule(cpu);
    if (cpu->sc == &cpu->idle_sc) {
        /* Nothing to run: waits for an interrupt, which enters through exception_kernel. */
        __atomic_store_n(&cpu->idle, true, __ATOMIC_SEQ_CST);
        for (;;)
            __asm__ volatile("sti; hlt; cli" : : : "memory");
    }
    /* The SC runs the end of its call chain, or waits there if that is blocked. */
    ec = ipc_chain_end(cpu->sc->ec);
    if (ec->blocked || !ec->hazard.busy || ec->cont == CONT_DEAD)
        schedule_blocked(cpu, ec);
    leave(cpu, ec);
}

/* What has to be done before the EC goes on. */
static __attribute__((noinline)) _Noreturn void leave_late(struct cpu *cpu, struct ec *ec)
{
    if (cpu->hazard)
        reactivate(cpu);
    switch (ec->cont) {
    case CONT_STARTUP:
        ipc_event(cpu, ec, ec_arch_events(ec) + NOVA_EVT_STARTUP);
    case CONT_CALL:
        ipc_retry(cpu, ec);
    case CONT_EVENT:
        ipc_event(cpu, ec, ec->event);
    default:
        __atomic_store_n(&ec->hazard.recall, false, __ATOMIC_SEQ_CST);
        if (ec->cont == CONT_SYSRET) { /* the registers that SYSRET and IRET treat differently */
            ec->frame.gpr[R_RCX] = ec->frame.rip;
            ec->frame.gpr[R_R11] = RFLAGS_USER;
            ec->frame.rflags = RFLAGS_USER;
            ec->cont = CONT_IRET;
        }
        ipc_event(cpu, ec, ec_arch_events(ec) + NOVA_EVT_RECALL);
    }
}

/* `leave` of entry/entry.S comes here with an empty stack. */
_Noreturn void leave_to(struct cpu *cpu, struct ec *ec)
{
    if (UNLIKELY(cpu->hazard || ec->cont > CONT_GUEST || READ_ONCE(ec->hazard.recall)))
        leave_late(cpu, ec);
    switch_to(cpu, ec);
    if (ec->cont == CONT_SYSRET)
        exit_sysret(ec);
    if (ec->cont == CONT_GUEST)
        vcpu_run(cpu, vcpu_of(ec));
    ec->cont = CONT_SYSRET;
    exit_iret(ec);
}
