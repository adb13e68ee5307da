/*
 * Accounts of kernel memory: an extension. create_pd with operation NOVA_PD_LIMITED creates a
 * protection domain whose kernel memory is limited to so many 4 KiB pages (RDX). A PD that reaches
 * its limit gets MEM_OBJ or MEM_CAP, and nobody else notices.
 *
 * SPDX-License-Identifier: MIT
 */

#include "capacity.h"
#include "fault.h"
#include "system.h"
#include "tap.h"

#define RW (NOVA_MEM_R | NOVA_MEM_W)

static uint8_t page[4096] __attribute__((aligned(4096)));
static uint64_t window; /* selectors for objects of limited PDs */
static const unsigned window_order = 14;

static unsigned create_limited(uint64_t sel, uint64_t pd, uint64_t pages)
{
    return hypercall_3(NOVA_HYPERCALL(NOVA_CREATE_PD, (uint64_t)NOVA_PD_LIMITED, sel), pd, pages);
}

static void drop(uint64_t sel, unsigned order)
{
    must(ctrl_pd(sys.root.obj, sys.root.obj, sel, sel, order, 0, 0), "dropping objects");
}

/* A limited PD with its three spaces. */
static void limited(struct pd *pd, uint64_t pages)
{
    *pd = (struct pd){.pd = SEL(), .obj = SEL(), .hst = SEL(), .pio = SEL()};
    must(create_limited(pd->pd, sys.root.pd, pages), "create_pd (limited)");
    must(create_pd(pd->obj, pd->pd, NOVA_PD_OBJ), "create_pd (object space)");
    must(create_pd(pd->hst, pd->pd, NOVA_PD_HST), "create_pd (host space)");
    must(create_pd(pd->pio, pd->pd, NOVA_PD_PIO), "create_pd (PIO space)");
}

static void drop_pd(const struct pd *pd)
{
    drop(pd->pd, 0);
    drop(pd->obj, 0);
    drop(pd->hst, 0);
    drop(pd->pio, 0);
}

/* Semaphores that a PD can still create; dropped again. */
static unsigned semaphores(uint64_t pd, unsigned *status)
{
    unsigned n = 0;

    while (n < 1U << window_order && (*status = create_sm(window + n, pd, 0)) == NOVA_SUCCESS)
        n++;
    drop(window, window_order);
    sleep_us(20000);
    return n;
}

static void objects(void)
{
    unsigned status, first, big;
    struct pd small, large, other;

    limited(&small, 40);
    limited(&large, 80);
    limited(&other, 40);

    first = semaphores(small.pd, &status);
    tap_ok(first > 0 && status == NOVA_MEM_OBJ, "semaphores until MEM_OBJ: %u (status %u)", first, status);
    big = semaphores(large.pd, &status);
    tap_ok(big > first && status == NOVA_MEM_OBJ, "more with a higher limit: %u (status %u)", big, status);

    unsigned again = 0;

    for (unsigned i = 0; i < 10; i++)
        again += semaphores(small.pd, &status) != first;
    tap_is(again, 0, "the same number again and again");
    tap_is(semaphores(other.pd, &status), first, "another PD with the same limit gets the same number");

    status = NOVA_SUCCESS;
    for (unsigned i = 0; status == NOVA_SUCCESS; i++)
        status = create_sm(window + i, small.pd, 0);
    tap_is(status, NOVA_MEM_OBJ, "while one PD is at its limit");
    tap_is(create_ec(window + (1 << window_order) - 1, small.pd, 0x70000000, 0, 0, 0, 0), NOVA_MEM_OBJ,
           "it cannot create ECs");
    tap_is(create_pd(window + (1 << window_order) - 1, small.pd, NOVA_PD_PIO), NOVA_MEM_OBJ, "or spaces");
    tap_is(create_sm(window + (1 << window_order) - 1, other.pd, 0), NOVA_SUCCESS, "but another PD can");
    drop(window + (1 << window_order) - 1, 0);
    tap_is(create_sm(window + (1 << window_order) - 1, sys.root.pd, 0), NOVA_SUCCESS,
           "and so can the root PD");
    drop(window, window_order);
    drop_pd(&small);
    drop_pd(&large);
    drop_pd(&other);
}

/* Pages at addresses so far apart that each needs tables of its own. */
static unsigned far_pages(const struct pd *pd, unsigned *status)
{
    unsigned n = 0;

    do {
        *status =
            ctrl_pd(sys.root.hst, pd->hst, (uint64_t)page / PAGE_SIZE, (uint64_t)(n + 1) << 18, 0, RW, 0);
        n += *status == NOVA_SUCCESS;
    } while (*status == NOVA_SUCCESS && n < 100000);
    return n;
}

static void revoke_far_pages(const struct pd *pd, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        must(ctrl_pd(sys.root.hst, pd->hst, 0, (uint64_t)(i + 1) << 18, 18, 0, 0),
             "ctrl_pd"); /* with the tables below */
    sleep_us(20000);
}

static void memory(void)
{
    unsigned status, n;
    struct pd pd, other;

    limited(&pd, 60);
    limited(&other, 60);
    n = far_pages(&pd, &status);
    tap_ok(n > 0 && status == NOVA_MEM_CAP, "pages with tables of their own until MEM_CAP: %u (status %u)", n,
           status);
    tap_ok(far_pages(&other, &status) > 0, "another PD still gets some");
    tap_is(create_sm(window, sys.root.pd, 0), NOVA_SUCCESS, "and the root PD creates objects");
    drop(window, 0);

    /* A range in which the tables run out in the middle keeps what came before. */
    revoke_far_pages(&pd, n);
    uint64_t frames = phys_alloc(12), va = va_alloc(4096 * PAGE_SIZE, 4096 * PAGE_SIZE), base = 1UL << 30;
    unsigned pages = 0;

    if (!frames)
        tap_bail("out of memory");
    must(ctrl_pd(sys.nova_hst, sys.root.hst, frames / PAGE_SIZE, va / PAGE_SIZE, 12, RW, 0), "ctrl_pd");
    for (unsigned i = 1; i < 4096; i += 2)
        must(ctrl_pd(sys.root.hst, sys.root.hst, va / PAGE_SIZE + i, va / PAGE_SIZE + i, 0, NOVA_MEM_R, 0),
             "ctrl_pd");
    do {
        status = ctrl_pd(sys.root.hst, pd.hst, va / PAGE_SIZE, base + ((uint64_t)pages << 12), 12, RW, 0);
        pages += status == NOVA_SUCCESS;
    } while (status == NOVA_SUCCESS && pages < 1000);
    tap_ok(pages > 0 && status == NOVA_MEM_CAP, "ranges of 4096 pages until MEM_CAP: %u (status %u)", pages,
           status);

    /* Which part of the last range is there is seen by taking it back. */
    uint64_t back = va_alloc(4096 * PAGE_SIZE, 4096 * PAGE_SIZE);
    unsigned there = 0, holes = 0;

    must(ctrl_pd(pd.hst, sys.root.hst, base + ((uint64_t)pages << 12), back / PAGE_SIZE, 12, RW, 0),
         "ctrl_pd");
    for (unsigned i = 0; i < 4096; i++) {
        bool present = try_load(back + i * PAGE_SIZE) == NO_FAULT;

        there += present;
        holes += present && there != i + 1;
    }
    tap_is(holes, 0, "the last one holds its first %u pages and no others", there);
    drop_pd(&pd);
    drop_pd(&other);
}

/* Object capabilities far apart in an object space. */
static void capabilities(void)
{
    uint64_t sm = sm_create(0);
    unsigned status = NOVA_SUCCESS, n = 0;
    struct pd pd;

    limited(&pd, 40);
    for (; status == NOVA_SUCCESS && n < sys.hip->sel_num / 512; n++)
        status = ctrl_pd(sys.root.obj, pd.obj, sm, 512UL * n, 0, NOVA_PERM_ALL, 0);
    tap_ok(n > 1 && status == NOVA_MEM_CAP,
           "capabilities in pages of their own until MEM_CAP: %u (status %u)", n, status);
    tap_is(ctrl_pd(sys.root.obj, pd.obj, sm, 1, 0, NOVA_PERM_ALL, 0), NOVA_SUCCESS,
           "one more in a page that is there");
    drop_pd(&pd);
}

/* -- The PD itself creates until it fails; others keep working -- */

static uint32_t on_child(uint64_t pid, uint32_t mtd);

PORTAL_ENTRY(child_entry, on_child);

/* Creates semaphores in its own PD, whose capability is at selector 1, from selector 0x100. */
static uint32_t on_child(uint64_t pid, uint32_t mtd)
{
    uint64_t *word = thread_self()->utcb->word;
    unsigned status = NOVA_SUCCESS;

    (void)pid;
    (void)mtd;
    for (word[0] = 0; status == NOVA_SUCCESS && word[0] < 20000; word[0]++)
        status = create_sm(0x100 + word[0], 1, 0);
    word[1] = status;
    return NOVA_MTD_WORDS(2);
}

static void greedy(void)
{
    uint64_t *word = thread_self()->utcb->word;
    unsigned before = capacity(sys.root.pd, NULL), status;
    uint32_t mtd = 0;
    struct pd pd;

    sleep_us(50000);
    limited(&pd, 80);
    pd_share_image(&pd);
    must(ctrl_pd(sys.root.obj, pd.obj, pd.pd, 1, 0, NOVA_PERM_ALL, 0), "ctrl_pd");
    struct thread *t = thread_create(&pd, sys.bsp, sys.hip->sel_num - 0x80, 0);
    uint64_t portal = portal_create(t, child_entry, 0, 0);

    must(ipc_call(portal, &mtd, 0), "ipc_call");
    tap_ok(word[0] > 1 && (word[1] == NOVA_MEM_OBJ || word[1] == NOVA_MEM_CAP),
           "a greedy PD gets %lu semaphores, then status %lu", word[0], word[1]);
    unsigned now = capacity(sys.root.pd, &status);

    tap_ok(now + 100 >= before, "the root PD misses no more than the limit (%u of %u)", now, before);
    drop(portal, 0);
    thread_free(t);
    must(ctrl_pd(pd.obj, pd.obj, 0, 0, 63 - (unsigned)__builtin_clzl(sys.hip->sel_num), 0, 0), "ctrl_pd");
    drop_pd(&pd);
    now = capacity_reaches(before, 3000);
    tap_ok(now + CAPACITY_TABLES >= before, "and gets it back (%u of %u)", now, before);
}

static void limits(void)
{
    uint64_t sel = SEL(), space = SEL();
    unsigned status = create_limited(sel, sys.root.pd, 0);

    if (status == NOVA_SUCCESS)
        status = create_pd(space, sel, NOVA_PD_OBJ);
    tap_is(status, NOVA_MEM_OBJ, "a limit of no pages");
    drop(sel, 0);
    tap_is(create_limited(sel, space, 10), NOVA_BAD_CAP, "create_pd (limited): no PD");
    tap_is(create_limited(sys.never, sys.root.pd, 10), NOVA_BAD_CAP, "create_pd (limited): selector in use");
    tap_is(create_limited(sel, sys.root.pd, UINT64_MAX), NOVA_SUCCESS,
           "create_pd (limited): no limit worth the name");
    tap_is(create_pd(space, sel, NOVA_PD_OBJ), NOVA_SUCCESS, "and it works");
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    (void)hip;
    (void)magic;
    (void)mbi;
    window = sel_alloc(1U << window_order, 1U << window_order);
    limits();
    objects();
    memory();
    capabilities();
    greedy();
}
