/*
 * Memory: random requests against a model. Root's answers change mappings of this process, so that rights are real.
 *
 * Sources: libnova/src/mem.c libnova/src/bits.c
 * Fakes: sync.c
 *
 * SPDX-License-Identifier: MIT
 */

#define _GNU_SOURCE /* memfd_create */

#include "tap.h"

#include <nova/error.h>
#include <nova/parent.h>
#include <nova/mem.h>
#include <nova/start.h>
#include <pthread.h>
#include <signal.h>
#include <setjmp.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define POOL 0x610000000000UL
#define PAGES 300U
#define USED 20U

struct nova_info fake_info = {
    .pool_start = POOL, .pool_size = PAGES * NOVA_PAGE, .pool_used = USED * NOVA_PAGE - 100};

static uint64_t seed = 31337;
static int pool_file;
static bool no_tables; /* mapping fails at times */
static unsigned calls;

static uint32_t rnd(uint32_t n)
{
    return (uint32_t)(tap_random(&seed) % n);
}

static bool present[4 * PAGES + 1024];

/* What is mapped already needs no table, so changing it cannot fail. */
int nova_parent_call(uint64_t *word, unsigned count, unsigned reply)
{
    bool fresh = false;
    uint64_t from = word[2], to = word[3], size = word[4] * NOVA_PAGE, right = word[5];
    int rights = (right & NOVA_MEM_R ? PROT_READ : 0) | (right & NOVA_MEM_W ? PROT_WRITE : 0);

    CHECK(word[0] == NOVA_PARENT_MAP && !word[1] && count == 6 && reply == 1);
    CHECK(word[4] && word[4] <= NOVA_MAP_MAX && from % NOVA_PAGE == 0 && to % NOVA_PAGE == 0);
    CHECK(from >= POOL + USED * NOVA_PAGE && from + size <= POOL + PAGES * NOVA_PAGE);
    CHECK(to >= NOVA_WINDOW_ADDR && to + size <= NOVA_WINDOW_END);
    calls++;
    for (uint64_t n = 0; n < word[4]; n++)
        fresh |= !present[(to - NOVA_WINDOW_ADDR) / NOVA_PAGE + n];
    if (no_tables && right && fresh && !rnd(20))
        return NOVA_ERR_MEMORY;
    memset(&present[(to - NOVA_WINDOW_ADDR) / NOVA_PAGE], right != 0, word[4]);
    if (rights)
        CHECK(mmap((void *)to, size, rights, MAP_SHARED | MAP_FIXED, pool_file, (off_t)(from - POOL)) !=
              MAP_FAILED);
    else
        CHECK(!munmap((void *)to, size));
    return NOVA_OK;
}

static sigjmp_buf jump;

static void on_fault(int signal)
{
    (void)signal;
    siglongjmp(jump, 1);
}

/* 0: no access; otherwise rights. */
__attribute__((no_sanitize("address"))) static unsigned probe(volatile char *p)
{
    if (sigsetjmp(jump, 1))
        return 0;
    char c = *p;
    if (sigsetjmp(jump, 1))
        return NOVA_MEM_R;
    *p = c;
    return NOVA_MEM_R | NOVA_MEM_W;
}

/* What is expected of a page of the windows: reserved, has memory, rights, a byte in it. */
#define MODEL 1600U /* fewer than there are */
static struct page {
    bool reserved, memory;
    unsigned rights;
    char value;
} model[MODEL];

static char *page_at(unsigned n)
{
    return (char *)NOVA_WINDOW_ADDR + n * NOVA_PAGE;
}

__attribute__((no_sanitize("address"))) static void poke(unsigned n)
{
    if (model[n].memory && model[n].rights & NOVA_MEM_W)
        *page_at(n) = model[n].value = (char)(1 + rnd(100));
}

__attribute__((no_sanitize("address"))) static void verify(unsigned first, unsigned count)
{
    for (unsigned n = first; n < first + count && n < MODEL; n++) {
        unsigned rights = model[n].memory ? model[n].rights : 0;
        CHECK(probe(page_at(n)) == rights);
        if (rights)
            CHECK(*page_at(n) == model[n].value);
    }
}

static void step(void)
{
    static const unsigned rights_of[] = {0, NOVA_MEM_R, NOVA_MEM_R | NOVA_MEM_W, NOVA_MEM_W};
    unsigned first = rnd(MODEL), count = 1 + rnd(40), rights = rights_of[rnd(4)], what = rnd(6);
    bool all = first + count <= MODEL, none = true;
    size_t size = count * NOVA_PAGE;
    void *at;
    int error;

    for (unsigned n = first; n < first + count && n < MODEL; n++) {
        all &= model[n].reserved;
        none &= !model[n].reserved;
    }
    if (first + count > MODEL)
        return;
    switch (what) {
    case 0:
        if (nova_mem_reserve(size, &at))
            return;
        first = (unsigned)(((char *)at - page_at(0)) / (long)NOVA_PAGE);
        if (first + count > MODEL) {
            CHECK(!nova_mem_release(at, size));
            return;
        }
        for (unsigned n = first; n < first + count; n++) {
            CHECK(!model[n].reserved);
            model[n] = (struct page){.reserved = true};
        }
        break;
    case 1:
        error = nova_mem_reserve_at(page_at(first), size);
        CHECK(error == (none ? NOVA_OK : NOVA_ERR_BUSY));
        for (unsigned n = first; !error && n < first + count; n++)
            model[n] = (struct page){.reserved = true};
        break;
    case 2:
    case 3:
        error = what == 2 ? nova_mem_map(page_at(first), size, rights)
                          : nova_mem_protect(page_at(first), size, rights);
        CHECK(all ? error == NOVA_OK || error == NOVA_ERR_MEMORY : error == NOVA_ERR_INVAL);
        for (unsigned n = first; !error && n < first + count; n++) {
            if (what == 2 && !model[n].memory)
                model[n] = (struct page){.reserved = true, .memory = true};
            model[n].rights = rights ? rights | NOVA_MEM_R : 0;
        }
        break;
    default:
        error = what == 4 ? nova_mem_unmap(page_at(first), size) : nova_mem_release(page_at(first), size);
        CHECK(error == (all ? NOVA_OK : NOVA_ERR_INVAL));
        for (unsigned n = first; !error && n < first + count; n++)
            model[n] = (struct page){.reserved = what == 4};
    }
    verify(first, count);
    poke(first);
}

static void *churn(void *context)
{
    uint64_t own = (uint64_t)(uintptr_t)context;
    void *p, *w;

    for (unsigned i = 0; i < 3000; i++) {
        size_t size = (1 + tap_random(&own) % 8) * NOVA_PAGE;
        if (!nova_mem_alloc(size, &p)) {
            memset(p, (int)i, size);
            CHECK(!nova_mem_free(p, size));
        }
        if (!nova_mem_reserve(size, &w)) {
            nova_mem_map(w, size, NOVA_MEM_R | NOVA_MEM_W);
            CHECK(!nova_mem_release(w, size));
        }
    }
    return NULL;
}

int main(void)
{
    struct nova_mem_state state;
    struct sigaction action = {.sa_handler = on_fault};
    pthread_t thread[4];
    uint64_t window[2];
    unsigned free_pages, expected = 0;
    void *p, *q;

    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    pool_file = memfd_create("pool", 0);
    if (ftruncate(pool_file, PAGES * NOVA_PAGE) ||
        mmap((void *)POOL, PAGES * NOVA_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, pool_file, 0) ==
            MAP_FAILED)
        return 99;

    nova_mem_state(&state);
    free_pages = (unsigned)state.free;
    ok(state.pool == state.free && state.pool < PAGES - USED && state.pool > PAGES - USED - 6,
       "%u of %u pages are left", free_pages, PAGES - USED);
    ok(!nova_mem_alloc(state.free * NOVA_PAGE, &p) && nova_mem_alloc(NOVA_PAGE, &q) == NOVA_ERR_MEMORY,
       "all of them");
    memset(p, 0xff, state.free * NOVA_PAGE);
    ok(!nova_mem_free(p, state.free * NOVA_PAGE) && nova_mem_free(p, NOVA_PAGE) == NOVA_ERR_INVAL,
       "back, once");
    ok(nova_mem_free((void *)(POOL + NOVA_PAGE), NOVA_PAGE) == NOVA_ERR_INVAL &&
           nova_mem_free((void *)(POOL + PAGES * NOVA_PAGE), NOVA_PAGE) == NOVA_ERR_INVAL &&
           nova_mem_free((char *)p + 1, NOVA_PAGE) == NOVA_ERR_INVAL &&
           nova_mem_free(p, SIZE_MAX & ~4095UL) == NOVA_ERR_INVAL,
       "what is not in the pool cannot be freed");
    ok(!nova_mem_window(1UL << 30, &window[0]) && !nova_mem_window(NOVA_PAGE, &window[1]) &&
           window[1] == window[0] + (1UL << 30) && nova_mem_window(1UL << 60, &window[1]) == NOVA_ERR_MEMORY,
       "windows for others");
    ok(nova_mem_map((void *)window[0], NOVA_PAGE, NOVA_MEM_R) == NOVA_ERR_INVAL &&
           nova_mem_map((void *)(NOVA_WINDOW_ADDR - NOVA_PAGE), 2 * NOVA_PAGE, NOVA_MEM_R) ==
               NOVA_ERR_INVAL &&
           nova_mem_map((void *)NOVA_WINDOW_ADDR, SIZE_MAX & ~4095UL, NOVA_MEM_R) == NOVA_ERR_INVAL,
       "ranges beyond the windows");

    for (unsigned i = 0; i < 6000; i++)
        step();
    verify(0, MODEL);
    ok_checks("random requests, %u hypercalls", calls);
    no_tables = true;
    for (unsigned i = 0; i < 6000; i++)
        step();
    verify(0, MODEL);
    no_tables = false;
    ok_checks("the same while the kernel runs out of memory");
    for (unsigned n = 0; n < MODEL; n++)
        expected += model[n].memory;
    nova_mem_state(&state);
    ok(state.free == free_pages - expected, "%u pages are in use, %zu are free", expected, state.free);
    for (unsigned n = 0; n < MODEL; n++)
        if (model[n].reserved)
            CHECK(!nova_mem_release(page_at(n), NOVA_PAGE));
    nova_mem_state(&state);
    ok(state.free == free_pages && !state.reserved, "all is given back");
    for (unsigned i = 0; i < 4; i++)
        pthread_create(&thread[i], NULL, churn, (void *)(uintptr_t)(i + 1));
    for (unsigned i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    nova_mem_state(&state);
    ok_checks("four threads");
    ok(state.free == free_pages && !state.reserved, "leave nothing behind");
    return tap_done();
}
