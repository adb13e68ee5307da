/*
 * Page tables: look-up, update and release for all formats.
 *
 * Hardware walks the tree meanwhile, so each entry changes with one 8-byte store, and a table is complete
 * before the entry that points to it. An update visits the tables that hold its leaves one after the other,
 * from the root each time: for a single page, where the tables exist, that is one walk and one store.
 *
 * SPDX-License-Identifier: MIT
 */

#include "mem/ptab.h"

#include "boot/paging.h"
#include "mem/layout.h"

#define BITS 9
#define ENTRIES 512U

/* The level of a table is expressed by the order of what one of its entries maps: 0, 9, 18 ... */
static unsigned order_of(unsigned level)
{
    return (level - 1) * BITS;
}

/* Whether an entry above order 0 points to a table. */
static bool is_table(const struct ptab_format *f, uint64_t entry)
{
    return (entry & f->table_mask) == (f->table & f->table_mask);
}

static uint64_t *table_of(const struct ptab_format *f, uint64_t entry)
{
    return virt_of(entry & f->addr);
}

/* CLFLUSH is ordered with the stores around it, so no fence is needed (Intel SDM volume 2). */
static void write_back(const struct ptab_format *f, uint64_t *entry, size_t count)
{
    if (UNLIKELY(f->flush_lines))
        for (uint64_t *end = entry + count; entry < end; entry += 64 / sizeof(*entry))
            __asm__ volatile("clflush %0" : "+m"(*entry));
}

/* Cacheability of a leaf: the first that has its encoding. */
static unsigned cache_of(const struct ptab_format *f, uint64_t leaf, unsigned order)
{
    const uint64_t *encodings = order ? f->cache_leaf : f->cache;
    uint64_t mask = order ? f->cache_leaf_mask : f->cache_mask;
    unsigned cache = 0;

    for (; cache < ARRAY_SIZE(f->cache) - 1 && encodings[cache] != (leaf & mask); cache++) {
    }
    return cache;
}

/* Permissions of a leaf. If several have its encoding, the ones with R count, of these the fewest. */
static unsigned perm_of(const struct ptab_format *f, uint64_t leaf)
{
    unsigned perm = 1;

    while (perm && f->perm[perm] != (leaf & f->perm_mask))
        perm = perm == 15 ? 2 : (perm + 2) % ARRAY_SIZE(f->perm); /* 1, 3 ... 15, 2, 4 ... 14, 0 */
    return perm;
}

/* The entry for a page at `order`, or above it where the tables end: *reached tells. There must be a root. */
static inline uint64_t *walk(const struct ptab *ptab, uint64_t page, unsigned order, unsigned *reached)
{
    const struct ptab_format *f = ptab->format;
    unsigned o = order_of(f->levels);
    uint64_t *entry = &ptab->root[page >> o & (ENTRIES - 1)];

    while (o > order && LIKELY(is_table(f, *entry))) {
        o -= BITS;
        entry = &table_of(f, *entry)[page >> o & (ENTRIES - 1)];
    }
    *reached = o;
    return entry;
}

struct ptab_range ptab_lookup(const struct ptab *ptab, uint64_t page)
{
    const struct ptab_format *f = ptab->format;
    unsigned order = order_of(f->levels) + bit_highest(f->root_entries);
    uint64_t entry = ptab->root ? *walk(ptab, page, 0, &order) : 0;
    struct ptab_range range = {.page = page >> order << order, .order = order};

    if (entry) {
        range.frame = (entry & f->addr) >> PAGE_BITS >> order << order;
        range.perm = perm_of(f, entry);
        range.cache = cache_of(f, entry, order);
    }
    return range;
}

/* Puts a table in place of a null root, a hole or a leaf, mapping the same. False if memory is lacking. */
static bool insert_table(struct ptab *ptab, uint64_t *entry, unsigned order, bool *flush)
{
    const struct ptab_format *f = ptab->format;
    uint64_t *table = page_alloc(ptab->account, 0);
    uint64_t leaf = entry ? *entry : 0;

    if (!table)
        return false;
    if (leaf) {
        if (order == BITS)
            leaf = (leaf & ~(f->leaf | f->cache_leaf_mask)) | f->cache[cache_of(f, leaf, order)];
        for (unsigned i = 0; i < ENTRIES; i++, leaf += PAGE_SIZE << (order - BITS))
            table[i] = leaf;
        *flush = true;
    }
    write_back(f, table, ENTRIES);

    if (!entry) {
        ptab->root = table;
        return true;
    }
    __atomic_store_n(entry, phys_of(table) | (f->table + order / BITS * f->table_level), __ATOMIC_RELEASE);
    write_back(f, entry, 1);
    return true;
}

/* The entry that begins a range, or the only one; 0 if the format has no mapping for the permissions. */
static inline uint64_t encode(const struct ptab_format *f, const struct ptab_range *range, unsigned order)
{
    uint64_t perm = f->perm[range->perm];
    uint64_t cache = order ? f->leaf | f->cache_leaf[range->cache] : f->cache[range->cache];

    return perm ? perm | cache | range->frame << PAGE_BITS : 0;
}

static inline void set(struct ptab *ptab, uint64_t *entry, unsigned order, uint64_t value, bool *flush)
{
    const struct ptab_format *f = ptab->format;
    uint64_t old = *entry;

    if (old != value) {
        __atomic_store_n(entry, value, __ATOMIC_RELEASE);
        if (old) {
            *flush = true;
            if (order && is_table(f, old))
                page_list_push(&ptab->stale, table_of(f, old), order - BITS);
        }
    }
}

static __attribute__((noinline)) bool update(struct ptab *ptab, const struct ptab_range *range, bool *flush)
{
    const struct ptab_format *f = ptab->format;
    bool map = f->perm[range->perm];
    unsigned top = order_of(map ? f->leaf_levels : f->levels), reached;
    unsigned order = (unsigned)min_u64(range->order / BITS * BITS, top);

    if (!ptab->root && !(map && insert_table(ptab, NULL, 0, flush)))
        return !map;

    uint64_t value = encode(f, range, order), count;
    uint64_t page = range->page, end = page + BIT(range->order);
    for (; page < end; page += count << order) {
        uint64_t *entry = walk(ptab, page, order, &reached);
        count = 0;
        if (reached == order) {
            count = min_u64((end - page) >> order, ENTRIES);
            for (uint64_t i = 0; i < count; i++, value += map ? PAGE_SIZE << order : 0)
                set(ptab, &entry[i], order, value, flush);
            write_back(f, entry, count);
        } else if (!map && !*entry) {
            break; /* only what is mapped may need more than one table */
        } else if (!insert_table(ptab, entry, reached, flush)) {
            return false;
        }
    }
    return true;
}

bool ptab_update(struct ptab *ptab, struct ptab_range range, bool *flush)
{
    /* The usual case, made fast: one page, and the tables exist. */
    if (range.order == 0 && ptab->root) {
        unsigned reached;
        uint64_t *entry = walk(ptab, range.page, 0, &reached);
        if (reached == 0) {
            set(ptab, entry, 0, encode(ptab->format, &range, 0), flush);
            write_back(ptab->format, entry, 1);
            return true;
        }
    }
    return update(ptab, &range, flush);
}

void ptab_release(const struct ptab *ptab, struct page_list *stale)
{
    const struct ptab_format *f = ptab->format;
    unsigned order;
    uint64_t *table;

    while ((table = page_list_pop(stale, &order))) {
        unsigned entries = !order ? 0 : order == order_of(f->levels) ? f->root_entries : ENTRIES;
        for (unsigned i = 0; i < entries; i++)
            if (is_table(f, table[i]))
                page_list_push(stale, table_of(f, table[i]), order - BITS);
        page_free(ptab->account, table, 0);
    }
}

void ptab_destroy(struct ptab *ptab)
{
    if (ptab->root) {
        page_list_push(&ptab->stale, ptab->root, order_of(ptab->format->levels));
        ptab->root = NULL;
    }
    ptab_release(ptab, &ptab->stale);
}

/*
 * Entry:  | NX 63 | address 51:12 | PS 7 (above level 1) | D 6 | A 5 | US 2 | RW 1 | P 0 |
 *
 * The cacheability is an index into the PAT: PCD 4, PWT 3 and, above them, bit 7 at level 1 or 12 higher up.
 * What can be written or executed can also be read. D and A are set, so that hardware need not do it.
 */
#define US BIT(2)
#define USER(bits) (PTE_P | US | PTE_A | PTE_D | (bits))
#define BY_W_R USER(0), USER(0), USER(PTE_W), USER(PTE_W)

#define X86_FORMAT                                                                                           \
    .levels = 4, .leaf_levels = 2, .table = PTE_P | PTE_W | US | PTE_A, .leaf = PTE_LARGE,                   \
    .table_mask = PTE_P | PTE_LARGE, .addr = 0xffffffffff000, /* XU and XS are one and the same here */      \
        .perm = {0, USER(PTE_NX), USER(PTE_NX | PTE_W), USER(PTE_NX | PTE_W), BY_W_R, BY_W_R, BY_W_R},       \
    .perm_mask = USER(PTE_NX | PTE_W), .cache = {0x00, 0x08, 0x10, 0x18, 0x80}, .cache_mask = 0x98,          \
    .cache_leaf = {0x00, 0x08, 0x10, 0x18, 0x1000}, .cache_leaf_mask = 0x1018

struct ptab_format ptab_host = {X86_FORMAT, .root_entries = 256};
struct ptab_format ptab_npt = {X86_FORMAT, .root_entries = 512};

/*
 * EPT entry:  | address 51:12 | PS 7 | ignore the guest's PAT 6 | memory type 5:3 | X 2 | W 1 | R 0 |
 *
 * What can be written or executed can also be read. The PAT is ignored so that all mappings of a page agree.
 */
#define EPT_RX 5
#define EPT_RWX 7
#define EPT_TYPE(type) ((type) << 3 | BIT(6))
#define EPT_TYPES EPT_TYPE(6UL), EPT_TYPE(4UL), EPT_TYPE(1UL), EPT_TYPE(0UL), EPT_TYPE(5UL)

struct ptab_format ptab_ept = {
    .levels = 4,
    .leaf_levels = 1,
    .root_entries = 512,
    .table = EPT_RWX,
    .leaf = PTE_LARGE,
    .table_mask = EPT_RWX | PTE_LARGE,
    .addr = 0xffffffffff000,
    .perm = {0, 1, 3, 3, EPT_RX, EPT_RX, EPT_RWX, EPT_RWX, EPT_RX, EPT_RX, EPT_RWX, EPT_RWX, EPT_RX, EPT_RX,
             EPT_RWX, EPT_RWX},
    .perm_mask = EPT_RWX,
    .cache = {EPT_TYPES},
    .cache_mask = EPT_TYPE(7UL),
    .cache_leaf = {EPT_TYPES},
    .cache_leaf_mask = EPT_TYPE(7UL),
};
