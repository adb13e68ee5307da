/*
 * The smallest domain: what it finds when it starts.
 *
 * SPDX-License-Identifier: MIT
 */

#include "domain.h"

#include <elf.h>

/* An entry of the auxiliary vector, or 0. */
static uint64_t auxiliary(char **argv, int argc, uint64_t type)
{
    uint64_t *p = (uint64_t *)(argv + argc + 1);

    while (*p++)
        ;
    for (; *p; p += 2)
        if (*p == type)
            return p[1];
    return 0;
}

static int initialised = 42;
static int zero[3000];

static long map(uint64_t space, const void *from, uint64_t to, uint64_t count, uint64_t rights)
{
    return parent_call(6, (uint64_t)NOVA_PARENT_MAP, space, (uint64_t)from, to, count, rights);
}

static void test_map(void)
{
    char *page = pages(2), *window = (char *)NOVA_WINDOW_ADDR;
    const uint64_t rw = NOVA_MEM_R | NOVA_MEM_W, at = NOVA_WINDOW_ADDR;
    const char *pool = (char *)own->pool_start;
    uint64_t size = own->pool_size / PAGE_SIZE;

    page[PAGE_SIZE] = 5;
    ok(map(0, page, at, 2, rw) == 0 && window[PAGE_SIZE] == 5 && (window[0] = 6) && page[0] == 6,
       "pages of the pool are seen in a window");
    ok(map(0, page, at, 1, NOVA_MEM_R | NOVA_MEM_XU) == NOVA_ERR_INVAL &&
           map(0, page, at, 1, 16) == NOVA_ERR_INVAL && map(1, page, at, 1, rw) == NOVA_ERR_INVAL &&
           map(2, page, at, 1, rw) == NOVA_ERR_INVAL,
       "not executable, and not in other spaces");
    ok(map(0, (void *)own->image_start, at, 1, NOVA_MEM_R) == NOVA_ERR_INVAL &&
           map(0, (void *)NOVA_CLIENT_TABLE, at, 1, rw) == NOVA_ERR_INVAL &&
           map(0, window, at, 1, rw) == NOVA_ERR_INVAL && map(0, pool + 1, at, 1, rw) == NOVA_ERR_INVAL &&
           map(0, pool - PAGE_SIZE, at, 2, rw) == NOVA_ERR_INVAL &&
           map(0, pool + (size - 1) * PAGE_SIZE, at, 2, rw) == NOVA_ERR_INVAL &&
           map(0, pool + size * PAGE_SIZE, at, 0, rw) == NOVA_ERR_INVAL,
       "only what is in the pool");
    ok(map(0, pool, own->stack_start, 1, rw) == NOVA_ERR_INVAL &&
           map(0, pool, at + 1, 1, rw) == NOVA_ERR_INVAL &&
           map(0, pool, NOVA_WINDOW_END - PAGE_SIZE, 2, rw) == NOVA_ERR_INVAL &&
           map(0, pool, NOVA_WINDOW_END, 1, rw) == NOVA_ERR_INVAL &&
           map(0, pool, UINT64_MAX - 4095, 1, rw) == NOVA_ERR_INVAL &&
           map(0, pool, at, NOVA_MAP_MAX + 1, rw) == NOVA_ERR_INVAL &&
           map(0, pool, at, UINT64_MAX, rw) == NOVA_ERR_INVAL,
       "only to the windows");
    ok(map(0, NULL, NOVA_INFO_ADDR, 1, 0) == NOVA_ERR_INVAL &&
           map(0, NULL, NOVA_UTCB_ADDR, 1, 0) == NOVA_ERR_INVAL && map(0, NULL, at, 2, 0) == 0,
       "and away from there again");
}

static void test_capabilities(void)
{
    uint64_t sm = sm_new(1), copies = own->sel_end - 8;
    unsigned held = 0;

    for (uint64_t sel = 0; sel < own->sel_free; sel++)
        held += nova_hc_ctrl_pd(sel, sel, 0, own->sel_free + 100, 0, NOVA_PERM_ALL, 0) != NOVA_BAD_CAP;
    ok(!held, "no rights on its own spaces");
    ok(parent_call(3, (uint64_t)NOVA_PARENT_DROP, own->sel_free - 1, 1UL) == NOVA_ERR_INVAL &&
           parent_call(3, (uint64_t)NOVA_PARENT_DROP, own->sel_end, 1UL) == NOVA_ERR_INVAL &&
           parent_call(3, (uint64_t)NOVA_PARENT_DROP, own->sel_free, NOVA_DROP_MAX + 1UL) == NOVA_ERR_INVAL &&
           parent_call(3, (uint64_t)NOVA_PARENT_DROP, own->sel_end - 1, 2UL) == NOVA_ERR_INVAL,
       "what root has put there cannot be dropped");
    ok(parent_call(4, (uint64_t)NOVA_PARENT_COPY, own->sel_free - 1, copies, 2UL) == NOVA_ERR_INVAL &&
           parent_call(4, (uint64_t)NOVA_PARENT_COPY, sm, own->sel_free - 1, 2UL) == NOVA_ERR_INVAL &&
           parent_call(4, (uint64_t)NOVA_PARENT_COPY, sm, own->sel_end - 1, 2UL) == NOVA_ERR_INVAL &&
           parent_call(4, (uint64_t)NOVA_PARENT_COPY, sm, sm, 1UL) == NOVA_ERR_INVAL &&
           parent_call(4, (uint64_t)NOVA_PARENT_COPY, sm, copies, NOVA_DROP_MAX + 1UL) == NOVA_ERR_INVAL &&
           sm_up(copies) == NOVA_BAD_CAP,
       "nor copied, and nothing can be copied over it");
    ok(parent_call(4, (uint64_t)NOVA_PARENT_COPY, sm, copies, 2UL) == 0 && sm_up(copies) == NOVA_BAD_CAP &&
           sm_up(copies + 1) == NOVA_BAD_CAP && sm_up(sm) == NOVA_SUCCESS,
       "the rights to its own cannot be copied");
    ok(parent_call(3, (uint64_t)NOVA_PARENT_DROP, sm, 1UL) == 0 && sm_up(sm) == NOVA_BAD_CAP,
       "and its own is dropped");
}

int test_main(int argc, char **argv)
{
    const uint64_t *random = (const uint64_t *)auxiliary(argv, argc, AT_RANDOM);
    bool cleared = true;

    ok(argc == 3 && !strcmp(argv[0], "hello") && !strcmp(argv[1], "two words") && !strcmp(argv[2], ""),
       "arguments");
    ok(!strcmp(argv[4], "A=1") && !strcmp(argv[5], "B=") && !argv[6], "environment");
    ok(((uint64_t)(argv - 1) & 15) == 0, "the stack pointer is aligned");
    ok(auxiliary(argv, argc, NOVA_AT_INFO) == NOVA_INFO_ADDR && auxiliary(argv, argc, AT_PAGESZ) == 4096,
       "auxiliary vector");
    ok(auxiliary(argv, argc, AT_PHDR) > NOVA_IMAGE_ADDR && auxiliary(argv, argc, AT_PHNUM) > 2,
       "program headers");
    ok(random && (random[0] || random[1]) && random[0] != random[1], "random bytes");
    ok(own->magic == NOVA_INFO_MAGIC && own->version == NOVA_INFO_VERSION && !strcmp(own->name, "hello"),
       "information page");
    ok(own->tsc_frequency > 1000000 && own->wall_offset / 1000000000 > 1577836800, "time");
    ok(strlen(own->build_id) == 40, "build id");
    ok(initialised++ == 42 && zero[2999]++ == 0, "data");
    for (uint64_t *p = (uint64_t *)(own->pool_start + own->pool_used),
                  *end = (uint64_t *)(own->pool_start + own->pool_size);
         p < end; p++)
        cleared &= !*p;
    ok(cleared, "the pool is cleared");
    test_map();
    test_capabilities();
    ok(parent_call(1, (uint64_t)NOVA_PARENT_STATE) == 0 && utcb_of(0)->word[1] == 1 &&
           utcb_of(0)->word[4] == 0,
       "state");
    return done();
}
