/*
 * Slabs: objects are zeroed, aligned and distinct; pages are charged, an empty one is kept, none is lost,
 * with threads either.
 *
 * Sources: mem/slab.c mem/pool.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "mem/slab.h"
#include "mem/layout.h"
#include "tap.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define PAGES 256UL
#define OBJECTS 4096
#define THREADS 4
#define ROUNDS 100000
#define HELD 40

uint64_t kernel_delta;

static uint64_t random_state = 1;

static bool filled(const unsigned char *start, size_t size, unsigned char byte)
{
    return start[0] == byte && memcmp(start, start + 1, size - 1) == 0;
}

/* Allocates until the account refuses; returns how many objects there are. */
static size_t exhaust(struct slab *slab, unsigned char **objects, uint32_t size)
{
    size_t n = 0;

    for (; n < OBJECTS; n++) {
        objects[n] = slab_alloc(slab);
        if (!objects[n]) {
            break;
        }
        CHECK((uintptr_t)objects[n] % 64 == 0);
        CHECK((uintptr_t)objects[n] % PAGE_SIZE >= 64 &&
              (uintptr_t)objects[n] % PAGE_SIZE + size <= PAGE_SIZE);
        CHECK(filled(objects[n], size, 0));
        memset(objects[n], (int)(n % 255 + 1), size);
    }
    return n;
}

static void test_size(uint32_t size)
{
    static unsigned char *objects[OBJECTS];
    struct account account = {.limit = 10};
    struct slab slab;
    size_t each = (PAGE_SIZE - 64) / size;

    slab_init(&slab, &account, size);
    for (unsigned round = 0; round < 3; round++) {
        size_t n = exhaust(&slab, objects, size);
        CHECK(n == 10 * each && account.used == 10);
        for (size_t i = 0; i < n; i++) {
            CHECK(filled(objects[i], size, (unsigned char)(i % 255 + 1)));
        }
        /* One that comes back can be had again although the account is exhausted. */
        size_t again = tap_random(&random_state) % n;
        slab_free(objects[again]);
        CHECK(slab_alloc(&slab) == objects[again] && filled(objects[again], size, 0));
        CHECK(slab_alloc(&slab) == NULL);
        for (size_t left = n; left > 0; left--) {
            size_t i = tap_random(&random_state) % left;
            slab_free(objects[i]);
            objects[i] = objects[left - 1];
            CHECK(account.used * each >= left - 1);
        }
        CHECK(account.used == 0);
    }
    CHECK(account.used == 0 && pool_free() == pool_size());
    ok_checks("objects of %u bytes", size);
}

/* Pages are not held longer than needed, and those in use are filled before a new page is. */
static void test_pages(void)
{
    struct account account = {.limit = 100};
    struct slab slab;
    unsigned char *objects[93];

    slab_init(&slab, &account, 128);
    CHECK(account.used == 0);
    for (unsigned i = 0; i < 93; i++) {
        objects[i] = slab_alloc(&slab);
    }
    CHECK(account.used == 3);
    for (unsigned i = 0; i < 31; i++) {
        slab_free(objects[i]);
    }
    CHECK(account.used == 2); /* the first page is empty */
    for (unsigned i = 31; i < 62; i++) {
        slab_free(objects[i]);
    }
    CHECK(account.used == 1);
    slab_free(objects[62]);
    CHECK(slab_alloc(&slab) == objects[62]);
    objects[0] = slab_alloc(&slab);
    CHECK(account.used == 2);
    for (unsigned i = 0; i < 10; i++) {
        slab_free(objects[0]);
        objects[0] = slab_alloc(&slab);
        CHECK(account.used == 2 && objects[0]);
    }
    slab_free(objects[0]);
    for (unsigned i = 62; i < 93; i++) {
        slab_free(objects[i]);
    }
    CHECK(account.used == 0 && pool_free() == pool_size());
    ok_checks("empty pages go back at once");
}

static void test_parents(void)
{
    struct account top = {.limit = 1};
    struct account accounts[2] = {{.parent = &top, .limit = 10}, {.parent = &top, .limit = 10}};
    struct slab slabs[2];

    slab_init(&slabs[0], &accounts[0], 192);
    slab_init(&slabs[1], &accounts[1], 192);
    void *object = slab_alloc(&slabs[0]);
    CHECK(object && top.used == 1 && accounts[0].used == 1);
    CHECK(slab_alloc(&slabs[1]) == NULL && accounts[1].used == 0);
    slab_free(object);
    object = slab_alloc(&slabs[1]);
    CHECK(object && top.used == 1 && accounts[0].used == 0 && accounts[1].used == 1);
    slab_free(object);
    CHECK(top.used == 0 && pool_free() == pool_size());
    ok_checks("the account pays, and its parent");
}

static struct account account;
static struct slab shared;
static unsigned char *mailbox[THREADS]; /* object to be freed by another thread */

static void *hammer(void *argument)
{
    unsigned self = (unsigned)(uintptr_t)argument;
    uint64_t state = self + 1;
    unsigned char *objects[HELD] = {0};
    unsigned char mark = (unsigned char)(self + 1);

    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned char **o = &objects[tap_random(&state) % HELD];
        if (*o) {
            CHECK(filled(*o, 192, mark));
            if (i % 8 == 0) {
                *o = __atomic_exchange_n(&mailbox[(self + 1) % THREADS], *o, __ATOMIC_ACQ_REL);
            }
            if (*o) {
                slab_free(*o);
            }
            *o = NULL;
        } else {
            *o = slab_alloc(&shared);
            if (*o) {
                CHECK(filled(*o, 192, 0));
                memset(*o, mark, 192);
            }
        }
        /* From time to time everything is freed, so that pages come and go. */
        for (unsigned j = 0; i % 256 == 0 && j < HELD; j++) {
            if (objects[j]) {
                slab_free(objects[j]);
                objects[j] = NULL;
            }
        }
    }
    for (unsigned j = 0; j < HELD; j++) {
        if (objects[j]) {
            slab_free(objects[j]);
        }
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t threads[THREADS];

    account = (struct account){.limit = 4};
    slab_init(&shared, &account, 192);
    for (uintptr_t i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, hammer, (void *)i) != 0) {
            abort();
        }
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        if (mailbox[i]) {
            slab_free(mailbox[i]);
        }
    }
    CHECK(account.used == 0 && pool_free() == pool_size());
    ok_checks("%u threads share a slab", THREADS);
}

/* All threads find the slab empty at the same time: one page is enough for them. */

#define BURSTS 3000

static unsigned arrived;

static void meet(unsigned *round)
{
    unsigned all = ++*round * (THREADS + 1);

    __atomic_fetch_add(&arrived, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&arrived, __ATOMIC_ACQUIRE) < all) {
        sched_yield();
    }
}

static void *burst(void *argument)
{
    unsigned round = 0;

    (void)argument;
    for (unsigned i = 0; i < BURSTS; i++) {
        meet(&round);
        void *object = slab_alloc(&shared);
        CHECK(object);
        meet(&round);
        meet(&round);
        slab_free(object);
        meet(&round);
    }
    return NULL;
}

static void test_burst(void)
{
    pthread_t threads[THREADS];
    unsigned round = 0;

    account = (struct account){.limit = THREADS};
    slab_init(&shared, &account, 192);
    for (unsigned i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, burst, NULL) != 0) {
            abort();
        }
    }
    for (unsigned i = 0; i < BURSTS; i++) {
        meet(&round);
        meet(&round);
        CHECK(account.used == 1);
        meet(&round);
        meet(&round);
        CHECK(account.used == 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK(pool_free() == pool_size());
    ok_checks("%u threads need a page at once and share it", THREADS);
}

int main(void)
{
    void *memory = aligned_alloc(PAGE_SIZE, PAGES * PAGE_SIZE);

    if (!memory) {
        abort();
    }
    kernel_delta = (uint64_t)(uintptr_t)memory - 0x1000000;
    memset(memory, 0xa5, PAGES * PAGE_SIZE);
    pool_init(memory, PAGES * PAGE_SIZE);

    test_size(64);
    test_size(128);
    test_size(192);
    test_size(448);
    test_size(960);
    test_pages();
    test_parents();
    test_threads();
    test_burst();
    free(memory);
    return tap_done();
}
