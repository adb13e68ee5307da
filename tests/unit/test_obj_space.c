/*
 * Object spaces: after any series of operations, slots hold what a plain array would, each object has as many
 * references as there are slots that name it, and lack of memory changes nothing but the slots before it.
 *
 * Sources: core/space_obj.c core/space.c core/object.c core/pd.c mem/pool.c mem/slab.c
 *
 * SPDX-License-Identifier: MIT
 */

#define _GNU_SOURCE
#include "core/ec.h"
#include "core/grace.h"
#include "core/sc.h"
#include "low.h"
#include "nova/abi/cap.h"
#include "nova/abi/hypercall.h"
#include "tap.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#define PAGES 4096UL
#define OBJECTS 40
#define SPACES 2
#define ROUNDS 20000
#define THREADS 3

uint64_t kernel_delta;

/* Grace periods are over at once, where a test wants it. */
static struct object *dead;
static unsigned dead_count;

void grace_retire(struct object *object)
{
    struct object *first = __atomic_load_n(&dead, __ATOMIC_RELAXED);

    do {
        object->next = first;
    } while (!__atomic_compare_exchange_n(&dead, &first, object, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
    __atomic_fetch_add(&dead_count, 1, __ATOMIC_RELAXED);
}

static unsigned bury(void)
{
    unsigned count = dead_count;

    while (dead) {
        struct object *object = dead;
        dead = object->next;
        dead_count--;
        object_destroy(object);
    }
    return count;
}

/* Types that do not occur here. */
#define ABSENT(result, name, type)                                                                           \
    result name(type *object)                                                                                \
    {                                                                                                        \
        (void)object;                                                                                        \
        abort();                                                                                             \
    }

ABSENT(void, ec_destroy, struct ec)
ABSENT(void, sc_destroy, struct sc)
ABSENT(unsigned, hst_create, struct space)
ABSENT(unsigned, gst_create, struct space)
ABSENT(unsigned, bitmap_create, struct space)
ABSENT(void, mem_destroy, struct space)
ABSENT(void, bitmap_destroy, struct space)

static struct pd *root;
static struct space_obj *spaces[SPACES];
static struct pd *owners[SPACES];
static struct object *objects[OBJECTS];
static cap model[SPACES][OBJ_SELECTORS];
static uint64_t random_state = 1;

/* Semaphores, space objects and portals: whatever, as long as the type has its permissions. */
static const uint8_t object_types[] = {OBJECT_SM,  OBJECT_PT,  OBJECT_EC, OBJECT_PD,
                                       OBJECT_OBJ, OBJECT_MSR, OBJECT_SC};

static void create(void)
{
    for (unsigned i = 0; i < SPACES; i++) {
        struct object *object = NULL;
        owners[i] = pd_create(root, 2000);
        CHECK(owners[i] && space_create(OBJECT_OBJ, owners[i], &object) == NOVA_SUCCESS);
        spaces[i] = (struct space_obj *)object;
        memset(model[i], 0, sizeof(model[i]));
    }
    for (unsigned i = 0; i < OBJECTS; i++) {
        objects[i] = slab_alloc(&root->small);
        object_init(objects[i], object_types[i % ARRAY_SIZE(object_types)], NULL);
    }
}

/* Every slot is as expected, and every reference is accounted for. */
static void compare(void)
{
    uint32_t refs[OBJECTS] = {0};

    for (unsigned i = 0; i < SPACES; i++) {
        for (uint64_t sel = 0; sel < OBJ_SELECTORS; sel++) {
            cap c = obj_lookup(spaces[i]->tables, sel);
            CHECK(c == model[i][sel]);
            for (unsigned j = 0; c && j < OBJECTS; j++) {
                refs[j] += cap_object(c) == objects[j];
            }
        }
        CHECK(!obj_lookup(spaces[i]->tables, OBJ_SELECTORS) && !obj_lookup(spaces[i]->tables, UINT64_MAX));
    }
    for (unsigned i = 0; i < OBJECTS; i++) {
        CHECK(objects[i]->refs == refs[i] + 1);
    }
    for (unsigned i = 0; i < OBJ_SLOTS; i++) {
        CHECK(!obj_null[i]);
    }
}

/* Spaces go first; then only the test's own references are left, and all memory comes back. */
static void destroy(void)
{
    for (unsigned i = 0; i < SPACES; i++) {
        object_put(&spaces[i]->space.object);
        CHECK(bury() == 1 && !owners[i]->spaces[OBJECT_OBJ] && owners[i]->object.refs == 1);
        object_put(&owners[i]->object);
        CHECK(bury() == 1);
    }
    for (unsigned i = 0; i < OBJECTS; i++) {
        CHECK(objects[i]->refs == 1);
        slab_free(objects[i]);
    }
    CHECK(root->object.refs == 1);
    CHECK(root->account.used == 0 && pool_free() == pool_size() - 1);
}

static void insert(unsigned space, uint64_t sel, struct object *object, unsigned perms)
{
    cap c = cap_make(object, perms);
    unsigned status = obj_reserve(spaces[space], sel);

    CHECK(status == (model[space][sel] ? NOVA_BAD_CAP : NOVA_SUCCESS));
    CHECK(object_get(object));
    status = obj_insert(spaces[space], sel, c);
    CHECK(status == (model[space][sel] ? NOVA_BAD_CAP : NOVA_SUCCESS));
    if (status == NOVA_SUCCESS) {
        model[space][sel] = c;
    }
    if (status != NOVA_SUCCESS || !c) {
        object_put(object);
    }
}

static cap masked(cap c, unsigned pmm)
{
    return c ? cap_make(cap_object(c), cap_perms(c) & pmm) : 0;
}

static void delegate(unsigned src, unsigned dst, uint64_t ssb, uint64_t dsb, unsigned ord, unsigned pmm)
{
    CHECK(obj_delegate(spaces[src], spaces[dst], ssb, dsb, ord, pmm) == NOVA_SUCCESS);
    for (uint64_t i = 0; i < BIT(ord); i++) {
        model[dst][dsb + i] = masked(model[src][ssb + i], pmm);
    }
}

static void test_masks(void)
{
    create();
    for (unsigned i = 0; i < ARRAY_SIZE(object_types); i++) {
        insert(0, i, objects[i], NOVA_PERM_ALL);
    }
    for (unsigned pmm = 0; pmm < 32; pmm++) {
        delegate(0, 1, 0, 64, 3, pmm);
        for (unsigned i = 0; i < ARRAY_SIZE(object_types); i++) {
            cap c = obj_lookup(spaces[1]->tables, 64 + i);
            unsigned perms = pmm & object_rights[object_types[i]].perms;
            CHECK(perms ? cap_object(c) == objects[i] && cap_perms(c) == perms : !c);
        }
        /* Rights that were lost cannot be had back. */
        delegate(1, 1, 64, 128, 3, NOVA_PERM_ALL);
        delegate(1, 0, 128, 256, 3, 0x15);
    }
    compare();
    CHECK(!dead);
    destroy();
    ok_checks("all permission masks");
}

/* The whole space onto itself and onto another one; ranges that begin where others end. */
static void test_overlap(void)
{
    create();
    for (unsigned i = 0; i < 2000; i++) {
        uint64_t sel = tap_random(&random_state) % OBJ_SELECTORS;
        insert(0, sel, objects[i % OBJECTS], (unsigned)tap_random(&random_state) % 32);
    }
    insert(0, 0, objects[0], NOVA_PERM_ALL);
    insert(0, OBJ_SELECTORS - 1, objects[1], NOVA_PERM_ALL);
    compare();
    delegate(0, 0, 0, 0, OBJ_BITS, NOVA_PERM_ALL); /* changes nothing */
    compare();
    delegate(0, 0, 0, BIT(OBJ_BITS - 1), OBJ_BITS - 1, NOVA_PERM_ALL);
    compare();
    delegate(0, 1, 0, 0, OBJ_BITS, NOVA_PERM_ALL);
    compare();
    delegate(0, 0, 0, 0, OBJ_BITS, 0x3); /* takes rights away from itself */
    delegate(1, 0, 512, 0, 9, NOVA_PERM_ALL);
    compare();
    delegate(1, 1, 0, 0, OBJ_BITS, 0);
    compare();
    delegate(0, 0, 0, 0, OBJ_BITS, 0);
    compare();
    CHECK(!dead);
    destroy();
    ok_checks("whole spaces; source and destination the same");
}

static void test_random(void)
{
    create();
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t r = tap_random(&random_state);
        unsigned src = r & 1, dst = r >> 1 & 1,
                 ord = (unsigned)bit_lowest(tap_random(&random_state) | BIT(12));
        uint64_t ssb = tap_random(&random_state) % OBJ_SELECTORS >> ord << ord;
        uint64_t dsb = tap_random(&random_state) % OBJ_SELECTORS >> ord << ord;
        if (r >> 2 & 1) {
            ssb %= 4096; /* where most of them are */
            dsb %= 4096;
            ord = (unsigned)min_u64(ord, 12);
        }
        if (r >> 3 & 1) {
            insert(dst, dsb, objects[r >> 32 & 31], r >> 16 & 31);
        } else {
            delegate(src, dst, ssb, dsb, ord, r >> 16 & 1 ? NOVA_PERM_ALL : r >> 20 & 31);
        }
        if (round % 4000 == 0) {
            compare();
        }
    }
    compare();
    CHECK(!dead);
    destroy();
    ok_checks("%u random insertions and delegations, against a model", ROUNDS);
}

/* Space and tables are allocated with 0, 1, 2 ... pages left. */
static void test_memory(void)
{
    create();
    for (unsigned i = 0; i < 8; i++) {
        insert(0, i * OBJ_SLOTS + i, objects[i], NOVA_PERM_ALL);
    }
    for (unsigned pages = 0; pages <= 10; pages++) {
        struct pd *pd = pd_create(root, pages);
        struct object *object = NULL;
        unsigned status = space_create(OBJECT_OBJ, pd, &object);
        CHECK(status == (pages < 2 ? NOVA_MEM_OBJ : NOVA_SUCCESS)); /* slab and root table */
        CHECK(pd->account.used <= pages && pd->object.refs == (pages < 2 ? 1 : 2));
        if (status == NOVA_SUCCESS) {
            struct space_obj *obj = (struct space_obj *)object;
            unsigned tables = pages - 2;
            CHECK(pd->spaces[OBJECT_OBJ] == &obj->space && space_create(OBJECT_OBJ, pd, &object) == NOVA_ABORTED);
            /* Without memory, nulls can be delegated and nothing else. */
            CHECK(obj_delegate(spaces[0], obj, 0, 0, OBJ_BITS, 0) == NOVA_SUCCESS && pd->account.used == 2);
            status = obj_delegate(spaces[0], obj, 0, 0, 12, NOVA_PERM_ALL);
            CHECK(status == (tables < 8 ? NOVA_MEM_CAP : NOVA_SUCCESS));
            for (unsigned i = 0; i < 8; i++) {
                cap c = obj_lookup(obj->tables, i * OBJ_SLOTS + i);
                CHECK(c == (i < tables ? model[0][i * OBJ_SLOTS + i] : 0));
                CHECK(objects[i]->refs == (i < tables ? 3 : 2));
            }
            status = obj_reserve(obj, 9 * OBJ_SLOTS);
            CHECK(status == (tables < 9 ? NOVA_MEM_CAP : NOVA_SUCCESS));
            status = obj_insert(obj, 9 * OBJ_SLOTS, 0);
            CHECK(status == (tables < 9 ? NOVA_MEM_CAP : NOVA_SUCCESS));
            CHECK(obj_reserve(obj, OBJ_SELECTORS) == NOVA_BAD_CAP &&
                  obj_reserve(obj, UINT64_MAX) == NOVA_BAD_CAP);
            object_put(&obj->space.object);
            CHECK(bury() == 1 && !pd->spaces[OBJECT_OBJ]);
        }
        CHECK(pd->account.used == 0);
        object_put(&pd->object);
        CHECK(bury() == 1);
    }
    compare();
    destroy();
    ok_checks("with memory for any number of tables");
}

/* What dies while it is being delegated, and what dies with the space that held it. */
static void test_death(void)
{
    create();
    insert(0, 5, objects[0], NOVA_PERM_ALL);
    object_put(objects[0]);
    CHECK(objects[0]->refs == 1 && !dead);
    uint32_t refs = objects[0]->refs;
    objects[0]->refs = 0; /* another CPU has just dropped the last reference */
    CHECK(obj_delegate(spaces[0], spaces[1], 5, 7, 0, NOVA_PERM_ALL) == NOVA_SUCCESS);
    CHECK(!obj_lookup(spaces[1]->tables, 7) && objects[0]->refs == 0 && !dead);
    objects[0]->refs = refs;
    delegate(0, 1, 5, 7, 0, NOVA_PERM_ALL);
    CHECK(objects[0]->refs == 2);
    delegate(0, 0, 6, 5, 0, NOVA_PERM_ALL); /* overwritten with null */
    CHECK(objects[0]->refs == 1 && !dead);
    delegate(0, 1, 0, 7, 0, NOVA_PERM_ALL);
    CHECK(objects[0]->refs == 0 && dead == objects[0] && !objects[0]->next);
    dead = NULL;
    dead_count = 0;
    object_init(objects[0], OBJECT_SM, NULL);
    compare();

    /* A space that is only in a slot of another one, which holds the last reference to something. */
    struct pd *pd = pd_create(root, 10);
    struct object *inner = NULL;
    CHECK(space_create(OBJECT_OBJ, pd, &inner) == NOVA_SUCCESS);
    struct object *last = slab_alloc(&pd->small);
    object_init(last, OBJECT_SM, pd);
    CHECK(obj_insert((struct space_obj *)inner, 1000, cap_make(last, NOVA_SM_CTRL_UP)) == NOVA_SUCCESS);
    CHECK(obj_insert(spaces[0], 9, cap_make(inner, NOVA_SPC_TAKE)) == NOVA_SUCCESS);
    object_put(&pd->object);
    CHECK(pd->object.refs == 2 && !dead);
    CHECK(obj_delegate(spaces[0], spaces[0], 9, 9, 0, 0) == NOVA_SUCCESS);
    CHECK(dead == inner && bury() == 1 && !dead);
    destroy();
    ok_checks("dead objects are not delegated; the last slot retires what it names");
}

/* Threads fill and empty the same slots. */
static void *hammer(void *argument)
{
    uint64_t state = (uintptr_t)argument + 1;

    for (unsigned i = 0; i < 4 * ROUNDS; i++) {
        uint64_t r = tap_random(&state), sel = (r & 1) * OBJ_SLOTS;
        struct object *object = objects[r >> 8 & 31];
        cap c = cap_make(object, 1);
        if (r >> 16 & 1) {
            CHECK(obj_delegate(spaces[0], spaces[1], 0, sel, 1, NOVA_PERM_ALL) == NOVA_SUCCESS);
        } else if (r >> 17 & 1) {
            CHECK(obj_delegate(spaces[1], spaces[1], sel, sel ^ OBJ_SLOTS, 1, NOVA_PERM_ALL) == NOVA_SUCCESS);
        } else if (r >> 18 & 1) {
            CHECK(object_get(object));
            if (obj_insert(spaces[1], sel, c) != NOVA_SUCCESS) {
                object_put(object);
            }
        } else {
            CHECK(obj_delegate(spaces[1], spaces[1], sel, sel, 1, 0) == NOVA_SUCCESS);
        }
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t threads[THREADS];

    create();
    insert(0, 0, objects[0], NOVA_PERM_ALL);
    insert(0, 1, objects[1], NOVA_PERM_ALL);
    for (uintptr_t i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, hammer, (void *)i) != 0) {
            abort();
        }
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (uint64_t sel = 0; sel < OBJ_SELECTORS; sel++) {
        model[1][sel] = obj_lookup(spaces[1]->tables, sel);
    }
    compare();
    CHECK(!dead && owners[1]->account.used == 2 + 2);
    destroy();
    ok_checks("%u threads change the same slots", THREADS);
}

/* Threads need the same new table at the same time. */
static unsigned arrived;

static void *race(void *argument)
{
    uint64_t self = (uintptr_t)argument;

    for (unsigned i = 0; i < OBJ_SLOTS; i++) {
        __atomic_fetch_add(&arrived, 1, __ATOMIC_ACQ_REL);
        for (unsigned spins = 0; __atomic_load_n(&arrived, __ATOMIC_ACQUIRE) < (i + 1) * 2; spins++) {
            if (spins > 1000) {
                sched_yield();
            }
        }
        CHECK(object_get(objects[self]));
        CHECK(obj_insert(spaces[1], i * OBJ_SLOTS + self, cap_make(objects[self], 1)) == NOVA_SUCCESS);
    }
    return NULL;
}

static void test_tables(void)
{
    for (unsigned round = 0; round < 4; round++) {
        pthread_t thread;
        create();
        arrived = 0;
        if (pthread_create(&thread, NULL, race, (void *)1) != 0) {
            abort();
        }
        race(NULL);
        pthread_join(thread, NULL);
        for (unsigned i = 0; i < OBJ_SLOTS; i++) {
            for (unsigned j = 0; j < 2; j++) {
                CHECK(obj_lookup(spaces[1]->tables, i * OBJ_SLOTS + j) == cap_make(objects[j], 1));
            }
        }
        CHECK(owners[1]->account.used == 2 + OBJ_SLOTS);
        destroy();
    }
    ok_checks("two threads need the same tables");
}

int main(void)
{
    void *memory = low_memory(PAGES * PAGE_SIZE);

    kernel_delta = (uint64_t)(uintptr_t)memory - 0x1000000;
    pool_init(memory, PAGES * PAGE_SIZE);
    root = pd_create(NULL, PAGES);
    test_masks();
    test_overlap();
    test_random();
    test_memory();
    test_death();
    test_threads();
    test_tables();
    return tap_done();
}
