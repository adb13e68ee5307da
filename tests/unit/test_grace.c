/*
 * Grace periods: no object is destroyed while a CPU may still use a pointer that it looked up before, every
 * dead object is destroyed in the end, on its home CPU if it has one, and idle CPUs are left alone.
 *
 * Sources: core/cpu.c core/ec.c core/grace.c core/object.c core/pd.c core/sc.c core/sm.c
 * Sources: entry/exception.c mem/pool.c mem/slab.c
 * Fakes: machine.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/sm.h"
#include "fake/machine.h"
#include "nova/abi/cap.h"
#include "nova/abi/hypercall.h"
#include "tap.h"
#include "x86/apic.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CPUS 4
#define OBJECTS 128
#define ROUNDS 100000
#define MS 1000UL

static uint64_t random_state = 1;

enum where { USER, KERNEL, IDLE };

static struct {
    struct ec *ec;
    struct sc *sc;
    enum where where;
    bool flushing;
    bool holds[OBJECTS]; /* has looked it up since it entered the kernel */
} cpus[CPUS];

/* Objects of no interest but for their life. */
enum life { FREE, PUBLIC, DEAD };

static struct object objects[OBJECTS];
static enum life life[OBJECTS];
static struct object *next_of[OBJECTS]; /* dies with it */
static unsigned destroyed;

static void on_destroyed(struct object *object)
{
    size_t i = (size_t)(object - objects);

    CHECK(i < OBJECTS && life[i] == DEAD && object->refs == 0);
    for (unsigned c = 0; c < CPUS; c++) {
        CHECK(!cpus[c].holds[i]);
    }
    life[i] = FREE;
    __atomic_fetch_add(&destroyed, 1, __ATOMIC_RELAXED);
    if (next_of[i]) {
        life[next_of[i] - objects] = DEAD;
        object_put(next_of[i]);
        next_of[i] = NULL;
    }
}

static void publish(unsigned i)
{
    memset(&objects[i], 0, sizeof(objects[i]));
    object_init(&objects[i], OBJECT_GST, NULL);
    life[i] = PUBLIC;
}

/* In the kernel, on this CPU. */
static void retire(unsigned i)
{
    life[i] = DEAD;
    object_put(&objects[i]);
}

/* The first `busy` CPUs are in user mode, the others idle. */
static void begin(unsigned count, unsigned busy)
{
    machine_init(count);
    machine_space_destroyed = on_destroyed;
    memset(cpus, 0, sizeof(cpus));
    memset(life, 0, sizeof(life));
    memset(next_of, 0, sizeof(next_of));
    destroyed = 0;
    for (unsigned c = 0; c < count; c++) {
        machine_on(c);
        cpus[c].ec = machine_thread(c, 1, 60000, &cpus[c].sc);
        cpus[c].where = c < busy ? USER : IDLE;
        cpus[c].ec->blocked = c >= busy;
        sc_start(cpus[c].sc);
        machine_interrupt(VECTOR_IPI);
        CHECK(machine[c].how == (c < busy ? EXIT_SYSRET : EXIT_IDLE));
        machine[c].pending = false;
        machine[c].asked = 0;
        machine[c].woken = 0;
    }
    machine_on(0);
}

static void to_user(unsigned c)
{
    machine_on(c);
    memset(cpus[c].holds, 0, sizeof(cpus[c].holds));
    cpus[c].where = USER;
    CHECK(machine_leave(cpus[c].ec)->how == EXIT_SYSRET);
}

static void to_idle(unsigned c)
{
    machine_on(c);
    memset(cpus[c].holds, 0, sizeof(cpus[c].holds));
    cpus[c].where = IDLE;
    cpus[c].ec->blocked = true;
    CHECK(machine_block(cpus[c].ec)->how == EXIT_IDLE);
}

/* Everything that is due happens, for a while, on CPUs that do nothing by themselves. */
static void settle(unsigned ms)
{
    for (unsigned i = 0; i < ms * 4; i++) {
        for (unsigned c = 0; c < cpu_count; c++) {
            machine_on(c);
            machine_deliver();
        }
        fake_now += MS / 4;
    }
    machine_on(0);
}

static void test_alone(void)
{
    for (unsigned count = 1; count <= CPUS; count++) {
        begin(count, 1);
        for (unsigned n = 1; n < 70; n += 17) {
            for (unsigned i = 0; i < n; i++) {
                publish(i);
                retire(i);
            }
            CHECK(destroyed == 0);
            to_user(0);
            CHECK(destroyed == n && cpu_of(0)->grace.deadline == UINT64_MAX && !cpu_of(0)->hazard);
            destroyed = 0;
        }
        for (unsigned c = 1; c < count; c++) {
            CHECK(machine[c].asked == 0);
        }
    }
    ok_checks("with all others idle, objects are destroyed at once");
}

/* One object, other CPUs in user mode: waits for company, then asks once. */
static void test_batch(void)
{
    begin(CPUS, 3); /* CPU 3 is idle */
    publish(0);
    retire(0);
    to_user(0);
    CHECK(destroyed == 0 && machine[1].asked + machine[2].asked == 0);
    CHECK(machine[0].timer == fake_now + 2 * MS);
    fake_now += 2 * MS - 1;
    for (unsigned i = 1; i < 10; i++) {
        publish(i);
        retire(i);
        to_user(0);
    }
    CHECK(destroyed == 0 && machine[1].asked + machine[2].asked == 0);
    fake_now += 1;
    machine_deliver();
    CHECK(destroyed == 0 && machine[1].asked == 1 && machine[2].asked == 1 && machine[3].asked == 0);
    to_user(0);
    machine_on(1);
    machine_deliver();
    publish(10);
    machine_on(0);
    retire(10); /* too late for this batch */
    to_user(0);
    CHECK(destroyed == 0);
    machine_on(2);
    machine_deliver();
    fake_now += 2 * MS;
    machine_on(0);
    machine_deliver();
    CHECK(destroyed == 10 && life[10] == DEAD && machine[1].asked == 2 && machine[2].asked == 2);
    settle(10);
    CHECK(machine[0].asked == 0 && destroyed == 11 && machine[1].asked == 2 && machine[2].asked == 2 &&
          machine[3].asked == 0);
    CHECK(cpu_of(0)->grace.deadline == UINT64_MAX);
    ok_checks("a batch is closed when it is old, and costs one interrupt for each busy CPU");

    begin(CPUS, 3);
    for (unsigned i = 0; i < 64; i++) {
        CHECK(machine[1].asked == 0);
        publish(i);
        retire(i);
        to_user(0);
    }
    CHECK(machine[1].asked == 1 && machine[2].asked == 1 && machine[3].asked == 0);
    settle(10);
    CHECK(destroyed == 64 && machine[1].asked == 1);
    ok_checks("a batch is closed when it is full");
}

/* The interrupt counts when it is taken, not when it is sent; so does going to sleep. */
static void test_kernel(void)
{
    begin(CPUS, CPUS);
    for (unsigned i = 0; i < 70; i++) {
        publish(i);
    }
    cpus[1].where = KERNEL;
    cpus[1].holds[5] = true;
    cpus[2].where = KERNEL;
    cpus[2].holds[6] = true;
    for (unsigned i = 0; i < 70; i++) {
        retire(i);
    }
    to_user(0);
    CHECK(machine[1].asked == 1 && machine[2].asked == 1 && machine[3].asked == 1);
    machine_on(3);
    machine_deliver();
    machine_on(0);
    for (unsigned i = 0; i < 10; i++) {
        fake_now += 2 * MS;
        machine_deliver();
        CHECK(destroyed == 0);
    }
    to_user(1);
    machine_deliver();
    machine_on(0);
    fake_now += 2 * MS;
    machine_deliver();
    CHECK(destroyed == 0);
    to_idle(2);
    machine_on(0);
    fake_now += 2 * MS;
    machine_deliver();
    CHECK(destroyed == 70);
    ok_checks("CPUs in the kernel are waited for");
}

static void test_chain(void)
{
    begin(2, 2);
    for (unsigned i = 0; i < OBJECTS; i++) {
        publish(i);
        next_of[i] = i + 1 < OBJECTS ? &objects[i + 1] : NULL;
    }
    retire(0);
    to_user(0);
    settle(OBJECTS * 8);
    CHECK(destroyed == OBJECTS);
    begin(2, 1);
    for (unsigned i = 0; i < OBJECTS; i++) {
        publish(i);
        next_of[i] = i + 1 < OBJECTS ? &objects[i + 1] : NULL;
    }
    retire(0);
    to_user(0);
    CHECK(destroyed == OBJECTS);
    ok_checks("objects that die with others");
}

/* ECs and SCs end on their own CPU, which is woken for that. */
static unsigned ecs_destroyed;

static void on_ec_destroyed(const struct ec *ec)
{
    CHECK(cpu_self() == ec->cpu);
    ecs_destroyed++;
}

static void test_home(void)
{
    struct ec *ecs[CPUS];
    struct sc *scs[CPUS];

    for (unsigned busy = 1; busy <= CPUS; busy++) {
        begin(CPUS, busy);
        machine_ec_destroyed = on_ec_destroyed;
        ecs_destroyed = 0;
        uint32_t refs = machine_root->object.refs;
        for (unsigned c = 0; c < CPUS; c++) {
            ecs[c] = machine_thread(c, 1, 10, &scs[c]);
        }
        for (unsigned c = 0; c < CPUS; c++) {
            object_put(&scs[c]->object);
        }
        to_user(0);
        settle(10);
        for (unsigned c = 0; c < CPUS; c++) {
            CHECK(ecs[c]->object.refs == 1);
            object_put(&ecs[c]->object);
        }
        CHECK(ecs_destroyed == 0);
        to_user(0);
        settle(20);
        CHECK(ecs_destroyed == CPUS && machine_root->object.refs == refs);
        for (unsigned c = 0; c < CPUS; c++) {
            CHECK(!cpu_of(c)->orphans && !cpu_of(c)->grace.open && !cpu_of(c)->grace.closed);
        }
    }
    ok_checks("ECs and SCs are destroyed on their own CPU");
}

static void flush(unsigned c)
{
    memset(cpus[c].holds, 0, sizeof(cpus[c].holds));
    cpus[c].flushing = true;
    machine_on(c);
    grace_flush(cpu_self());
    cpus[c].flushing = false;
    CHECK(!cpu_self()->grace.open && !cpu_self()->grace.closed && !cpu_self()->idle);
}

/* One step of a CPU: what hypercalls and interrupts do. */
static void step(unsigned c)
{
    uint64_t r = tap_random(&random_state);
    unsigned i = (unsigned)(r >> 32) % OBJECTS;
    struct machine_state *state = &machine[c];

    if (cpus[c].flushing) {
        return;
    }
    machine_on(c);
    if (cpus[c].where == KERNEL) {
        switch (r % 8) {
        case 0:
            to_user(c);
            break;
        case 1:
            if (r & 64) {
                to_idle(c);
            } else if (r % 512 < 50) {
                flush(c);
                to_user(c);
            }
            break;
        case 2:
        case 3:
            if (life[i] == PUBLIC) {
                retire(i);
            }
            break;
        default:
            cpus[c].holds[i] |= life[i] == PUBLIC;
        }
        return;
    }
    if (r & 1 && (state->pending || state->timer <= fake_now)) {
        machine_deliver();
    } else if (cpus[c].where == USER && r & 2) {
        cpus[c].where = KERNEL;
    } else if (cpus[c].where == IDLE && r & 4) { /* a device's interrupt */
        cpus[c].ec->blocked = false;
        sc_release(cpu_self(), cpus[c].ec);
        cpus[c].where = USER;
        machine_interrupt(VECTOR_IPI);
    }
    if (life[i] == FREE) {
        publish(i);
    }
}

/* While one CPU waits in grace_flush, the others go on. */
static void others_go_on(struct cpu *self)
{
    unsigned c = self->id;

    if (cpus[c].flushing) {
        for (unsigned i = 0; i < 20; i++) {
            step((unsigned)(tap_random(&random_state) % cpu_count));
        }
    }
    machine_on(c);
}

static void test_random(void)
{
    for (unsigned seed = 1; seed <= 4; seed++) {
        random_state = seed * 0x9e3779b97f4a7c15;
        begin(CPUS, CPUS);
        machine_serves = others_go_on;
        for (unsigned i = 0; i < ROUNDS; i++) {
            fake_now += tap_random(&random_state) % 8 * (MS / 50);
            step((unsigned)(tap_random(&random_state) % CPUS));
        }
        CHECK(destroyed > ROUNDS / 100);
        /* Nobody does anything by himself any more. */
        for (unsigned c = 0; c < CPUS; c++) {
            if (cpus[c].where == KERNEL) {
                to_user(c);
            }
        }
        settle(20);
        for (unsigned i = 0; i < OBJECTS; i++) {
            CHECK(life[i] != DEAD);
        }
        for (unsigned c = 0; c < CPUS; c++) {
            CHECK(machine[c].woken == 0 && cpu_of(c)->grace.deadline == UINT64_MAX);
        }
        printf("# %u objects destroyed, %u interrupts\n", destroyed,
               machine[0].asked + machine[1].asked + machine[2].asked + machine[3].asked);
    }
    ok_checks("%u random steps of %u CPUs: nothing in use is destroyed, nothing dead is forgotten", ROUNDS,
              CPUS);
}

/* CPU 1 closes a batch while CPU 0 waits in a flush, and counts as idle. */
static bool meanwhile;

static void close_meanwhile(struct cpu *self)
{
    if (self->id == 0 && cpus[0].flushing && !meanwhile) {
        meanwhile = true;
        machine_on(1);
        for (unsigned i = 1; i < 65; i++) {
            retire(i);
        }
        to_user(1);
        machine_deliver();
        machine_on(2);
        machine_deliver();
        machine_on(0);
    }
}

static void test_flush(void)
{
    begin(3, 3);
    publish(0);
    retire(0);
    machine_serves = others_go_on;
    flush(0);
    CHECK(destroyed >= 1);

    meanwhile = false;
    begin(3, 3);
    for (unsigned i = 0; i < 65; i++) {
        publish(i);
    }
    machine_serves = close_meanwhile;
    retire(0);
    flush(0);
    CHECK(meanwhile && life[0] == FREE);
    to_user(0);
    settle(20);
    CHECK(destroyed == 65);
    ok_checks("a CPU that has waited in a flush does not hold up others afterwards");
}

/* Two CPUs flush at the same time while the third one is busy in the kernel. */
static bool left;

static void *flusher(void *argument)
{
    unsigned c = (unsigned)(uintptr_t)argument;

    machine_on(c);
    for (unsigned round = 0; round < 300; round++) {
        for (unsigned i = 0; i < 20; i++) {
            unsigned object = c * 20 + i;
            publish(object);
            retire(object);
        }
        grace_flush(cpu_self());
        for (unsigned i = 0; i < 20; i++) {
            CHECK(life[c * 20 + i] == FREE);
        }
    }
    /* Leaves the kernel. */
    __atomic_store_n(&cpu_self()->idle, true, __ATOMIC_SEQ_CST);
    return NULL;
}

static void *busy(void *argument)
{
    struct cpu *cpu = machine_on(2);

    (void)argument;
    while (!__atomic_load_n(&left, __ATOMIC_RELAXED)) {
        if (__atomic_exchange_n(&machine[2].pending, false, __ATOMIC_SEQ_CST)) {
            __atomic_fetch_add(&cpu->quiescent, 1, __ATOMIC_RELEASE);
            cpu_serve(cpu);
        }
    }
    return NULL;
}

static void test_flushes(void)
{
    pthread_t threads[3];

    begin(3, 3);
    left = false;
    for (uintptr_t c = 0; c < 3; c++) {
        if (pthread_create(&threads[c], NULL, c < 2 ? flusher : busy, (void *)c) != 0) {
            abort();
        }
    }
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    __atomic_store_n(&left, true, __ATOMIC_RELAXED);
    pthread_join(threads[2], NULL);
    CHECK(destroyed == 2 * 300 * 20);
    ok_checks("two CPUs flush at the same time");
}

/*
 * Who finds a CPU idle, as it waits in a flush, does not interrupt it: so it must be seen to have passed afterwards.
 * CPU 0 looks as close_batch does, CPU 1 flushes.
 */
static unsigned long flushed, looked;

static void *flushes(void *argument)
{
    (void)argument;
    machine_on(1);
    for (unsigned long round = 1; round <= ROUNDS; round++) {
        publish(0);
        retire(0);
        grace_flush(cpu_self());
        __atomic_store_n(&flushed, round, __ATOMIC_SEQ_CST);
        while (__atomic_load_n(&looked, __ATOMIC_ACQUIRE) != round) {
        }
    }
    return NULL;
}

static void test_flush_seen(void)
{
    const struct cpu *other = &fake_cpus[1];
    pthread_t thread;
    unsigned idle = 0;

    begin(2, 1);
    machine_on(0)->idle = true;
    if (pthread_create(&thread, NULL, flushes, NULL) != 0) {
        abort();
    }
    for (unsigned long round = 1; round <= ROUNDS; round++) {
        bool was_idle;
        uint32_t seen;
        do {
            seen = __atomic_load_n(&other->quiescent, __ATOMIC_ACQUIRE);
            was_idle = __atomic_load_n(&other->idle, __ATOMIC_ACQUIRE);
        } while (!was_idle && __atomic_load_n(&flushed, __ATOMIC_ACQUIRE) != round);
        while (__atomic_load_n(&flushed, __ATOMIC_ACQUIRE) != round) {
        }
        idle += was_idle;
        CHECK(!was_idle || __atomic_load_n(&other->quiescent, __ATOMIC_ACQUIRE) != seen);
        __atomic_store_n(&looked, round, __ATOMIC_RELEASE);
    }
    pthread_join(thread, NULL);
    printf("# found idle %u times\n", idle);
    ok_checks("who finds a CPU idle in a flush finds that it has passed");
}

/*
 * CPU 0 has looked a PD up to create something for it, and takes a reference meanwhile, as hypercalls do; CPU 1
 * drops the last one that there was before. If it is faster, nothing can be created any more; else the PD stays
 * as long as what was created.
 */
static void drop_on_other(struct pd *pd)
{
    machine_on(1);
    object_put(&pd->object);
    to_user(1);
    settle(20);
}

static void test_late(void)
{
    begin(2, 2);
    uint64_t pages = pool_free();
    struct pd *pd = pd_create(NULL, 100);
    drop_on_other(pd);
    CHECK(!object_get(&pd->object));
    to_user(0);
    settle(20);
    CHECK(pool_free() == pages);

    struct ec *ec = machine_thread(0, 0, 0, NULL);
    for (unsigned type = 0; type < 3; type++) {
        struct object *object = NULL;
        struct sc *sc;
        pages = pool_free();
        pd = pd_create(NULL, 100);
        CHECK(object_get(&pd->object));
        if (type == 0) {
            object = &sm_create(pd, 0)->object;
        } else if (type == 1) {
            CHECK(sc_create(pd, ec, NOVA_SCD(1, 1), &sc) == NOVA_SUCCESS);
            object = &sc->object;
        } else {
            object = &pd_create(pd, 10)->object;
        }
        drop_on_other(pd);
        CHECK(pd->object.refs == 2);
        object_put(&pd->object);
        to_user(0);
        settle(20);
        CHECK(pd->object.refs == 1 && object->refs == 1);
        object_put(object);
        to_user(0);
        settle(20);
        CHECK(pool_free() == pages && ec->object.refs == 1);
    }
    ok_checks("a PD dies while something is created for it");
}

int main(void)
{
    test_alone();
    test_batch();
    test_kernel();
    test_chain();
    test_home();
    test_random();
    test_flush();
    test_flushes();
    test_flush_seen();
    test_late();
    return tap_done();
}
