/*
 * Semaphores: counter, order of those who wait, timeouts, and ECs that are woken by other CPUs. No up is lost
 * or counted twice, whatever comes first: the up, the timeout or the end of the EC.
 *
 * Sources: core/cpu.c core/ec.c core/grace.c core/object.c core/pd.c core/sc.c core/sm.c
 * Sources: entry/exception.c mem/pool.c mem/slab.c
 * Fakes: machine.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/sm.h"
#include "fake/machine.h"
#include "nova/abi/hypercall.h"
#include "tap.h"
#include "x86/apic.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CPUS 3
#define THREADS 24
#define ROUNDS 100000

static uint64_t random_state = 1;

static struct sm *create(uint64_t counter)
{
    struct sm *sm = sm_create(machine_root, counter);

    CHECK(sm->counter == counter && sm->interrupt == -1 && sm->object.refs == 1 &&
          sm->object.pd == machine_root);
    return sm;
}

/* What ctrl_sm does with the status while the EC is not blocked. */
#define NOT_BLOCKED 99
static unsigned down(struct ec *ec, struct sm *sm, bool zero, uint64_t deadline)
{
    unsigned status;

    ec->frame.gpr[R_RDI] = NOT_BLOCKED;
    status = sm_down(ec->cpu, ec, sm, zero, deadline);
    CHECK(!ec->blocked || ec->sm == sm);
    return ec->blocked ? NOT_BLOCKED : status;
}

static bool woken_with(const struct ec *ec, unsigned status)
{
    return !ec->blocked && !ec->sm && !ec->queued && ec->frame.gpr[R_RDI] == status &&
           list_empty(&ec->queue) && list_empty(&ec->timeout.link);
}

static void test_counter(void)
{
    struct sm *sm;
    struct ec *ec;

    machine_init(1);
    machine_on(0);
    ec = machine_thread(0, 0, 0, NULL);
    sm = create(3);
    for (uint64_t i = 3; i > 0; i--) {
        CHECK(sm->counter == i && down(ec, sm, false, i % 2 ? 0 : 1) == NOVA_SUCCESS);
    }
    CHECK(down(ec, sm, false, 1) == NOVA_TIMEOUT && sm->counter == 0 && list_empty(&sm->queue));
    for (unsigned i = 1; i <= 5; i++) {
        CHECK(sm_up(sm) == NOVA_SUCCESS && sm->counter == i);
    }
    CHECK(down(ec, sm, true, 0) == NOVA_SUCCESS && sm->counter == 0);
    CHECK(down(ec, sm, true, fake_now) == NOVA_TIMEOUT);
    sm->counter = UINT64_MAX - 1;
    CHECK(sm_up(sm) == NOVA_SUCCESS && sm->counter == UINT64_MAX);
    CHECK(sm_up(sm) == NOVA_OVRFLOW && sm->counter == UINT64_MAX);
    CHECK(down(ec, sm, false, 0) == NOVA_SUCCESS && sm->counter == UINT64_MAX - 1);
    sm->counter = UINT64_MAX;
    CHECK(down(ec, sm, true, 0) == NOVA_SUCCESS && sm->counter == 0 && sm->object.refs == 1);
    ok_checks("counter: down by one or to zero, up until it overflows");

    machine_root->account.limit = machine_root->account.used;
    while (sm_create(machine_root, 0)) {
    }
    CHECK(!sm_create(machine_root, 0));
    struct sm own;
    memset(&own, 0, sizeof(own));
    sm_init(&own, NULL, 17);
    CHECK(own.interrupt == 17 && own.counter == 0 && list_empty(&own.queue) && !own.object.pd);
    ok_checks("creation, also without memory");
}

static void test_order(void)
{
    struct ec *ecs[10];
    struct cpu *cpu;
    struct sm *sm;

    machine_init(1);
    cpu = machine_on(0);
    sm = create(0);
    for (unsigned i = 0; i < 10; i++) {
        ecs[i] = machine_thread(0, 0, 0, NULL);
        CHECK(down(ecs[i], sm, i % 2, i % 3 ? fake_now + 1000 : 0) == NOT_BLOCKED);
        CHECK(sm->object.refs == i + 2 && ecs[i]->queued);
    }
    for (unsigned i = 0; i < 10; i++) {
        CHECK(ecs[i]->blocked && sm_up(sm) == NOVA_SUCCESS && woken_with(ecs[i], NOVA_SUCCESS));
        CHECK(sm->counter == 0 && sm->object.refs == 10 - i);
    }
    CHECK(list_empty(&sm->queue) && list_empty(&cpu->timeouts) && sm_up(sm) == NOVA_SUCCESS &&
          sm->counter == 1);
    ok_checks("first come, first served; each up wakes one");

    /* The SCs that wait for an EC go on when it is woken. */
    struct sc *sc[3];
    struct ec *ec = machine_thread(0, 5, 10, &sc[0]);
    sc[1] = sc[2] = NULL;
    machine_thread(0, 6, 10, &sc[1]);
    machine_thread(0, 7, 10, &sc[2]);
    CHECK(down(ec, sm, true, 0) == NOVA_SUCCESS && down(ec, sm, true, 0) == NOT_BLOCKED);
    list_insert(&ec->waiting, &sc[1]->link);
    list_insert(&ec->waiting, &sc[2]->link);
    cpu->hazard = 0;
    CHECK(sm_up(sm) == NOVA_SUCCESS && list_empty(&ec->waiting));
    CHECK(cpu->ready_bits[0] == (BIT(6) | BIT(7)) && cpu->hazard == HAZARD_SCHEDULE);
    ok_checks("all SCs that wait for an EC become ready");
}

static void test_timeouts(void)
{
    struct ec *ecs[4];
    struct cpu *cpu;
    struct sm *sm;

    machine_init(1);
    cpu = machine_on(0);
    sm = create(0);
    for (unsigned i = 0; i < 4; i++) {
        ecs[i] = machine_thread(0, 0, 0, NULL);
    }
    CHECK(down(ecs[0], sm, false, fake_now) == NOVA_TIMEOUT &&
          down(ecs[0], sm, false, fake_now - 1) == NOVA_TIMEOUT);
    CHECK(sm->object.refs == 1 && list_empty(&sm->queue) && list_empty(&cpu->timeouts));
    uint64_t start = fake_now;
    CHECK(down(ecs[0], sm, false, start + 30) == NOT_BLOCKED && machine[0].timer == start + 30);
    CHECK(down(ecs[1], sm, false, start + 10) == NOT_BLOCKED && machine[0].timer == start + 10);
    CHECK(down(ecs[2], sm, false, 0) == NOT_BLOCKED && machine[0].timer == start + 10);
    CHECK(down(ecs[3], sm, false, UINT64_MAX) == NOT_BLOCKED && machine[0].timer == start + 10);
    fake_now = start + 9;
    sc_tick(cpu);
    CHECK(ecs[1]->blocked && machine[0].timer == start + 10);
    fake_now = start + 10;
    sc_tick(cpu);
    CHECK(woken_with(ecs[1], NOVA_TIMEOUT) && ecs[0]->blocked && sm->object.refs == 4);
    CHECK(sm_up(sm) == NOVA_SUCCESS && woken_with(ecs[0], NOVA_SUCCESS)); /* its timeout is off */
    CHECK(sm_up(sm) == NOVA_SUCCESS && woken_with(ecs[2], NOVA_SUCCESS) && sm->counter == 0);
    fake_now = start + 100;
    sc_tick(cpu);
    CHECK(woken_with(ecs[0], NOVA_SUCCESS) && ecs[3]->blocked && sm->counter == 0);
    sm_cancel(ecs[3], NOVA_TIMEOUT);
    CHECK(woken_with(ecs[3], NOVA_TIMEOUT) && list_empty(&sm->queue) && sm->object.refs == 1);
    CHECK(sm_up(sm) == NOVA_SUCCESS && sm->counter == 1);
    ok_checks("timeouts end the wait at their time, and cost no up");
}

/* Requests to other CPUs, with tickets that wrap; who waits serves the others meanwhile. */
static unsigned served;

static void serve_other(struct cpu *cpu)
{
    if (cpu->id == 0) { /* it waits; now the other one takes its interrupt */
        served++;
        cpu_serve(cpu_of(1));
    }
}

static void test_requests(void)
{
    machine_init(2);
    struct cpu *self = machine_on(0), *other = cpu_of(1);
    machine_serves = serve_other;
    served = 0;
    for (unsigned i = 0; i < 100; i++) {
        if (i == 1) {
            other->asked = other->done = UINT32_MAX - 20;
            self->asked = self->done = INT32_MAX - 20;
        }
        uint32_t first = cpu_ask(other), second = cpu_ask(other);
        CHECK(second - first == 1 && machine[1].pending);
        self->asked++; /* another CPU's request to this one */
        cpu_wait(other, second);
        CHECK(served == i + 1 && other->done == second && self->done == self->asked);
        cpu_wait(other, first);
        cpu_wait(other, second);
        CHECK(served == i + 1);
    }
    ok_checks("requests are waited for, and served while waiting");
}

/* Between the up on one CPU and the interrupt on the other one. */
static void test_remote(void)
{
    struct ec *ecs[3];
    struct cpu *home;
    struct sm *sm;

    machine_init(2);
    home = machine_on(1);
    sm = create(0);
    for (unsigned i = 0; i < 3; i++) {
        ecs[i] = machine_thread(1, 0, 0, NULL);
        CHECK(down(ecs[i], sm, false, fake_now + 10 + i) == NOT_BLOCKED);
    }
    machine_on(0);
    CHECK(sm_up(sm) == NOVA_SUCCESS && sm_up(sm) == NOVA_SUCCESS && machine[1].pending &&
          machine[1].asked == 2);
    CHECK(ecs[0]->blocked && ecs[1]->blocked && sm->counter == 0 && sm->object.refs == 4);
    CHECK(home->wake.next == &ecs[0]->queue && ecs[0]->queue.next == &ecs[1]->queue);
    machine_on(1);
    fake_now += 100;
    sc_tick(home); /* the timer is faster than the other CPU's interrupt, but later than its up */
    CHECK(ecs[0]->blocked && ecs[1]->blocked && woken_with(ecs[2], NOVA_TIMEOUT) && sm->object.refs == 3);
    machine_deliver();
    CHECK(woken_with(ecs[0], NOVA_SUCCESS) && woken_with(ecs[1], NOVA_SUCCESS) && list_empty(&home->wake));
    CHECK(sm->counter == 0 && sm->object.refs == 1);
    ok_checks("an up from another CPU comes before a timeout that comes later");
}

static void reap(void)
{
    struct cpu *cpu = cpu_self();

    cpu->idle = false;
    for (unsigned i = 0; i < 10; i++) {
        grace_run(cpu);
        fake_now += 10000;
    }
    cpu->idle = true;
}

static void test_death(void)
{
    struct ec *ecs[3];
    struct cpu *home;
    struct sm *sm;
    uint32_t refs;

    machine_init(2);
    home = machine_on(1);
    sm = create(0);
    refs = machine_root->object.refs;
    for (unsigned i = 0; i < 3; i++) {
        ecs[i] = machine_thread(1, 0, 0, NULL);
        CHECK(down(ecs[i], sm, false, fake_now + 1000) == NOT_BLOCKED);
    }
    object_put(&ecs[1]->object); /* in the queue */
    reap();
    CHECK(machine_root->object.refs == refs + 2 && sm->object.refs == 3);
    machine_on(0);
    CHECK(sm_up(sm) == NOVA_SUCCESS && home->wake.next == &ecs[0]->queue);
    machine_on(1);
    object_put(&ecs[0]->object); /* in the CPU's queue of woken ones */
    reap();
    CHECK(machine_root->object.refs == refs + 1 && list_empty(&home->wake) && sm->object.refs == 2);
    CHECK(sm->queue.next == &ecs[2]->queue && sm->queue.prev == &ecs[2]->queue);
    CHECK(home->timeouts.next == &ecs[2]->timeout.link && home->timeouts.prev == &ecs[2]->timeout.link);
    ok_checks("an EC dies while it is blocked, or on its way back");

    /* The EC keeps its semaphore; both die together. */
    object_put(&sm->object);
    CHECK(sm->object.refs == 1);
    sm->object.refs = 0; /* another CPU drops the last reference after the look-up */
    struct ec *late = machine_thread(1, 0, 0, NULL);
    CHECK(down(late, sm, false, 0) == NOVA_BAD_CAP && !late->queued && list_empty(&late->queue));
    sm->object.refs = 1;
    object_put(&late->object);
    reap();
    CHECK(machine_root->object.refs == refs + 1);
    object_put(&ecs[2]->object);
    reap();
    CHECK(machine_root->object.refs == refs - 1 && list_empty(&home->timeouts));
    ok_checks("an EC that waits keeps its semaphore alive; a dead one is not waited for");
}

/* One thread plays all CPUs; interrupts are late. The model knows who is blocked where, and who is woken. */
static struct {
    unsigned sm;       /* that it waits for */
    uint64_t arrived;  /* in the queue; 0: it is not */
    bool coming;       /* woken by another CPU */
    uint64_t deadline; /* 0: none */
} model[THREADS];

static void test_random(void)
{
    static struct ec *ecs[THREADS];
    struct sm *sms[3];
    uint64_t counter[3] = {0}, order = 0, events[6] = {0};

    machine_init(CPUS);
    for (unsigned i = 0; i < 3; i++) {
        sms[i] = create(0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        ecs[i] = machine_thread(i % CPUS, 0, 0, NULL);
    }
    memset(model, 0, sizeof(model));
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t r = tap_random(&random_state);
        unsigned s = (unsigned)(r % 3), i = (unsigned)(r >> 8) % THREADS;
        bool zero = r >> 24 & 1;
        switch (r >> 16 & 7) {
        case 0: /* the other CPU's interrupt arrives */
            machine_on(i % CPUS);
            cpu_serve(cpu_self());
            for (unsigned j = i % CPUS; j < THREADS; j += CPUS) {
                events[0] += model[j].coming;
                CHECK(!model[j].coming || woken_with(ecs[j], NOVA_SUCCESS));
                model[j].coming = false;
            }
            break;
        case 1: /* time passes on all CPUs, for some earlier than for others */
            fake_now += r >> 32 & 15;
            machine_on(i % CPUS);
            sc_tick(cpu_self());
            for (unsigned j = i % CPUS; j < THREADS; j += CPUS) {
                if (model[j].arrived && model[j].deadline && model[j].deadline <= fake_now) {
                    CHECK(woken_with(ecs[j], NOVA_TIMEOUT));
                    model[j].arrived = 0;
                    events[1]++;
                }
            }
            break;
        case 2:
        case 3:
        case 4: { /* up, from any CPU */
            unsigned first = THREADS;
            for (unsigned j = 0; j < THREADS; j++) {
                if (model[j].arrived && model[j].sm == s &&
                    (first == THREADS || model[j].arrived < model[first].arrived)) {
                    first = j;
                }
            }
            machine_on(r >> 32 & 1);
            CHECK(sm_up(sms[s]) == NOVA_SUCCESS);
            if (first == THREADS) {
                counter[s]++;
                events[2]++;
            } else {
                model[first].arrived = 0;
                model[first].coming = first % CPUS != fake_self;
                CHECK(model[first].coming || woken_with(ecs[first], NOVA_SUCCESS));
                events[3]++;
            }
            break;
        }
        default: /* down */
            if (!model[i].arrived && !model[i].coming) {
                uint64_t deadline = r >> 32 & 1 ? fake_now + (r >> 33 & 31) : 0;
                unsigned wanted = NOT_BLOCKED;
                if (counter[s]) {
                    counter[s] = zero ? 0 : counter[s] - 1;
                    wanted = NOVA_SUCCESS;
                    events[4]++;
                } else if (deadline && deadline <= fake_now) {
                    wanted = NOVA_TIMEOUT;
                } else {
                    model[i].sm = s;
                    model[i].arrived = ++order;
                    model[i].deadline = deadline;
                    events[5]++;
                }
                machine_on(i % CPUS);
                CHECK(down(ecs[i], sms[s], zero, deadline) == wanted);
            }
        }
        CHECK(sms[s]->counter == counter[s] && ecs[i]->blocked == (model[i].arrived || model[i].coming));
    }
    for (unsigned i = 0; i < ARRAY_SIZE(events); i++) {
        CHECK(events[i] > ROUNDS / 100);
    }
    for (unsigned i = 0; i < 3; i++) {
        uint32_t refs = 1;
        for (unsigned j = 0; j < THREADS; j++) {
            refs += (model[j].arrived || model[j].coming) && model[j].sm == i;
        }
        CHECK(sms[i]->object.refs == refs && sms[i]->counter == counter[i]);
    }
    ok_checks("%u random steps of %u threads on %u CPUs, against a model", ROUNDS, THREADS, CPUS);
}

/* Each CPU is a thread. What has gone up has come down, or is in the counter. */
static struct sm *shared[2];
static uint64_t ups, downs;
static struct ec *all[CPUS][4];

static void *run_cpu(void *argument)
{
    struct cpu *cpu = machine_on((unsigned)(uintptr_t)argument);
    uint64_t state = fake_self + 1, up = 0, ok = 0;

    for (unsigned round = 0; round < 4 * ROUNDS; round++) {
        uint64_t r = tap_random(&state);
        struct ec *ec = all[fake_self][r & 3];
        if (__atomic_exchange_n(&machine[fake_self].pending, false, __ATOMIC_SEQ_CST)) {
            cpu_serve(cpu);
        }
        if (machine[fake_self].timer <= clock_now()) {
            sc_tick(cpu);
        }
        if (r >> 4 & 1) {
            CHECK(sm_up(shared[r >> 5 & 1]) == NOVA_SUCCESS);
            up++;
        } else if (!ec->blocked) {
            ok += ec->frame.gpr[R_RDI] == NOVA_SUCCESS; /* of the last time */
            uint64_t deadline =
                r >> 6 & 1 ? __atomic_add_fetch(&fake_now, r >> 32 & 3, __ATOMIC_SEQ_CST) + 5 : 0;
            unsigned status = down(ec, shared[r >> 5 & 1], false, deadline);
            if (!ec->blocked) {
                ec->frame.gpr[R_RDI] = status;
            }
        }
    }
    __atomic_fetch_add(&ups, up, __ATOMIC_RELAXED);
    __atomic_fetch_add(&downs, ok, __ATOMIC_RELAXED);
    return NULL;
}

static void test_threads(void)
{
    pthread_t threads[CPUS];

    machine_init(CPUS);
    shared[0] = create(0);
    shared[1] = create(0);
    for (unsigned i = 0; i < CPUS; i++) {
        for (unsigned j = 0; j < 4; j++) {
            all[i][j] = machine_thread(i, 0, 0, NULL);
            all[i][j]->frame.gpr[R_RDI] = NOT_BLOCKED;
        }
    }
    for (uintptr_t i = 0; i < CPUS; i++) {
        if (pthread_create(&threads[i], NULL, run_cpu, (void *)i) != 0) {
            abort();
        }
    }
    for (unsigned i = 0; i < CPUS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (unsigned i = 0; i < CPUS; i++) {
        struct cpu *cpu = machine_on(i);
        cpu_serve(cpu);
        CHECK(list_empty(&cpu->wake));
        for (unsigned j = 0; j < 4; j++) {
            struct ec *ec = all[i][j];
            CHECK(!ec->blocked || (ec->queued && ec->sm->counter == 0));
            downs += !ec->blocked && ec->frame.gpr[R_RDI] == NOVA_SUCCESS;
        }
    }
    CHECK(ups == downs + shared[0]->counter + shared[1]->counter);
    ok_checks("%u CPUs at once: no up is lost", CPUS);
}

int main(void)
{
    test_counter();
    test_order();
    test_timeouts();
    test_requests();
    test_remote();
    test_death();
    test_random();
    test_threads();
    return tap_done();
}
