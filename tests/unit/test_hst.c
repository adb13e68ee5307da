/*
 * Host spaces: what is protected never gets out of the NOVA host space, delegations map what a plain array of
 * pages would, pages of the kernel count as holes, TLBs are told of each change, and no table is lost.
 *
 * Sources: mem/ptab.c mem/pool.c
 *
 * SPDX-License-Identifier: MIT
 */

/* The file itself, as its list of protected memory must be emptied for each test. */
#include "core/space_hst.c"

#include "core/pd.h"
#include "tap.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_ORDER 13
#define WINDOW BIT(WINDOW_ORDER) /* pages of the model */
#define SPACES 2
#define ROUNDS 6000

/* All pages of the kernel come from its image. */
#define IMAGE_SIZE 0x800000
#define IMAGE_PHYS 0x400000UL /* inside of the window */
#define STRING(x) #x
#define ASM_IMAGE(size)                                                                                      \
    __asm__(".pushsection .bss\n.balign 4096\n.globl image_start, image_end\n"                               \
            "image_start: .skip " STRING(size) "\nimage_end:\n.popsection")
ASM_IMAGE(IMAGE_SIZE);

uint64_t kernel_delta;
uint64_t kernel_root[512];
unsigned cpu_phys_bits = 40;

static struct space_hst physical = {.physical = true};
static struct pd pd = {.account.limit = UINT64_MAX};
static struct space_hst *spaces[SPACES];
static uint64_t random_state = 1;
static unsigned shootdowns;
static const struct virt_ops npt = {.format = &ptab_npt};
const struct virt_ops *virt = &npt;
static bool threaded; /* another one may hold a lock at any time */

void tlb_shootdown(struct space_mem *mem)
{
    CHECK(threaded || !mem->space.lock.held);
    shootdowns++;
}

static void unprotect(void)
{
    memset(guarded, 0, sizeof(guarded));
    guarded_count = 0;
}

static void create_all(void)
{
    for (unsigned i = 0; i < SPACES; i++) {
        spaces[i] = page_alloc(&pd.account, 0);
        spaces[i]->mem.space.object = (struct object){.type = OBJECT_HST, .pd = &pd};
        CHECK(hst_create(&spaces[i]->mem.space) == NOVA_SUCCESS);
    }
}

static void destroy(void)
{
    for (unsigned i = 0; i < SPACES; i++) {
        mem_destroy(&spaces[i]->mem.space);
        page_free(&pd.account, spaces[i], 0);
    }
    CHECK(pd.account.used == 0 && pool_free() == pool_size());
}

static void test_create(void)
{
    unprotect();
    kernel_root[511] = 0x1234063;
    create_all();
    CHECK(spaces[0]->root == phys_of(spaces[0]->mem.ptab.root) && spaces[0]->mem.ptab.root[511] == 0x1234063);
    for (unsigned i = 0; i < 511; i++) {
        CHECK(!spaces[0]->mem.ptab.root[i]);
    }
    CHECK(hst_delegate(&physical, &spaces[0]->mem, 0, HST_SELECTORS - BIT(27), 27, NOVA_PERM_ALL, 0) ==
          NOVA_SUCCESS);
    destroy(); /* the kernel's part does not exist here, and must not be followed */
    struct space_hst hst = {.mem.space.object.pd = &pd};
    pd.account.limit = 0;
    CHECK(hst_create(&hst.mem.space) == NOVA_MEM_OBJ && !hst.mem.ptab.root);
    pd.account.limit = UINT64_MAX;
    ok_checks("spaces contain the kernel's half, and leave it alone");
}

/* Everything of physical memory that can be had in the window, compared with what may be. */
static void check_window(const uint8_t *wanted, bool exact)
{
    create_all();
    CHECK(hst_delegate(&physical, &spaces[0]->mem, 0, 0, WINDOW_ORDER, NOVA_PERM_ALL, NOVA_MAD_WT) == NOVA_SUCCESS);
    for (uint64_t page = 0; page < WINDOW; page++) {
        struct ptab_range r = ptab_lookup(&spaces[0]->mem.ptab, page);
        if (wanted[page]) {
            CHECK(r.perm == 0);
        } else if (exact) {
            CHECK(r.perm == (NOVA_MEM_R | NOVA_MEM_W | NOVA_MEM_XU) && r.cache == NOVA_MAD_WT);
            CHECK(r.frame + (page - r.page) == page);
        }
        /* A large page where all of it is free. */
        if (exact && page % 512 == 0 && !memchr(wanted + page, 1, 512)) {
            CHECK(r.order == 9);
        }
    }
    destroy();
}

/* Ranges by the byte, in any order, that touch, contain, bridge and repeat each other. */
static void test_protect(void)
{
    static uint8_t wanted[WINDOW];

    for (unsigned round = 0; round < 300; round++) {
        unsigned ranges = (unsigned)(tap_random(&random_state) % 64);
        unprotect();
        memset(wanted, 0, sizeof(wanted));
        for (unsigned i = 0; i < ranges; i++) {
            uint64_t start = tap_random(&random_state) % (WINDOW << PAGE_BITS);
            uint64_t size = tap_random(&random_state) % (4096UL << tap_random(&random_state) % 8);
            uint64_t end = min_u64(start + size, WINDOW << PAGE_BITS);
            if (round % 5 == 0) { /* next to where large pages begin */
                start = (start & ~0x1fffffUL) + i % 2 * 511 * PAGE_SIZE;
                end = start + PAGE_SIZE;
            }
            if (round % 3 == 0) { /* few places, so that neighbours are frequent */
                start = start % 0x80000 & ~(PAGE_SIZE - 1);
                end = start + PAGE_SIZE * (1 + round % 2);
            }
            if (start < end) {
                hst_protect(start, end);
                for (uint64_t page = start / PAGE_SIZE; page * PAGE_SIZE < end; page++) {
                    wanted[page] = 1;
                }
            }
        }
        check_window(wanted, true);
    }
    ok_checks("protected memory: random ranges, against an array of pages");
}

/* Ranges that do not touch, in this order; there is room for 64. */
static void overfill(const unsigned *order, unsigned count)
{
    static uint8_t wanted[WINDOW];

    unprotect();
    memset(wanted, 0, sizeof(wanted));
    for (unsigned i = 0; i < count; i++) {
        uint64_t page = 8 + 4UL * order[i];
        hst_protect(page * PAGE_SIZE, page * PAGE_SIZE + 1);
        wanted[page] = 1;
        CHECK(guarded_count <= ARRAY_SIZE(guarded));
    }
    check_window(wanted, false);
}

static void test_overfill(void)
{
    unsigned order[200];

    for (unsigned count = 63; count < 70; count++) {
        for (unsigned i = 0; i < count; i++) {
            order[i] = i;
        }
        overfill(order, count);
    }
    ok_checks("more ranges than there is room for, lowest first: all are protected");
    for (unsigned count = 65; count < 200; count++) {
        for (unsigned i = 0; i < count; i++) {
            order[i] = i;
        }
        for (unsigned i = count - 1; i > 0; i--) {
            unsigned j = (unsigned)(tap_random(&random_state) % (i + 1)), swap = order[i];
            order[i] = order[j];
            order[j] = swap;
        }
        overfill(order, count);
    }
    ok_checks("more ranges than there is room for, in any order: all are protected");
}

/* The model: what each page of the window of a space maps. */
static struct page {
    uint64_t frame;
    uint8_t perm, cache;
    bool kernel;
} model[SPACES][WINDOW];

/* What the tables can express of permissions: everything mapped is readable, XU and XS are one. */
static uint8_t normal(unsigned perm)
{
    unsigned x = perm & (NOVA_MEM_XU | NOVA_MEM_XS) ? NOVA_MEM_XU | NOVA_MEM_XS : 0U;

    perm &= NOVA_MEM_R | NOVA_MEM_W | NOVA_MEM_XU | NOVA_MEM_XS;
    return (uint8_t)(perm ? NOVA_MEM_R | (perm & NOVA_MEM_W) | x : 0U);
}

static bool is_protected(uint64_t page)
{
    return (page >= IMAGE_PHYS >> PAGE_BITS && page < (IMAGE_PHYS + IMAGE_SIZE) >> PAGE_BITS) ||
           (page >= 7 && page < 9) || page == 600;
}

static struct page source(unsigned src, uint64_t page, unsigned mad)
{
    if (src < SPACES) {
        return model[src][page].kernel ? (struct page){0} : model[src][page];
    }
    return is_protected(page) ? (struct page){0} : (struct page){page, 0xf, (uint8_t)mad, false};
}

static bool page_equal(const struct space_hst *hst, uint64_t page, const struct page *wanted)
{
    struct ptab_range r = ptab_lookup(&hst->mem.ptab, page);

    if (!wanted->perm) {
        return r.perm == 0;
    }
    return normal(r.perm) == wanted->perm && r.frame + (page - r.page) == wanted->frame &&
           r.cache == wanted->cache;
}

static void check_space(unsigned space, uint64_t start, uint64_t end)
{
    for (uint64_t page = start; page < end; page++) {
        CHECK(page_equal(spaces[space], page, &model[space][page]));
    }
}

static unsigned delegate(unsigned src, unsigned dst, uint64_t ssb, uint64_t dsb, unsigned ord, unsigned pmm,
                         unsigned mad)
{
    struct space_hst *from = src < SPACES ? spaces[src] : &physical;
    bool told = false, complete = true;
    unsigned status;

    shootdowns = 0;
    status = hst_delegate(from, &spaces[dst]->mem, ssb, dsb, ord, pmm, mad);
    CHECK(status == NOVA_SUCCESS || status == NOVA_MEM_CAP);
    for (uint64_t i = 0; i < BIT(ord); i++) {
        struct page *old = &model[dst][dsb + i], fresh = source(src, ssb + i, mad);
        fresh.perm = normal(fresh.perm & pmm);
        if (status != NOVA_SUCCESS && complete && !page_equal(spaces[dst], dsb + i, &fresh)) {
            complete = false; /* from here on nothing has changed */
        }
        if (complete) {
            told |= old->perm &&
                    (old->perm != fresh.perm || old->frame != fresh.frame || old->cache != fresh.cache);
            *old = fresh;
        }
    }
    CHECK(!told || shootdowns);
    CHECK(shootdowns <= 1);
    check_space(dst, dsb, dsb + BIT(ord));
    return status;
}

/* At most one page of the kernel at an address, until it is unmapped or delegated over. */
static void map_kernel(unsigned space, uint64_t page, void *kernel_page)
{
    CHECK(hst_map_kernel(spaces[space], page, kernel_page, NOVA_MEM_R | NOVA_MEM_W));
    model[space][page] = (struct page){phys_of(kernel_page) >> PAGE_BITS, NOVA_MEM_R | NOVA_MEM_W, 0, true};
}

static void prepare(void)
{
    unprotect();
    hst_protect(7 * PAGE_SIZE, 9 * PAGE_SIZE);
    hst_protect(600 * PAGE_SIZE + 1, 600 * PAGE_SIZE + 2);
    hst_protect(phys_of(image_start), phys_of(image_end));
    memset(model, 0, sizeof(model));
    create_all();
}

static void test_random(void)
{
    void *kernel_page = page_alloc(&pd.account, 0);
    unsigned refused = 0;

    prepare();
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t r = tap_random(&random_state);
        unsigned src = (unsigned)(r % (SPACES + 1)), dst = r >> 8 & 1;
        unsigned ord = (unsigned)(r >> 16) % (round % 8 == 0 ? WINDOW_ORDER + 1 : 11);
        unsigned pmm = r >> 20 & 1 ? NOVA_PERM_ALL : r >> 24 & 31;
        uint64_t ssb = (r >> 32 & (WINDOW - 1)) >> ord << ord, dsb = (r >> 48 & (WINDOW - 1)) >> ord << ord;
        /* The second half is short of memory. */
        pd.account.limit = round < ROUNDS / 2 ? UINT64_MAX : pd.account.used + round % 4;
        if (round % 16 == 0) {
            pd.account.limit = UINT64_MAX;
            map_kernel(dst, dsb, kernel_page);
        }
        refused += delegate(src, dst, ssb, dsb, ord, pmm, (unsigned)(r >> 28 & 7) % 5) != NOVA_SUCCESS;
        if (round % 500 == 0) {
            check_space(0, 0, WINDOW);
            check_space(1, 0, WINDOW);
        }
    }
    CHECK(refused > ROUNDS / 100);
    check_space(0, 0, WINDOW);
    check_space(1, 0, WINDOW);
    for (unsigned i = 0; i < SPACES; i++) {
        CHECK(ptab_lookup(&spaces[i]->mem.ptab, WINDOW).perm == 0);
    }
    pd.account.limit = UINT64_MAX;
    page_free(&pd.account, kernel_page, 0);
    destroy();
    ok_checks("%u random delegations with leaves up to level %u, against a model", ROUNDS,
              ptab_host.leaf_levels);
}

/* Pages of the kernel: not delegated, with large neighbours either; unmapped only if they are still there. */
static void test_kernel_pages(void)
{
    char *kernel_page = page_alloc(&pd.account, 0), *other = page_alloc(&pd.account, 0);

    prepare();
    CHECK(delegate(SPACES, 0, 0x1000, 0, 12, NOVA_PERM_ALL, 0) == NOVA_SUCCESS);
    map_kernel(0, 100, kernel_page);
    map_kernel(0, 1000, kernel_page);
    map_kernel(0, 100, other);
    map_kernel(0, 100, kernel_page);
    CHECK(delegate(0, 1, 0, 0x1000, 12, NOVA_PERM_ALL, 0) == NOVA_SUCCESS);
    CHECK(!model[1][0x1000 + 100].perm && model[1][0x1000 + 101].perm && !model[1][0x1000 + 1000].perm);
    check_space(1, 0, WINDOW);
    shootdowns = 0;
    hst_unmap_kernel(spaces[0], 100, other); /* another page is there */
    hst_unmap_kernel(spaces[0], 101, kernel_page);
    hst_unmap_kernel(spaces[0], HST_SELECTORS - 1, kernel_page);
    CHECK(!shootdowns);
    check_space(0, 0, WINDOW);
    hst_unmap_kernel(spaces[0], 100, kernel_page);
    CHECK(shootdowns == 1);
    memset(&model[0][100], 0, sizeof(model[0][100]));
    check_space(0, 0, WINDOW);
    /* Without memory for a table */
    CHECK(delegate(0, 1, 0, 0, WINDOW_ORDER, 0, 0) == NOVA_SUCCESS);
    pd.account.limit = pd.account.used;
    CHECK(!hst_map_kernel(spaces[1], BIT(30), kernel_page, NOVA_MEM_R));
    pd.account.limit = UINT64_MAX;
    CHECK(ptab_lookup(&spaces[1]->mem.ptab, BIT(30)).perm == 0);
    page_free(&pd.account, kernel_page, 0);
    page_free(&pd.account, other, 0);
    destroy();
    ok_checks("pages of the kernel are holes for others");
}

static bool executable(uint64_t page)
{
    return ptab_lookup(&spaces[0]->mem.ptab, page).perm & NOVA_MEM_XU;
}

static void test_top(void)
{
    for (unsigned ord = 0; ord <= 20; ord++) {
        uint64_t size = BIT(ord), dsb = HST_SELECTORS - size;
        prepare();
        CHECK(hst_delegate(&physical, &spaces[0]->mem, BIT(24), dsb, ord, NOVA_PERM_ALL, 0) == NOVA_SUCCESS);
        for (uint64_t page = dsb; page < HST_SELECTORS;
             page += 1 + (size > 2048) * (tap_random(&random_state) % 97)) {
            struct ptab_range r = ptab_lookup(&spaces[0]->mem.ptab, page);
            CHECK(r.perm & NOVA_MEM_W && r.frame + (page - r.page) == BIT(24) + page - dsb);
        }
        CHECK(!executable(HST_SELECTORS - 1) && ptab_lookup(&spaces[0]->mem.ptab, HST_SELECTORS - 1).perm);
        /* By itself or within others, from another space or by its own. */
        CHECK(hst_delegate(spaces[0], &spaces[0]->mem, dsb, dsb, ord, NOVA_PERM_ALL, 0) == NOVA_SUCCESS);
        CHECK(hst_delegate(&physical, &spaces[0]->mem, 3, HST_SELECTORS - 1, 0, NOVA_PERM_ALL, 0) == NOVA_SUCCESS);
        CHECK(!executable(HST_SELECTORS - 1));
        CHECK(hst_delegate(&physical, &spaces[0]->mem, 4, HST_SELECTORS - 2, 0, NOVA_PERM_ALL, 0) == NOVA_SUCCESS);
        CHECK(executable(HST_SELECTORS - 2));
        destroy();
    }
    ok_checks("the last page cannot be executed, the one before it can");
}

/* Orders up to 31, in the size that physical memory and host spaces have. */
/* Guest spaces have no top that cannot execute, and twice the addresses. */
static void test_guest(void)
{
    struct space_gst gst = {.mem.space.object = {.type = OBJECT_GST, .pd = &pd}};
    const uint64_t last = GST_SELECTORS - 1;

    prepare();
    CHECK(gst_create(&gst.mem.space) == NOVA_SUCCESS && gst.mem.space.selectors == GST_SELECTORS &&
          gst.generation == 1);
    for (unsigned i = 0; i < 512; i++) {
        CHECK(!gst.mem.ptab.root[i]);
    }
    CHECK(hst_delegate(&physical, &spaces[0]->mem, 0x10000, 0, 9, NOVA_PERM_ALL, NOVA_MAD_WC) == NOVA_SUCCESS);
    shootdowns = 0;
    CHECK(hst_delegate(spaces[0], &gst.mem, 0, last - 511, 9, NOVA_PERM_ALL, 0) == NOVA_SUCCESS);
    CHECK(hst_delegate(spaces[0], &gst.mem, 3, HST_SELECTORS - 1, 0, NOVA_MEM_R | NOVA_MEM_XS, 0) == NOVA_SUCCESS);
    CHECK(shootdowns == 0);
    struct ptab_range r = ptab_lookup(&gst.mem.ptab, last);
    CHECK(r.order == 9 && r.frame == 0x10000 && r.cache == NOVA_MAD_WC &&
          r.perm == (NOVA_MEM_R | NOVA_MEM_W | NOVA_MEM_XU));
    r = ptab_lookup(&gst.mem.ptab, HST_SELECTORS - 1);
    CHECK(r.order == 0 && r.frame == 0x10003 && r.perm == (NOVA_MEM_R | NOVA_MEM_XU));
    CHECK(!ptab_lookup(&spaces[0]->mem.ptab, HST_SELECTORS - 1).perm);
    CHECK(hst_delegate(spaces[0], &gst.mem, 0, last, 0, 0, 0) == NOVA_SUCCESS && shootdowns == 1);
    CHECK(!ptab_lookup(&gst.mem.ptab, last).perm && ptab_lookup(&gst.mem.ptab, last - 1).perm);
    mem_destroy(&gst.mem.space);
    pd.account.limit = pd.account.used;
    gst = (struct space_gst){.mem.space.object = {.type = OBJECT_GST, .pd = &pd}};
    CHECK(gst_create(&gst.mem.space) == NOVA_MEM_OBJ);
    pd.account.limit = UINT64_MAX;
    destroy();
    ok_checks("guest spaces");
}

static void test_large(void)
{
    prepare();
    cpu_phys_bits = 46;
    for (unsigned ord = 20; ord < 32; ord++) {
        CHECK(hst_delegate(&physical, &spaces[0]->mem, BIT(31), 0, ord, NOVA_PERM_ALL, NOVA_MAD_UC) ==
              NOVA_SUCCESS);
        CHECK(ptab_lookup(&spaces[0]->mem.ptab, BIT(ord) - 1).perm &&
              !ptab_lookup(&spaces[0]->mem.ptab, BIT(ord)).perm);
        for (unsigned i = 0; i < 1000; i++) {
            uint64_t page = tap_random(&random_state) & (BIT(ord) - 1);
            struct ptab_range r = ptab_lookup(&spaces[0]->mem.ptab, page);
            CHECK(r.order == 18 && r.frame + (page - r.page) == BIT(31) + page && r.cache == NOVA_MAD_UC);
        }
    }
    CHECK(hst_delegate(spaces[0], &spaces[1]->mem, 0, HST_SELECTORS - BIT(31), 31, NOVA_MEM_R, 0) == NOVA_SUCCESS);
    CHECK(ptab_lookup(&spaces[1]->mem.ptab, HST_SELECTORS - 1).frame == BIT(32) - BIT(18));
    CHECK(hst_delegate(spaces[1], &spaces[0]->mem, 0, 0, 31, NOVA_PERM_ALL, 0) == NOVA_SUCCESS);
    CHECK(!ptab_lookup(&spaces[0]->mem.ptab, 0).perm && !ptab_lookup(&spaces[0]->mem.ptab, BIT(31) - 1).perm);
    /* The end of physical memory. */
    uint64_t last = BIT(46 - PAGE_BITS) - 1;
    CHECK(hst_delegate(&physical, &spaces[0]->mem, last, last % HST_SELECTORS, 0, NOVA_MEM_R, 0) == NOVA_SUCCESS);
    CHECK(ptab_lookup(&spaces[0]->mem.ptab, last % HST_SELECTORS).frame == last);
    cpu_phys_bits = 40;
    destroy();
    ok_checks("delegations of up to 2^31 pages");
}

/*
 * The source changes between small and large pages while it is delegated: each page arrives as it was at some
 * time, and nothing outside of the range is touched.
 */
static bool stop;
#define CHANGING_ORDER 11

static void *change(void *argument)
{
    (void)argument;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        /* Large pages from frame 0x10000 on; then every third page from 0x20000 on. */
        hst_delegate(&physical, &spaces[0]->mem, 0x10000, 0, CHANGING_ORDER, NOVA_PERM_ALL, 0);
        for (uint64_t page = 0; page < BIT(CHANGING_ORDER); page += 3) {
            hst_delegate(&physical, &spaces[0]->mem, 0x20000 + page, page, 0, NOVA_PERM_ALL, 0);
        }
    }
    return NULL;
}

static void test_changing(void)
{
    pthread_t thread;

    prepare();
    hst_delegate(&physical, &spaces[0]->mem, 0x10000, 0, CHANGING_ORDER, NOVA_PERM_ALL, 0);
    threaded = true;
    if (pthread_create(&thread, NULL, change, NULL) != 0) {
        abort();
    }
    for (unsigned i = 0; i < 1500; i++) {
        uint64_t dsb = BIT(CHANGING_ORDER), end = dsb + BIT(CHANGING_ORDER);
        CHECK(hst_delegate(spaces[0], &spaces[1]->mem, 0, dsb, CHANGING_ORDER, NOVA_PERM_ALL, 0) == NOVA_SUCCESS);
        for (uint64_t page = dsb; page < end; page++) {
            struct ptab_range r = ptab_lookup(&spaces[1]->mem.ptab, page);
            uint64_t frame = r.frame + (page - r.page) - (page - dsb);
            CHECK(r.perm && r.cache == 0 &&
                  (frame == 0x10000 || (frame == 0x20000 && (page - dsb) % 3 == 0)));
        }
        CHECK(!ptab_lookup(&spaces[1]->mem.ptab, dsb - 1).perm && !ptab_lookup(&spaces[1]->mem.ptab, end).perm);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    threaded = false;
    destroy();
    ok_checks("the source changes meanwhile");
}

int main(void)
{
    kernel_delta = (uint64_t)(uintptr_t)image_start - IMAGE_PHYS;
    pool_init(image_start, IMAGE_SIZE);
    test_create();
    test_protect();
    test_overfill();
    test_random();
    ptab_host.leaf_levels = 3;
    test_random();
    test_kernel_pages();
    test_top();
    test_guest();
    test_large();
    test_changing();
    return tap_done();
}
