/*
 * Capability words and reference counts: a right of one type never passes for another type's, words lead
 * back to object and permissions, the last reference retires an object once, and a dead one is not revived.
 *
 * Sources: core/object.c
 *
 * SPDX-License-Identifier: MIT
 */

#define _GNU_SOURCE
#include "core/ec.h"
#include "core/grace.h"
#include "core/sc.h"
#include "low.h"
#include "nova/abi/cap.h"
#include "tap.h"

#include <pthread.h>
#include <string.h>

#define MASKS 32
#define THREADS 4
#define ROUNDS 1000000

static unsigned retired;
static struct object *last_retired;

void grace_retire(struct object *object)
{
    last_retired = object;
    __atomic_fetch_add(&retired, 1, __ATOMIC_RELAXED);
}

/* Which function ended an object. */
static const char *destroyed_by;
static void *destroyed;

static void note(const char *by, void *object)
{
    CHECK(!destroyed_by);
    destroyed_by = by;
    destroyed = object;
}

void page_free(struct account *account, void *pages, unsigned order)
{
    CHECK(account == ((struct pd *)pages)->account.parent && order == 0);
    note("pd", pages);
}

void ec_destroy(struct ec *ec)
{
    note("ec", ec);
}

void sc_destroy(struct sc *sc)
{
    note("sc", sc);
}

void space_destroy(struct space *space)
{
    note("space", space);
}

/* A PD forgets its space before that is on its way out. */
static const struct space *unbound;

void space_unbind(struct space *space)
{
    CHECK(!unbound && last_retired != &space->object && space->object.refs == 0);
    unbound = space;
}

void slab_free(void *object)
{
    note("slab", object);
}

static const struct {
    uint8_t type, shift, perms;
} types[] = {
    {OBJECT_PD, SHIFT_PD, 0x1f},   {OBJECT_EC, SHIFT_EC, 0x0d},   {OBJECT_SC, SHIFT_SC, 0x01},
    {OBJECT_PT, SHIFT_PT, 0x07},   {OBJECT_SM, SHIFT_SM, 0x13},   {OBJECT_OBJ, SHIFT_OBJ, 0x03},
    {OBJECT_HST, SHIFT_HST, 0x03}, {OBJECT_GST, SHIFT_GST, 0x05}, {OBJECT_DMA, SHIFT_DMA, 0x05},
    {OBJECT_PIO, SHIFT_PIO, 0x07}, {OBJECT_MSR, SHIFT_MSR, 0x07},
};

/* Each check of a right, by each capability that there can be. */
static void test_rights(void)
{
    struct object *object = low_memory(PAGE_SIZE);

    CHECK(ARRAY_SIZE(types) == OBJECT_TYPES);
    for (unsigned i = 0; i < OBJECT_TYPES; i++) {
        CHECK(object_rights[types[i].type].shift == types[i].shift && object_rights[types[i].type].perms == types[i].perms);
        object->type = types[i].type;
        for (unsigned mask = 0; mask < MASKS; mask++) {
            cap c = cap_make(object, mask);
            unsigned perms = mask & types[i].perms;
            CHECK(!c == !perms);
            if (c) {
                CHECK(cap_object(c) == object && cap_perms(c) == perms);
            }
            for (unsigned j = 0; j < OBJECT_TYPES; j++) {
                for (unsigned bit = 1; bit < MASKS; bit <<= 1) {
                    bool has = i == j && (perms & bit);
                    if (types[j].perms & bit) {
                        CHECK(cap_has(c, bit << types[j].shift) == has);
                    }
                }
            }
        }
    }
    ok_checks("each of %u types with each permission mask passes its own checks only", OBJECT_TYPES);

    CHECK(RIGHT(PD, NOVA_PD_CREATE_SM) == 0x10);
    CHECK(RIGHT(SM, NOVA_SM_CTRL_UP) == 1U << SHIFT_SM && RIGHT(MSR, NOVA_SPC_ASSIGN) == 4U << SHIFT_MSR);
    object->type = OBJECT_PIO;
    CHECK(cap_has(cap_make(object, 2), RIGHT(OBJ, 2) | RIGHT(PIO, 2) | RIGHT(MSR, 2)));
    CHECK(!cap_has(cap_make(object, 5), RIGHT(OBJ, 2) | RIGHT(HST, 2) | RIGHT(PIO, 2) | RIGHT(MSR, 2)));
    CHECK(!cap_has(0, UINT32_MAX) && !cap_object(0));
    CHECK((uintptr_t)cap_object(0x1234567889abcdef) == 0xffffffff89abcdef);
    CHECK((uintptr_t)cap_object(0x1234567880000000) == KERNEL_BASE);
    CHECK((uintptr_t)cap_object(0xffffffffffffffff) == UINT64_MAX);
    ok_checks("masks of several rights; addresses in the top 2 GiB");
    munmap(object, PAGE_SIZE);
}

static void test_unbind(void)
{
    for (unsigned type = 0; type < OBJECT_TYPES; type++) {
        struct space space;
        bool is_space = type >= OBJECT_OBJ;
        memset(&space, 0, sizeof(space));
        unbound = NULL;
        last_retired = NULL;
        retired = 0;
        object_init(&space.object, (enum object_type)type, NULL);
        CHECK(object_get(&space.object));
        object_put(&space.object);
        CHECK(!unbound && !retired);
        object_put(&space.object);
        CHECK(unbound == (is_space ? &space : NULL) && retired == 1 && last_retired == &space.object);
    }
    ok_checks("a space that dies is unbound first, others are not");
}

static void test_counts(void)
{
    struct pd pd = {.object.refs = 1, .object.type = OBJECT_PD};
    struct object object, free_object;

    retired = 0;
    object_init(&object, OBJECT_SM, &pd);
    object_init(&free_object, OBJECT_PD, NULL);
    CHECK(object.refs == 1 && object.type == OBJECT_SM && object.pd == &pd && pd.object.refs == 2);
    CHECK(free_object.refs == 1 && !free_object.pd);
    for (unsigned i = 2; i <= 1000; i++) {
        CHECK(object_get(&object) && object.refs == i);
    }
    for (unsigned i = 999; i >= 1; i--) {
        object_put(&object);
        CHECK(object.refs == i && !retired);
    }
    object_put(&object);
    CHECK(object.refs == 0 && retired == 1 && last_retired == &object && pd.object.refs == 2);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(!object_get(&object) && object.refs == 0 && retired == 1);
    }
    object.refs = UINT32_MAX - 1;
    CHECK(object_get(&object) && !object_get(&object) && object.refs == UINT32_MAX);
    ok_checks("the last reference retires; a dead object and a full count refuse further ones");
}

/* Whose end it is, by type; what the object refers to is dropped after that. */
static void test_destroy(void)
{
    static const char *const by[] = {
        [OBJECT_PD] = "pd",     [OBJECT_EC] = "ec",     [OBJECT_SC] = "sc",     [OBJECT_PT] = "slab",
        [OBJECT_SM] = "slab",   [OBJECT_OBJ] = "space", [OBJECT_HST] = "space", [OBJECT_GST] = "space",
        [OBJECT_DMA] = "space", [OBJECT_PIO] = "space", [OBJECT_MSR] = "space",
    };

    for (unsigned type = 0; type < OBJECT_TYPES; type++) {
        struct ec handler = {.object.refs = 3, .object.type = OBJECT_EC};
        struct pd pd = {.object.refs = 1, .object.type = OBJECT_PD};
        struct pt object = {.ec = &handler};
        retired = 0;
        destroyed_by = NULL;
        object_init(&object.object, (enum object_type)type, &pd);
        object_put(&pd.object); /* now the object alone keeps its PD */
        object.object.refs = 0;
        object_destroy(&object.object);
        CHECK(destroyed_by && strcmp(destroyed_by, by[type]) == 0 && destroyed == &object);
        CHECK(pd.object.refs == 0 && retired == 1 && last_retired == &pd.object);
        CHECK(handler.object.refs == (type == OBJECT_PT ? 2 : 3));
        destroyed_by = NULL;
        object.object.pd = NULL;
        object_destroy(&object.object);
        CHECK(destroyed_by && retired == 1);
    }
    ok_checks("each type is destroyed in its way, and lets go of its PD");
}

static struct object shared;

static void *hammer(void *argument)
{
    uint64_t state = (uintptr_t)argument + 1;
    unsigned held = 1; /* reference handed over by test_threads */

    for (unsigned i = 0; i < ROUNDS; i++) {
        if (tap_random(&state) % 2 && held < 10) {
            held += CHECK(object_get(&shared));
        } else if (held > 1) {
            object_put(&shared);
            held--;
        }
    }
    for (; held > 0; held--) {
        object_put(&shared);
    }
    /* Others may still hold some; in the end nobody does. */
    while (object_get(&shared)) {
        object_put(&shared);
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t threads[THREADS];

    retired = 0;
    object_init(&shared, OBJECT_SM, NULL);
    for (unsigned i = 1; i < THREADS; i++) {
        CHECK(object_get(&shared));
    }
    for (uintptr_t i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, hammer, (void *)i) != 0) {
            abort();
        }
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK(shared.refs == 0 && retired == 1);
    ok_checks("%u threads take and drop references: retired once", THREADS);
}

/* All threads drop the last references at the same time, over and over: exactly one of them retires. */
static pthread_barrier_t barrier;
static unsigned wrong;

static void *race(void *argument)
{
    for (unsigned i = 0; i < ROUNDS / 250; i++) {
        pthread_barrier_wait(&barrier);
        if (argument) { /* reviver */
            while (object_get(&shared)) {
                object_put(&shared);
            }
        } else {
            object_put(&shared);
        }
        if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD) {
            wrong += shared.refs != 0 || retired != 1;
            retired = 0;
            shared.refs = THREADS - 1;
        }
    }
    return NULL;
}

static void test_race(void)
{
    pthread_t threads[THREADS];

    retired = 0;
    object_init(&shared, OBJECT_SM, NULL);
    shared.refs = THREADS - 1;
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (uintptr_t i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, race, i ? NULL : &shared) != 0) {
            abort();
        }
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_barrier_destroy(&barrier);
    CHECK(!wrong);
    ok_checks("the last references dropped at once, %u times", ROUNDS / 250);
}

int main(void)
{
    test_rights();
    test_counts();
    test_unbind();
    test_destroy();
    test_threads();
    test_race();
    return tap_done();
}
