/*
 * The scheduler of a CPU: priorities, round robin with budgets, SCs that wait for what they run, timers. The
 * kernel is entered as from assembly code; what runs in user mode afterwards is compared with a simple model.
 *
 * Sources: core/cpu.c core/ec.c core/grace.c core/object.c core/pd.c core/sc.c core/sm.c
 * Sources: entry/exception.c mem/pool.c mem/slab.c
 * Fakes: machine.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "fake/machine.h"
#include "nova/abi/cap.h"
#include "nova/abi/hypercall.h"
#include "tap.h"
#include "x86/apic.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 60
#define ROUNDS 60000

static uint64_t random_state = 1;
static struct ec *ecs[THREADS];
static struct sc *scs[THREADS];

static void test_create(void)
{
    static const uint64_t bad[] = {
        0, 0x10000, 1, 0xffff, 0x7f0000, 0x810001, 0x10001 | BIT(38), 0x7f0001 | BIT(23)};
    struct ec *ec;
    struct sc *sc = NULL;

    machine_init(2);
    ec = machine_thread(1, 1, 1, NULL);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        CHECK(sc_create(machine_root, ec, bad[i], &sc) == NOVA_BAD_PAR && !sc);
    }
    CHECK(ec->object.refs == 1);
    uint32_t refs;
    for (unsigned prio = 1; prio <= NOVA_PRIO_MAX; prio++) {
        uint64_t budget = prio * 516;
        ec = machine_thread(1, 1, 1, NULL);
        refs = machine_root->object.refs;
        CHECK(sc_create(machine_root, ec, NOVA_SCD(prio, budget) | 0xABUL << 40, &sc) == NOVA_SUCCESS);
        CHECK(sc->prio == prio && sc->budget == budget * 1000 && sc->left == sc->budget);
        CHECK(sc->cpu == cpu_of(1) && sc->ec == ec && sc->object.refs == 1 && sc->object.type == OBJECT_SC);
        CHECK(ec->object.refs == 2 && machine_root->object.refs == refs + 1 && sc_time(sc) == 0);
        CHECK(sc_create(machine_root, ec, NOVA_SCD(1, 1), &sc) == NOVA_ABORTED); /* an EC has one SC */
        CHECK(ec->object.refs == 2 && machine_root->object.refs == refs + 1 && sc->prio == prio);
    }
    ok_checks("descriptors: priority and budget are needed, classes of service refused");

    void *object, *last = NULL;
    ec = machine_thread(1, 1, 1, NULL);
    machine_root->account.limit = machine_root->account.used;
    while ((object = slab_alloc(&machine_root->small))) {
        last = object;
    }
    CHECK(last && sc_create(machine_root, ec, NOVA_SCD(1, 1), &sc) == NOVA_MEM_OBJ && ec->object.refs == 1);
    slab_free(last);
    machine_root->account.limit = UINT64_MAX;
    void *next = slab_alloc(&machine_root->small);
    slab_free(next);
    ec->object.refs = 0; /* has just died */
    refs = machine_root->object.refs;
    CHECK(sc_create(machine_root, ec, NOVA_SCD(1, 1), &sc) == NOVA_ABORTED);
    CHECK(ec->object.refs == 0 && machine_root->object.refs == refs &&
          slab_alloc(&machine_root->small) == next);
    ok_checks("an SC needs memory and a living EC");
}

/* All priorities, ready in random order, each on a CPU that looks for the highest. */
static void test_priorities(void)
{
    struct ec *by_prio[128] = {0};
    struct sc *sc;
    struct cpu *cpu;

    machine_init(1);
    cpu = machine_on(0);
    CHECK(machine[0].how == EXIT_IDLE && cpu->idle && cpu->sc == &cpu->idle_sc);
    for (unsigned n = 0; n < 127;) {
        unsigned prio = (unsigned)(1 + tap_random(&random_state) % 127);
        if (!by_prio[prio]) {
            by_prio[prio] = machine_thread(0, prio, 10, &sc);
            cpu->hazard = 0;
            sc_start(sc);
            CHECK(cpu->hazard & HAZARD_SCHEDULE && cpu->ready_bits[prio / 64] & BIT(prio % 64));
            n++;
        }
    }
    machine_reactivate();
    for (unsigned prio = 127; prio > 0; prio--) {
        CHECK(machine[0].how == EXIT_SYSRET && machine[0].ec == by_prio[prio] && cpu->sc->prio == prio);
        CHECK(!(cpu->ready_bits[prio / 64] & BIT(prio % 64)) && !cpu->hazard);
        by_prio[prio]->blocked = true;
        machine_block(by_prio[prio]);
    }
    CHECK(machine[0].how == EXIT_IDLE && cpu->idle && !cpu->ready_bits[0] && !cpu->ready_bits[1]);
    /* Only a higher priority displaces the running one. */
    for (unsigned prio = 1; prio <= 127; prio++) {
        by_prio[prio]->blocked = false;
    }
    sc_release(cpu, by_prio[64]);
    machine_reactivate();
    for (unsigned prio = 1; prio <= 127; prio++) {
        if (prio != 64) {
            cpu->hazard = 0;
            sc_release(cpu, by_prio[prio]);
            CHECK(cpu->hazard == (prio > 64 ? HAZARD_SCHEDULE : 0));
        }
    }
    cpu->hazard = 0;
    machine_thread(0, 64, 10, &sc);
    sc_start(sc);
    CHECK(!cpu->hazard);
    CHECK(machine_leave(by_prio[64])->ec == by_prio[64]);
    cpu->hazard = HAZARD_SCHEDULE;
    CHECK(machine_leave(by_prio[64])->ec == by_prio[127]);
    ok_checks("128 priorities: the highest runs");
}

/*
 * The model of one CPU: queues of threads by priority, first to last, and what each has left.
 */
enum where { RUNS, READY, BLOCKED, GONE };

static struct {
    enum where where;
    unsigned prio;
    uint64_t budget, left, consumed;
    int64_t place; /* in the queue of its priority: the lowest is the first */
} model[THREADS];

static unsigned running; /* THREADS: none */
static uint64_t since;
static int64_t head, tail;

/* A thread that is preempted stays in front while it has budget; one that wakes goes to the tail. */
static void model_ready(unsigned i, bool preempted)
{
    model[i].where = READY;
    model[i].place = preempted && model[i].left ? --head : ++tail;
    if (!model[i].left) {
        model[i].left = model[i].budget;
    }
}

static void model_stop(void)
{
    if (running < THREADS) {
        uint64_t ran = fake_now - since;
        model[running].left -= min_u64(ran, model[running].left);
        model[running].consumed += ran;
    }
}

static void model_schedule(void)
{
    unsigned best = THREADS;

    model_stop();
    if (running < THREADS && model[running].where == RUNS) {
        model_ready(running, true);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        if (model[i].where == READY &&
            (best == THREADS || model[i].prio > model[best].prio ||
             (model[i].prio == model[best].prio && model[i].place < model[best].place))) {
            best = i;
        }
    }
    if (best < THREADS) {
        model[best].where = RUNS;
    }
    running = best;
    since = fake_now;
}

/* What the CPU has to do before it goes on. */
static void model_look(bool anyway)
{
    bool higher = running == THREADS;

    for (unsigned i = 0; i < THREADS; i++) {
        higher |= running < THREADS && model[i].where == READY && model[i].prio > model[running].prio;
    }
    if (anyway || higher) {
        model_schedule();
    }
}

static void thread_create(unsigned i)
{
    unsigned prio = (unsigned)(1 + tap_random(&random_state) % 6) * 21, budget = 1 + (unsigned)(i % 4);

    ecs[i] = machine_thread(0, prio, budget, &scs[i]);
    model[i].prio = prio;
    model[i].left = model[i].budget = scs[i]->budget;
    model[i].consumed = 0;
}

/* The same in the kernel and in the model. */
static void compare(void)
{
    struct cpu *cpu = cpu_of(0);
    uint64_t bits[2] = {0};

    if (running == THREADS) {
        CHECK(machine[0].how == EXIT_IDLE && cpu->sc == &cpu->idle_sc && cpu->budget_end == UINT64_MAX);
    } else {
        CHECK(machine[0].how != EXIT_IDLE && machine[0].ec == ecs[running] && cpu->sc == scs[running]);
        CHECK(cpu->budget_end == since + model[running].left);
    }
    CHECK(machine[0].timer == min_u64(cpu->budget_end, cpu->grace.deadline));
    for (unsigned i = 0; i < THREADS; i++) {
        if (model[i].where != GONE) {
            uint64_t consumed = model[i].consumed + (i == running ? fake_now - since : 0);
            CHECK(sc_time(scs[i]) == consumed && (i == running || scs[i]->left == model[i].left));
            CHECK(scs[i]->left > 0 || model[i].where == BLOCKED);
        }
        if (model[i].where == READY) {
            bits[model[i].prio / 64] |= BIT(model[i].prio % 64);
        }
    }
    CHECK(cpu->ready_bits[0] == bits[0] && cpu->ready_bits[1] == bits[1]);
}

static void put_thread(unsigned i)
{
    ecs[i]->blocked = false; /* on no semaphore */
    object_put(&scs[i]->object);
    object_put(&ecs[i]->object);
}

static void test_random(void)
{
    uint64_t events[5] = {0};

    machine_init(1);
    struct cpu *cpu = machine_on(0);
    for (unsigned i = 0; i < THREADS; i++) {
        model[i].where = GONE;
    }
    running = THREADS;
    since = fake_now;
    uint64_t used = machine_root->account.used;
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned i = (unsigned)(tap_random(&random_state) % THREADS), action = tap_random(&random_state) % 8;
        fake_now += tap_random(&random_state) % 300;
        if (machine[0].timer <= fake_now) {
            bool due = running < THREADS && fake_now >= cpu->budget_end;
            machine_deliver();
            model_look(due);
            events[0]++;
        } else if (model[i].where == GONE && action < 4) {
            thread_create(i);
            model_ready(i, false);
            sc_start(scs[i]);
            machine_reactivate();
            model_look(false);
            events[1]++;
        } else if (model[i].where == BLOCKED && action < 5) {
            ecs[i]->blocked = false;
            sc_release(cpu, ecs[i]);
            model_ready(i, false);
            machine_reactivate();
            model_look(false);
            events[2]++;
        } else if (running < THREADS && action < 6) {
            unsigned was = running;
            ecs[was]->blocked = true;
            machine_block(ecs[was]);
            model[was].where = BLOCKED;
            model_schedule();
            events[3]++;
        } else if (model[i].where != GONE && action == 7) {
            bool ran = i == running;
            put_thread(i);
            machine_reactivate();
            model_stop();
            model[i].where = GONE;
            since = fake_now;
            if (ran) {
                running = THREADS;
            }
            model_schedule(); /* an EC that dies makes its CPU schedule */
            events[4]++;
        }
        compare();
    }
    for (unsigned i = 0; i < ARRAY_SIZE(events); i++) {
        CHECK(events[i] > ROUNDS / 100);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        if (model[i].where != GONE) {
            put_thread(i);
        }
    }
    machine_reactivate();
    CHECK(machine[0].how == EXIT_IDLE && machine_root->object.refs == 1 &&
          machine_root->account.used == used);
    CHECK(!cpu->ready_bits[0] && !cpu->ready_bits[1]);
    ok_checks("%u random steps of %u threads, against a model", ROUNDS, THREADS);
}

/* With equal priority, a budget is used up before the next one runs, however often it is interrupted. */
static void test_budget(void)
{
    struct cpu *cpu;

    machine_init(1);
    cpu = machine_on(0);
    for (unsigned i = 0; i < 3; i++) {
        ecs[i] = machine_thread(0, 5, i + 1, &scs[i]);
        scs[i]->left = 0; /* so that the order is that of creation */
        sc_start(scs[i]);
        CHECK(scs[i]->left == scs[i]->budget);
    }
    struct ec *high = machine_thread(0, 6, 100, &scs[3]);
    high->blocked = true;
    list_insert(&high->waiting, &scs[3]->link);
    machine_reactivate();
    for (unsigned turn = 0; turn < 9; turn++) {
        unsigned i = turn % 3;
        for (uint64_t used = 0; used < (i + 1) * 1000; used += 250) {
            CHECK(machine[0].ec == ecs[i] && machine[0].timer == fake_now + (i + 1) * 1000 - used);
            fake_now += 100;
            machine[0].timer = UINT64_MAX;
            machine_interrupt(VECTOR_TIMER); /* early: changes nothing, but the timer must be set again */
            CHECK(machine[0].ec == ecs[i] && machine[0].timer == fake_now + (i + 1) * 1000 - used - 100);
            high->blocked = false;
            sc_release(cpu, high);
            machine_leave(ecs[i]);
            CHECK(machine[0].ec == high);
            fake_now += 77;
            high->blocked = true;
            machine_block(high);
            fake_now += 150;
            machine_deliver();
        }
    }
    for (unsigned i = 0; i < 3; i++) {
        CHECK(sc_time(scs[i]) == 3 * (i + 1) * 1000);
    }
    CHECK(sc_time(scs[3]) == 72 * 77);
    ok_checks("budgets are used up in turn, and only by those who run");
}

/* SC - EC - callee - callee: the end of the chain runs; if it is blocked, the SC waits there. */
static void test_chain(void)
{
    struct ec *callee[2], *busy;
    struct cpu *cpu;

    machine_init(1);
    cpu = machine_on(0);
    ecs[0] = machine_thread(0, 10, 5, &scs[0]);
    busy = machine_thread(0, 3, 5, &scs[1]);
    for (unsigned i = 0; i < 2; i++) {
        callee[i] = machine_thread(0, 0, 0, NULL);
        callee[i]->hazard.busy = true;
    }
    ecs[0]->callee = callee[0];
    callee[0]->caller = ecs[0];
    callee[0]->callee = callee[1];
    callee[1]->caller = callee[0];
    sc_start(scs[0]);
    sc_start(scs[1]);
    CHECK(machine_reactivate()->ec == callee[1] && cpu->sc == scs[0] && cpu_ec(cpu) == callee[1]);
    callee[1]->blocked = true;
    CHECK(machine_block(callee[1])->ec == busy && callee[1]->waiting.next == &scs[0]->link);
    /* Another SC that runs into the same EC waits there, too; both go on in order of priority. */
    busy->callee = callee[1];
    CHECK(machine_reactivate()->how == EXIT_IDLE && callee[1]->waiting.next->next == &scs[1]->link);
    fake_now += 12345;
    callee[1]->blocked = false;
    sc_release(cpu, callee[1]);
    CHECK(list_empty(&callee[1]->waiting) && cpu->hazard & HAZARD_SCHEDULE);
    CHECK(machine_reactivate()->ec == callee[1] && cpu->sc == scs[0]);
    busy->callee = NULL;
    ok_checks("an SC runs the end of the call chain, or waits there");

    /* What the continuation of the EC says. */
    callee[1]->cont = CONT_IRET;
    CHECK(machine_reactivate()->how == EXIT_IRET && callee[1]->cont == CONT_SYSRET);
    CHECK(machine_reactivate()->how == EXIT_SYSRET);
    callee[1]->cont = CONT_CALL;
    CHECK(machine_reactivate()->how == EXIT_RETRY && machine[0].ec == callee[1]);
    callee[1]->cont = CONT_EVENT;
    callee[1]->event = 14;
    CHECK(machine_reactivate()->how == EXIT_EVENT && machine[0].event == 14);
    callee[1]->cont = CONT_STARTUP;
    CHECK(machine_reactivate()->how == EXIT_EVENT &&
          machine[0].event == NOVA_EVT_HST_ARCH + NOVA_EVT_STARTUP);
    callee[1]->cont = CONT_SYSRET;
    callee[1]->frame.rip = 0x1234;
    ec_recall(callee[1], false);
    CHECK(machine_leave(callee[1])->how == EXIT_EVENT &&
          machine[0].event == NOVA_EVT_HST_ARCH + NOVA_EVT_RECALL);
    CHECK(!callee[1]->hazard.recall && callee[1]->frame.gpr[R_RCX] == 0x1234);
    CHECK(callee[1]->frame.gpr[R_R11] == RFLAGS_USER && callee[1]->cont == CONT_IRET);
    callee[1]->cont = CONT_SYSRET;
    CHECK(machine_leave(callee[1])->how == EXIT_SYSRET);
    callee[1]->hazard.busy = false; /* waits for a call: the SC cannot run it */
    CHECK(machine_reactivate()->ec == busy && callee[1]->waiting.next == &scs[0]->link);
    callee[1]->hazard.busy = true;
    sc_release(cpu, callee[1]);
    CHECK(machine_reactivate()->ec == callee[1]);
    ec_kill(callee[1], "test");
    CHECK(!ecs[0]->blocked && !callee[0]->callee && callee[0]->frame.gpr[R_RDI] == NOVA_ABORTED);
    CHECK(machine_reactivate()->ec == callee[0] && cpu->sc == scs[0]);
    ec_kill(callee[0], "test");
    ec_kill(ecs[0], "test");
    CHECK(machine_reactivate()->ec == busy && ecs[0]->waiting.next == &scs[0]->link);
    ok_checks("continuations, recall and death are seen before user mode is entered");
}

/* Dead SCs wherever they are. */
static void test_destroy(void)
{
    struct cpu *cpu;

    machine_init(2);
    cpu = machine_on(0);
    for (unsigned i = 0; i < 4; i++) {
        ecs[i] = machine_thread(0, 70, 5, &scs[i]);
        sc_start(scs[i]);
    }
    machine_reactivate();
    CHECK(machine[0].ec == ecs[0]);
    object_put(&scs[0]->object); /* runs */
    CHECK(cpu->hazard & HAZARD_GRACE && machine_leave(ecs[0])->ec == ecs[1] && ecs[0]->object.refs == 1);
    object_put(&scs[2]->object); /* ready, not alone in its queue */
    CHECK(machine_leave(ecs[1])->ec == ecs[1] && cpu->ready_bits[1] == BIT(70 - 64) &&
          ecs[2]->object.refs == 1);
    object_put(&scs[3]->object); /* ready, the last one of its queue */
    CHECK(machine_leave(ecs[1])->ec == ecs[1] && !cpu->ready_bits[1]);
    ecs[1]->blocked = true;
    CHECK(machine_block(ecs[1])->how == EXIT_IDLE && ecs[1]->waiting.next == &scs[1]->link);
    object_put(&scs[1]->object); /* waits for an EC */
    CHECK(machine_reactivate()->how == EXIT_IDLE && list_empty(&ecs[1]->waiting) && ecs[1]->object.refs == 1);

    /* Created on another CPU, and dead before the home CPU has taken it over. */
    machine_on(1);
    CHECK(sc_create(machine_root, ecs[0], NOVA_SCD(7, 7), &scs[0]) == NOVA_SUCCESS);
    sc_start(scs[0]);
    CHECK(machine[0].pending && !list_empty(&cpu->fresh));
    machine_on(0);
    object_put(&scs[0]->object);
    cpu->idle = false;
    grace_run(cpu);
    CHECK(list_empty(&cpu->fresh) && !cpu->ready_bits[0] && ecs[0]->object.refs == 1);
    ok_checks("an SC dies while it runs, is ready, waits, or is still on its way");
}

static void test_remote(void)
{
    struct cpu *cpu;

    machine_init(2);
    cpu = machine_on(1);
    for (unsigned i = 0; i < 10; i++) {
        ecs[i] = machine_thread(0, 10 + i, 5, &scs[i]);
        sc_start(scs[i]);
        CHECK(machine[0].pending && cpu_of(0)->ready_bits[0] == 0);
    }
    CHECK(!cpu->hazard);
    machine_on(0);
    machine_deliver();
    CHECK(machine[0].how == EXIT_SYSRET && machine[0].ec == ecs[9]);
    CHECK(cpu_of(0)->ready_bits[0] == 0x1ff << 10 && list_empty(&cpu_of(0)->fresh));
    machine_on(1);
    CHECK(machine[1].how == EXIT_IDLE && cpu->idle);
    ok_checks("SCs of other CPUs start there");
}

/* The timer: the earliest of budget, timeout and grace period; set only when that changes. */
static void test_timer(void)
{
    struct timeout *t;
    struct cpu *cpu;

    machine_init(1);
    cpu = machine_on(0);
    ecs[0] = machine_thread(0, 10, 5, &scs[0]);
    ecs[1] = machine_thread(0, 11, 5, &scs[1]);
    sc_start(scs[0]);
    machine_reactivate();
    uint64_t end = fake_now + 5000;
    CHECK(machine[0].timer == end);
    unsigned set = machine[0].timer_set;
    for (unsigned i = 0; i < 10; i++) {
        machine_reactivate();
        sc_timer(cpu);
        machine_schedule();
    }
    CHECK(machine[0].timer_set == set && machine[0].timer == end);
    t = &ecs[1]->timeout;
    timeout_add(&cpu->timeouts, t, end + 1);
    sc_timer(cpu);
    CHECK(machine[0].timer_set == set);
    list_remove(&t->link);
    timeout_add(&cpu->timeouts, t, end - 1);
    sc_timer(cpu);
    CHECK(machine[0].timer_set == set + 1 && machine[0].timer == end - 1);
    cpu->grace.deadline = end - 2;
    sc_timer(cpu);
    CHECK(machine[0].timer == end - 2);
    fake_now = end - 2;
    sc_tick(cpu);
    CHECK(cpu->hazard == HAZARD_GRACE);
    cpu->grace.deadline = UINT64_MAX;
    list_remove(&t->link);
    sc_timer(cpu);
    CHECK(machine[0].timer == end);
    cpu->hazard = 0;
    fake_now = end;
    sc_tick(cpu);
    CHECK(cpu->hazard == HAZARD_SCHEDULE);
    /* The only one: its budget is refilled, and it goes on. */
    CHECK(machine_reactivate()->ec == ecs[0] && machine[0].timer == end + 5000 && scs[0]->left == 5000);
    ok_checks("the timer is set to what is due next, and no more often than needed");
}

/* Another CPU asks for the time while the SC starts and stops. */
static bool done;

static void *ask_time(void *argument)
{
    const struct sc *sc = argument;
    uint64_t last = 0, wrong = 0;

    while (!__atomic_load_n(&done, __ATOMIC_RELAXED)) {
        uint64_t time = sc_time(sc), now = clock_now() - 1000000;
        wrong += time < last || time > now;
        last = time;
    }
    CHECK(!wrong);
    return NULL;
}

static void test_time(void)
{
    struct ec *other;
    struct sc *sc;
    pthread_t thread;

    machine_init(1);
    machine_on(0);
    ecs[0] = machine_thread(0, 10, 60000, &scs[0]);
    other = machine_thread(0, 10, 60000, &sc);
    other->blocked = true;
    sc_start(scs[0]);
    machine_reactivate();
    if (pthread_create(&thread, NULL, ask_time, scs[0]) != 0) {
        abort();
    }
    for (unsigned i = 0; i < 500000; i++) {
        __atomic_fetch_add(&fake_now, 10, __ATOMIC_SEQ_CST);
        machine_schedule(); /* stops, and starts again */
    }
    __atomic_store_n(&done, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    CHECK(sc_time(scs[0]) == 5000000);
    ok_checks("the time that an SC has run never goes backwards for other CPUs");
}

int main(void)
{
    test_create();
    test_priorities();
    test_budget();
    test_random();
    test_chain();
    test_destroy();
    test_remote();
    test_timer();
    test_time();
    return tap_done();
}
