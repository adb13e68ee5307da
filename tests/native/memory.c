/*
 * Memory: pages, windows, rights, exhaustion; and with the argument `guard`, `null`, `leaf` or `readonly`, an access
 * that must be the end.
 *
 * SPDX-License-Identifier: MIT
 */

#include "tap.h"

#include <nova/error.h>
#include <nova/log.h>
#include <nova/mem.h>
#include <nova/program.h>
#include <nova/string.h>
#include <nova/thread.h>

static volatile uint64_t sink, near_null = 8;

static bool is_zero(const char *p, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (p[i])
            return false;
    return true;
}

/* Writes downwards from here, through whatever guards the stack. */
static void overflow(void *context)
{
    volatile char *p = (volatile char *)__builtin_frame_address(0);

    (void)context;
    for (size_t i = 0; i < 64 * NOVA_STACK_SIZE; i += 512)
        *(p - i) = 0;
}

/* Does what must not work. */
static int forbidden(const char *what)
{
    struct nova_thread *t;
    void *p;

    if (!strcmp(what, "guard") && !nova_thread_create(&t, overflow, NULL, NULL))
        nova_thread_join(t, NOVA_NEVER);
    if (!strcmp(what, "stack"))
        overflow(NULL);
    if (!strcmp(what, "null"))
        sink = *(volatile uint64_t *)near_null;
    if (!strcmp(what, "leaf"))
        sink = strnlen((const char *)near_null, 100);
    if (!strcmp(what, "readonly") && !nova_mem_reserve(NOVA_PAGE, &p) &&
        !nova_mem_map(p, NOVA_PAGE, NOVA_MEM_R))
        *(volatile char *)p = 1;
    if (!strcmp(what, "gone") && !nova_mem_reserve(NOVA_PAGE, &p) &&
        !nova_mem_map(p, NOVA_PAGE, NOVA_MEM_R)) {
        sink = *(volatile uint64_t *)p;
        nova_mem_unmap(p, NOVA_PAGE);
        sink = *(volatile uint64_t *)p;
    }
    if (!strcmp(what, "execute") && !nova_mem_alloc(NOVA_PAGE, &p)) {
        *(volatile unsigned char *)p = 0xc3;
        ((void (*)(void))p)();
    }
    nova_print("%s: nothing happened\n", what);
    return 1;
}

static void pool(void)
{
    struct nova_mem_state before, after;
    void *a = NULL, *b = NULL, *c;

    nova_mem_state(&before);
    ok(before.pool && before.free == before.pool, "%lu pages, all free", before.pool);
    ok(!nova_mem_alloc(NOVA_PAGE, &a) && !nova_mem_alloc(16 * NOVA_PAGE, &b) && a != b, "pages");
    ok(is_zero(a, NOVA_PAGE) && is_zero(b, 16 * NOVA_PAGE), "are zero");
    memset(a, 1, NOVA_PAGE);
    memset(b, 2, 16 * NOVA_PAGE);
    ok(!nova_mem_free((char *)b + NOVA_PAGE, NOVA_PAGE) &&
           nova_mem_free((char *)b + NOVA_PAGE, NOVA_PAGE) == NOVA_ERR_INVAL,
       "a page is freed once");
    ok(!nova_mem_alloc(NOVA_PAGE, &c) && is_zero(c, NOVA_PAGE), "and is zero when it is used again");
    nova_mem_free(c, NOVA_PAGE);
    ok(nova_mem_alloc(0, &c) == NOVA_ERR_INVAL && nova_mem_alloc(100, &c) == NOVA_ERR_INVAL && !c,
       "wrong sizes");
    ok(nova_mem_alloc((before.pool + 1) * NOVA_PAGE, &c) == NOVA_ERR_MEMORY, "more than there is");
    ok(nova_mem_free((void *)NOVA_IMAGE_ADDR, NOVA_PAGE) == NOVA_ERR_INVAL,
       "what is not in the pool is not freed");
    ok(!nova_mem_free(a, NOVA_PAGE) && !nova_mem_free(b, NOVA_PAGE) &&
           !nova_mem_free((char *)b + 2 * NOVA_PAGE, 14 * NOVA_PAGE),
       "free");
    nova_mem_state(&after);
    ok(after.free == before.free, "all is back");
}

static void windows(void)
{
    struct nova_mem_state before, after;
    char *w;
    void *at;

    nova_mem_state(&before);
    ok(!nova_mem_reserve(64 * NOVA_PAGE, (void **)&w), "a window");
    ok(nova_mem_reserve_at(w + 4 * NOVA_PAGE, NOVA_PAGE) == NOVA_ERR_BUSY, "its addresses are taken");
    ok(!nova_mem_map(w + NOVA_PAGE, 40 * NOVA_PAGE, NOVA_MEM_R | NOVA_MEM_W) &&
           is_zero(w + NOVA_PAGE, 40 * NOVA_PAGE),
       "memory in part of it");
    for (unsigned i = 1; i <= 40; i++)
        w[i * NOVA_PAGE] = (char)i;
    ok(!nova_mem_protect(w + 5 * NOVA_PAGE, 10 * NOVA_PAGE, NOVA_MEM_R) && w[6 * NOVA_PAGE] == 6,
       "read-only");
    ok(!nova_mem_protect(w + 5 * NOVA_PAGE, 10 * NOVA_PAGE, NOVA_MEM_R | NOVA_MEM_W), "and back");
    w[6 * NOVA_PAGE + 1] = 1;
    ok(!nova_mem_unmap(w + 7 * NOVA_PAGE, 2 * NOVA_PAGE) &&
           !nova_mem_map(w, 64 * NOVA_PAGE, NOVA_MEM_R | NOVA_MEM_W),
       "gaps are filled");
    ok(!w[7 * NOVA_PAGE] && w[9 * NOVA_PAGE] == 9 && w[6 * NOVA_PAGE] == 6 && !w[50 * NOVA_PAGE],
       "contents are kept");
    ok(nova_mem_map(w, NOVA_PAGE, NOVA_MEM_R | NOVA_MEM_XU) == NOVA_ERR_DENIED, "never executable");
    ok(nova_mem_map(w + 64 * NOVA_PAGE, NOVA_PAGE, NOVA_MEM_R) == NOVA_ERR_INVAL, "not behind the window");
    ok(nova_mem_map((void *)nova_info()->pool_start, NOVA_PAGE, NOVA_MEM_R) == NOVA_ERR_INVAL,
       "not in the pool");
    ok(!nova_mem_release(w, 32 * NOVA_PAGE) && !nova_mem_release(w + 32 * NOVA_PAGE, 32 * NOVA_PAGE),
       "release in parts");
    ok(nova_mem_release(w, NOVA_PAGE) == NOVA_ERR_INVAL, "once");
    nova_mem_state(&after);
    ok(before.free == after.free && before.reserved == after.reserved, "all is back");

    ok(!nova_mem_reserve((before.pool + 8) * NOVA_PAGE, &at), "a window larger than the pool");
    ok(nova_mem_map(at, (before.pool + 8) * NOVA_PAGE, NOVA_MEM_R | NOVA_MEM_W) == NOVA_ERR_MEMORY,
       "cannot be filled");
    nova_mem_state(&after);
    ok(before.free == after.free, "and nothing is lost by that");
    ok(!nova_mem_map(at, before.free * NOVA_PAGE, NOVA_MEM_R | NOVA_MEM_W), "all memory at once");
    ((char *)at)[before.free * NOVA_PAGE - 1] = 1;
    nova_mem_release(at, (before.pool + 8) * NOVA_PAGE);
}

int nova_main(int argc, char **argv)
{
    if (argc > 1)
        return forbidden(argv[1]);
    pool();
    windows();
    return tap_done();
}
