/*
 * Page tables of several formats against a naive model: an array that says for each page of a window what it
 * maps to. The tables are read back twice: with ptab_lookup, and as hardware would read them, with functions
 * written from the manuals that share nothing with the formats.
 *
 * Sources: mem/ptab.c mem/pool.c
 *
 * SPDX-License-Identifier: MIT
 */

#define _POSIX_C_SOURCE 200809L

#include "mem/ptab.h"
#include "mem/layout.h"
#include "nova/abi/cap.h"
#include "tap.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define R NOVA_MEM_R
#define W NOVA_MEM_W
#define XU NOVA_MEM_XU
#define XS NOVA_MEM_XS

#define POOL_PAGES 16384UL
#define WINDOW_ORDER 19
#define WINDOW BIT(WINDOW_ORDER)
#define OPERATIONS 25000U
#define ALL_FRAMES 0xfffffffffUL

uint64_t kernel_delta;

/* What an entry means, or what a page maps to; perm 0 and no table: a hole. */
struct meaning {
    uint64_t frame;
    unsigned perm, cache;
    bool table;
};

/* A kind of page table. */
struct machine {
    const char *name;
    const struct ptab_format *format;
    struct meaning (*read)(uint64_t entry, unsigned level);
    unsigned (*can)(unsigned perm); /* permissions that a mapping really gets */
    unsigned caches;                /* how many cacheabilities there are */
};

static uint64_t seed = 42;

static uint64_t below(uint64_t limit)
{
    return tap_random(&seed) % limit;
}

/* Bits `high` to `low` of an entry. */
static uint64_t bits(uint64_t entry, unsigned high, unsigned low)
{
    return entry << (63 - high) >> (63 - high + low);
}

/* AMD64 manual volume 2, 5.3 and 7.8: 4-level long-mode tables in a user half. */
static struct meaning host_read(uint64_t e, unsigned level)
{
    struct meaning m = {.frame = bits(e, 51, 12)};

    CHECK((e & 1) || e == 0);
    CHECK(bits(e, 62, 52) == 0 && bits(e, 11, 8) == 0);
    if (level > 1 && bits(e, 7, 7) == 0) {
        m.table = e & 1;
        CHECK(!m.table || ((e & 0x67) == 0x27 && !(e >> 63)));
    } else if (e & 1) {
        unsigned pat = (unsigned)(bits(e, 4, 3) | (level == 1 ? bits(e, 7, 7) : bits(e, 12, 12)) << 2);
        CHECK((e & 4) && pat <= 4);
        m.perm = R | (e & 2 ? W : 0) | (e >> 63 ? 0 : XU);
        m.cache = pat;
        m.frame &= level == 1 ? ALL_FRAMES << 4 | 0xf : ~1UL;
    }
    return m;
}

static unsigned host_can(unsigned perm)
{
    return perm ? R | (perm & W) | (perm & (XU | XS) ? XU : 0) : 0;
}

/* Intel SDM volume 3, 29.3: EPT without mode-based execute control, the guest's PAT ignored. */
static struct meaning ept_read(uint64_t e, unsigned level)
{
    static const unsigned types[8] = {NOVA_MAD_UC, NOVA_MAD_WC, 9,           9,
                                      NOVA_MAD_WT, NOVA_MAD_WP, NOVA_MAD_WB, 9};
    struct meaning m = {.frame = bits(e, 51, 12)};

    CHECK((e & 7) || e == 0);
    CHECK(bits(e, 63, 52) == 0 && bits(e, 11, 8) == 0);
    if (level > 1 && bits(e, 7, 7) == 0) {
        m.table = e;
        CHECK(!m.table || bits(e, 7, 0) == 7);
    } else if (e) {
        CHECK((e & 1) && types[bits(e, 5, 3)] != 9 && bits(e, 6, 6) && bits(e, 7, 7) == (level > 1));
        m.perm = R | (e & 2 ? W : 0) | (e & 4 ? XU : 0);
        m.cache = types[bits(e, 5, 3)];
    }
    return m;
}

/* Like VT-d specification 9.8: three levels, not coherent, write-only possible, no cacheability. */
static struct meaning vtd_read(uint64_t e, unsigned level)
{
    struct meaning m = {.frame = bits(e, 51, 12)};

    CHECK((e & 3) || e == 0);
    CHECK(bits(e, 63, 52) == 0 && bits(e, 11, 8) == 0 && bits(e, 6, 2) == 0);
    if (level > 1 && bits(e, 7, 7) == 0) {
        m.table = e;
        CHECK(!m.table || bits(e, 7, 0) == 3);
    } else if (e) {
        CHECK(bits(e, 7, 7) == (level > 1));
        m.perm = e & 3;
    }
    return m;
}

static unsigned device_can(unsigned perm)
{
    return perm & (R | W);
}

static const struct ptab_format vtd = {
    .levels = 3,
    .leaf_levels = 2,
    .root_entries = 512,
    .table = 3,
    .leaf = 0x80,
    .table_mask = 0x81,
    .addr = 0xffffffffff000,
    .perm = {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3},
    .perm_mask = 3,
    .flush_lines = true,
};

/* Like AMD IOMMU specification 2.2.3: a next level, which is 0 in leaves; these force coherency (FC). */
static struct meaning amdvi_read(uint64_t e, unsigned level)
{
    struct meaning m = {.frame = bits(e, 51, 12)};

    CHECK((e & 1) || e == 0);
    CHECK(bits(e, 59, 52) == 0 && bits(e, 8, 1) == 0 && bits(e, 63, 63) == 0);
    m.table = bits(e, 11, 9);
    CHECK(bits(e, 60, 60) == (e && !m.table));
    if (m.table) {
        CHECK(bits(e, 11, 9) == level - 1 && bits(e, 62, 61) == 3);
    } else {
        m.perm = (bits(e, 61, 61) ? R : 0) | (bits(e, 62, 62) ? W : 0);
    }
    return m;
}

#define AMDVI_PERMS 0, BIT(61) | BIT(60) | 1, BIT(62) | BIT(60) | 1, BIT(62) | BIT(61) | BIT(60) | 1

static const struct ptab_format amdvi = {
    .levels = 4,
    .leaf_levels = 3,
    .root_entries = 512,
    .table = BIT(62) | BIT(61) | 1,
    .table_level = 0x200,
    .table_mask = BIT(60) | 1,
    .addr = 0xffffffffff000,
    .perm = {AMDVI_PERMS, AMDVI_PERMS, AMDVI_PERMS, AMDVI_PERMS},
    .perm_mask = BIT(62) | BIT(61) | BIT(60) | 1,
};

static struct ptab_format host_small, host_large, ept;

static const struct machine machines[] = {
    {"host", &host_small, host_read, host_can, 5},
    {"host with 1 GiB pages", &host_large, host_read, host_can, 5},
    {"NPT", &ptab_npt, host_read, host_can, 5},
    {"EPT", &ept, ept_read, host_can, 5},
    {"VT-d, 3 levels", &vtd, vtd_read, device_can, 1},
    {"AMD-Vi", &amdvi, amdvi_read, device_can, 1},
};

static unsigned tree_order(const struct machine *machine)
{
    return 9 * machine->format->levels - (machine->format->root_entries == 256);
}

static unsigned largest_leaf(const struct machine *machine)
{
    return 9 * (machine->format->leaf_levels - 1);
}

/* What a page maps to, as hardware sees it. *order becomes the one of the entry that says so. */
static struct meaning translate(const struct machine *machine, uint64_t *root, uint64_t page, unsigned *order)
{
    uint64_t *table = root;

    for (unsigned level = machine->format->levels; table; level--) {
        uint64_t entry = __atomic_load_n(&table[page >> 9 * (level - 1) & 511], __ATOMIC_ACQUIRE);
        struct meaning m = machine->read(entry, level);
        if (!m.table) {
            uint64_t offset = page & (BIT(9 * (level - 1)) - 1);
            CHECK(!m.perm || (m.frame & (BIT(9 * (level - 1)) - 1)) == 0);
            m.frame = m.perm ? m.frame + offset : 0;
            *order = 9 * (level - 1);
            return m;
        }
        CHECK(level > 1);
        table = virt_of(m.frame << PAGE_BITS);
    }
    *order = tree_order(machine);
    return (struct meaning){0};
}

static bool same(const struct meaning *a, const struct meaning *b)
{
    return a->perm == b->perm && (!a->perm || (a->frame == b->frame && a->cache == b->cache));
}

/* What a page of a range maps to when the range has been updated. */
static struct meaning wanted(const struct machine *machine, const struct ptab_range *range, uint64_t page)
{
    return (struct meaning){range->frame + (page - range->page), machine->can(range->perm), range->cache,
                            false};
}

static size_t count_tables(const struct machine *machine, uint64_t *table, unsigned level)
{
    size_t n = 1;

    if (!table) {
        return 0;
    }
    unsigned entries = level == machine->format->levels ? machine->format->root_entries : 512;
    for (unsigned i = 0; level > 1 && i < entries; i++) {
        struct meaning m = machine->read(table[i], level);
        n += m.table ? count_tables(machine, virt_of(m.frame << PAGE_BITS), level - 1) : 0;
    }
    return n;
}

static struct ptab new_ptab(const struct machine *machine, struct account *account)
{
    *account = (struct account){.limit = UINT64_MAX};
    return (struct ptab){.format = machine->format, .account = account};
}

/* Nothing may be left of a tree. */
static void end_ptab(struct ptab *ptab)
{
    ptab_destroy(ptab);
    CHECK(!ptab->root && !ptab->stale.first && ptab->account->used == 0 && pool_free() == pool_size());
}

/*
 * Random operations.
 */

static struct meaning model[WINDOW];
static uint64_t base; /* first page of the window: its end is the end of the tree */

/* Whether a page of the window, of any leaf or hole there, is as the model says. */
static void check_page(const struct machine *machine, const struct ptab *ptab, uint64_t page)
{
    struct ptab_range range = ptab_lookup(ptab, page);
    uint64_t size = BIT(range.order), last = range.page + size - 1;
    unsigned order;
    struct meaning hardware = translate(machine, ptab->root, page, &order);
    struct meaning found = {range.frame + (page - range.page), range.perm, range.cache, false};

    CHECK(range.order == order && range.page % size == 0 && page - range.page < size);
    CHECK(!range.perm || range.order <= largest_leaf(machine));
    CHECK(same(&hardware, &model[page - base]) && same(&found, &hardware));
    if (range.page >= base) {
        found.frame = range.frame;
        CHECK(same(&found, &model[range.page - base]));
    }
    found.frame = range.frame + size - 1;
    CHECK(same(&found, &model[last - base]));
}

static void check_around(const struct machine *machine, const struct ptab *ptab,
                         const struct ptab_range *range)
{
    uint64_t last = range->page + BIT(range->order) - 1;
    uint64_t first = range->page < base ? base : range->page;
    uint64_t pages[] = {first,
                        last,
                        first > base ? first - 1 : first,
                        last < base + WINDOW - 1 ? last + 1 : last,
                        first + below(last - first + 1),
                        first ^ below(1024),
                        base + below(WINDOW)};

    for (unsigned i = 0; i < ARRAY_SIZE(pages); i++) {
        check_page(machine, ptab, pages[i]);
    }
}

static void check_all(const struct machine *machine, struct ptab *ptab)
{
    struct ptab_range range;

    for (uint64_t page = base; page < base + WINDOW; page = range.page + BIT(range.order)) {
        range = ptab_lookup(ptab, page);
        check_page(machine, ptab, page);
        bool right = true;
        for (uint64_t p = page; p < range.page + BIT(range.order); p++) {
            struct meaning m = {range.frame + (p - range.page), range.perm, range.cache, false};
            right = right && same(&m, &model[p - base]);
        }
        CHECK(right);
    }
    ptab_release(ptab, &ptab->stale);
    CHECK(ptab->account->used == count_tables(machine, ptab->root, machine->format->levels));
    CHECK(ptab->account->used + pool_free() == pool_size());
}

static struct ptab_range random_range(const struct machine *machine)
{
    static const unsigned limits[] = {1, 1, 1, 4, 4, 10, 10, 10, 13, 19};
    static uint64_t spots[4];
    struct ptab_range range = {.perm = below(3) ? (unsigned)below(16) : 0};

    range.order = (unsigned)below(limits[below(ARRAY_SIZE(limits))]);
    range.cache = (unsigned)below(machine->caches);
    if (below(100) == 0) {
        range.order = machine->can(range.perm) ? 18 + (unsigned)below(5)
                                               : 18 + (unsigned)below(tree_order(machine) - 17);
    }
    /* Most changes are close to each other, so that they meet. */
    if (below(64) == 0) {
        spots[below(ARRAY_SIZE(spots))] = below(WINDOW);
    }
    uint64_t offset = (spots[below(ARRAY_SIZE(spots))] + below(BIT(below(16)))) % WINDOW;
    range.page = (base + offset) >> range.order << range.order;
    range.frame = (below(2) ? range.page & 0xffffff : below(ALL_FRAMES)) >> range.order << range.order;
    return range;
}

/*
 * Brings the model up to date after an update of a range. If the update failed, a leading part must be as
 * wanted, and the rest as before. Returns whether a page that was mapped now maps differently.
 */
static bool update_model(const struct machine *machine, const struct ptab *ptab,
                         const struct ptab_range *range, bool done)
{
    uint64_t page = range->page < base ? base : range->page;
    bool changed = false;
    unsigned order;

    for (; page <= range->page + BIT(range->order) - 1 && page < base + WINDOW; page++) {
        struct meaning want = wanted(machine, range, page);
        if (!done) {
            struct meaning is = translate(machine, ptab->root, page, &order);
            if (!same(&is, &want)) {
                break;
            }
        }
        changed |= model[page - base].perm && !same(&model[page - base], &want);
        model[page - base] = want;
    }
    for (; page <= range->page + BIT(range->order) - 1 && page < base + WINDOW; page++) {
        struct meaning is = translate(machine, ptab->root, page, &order);
        if (!same(&is, &model[page - base])) {
            CHECK(false);
            return changed;
        }
    }
    return changed;
}

/* The same again changes nothing, needs nothing and asks for no flush. */
static void check_again(struct ptab *ptab, struct ptab_range range)
{
    struct page_list stale = ptab->stale;
    bool flush = false;

    ptab->account->limit = ptab->account->used;
    CHECK(ptab_update(ptab, range, &flush));
    CHECK(!flush && ptab->account->used == ptab->account->limit && ptab->stale.first == stale.first);
}

static void test_random(const struct machine *machine)
{
    struct account account;
    struct ptab ptab = new_ptab(machine, &account);
    unsigned failed = 0, flushed = 0;

    base = BIT(tree_order(machine)) - WINDOW;
    memset(model, 0, sizeof(model));
    for (unsigned i = 0; i < OPERATIONS; i++) {
        struct ptab_range range = random_range(machine);
        bool flush = false, hole = range.page >= base && !model[range.page - base].perm;

        account.limit = below(8) ? UINT64_MAX : account.used + below(4);
        bool done = ptab_update(&ptab, range, &flush);
        CHECK(done || account.used == account.limit);
        bool changed = update_model(machine, &ptab, &range, done);
        CHECK(flush || !changed);
        CHECK(flush || !ptab.stale.first || i % 16);
        CHECK(!(flush && hole && range.order == 0));
        if (done && machine->can(range.perm)) {
            unsigned order = range.order - range.order % 9;
            CHECK(ptab_lookup(&ptab, range.page).order == (unsigned)min_u64(order, largest_leaf(machine)));
        }
        check_around(machine, &ptab, &range);
        if (done && below(4) == 0) {
            check_again(&ptab, range);
        }
        if (i % 16 == 15) {
            ptab_release(&ptab, &ptab.stale);
        }
        if (i % 2500 == 2499) {
            check_all(machine, &ptab);
        }
        failed += !done;
        flushed += flush;
    }
    printf("# %u operations, %u lacked memory, %u flushed\n", OPERATIONS, failed, flushed);
    CHECK(failed > OPERATIONS / 1000 && flushed > OPERATIONS / 10 && flushed < OPERATIONS * 9 / 10);
    end_ptab(&ptab);
    ok_checks("%s: random updates", machine->name);
}

/*
 * Every change of an entry that was present, and only that, flushes; what is unhooked stays as it was.
 */

#define TABLES_MAX 4096

struct copy {
    uint64_t *table;
    uint64_t entries[512];
};

static struct copy copies[TABLES_MAX];
static bool reached[TABLES_MAX];

static size_t copy_tables(const struct machine *machine, uint64_t *table, unsigned level, size_t n)
{
    if (!table || n == TABLES_MAX) {
        return n;
    }
    copies[n].table = table;
    memcpy(copies[n].entries, table, PAGE_SIZE);
    n++;
    for (unsigned i = 0; level > 1 && i < 512; i++) {
        struct meaning m = machine->read(table[i], level);
        n = m.table ? copy_tables(machine, virt_of(m.frame << PAGE_BITS), level - 1, n) : n;
    }
    return n;
}

/* Marks which of the copied tables still belong to the tree. */
static void find_tables(const struct machine *machine, uint64_t *table, unsigned level, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        reached[i] |= copies[i].table == table;
    }
    for (unsigned i = 0; level > 1 && i < 512; i++) {
        struct meaning m = machine->read(table[i], level);
        if (m.table) {
            find_tables(machine, virt_of(m.frame << PAGE_BITS), level - 1, count);
        }
    }
}

static void test_exact(const struct machine *machine)
{
    unsigned levels = machine->format->levels, unhooked = 0;
    struct account account;
    struct ptab ptab = new_ptab(machine, &account);

    base = BIT(tree_order(machine)) - WINDOW;
    for (unsigned i = 0; i < 2000; i++) {
        struct ptab_range range = random_range(machine);
        bool flush = false, changed = false;
        size_t count = copy_tables(machine, ptab.root, levels, 0);

        account.limit = below(4) ? UINT64_MAX : account.used + below(3);
        ptab_update(&ptab, range, &flush);
        memset(reached, 0, sizeof(reached));
        if (ptab.root) {
            find_tables(machine, ptab.root, levels, count);
        }
        for (size_t t = 0; t < count; t++) {
            bool differs = memcmp(copies[t].table, copies[t].entries, PAGE_SIZE) != 0;
            for (unsigned e = 0; differs && reached[t] && e < 512; e++) {
                changed |= copies[t].entries[e] && copies[t].entries[e] != copies[t].table[e];
            }
            CHECK(reached[t] || !differs);
            unhooked += !reached[t];
        }
        CHECK(flush == changed);

        struct page_list stale = ptab.stale;
        ptab.stale = (struct page_list){0};
        CHECK(flush || !stale.first);
        ptab_release(&ptab, &stale);
        CHECK(!stale.first && account.used == count_tables(machine, ptab.root, levels));
        if (i % 100 == 99) {
            end_ptab(&ptab);
        }
    }
    CHECK(unhooked > 100);
    ok_checks("%s: flush is exact, unhooked tables stay as they are", machine->name);
}

/*
 * Memory runs out at every allocation that an update makes.
 */

#define STEPS 3

/* Page numbers are relative to a page in the middle of a user half, aligned to 2^22. */
struct scenario {
    const char *name;
    struct ptab_range before[STEPS]; /* order 0, perm 0: nothing */
    struct ptab_range update;
};

static const struct scenario scenarios[] = {
    {"map a page in nothing", {{0}}, {5, 0, 77, R, 0}},
    {"map many in nothing", {{0}}, {0x800, 11, 0x4000, R | W, 0}},
    {"map 4 GiB in nothing", {{0}}, {0, 20, 0x100000, R, 0}},
    {"map a page in 2 MiB", {{0x200, 9, 0x200, R | W, 0}}, {0x2ff, 0, 0x3ff, R, 0}},
    {"unmap pages in 2 MiB", {{0x200, 9, 0x200, R | W | XU, 0}}, {0x208, 3, 0, 0, 0}},
    {"map a page in 1 GiB", {{0x40000, 18, 0x80000, R | W, 0}}, {0x54321, 0, 3, R | W | XU, 0}},
    {"unmap 4 MiB in 1 GiB", {{0x40000, 18, 0x80000, R | W, 0}}, {0x54400, 10, 0, 0, 0}},
    {"unmap a page in 1 GiB", {{0x40000, 18, 0x80000, R, 0}}, {0x7ffff, 0, 0, 0, 0}},
    {"map over pages and holes",
     {{0x3, 0, 0x9, R, 0}, {0x40200, 9, 0x200, R, 0}, {0x80101, 0, 0x55, R | W, 0}},
     {0, 20, 0x200000, R | W, 0}},
    {"map 32 pages next to others", {{0x20, 5, 0x40, R, 0}, {0x100000, 18, 0, R, 0}}, {0x240, 5, 0x40, R, 0}},
};

static struct meaning before[BIT(21)];

static struct ptab_range placed(const struct machine *machine, struct ptab_range range)
{
    range.page += BIT(tree_order(machine) - 1);
    return range;
}

/* Takes all pages of the pool but some; gives them back. */
static void hoard(struct page_list *list, uint64_t leave)
{
    while (pool_free() > leave) {
        page_list_push(list, page_alloc(NULL, 0), 0);
    }
}

static void unhoard(struct page_list *list)
{
    unsigned tag;

    for (void *page; (page = page_list_pop(list, &tag));) {
        page_free(NULL, page, 0);
    }
}

/* The next page to look at: close to the ends of the range, every one. */
static uint64_t next_page(const struct ptab_range *range, uint64_t page)
{
    uint64_t end = range->page + BIT(range->order);

    return page + (page - range->page + 600 < 1200 || page - end + 600 < 1200 ? 1 : 37);
}

/* Runs a scenario with memory for some tables only; returns whether that was enough. */
static bool run_scenario(const struct machine *machine, const struct scenario *scenario, uint64_t tables,
                         bool by_pool)
{
    struct ptab_range update = placed(machine, scenario->update), r;
    uint64_t around = update.page & ~(BIT(21) - 1), page;
    bool flush = false, changed = false, rest = false;
    struct page_list hoarded = {0};
    struct account account;
    struct ptab ptab = new_ptab(machine, &account);
    unsigned order;

    for (unsigned i = 0; i < STEPS && (scenario->before[i].order || scenario->before[i].perm); i++) {
        r = placed(machine, scenario->before[i]);
        CHECK(ptab_update(&ptab, r, &flush) && !flush);
    }
    for (page = around; page < around + BIT(21); page = next_page(&update, page)) {
        before[page - around] = translate(machine, ptab.root, page, &order);
    }
    if (by_pool) {
        hoard(&hoarded, tables);
    } else {
        account.limit = account.used + tables;
    }
    bool done = ptab_update(&ptab, update, &flush);
    CHECK(done || (by_pool ? pool_free() == 0 : account.used == account.limit));
    unhoard(&hoarded);

    for (page = around; page < around + BIT(21); page = next_page(&update, page)) {
        const struct meaning *old = &before[page - around];
        struct meaning is = translate(machine, ptab.root, page, &order);
        struct meaning want = wanted(machine, &update, page);
        if (page < update.page || page >= update.page + BIT(update.order)) {
            CHECK(same(&is, old));
            continue;
        }
        rest |= !same(&is, &want);
        CHECK(rest ? !done && same(&is, old) : same(&is, &want));
        changed |= old->perm && !same(&is, old);
    }
    CHECK(flush || !changed);
    end_ptab(&ptab);
    return done;
}

static void test_no_memory(const struct machine *machine, bool by_pool)
{
    unsigned failures = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(scenarios); i++) {
        uint64_t tables = 0;
        while (tables < 100 && !run_scenario(machine, &scenarios[i], tables, by_pool)) {
            tables++;
        }
        CHECK(tables < 100);
        failures += (unsigned)tables;
    }
    CHECK(failures >= 15);
    ok_checks("%s: no memory in the %s at each of %u allocations", machine->name,
              by_pool ? "pool" : "account", failures);
}

/*
 * Cases worth a name.
 */

static void test_empty(const struct machine *machine)
{
    struct account account;
    struct ptab ptab = new_ptab(machine, &account);
    bool flush = false;

    struct ptab_range r = ptab_lookup(&ptab, 0x1234567);
    CHECK(r.page == 0 && r.order == tree_order(machine) && r.perm == 0);
    for (unsigned order = 0; order <= tree_order(machine); order++) {
        CHECK(ptab_update(&ptab, (struct ptab_range){.order = order}, &flush));
    }
    CHECK(!ptab.root && !flush && account.used == 0);

    CHECK(ptab_update(&ptab, (struct ptab_range){0x40000, 0, 1, R, 0}, &flush) && !flush);
    CHECK(account.used == machine->format->levels);
    for (unsigned order = 0; order <= 18; order++) {
        CHECK(ptab_update(&ptab, (struct ptab_range){.page = 0x80000, .order = order}, &flush));
        CHECK(
            ptab_update(&ptab, (struct ptab_range){.page = 0x40000 + BIT(17), .order = order % 18}, &flush));
    }
    CHECK(!flush && account.used == machine->format->levels && !ptab.stale.first);
    CHECK(ptab_update(&ptab, (struct ptab_range){.order = tree_order(machine)}, &flush) && flush);
    ptab_release(&ptab, &ptab.stale);
    CHECK(account.used == 1 && ptab_lookup(&ptab, 0x40000).perm == 0);
    end_ptab(&ptab);
    ok_checks("%s: unmapping nothing needs no memory and no flush", machine->name);
}

/* Every permission and cacheability, at every size, and again after a split. */
static void test_attributes(const struct machine *machine)
{
    for (unsigned perm = 0; perm < 16; perm++) {
        for (unsigned cache = 0; cache < machine->caches; cache++) {
            for (unsigned order = 0; order <= largest_leaf(machine); order += 9) {
                struct account account;
                struct ptab ptab = new_ptab(machine, &account);
                struct ptab_range range = {BIT(18), order, BIT(20) | BIT(18), perm, cache}, r;
                struct meaning want = wanted(machine, &range, range.page + BIT(order) - 1), is;
                bool flush = false;
                unsigned found;

                CHECK(ptab_update(&ptab, range, &flush) && !flush);
                r = ptab_lookup(&ptab, range.page);
                is = translate(machine, ptab.root, range.page + BIT(order) - 1, &found);
                CHECK(r.perm == machine->can(perm) && same(&is, &want));
                CHECK(!r.perm ||
                      (r.cache == cache && r.frame == range.frame && r.order == order && found == order));
                CHECK(ptab_update(&ptab, (struct ptab_range){.page = range.page}, &flush));
                CHECK(flush == (r.perm != 0));
                is = translate(machine, ptab.root, range.page + BIT(order) - 1, &found);
                CHECK(order == 0 || (same(&is, &want) && (!is.perm || found == 0 || order > 9)));
                end_ptab(&ptab);
            }
        }
    }
    ok_checks("%s: permissions and cacheabilities", machine->name);
}

/* The kernel's half of a host table is not touched. */
static void test_kernel_half(const struct machine *machine)
{
    struct account account, other = {.limit = UINT64_MAX};
    struct ptab ptab = new_ptab(machine, &account);
    uint64_t *tables[3] = {page_alloc(&other, 0), page_alloc(&other, 0), page_alloc(&other, 0)};
    bool flush = false;

    ptab.root = page_alloc(&account, 0);
    ptab.root[256] = phys_of(tables[0]) | 0x23;
    ptab.root[511] = phys_of(tables[1]) | 0x23;
    tables[1][3] = phys_of(tables[2]) | 0x23;
    CHECK(ptab_update(&ptab, (struct ptab_range){BIT(35) - 1, 0, 9, R, 0}, &flush));
    CHECK(ptab_update(&ptab, (struct ptab_range){0, 0, 9, R, 0}, &flush) && account.used == 7);
    CHECK(ptab_update(&ptab, (struct ptab_range){.order = 35}, &flush) && flush);
    CHECK(ptab.root[0] == 0 && ptab.root[255] == 0);
    CHECK(ptab.root[256] == (phys_of(tables[0]) | 0x23) && ptab.root[511] == (phys_of(tables[1]) | 0x23));
    CHECK(ptab_update(&ptab, (struct ptab_range){BIT(35) - 1, 0, 9, R, 0}, &flush));
    ptab_destroy(&ptab);
    CHECK(account.used == 0 && pool_free() == pool_size() - 3);
    CHECK(tables[1][3] == (phys_of(tables[2]) | 0x23));
    for (unsigned i = 0; i < 3; i++) {
        page_free(&other, tables[i], 0);
    }
    ok_checks("%s: the kernel's half stays", machine->name);
}

/*
 * Hardware may walk between any two instructions of an update. So the CPU traps after each of them, and the
 * trap handler looks at some pages: each maps what it did before, until it maps what is wanted.
 */

#define WATCHED 8

static struct {
    const struct machine *machine;
    const struct ptab *ptab;
    uint64_t pages[WATCHED];
    struct meaning before[WATCHED], after[WATCHED];
    bool changed[WATCHED];
    unsigned long traps;
} watch;

static void look(int signal)
{
    unsigned order;

    (void)signal;
    watch.traps++;
    for (unsigned i = 0; i < WATCHED; i++) {
        struct meaning is = translate(watch.machine, watch.ptab->root, watch.pages[i], &order);
        watch.changed[i] |= !same(&is, &watch.before[i]);
        CHECK(same(&is, watch.changed[i] ? &watch.after[i] : &watch.before[i]));
    }
}

static void single_step(bool on)
{
    uint64_t flags = __builtin_ia32_readeflags_u64();

    __builtin_ia32_writeeflags_u64(on ? flags | 0x100 : flags & ~0x100UL);
}

static void test_steps(const struct machine *machine)
{
    struct ptab_range all = {BIT(18), 18, BIT(20) | BIT(18), R, 0};
    struct account account;
    struct ptab ptab = new_ptab(machine, &account);
    struct sigaction action = {.sa_handler = look};
    bool flush = false;
    unsigned order;

    watch.machine = machine;
    watch.ptab = &ptab;
    watch.traps = 0;
    sigaction(SIGTRAP, &action, NULL);
    CHECK(ptab_update(&ptab, all, &flush));
    for (unsigned i = 0; i < 24; i++) {
        struct ptab_range range = {.order = i % 12, .perm = below(4) ? R | (unsigned)below(4) : 0};
        if (i % 12 == 11) {
            range.order = 18;
        }
        range.page = (BIT(18) + below(BIT(12))) >> range.order << range.order;
        range.frame = BIT(20) | range.page;
        for (unsigned w = 0; w < WATCHED; w++) {
            uint64_t ends[] = {range.page, range.page + BIT(range.order) - 1, range.page - 1,
                               range.page + BIT(range.order)};
            watch.pages[w] = w < 4   ? ends[w]
                             : w < 6 ? range.page + below(BIT(range.order))
                                     : range.page ^ below(1024);
            watch.before[w] = translate(machine, ptab.root, watch.pages[w], &order);
            watch.after[w] = watch.pages[w] - range.page < BIT(range.order)
                                 ? wanted(machine, &range, watch.pages[w])
                                 : watch.before[w];
            watch.changed[w] = false;
        }
        single_step(true);
        bool done = ptab_update(&ptab, range, &flush);
        single_step(false);
        CHECK(done);
        look(0);
        for (unsigned w = 0; w < WATCHED; w++) {
            struct meaning is = translate(machine, ptab.root, watch.pages[w], &order);
            CHECK(same(&is, &watch.after[w]));
        }
        ptab_release(&ptab, &ptab.stale);
    }
    printf("# %lu instructions\n", watch.traps);
    CHECK(watch.traps > 10000);
    end_ptab(&ptab);
    ok_checks("%s: the tables are right after every instruction", machine->name);
}

int main(void)
{
    void *memory = aligned_alloc(PAGE_SIZE, POOL_PAGES * PAGE_SIZE);

    if (!memory) {
        abort();
    }
    kernel_delta = (uint64_t)(uintptr_t)memory - 0x1200000;
    memset(memory, 0xff, POOL_PAGES * PAGE_SIZE);
    pool_init(memory, POOL_PAGES * PAGE_SIZE);
    host_small = host_large = ptab_host;
    host_large.leaf_levels = 3;
    ept = ptab_ept;
    ept.leaf_levels = 3;

    for (const struct machine *m = machines; m < machines + ARRAY_SIZE(machines); m++) {
        test_empty(m);
        test_attributes(m);
        test_random(m);
        test_exact(m);
        test_no_memory(m, false);
    }
    test_steps(&machines[1]);
    test_steps(&machines[4]);
    test_no_memory(&machines[0], true);
    test_kernel_half(&machines[0]);
    test_kernel_half(&machines[1]);
    free(memory);
    return tap_done();
}
