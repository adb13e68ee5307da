/*
 * Page pool and accounts: everything that is handed out is zeroed, aligned and handed out once; everything
 * that is freed coalesces; no charge is lost or invented, with threads either.
 *
 * Sources: mem/pool.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "mem/pool.h"
#include "mem/layout.h"
#include "tap.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define PAGES 4096UL
#define LARGEST (BIT(POOL_ORDERS - 1) * PAGE_SIZE)
#define THREADS 4
#define ROUNDS 50000
#define HELD 24

uint64_t kernel_delta;

struct block {
    unsigned char *start;
    unsigned order;
};

static uint64_t random_state = 1;

/* A pool of `pages` that starts `offset` pages behind a physical address aligned to the largest block. */
static void *new_pool(size_t pages, size_t offset)
{
    char *memory = aligned_alloc(PAGE_SIZE, (pages + offset) * PAGE_SIZE);

    if (!memory) {
        abort();
    }
    kernel_delta = (uint64_t)(uintptr_t)memory - 5 * LARGEST;
    memset(memory, 0xa5, (pages + offset) * PAGE_SIZE);
    pool_init(memory + offset * PAGE_SIZE, pages * PAGE_SIZE);
    return memory;
}

static bool filled(const unsigned char *start, size_t size, unsigned char byte)
{
    return start[0] == byte && memcmp(start, start + 1, size - 1) == 0;
}

/* Takes all memory in blocks of one order; checks and fills each. Returns how many there were. */
static size_t exhaust(struct block *blocks, unsigned order)
{
    size_t n = 0;

    for (;; n++) {
        unsigned char *p = page_alloc(NULL, order);
        if (!p) {
            return n;
        }
        CHECK(phys_of(p) % (PAGE_SIZE << order) == 0);
        CHECK(filled(p, PAGE_SIZE << order, 0));
        memset(p, (int)(n % 255 + 1), PAGE_SIZE << order);
        blocks[n] = (struct block){p, order};
    }
}

static void give_back(struct block *blocks, size_t n)
{
    for (size_t left = n; left > 0; left--) {
        size_t i = tap_random(&random_state) % left;
        page_free(NULL, blocks[i].start, blocks[i].order);
        blocks[i] = blocks[left - 1];
    }
}

/* For every order: nothing overlaps, and all that was free comes back, however it was freed. */
static void test_exhaust(size_t offset)
{
    static struct block blocks[PAGES];
    void *memory = new_pool(PAGES, offset);
    size_t most[POOL_ORDERS] = {0};

    CHECK(pool_free() == pool_size() && pool_size() < PAGES && pool_size() > PAGES - PAGES / 64);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned order = 0; order < POOL_ORDERS; order++) {
            size_t n = exhaust(blocks, order);
            CHECK(pool_free() == pool_size() - (n << order));
            CHECK(order != 0 || pool_free() == 0);
            for (size_t i = 0; i < n; i++) {
                CHECK(filled(blocks[i].start, PAGE_SIZE << order, (unsigned char)(i % 255 + 1)));
            }
            give_back(blocks, n);
            CHECK(pool_free() == pool_size());
            CHECK(round == 0 || n == most[order]);
            most[order] = n;
        }
    }
    /* Every naturally aligned block behind the descriptors can be had. */
    for (unsigned order = 0; order < POOL_ORDERS; order++) {
        size_t first = (offset + PAGES - pool_size() + BIT(order) - 1) >> order;
        CHECK(most[order] == ((offset + PAGES) >> order) - first);
    }
    CHECK(page_alloc(NULL, POOL_ORDERS) == NULL && page_alloc(NULL, 40) == NULL);
    CHECK(pool_free() == pool_size());
    ok_checks("pool at offset %zu: exhaustion and coalescing", offset);
    free(memory);
}

/* Random orders at random times: what is held keeps its contents. */
static void test_random(void)
{
    static struct block blocks[256];
    void *memory = new_pool(PAGES, 3);
    struct account account = {.limit = PAGES};
    uint64_t used = 0;

    memset(blocks, 0, sizeof(blocks));
    for (unsigned i = 0; i < 20000; i++) {
        struct block *b = &blocks[tap_random(&random_state) % 256];
        if (b->start) {
            CHECK(filled(b->start, PAGE_SIZE << b->order, (unsigned char)(b - blocks)));
            page_free(&account, b->start, b->order);
            b->start = NULL;
            used -= BIT(b->order);
        } else {
            b->order = (unsigned)bit_lowest(tap_random(&random_state) | BIT(POOL_ORDERS - 1));
            b->start = page_alloc(&account, b->order);
            if (b->start) {
                CHECK(phys_of(b->start) % (PAGE_SIZE << b->order) == 0);
                CHECK(filled(b->start, PAGE_SIZE << b->order, 0));
                memset(b->start, (int)(b - blocks), PAGE_SIZE << b->order);
                used += BIT(b->order);
            }
        }
        CHECK(account.used == used && pool_free() == pool_size() - used);
    }
    for (unsigned i = 0; i < 256; i++) {
        if (blocks[i].start) {
            page_free(&account, blocks[i].start, blocks[i].order);
        }
    }
    CHECK(account.used == 0 && pool_free() == pool_size());
    ok_checks("random orders");
    free(memory);
}

static void test_accounts(void)
{
    struct account top = {.limit = 100};
    struct account middle = {.parent = &top, .limit = 50};
    struct account left = {.parent = &middle, .limit = UINT64_MAX};
    struct account right = {.parent = &middle, .limit = 10};

    CHECK(account_charge(NULL, UINT64_MAX));
    CHECK(account_charge(&right, 10) && right.used == 10 && middle.used == 10 && top.used == 10);
    CHECK(!account_charge(&right, 1) && right.used == 10 && middle.used == 10 && top.used == 10);
    CHECK(account_charge(&left, 40) && left.used == 40 && middle.used == 50 && top.used == 50);
    CHECK(!account_charge(&left, 1) && left.used == 40 && middle.used == 50 && top.used == 50);
    CHECK(!account_charge(&left, UINT64_MAX) && left.used == 40 && middle.used == 50 && top.used == 50);
    CHECK(!account_charge(&left, UINT64_MAX - 39) && left.used == 40 && middle.used == 50);
    CHECK(account_charge(&top, 50) && top.used == 100 && middle.used == 50);
    account_release(&left, 1);
    CHECK(left.used == 39 && middle.used == 49 && top.used == 99);
    CHECK(account_charge(&left, 1) && !account_charge(&left, 1));
    top.limit = 20;
    account_release(&left, 40);
    CHECK(!account_charge(&left, 1));
    account_release(&top, 50);
    CHECK(account_charge(&left, 10) && !account_charge(&left, 1));
    account_release(&left, 10);
    account_release(&right, 10);
    CHECK(!left.used && !right.used && !middle.used && !top.used);
    ok_checks("accounts: limits hold, a charge that fails leaves nothing behind");
}

static void test_charges(void)
{
    void *memory = new_pool(256, 0);
    struct account top = {.limit = 1000000};
    struct account account = {.parent = &top, .limit = 8};

    CHECK(page_alloc(&account, 4) == NULL);
    CHECK(pool_free() == pool_size() && !account.used && !top.used);
    void *pages = page_alloc(&account, 3);
    CHECK(pages && account.used == 8 && top.used == 8);
    CHECK(page_alloc(&account, 0) == NULL);
    page_free(&account, pages, 3);
    CHECK(!account.used && !top.used);

    account.limit = 1000000;
    CHECK(page_alloc(&account, 8) == NULL && page_alloc(&account, POOL_ORDERS) == NULL);
    CHECK(!account.used && !top.used && pool_free() == pool_size());
    ok_checks("allocations are charged; one that fails is not");
    free(memory);
}

static void test_lists(void)
{
    void *memory = new_pool(64, 0);
    struct page_list list = {0}, other = {0};
    unsigned char *pages[16];
    unsigned tag = 99;

    CHECK(page_list_pop(&list, &tag) == NULL && tag == 99);
    for (unsigned i = 0; i < 16; i++) {
        pages[i] = page_alloc(NULL, 0);
        memset(pages[i], 0x5a, PAGE_SIZE);
        page_list_push(i % 4 ? &list : &other, pages[i], i * 17);
    }
    for (unsigned i = 16; i-- > 0;) {
        CHECK(page_list_pop(i % 4 ? &list : &other, &tag) == pages[i]);
        CHECK(tag == i * 17);
        CHECK(filled(pages[i], PAGE_SIZE, 0x5a));
    }
    CHECK(!page_list_pop(&list, &tag) && !page_list_pop(&other, &tag));
    for (unsigned i = 0; i < 16; i++) {
        page_free(NULL, pages[i], 0);
    }
    CHECK(pool_free() == pool_size());
    ok_checks("page lists keep pages, tags and contents");
    free(memory);
}

static struct account shared = {.limit = 200};
static struct account own[THREADS];
static unsigned refused[THREADS];

static void *hammer(void *argument)
{
    unsigned self = (unsigned)(uintptr_t)argument;
    uint64_t state = self + 1;
    struct block blocks[HELD] = {0};
    unsigned char mark = (unsigned char)(self + 1);

    own[self] = (struct account){.parent = &shared, .limit = 80};
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct block *b = &blocks[tap_random(&state) % HELD];
        if (b->start) {
            CHECK(filled(b->start, PAGE_SIZE << b->order, mark));
            page_free(&own[self], b->start, b->order);
            b->start = NULL;
            continue;
        }
        b->order = bit_lowest(tap_random(&state) | 1 << 6);
        b->start = page_alloc(&own[self], b->order);
        if (b->start) {
            CHECK(filled(b->start, PAGE_SIZE << b->order, 0));
            memset(b->start, mark, PAGE_SIZE << b->order);
        } else {
            refused[self]++;
        }
        CHECK(READ_ONCE(shared.used) <= shared.limit && READ_ONCE(own[self].used) <= own[self].limit);
    }
    for (unsigned i = 0; i < HELD; i++) {
        if (blocks[i].start) {
            page_free(&own[self], blocks[i].start, blocks[i].order);
        }
    }
    return NULL;
}

static void test_threads(void)
{
    void *memory = new_pool(256, 1);
    pthread_t threads[THREADS];

    for (uintptr_t i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, hammer, (void *)i) != 0) {
            abort();
        }
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        CHECK(own[i].used == 0);
        printf("# thread %u was refused %u times\n", i, refused[i]);
    }
    CHECK(shared.used == 0 && pool_free() == pool_size());
    ok_checks("%u threads share pool and parent account", THREADS);
    free(memory);
}

/* A charge that fails never makes another one fail that fits. */
static void *greedy(void *argument)
{
    struct account account = {.parent = argument, .limit = UINT64_MAX};

    for (unsigned i = 0; i < ROUNDS; i++) {
        CHECK(!account_charge(&account, 200));
    }
    return NULL;
}

static void *modest(void *argument)
{
    struct account account = {.parent = argument, .limit = 1};

    for (unsigned i = 0; i < ROUNDS; i++) {
        if (CHECK(account_charge(&account, 1))) {
            account_release(&account, 1);
        }
    }
    return NULL;
}

static void test_fairness(void)
{
    struct account parent = {.limit = 100};
    pthread_t threads[2];

    if (pthread_create(&threads[0], NULL, greedy, &parent) ||
        pthread_create(&threads[1], NULL, modest, &parent)) {
        abort();
    }
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    CHECK(parent.used == 0);
    ok_checks("a charge that is too large disturbs nobody");
}

int main(void)
{
    test_exhaust(0);
    test_exhaust(1);
    test_exhaust(1023);
    test_exhaust(300);
    test_random();
    test_accounts();
    test_charges();
    test_lists();
    test_threads();
    test_fairness();
    return tap_done();
}
