/*
 * Memory. Pages of the pool are accounted for in a bitmap; for each page of the windows there is an entry
 * that says what is behind it. Both tables lie at the end of the pool and are used from the first request on;
 * the pool is zeroed at start.
 *
 *   pool:  | image, stack | pages ...                     | bitmap, entries |
 *          0              pool_used                        base + pages * 4096
 *
 *   entry: 0: free; else RESERVED | rights | page of the pool + 1, or 0 for none
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

#include <nova/mem.h>
#include <nova/string.h>

#define RESERVED 0x80000000U
#define NEW 0x40000000U /* got its memory in the request under way */
#define RIGHTS(r) ((uint32_t)(r) << 28)
#define RIGHTS_OF(e) ((e) >> 28 & 3U)
#define FRAME 0x0fffffffU
#define SPARE_WINDOW 512U
#define ALIGN_MAX 9U
#define SUPERPAGE 0x200000UL

static struct nova_mutex lock;
static struct nova_once started;
static uint64_t base;        /* address of page 0 */
static uint64_t pages;       /* pages of the pool */
static uint64_t fresh;       /* pages from here on have never been used, and are zero */
static uint64_t hint;        /* all pages below are taken */
static uint64_t *taken;      /* bitmap */
static uint32_t *entry;      /* of each page of the windows */
static uint64_t windows;     /* how many */
static uint64_t reserved;    /* entries that are not free */
static uint64_t next_window; /* address for nova_mem_window() */

static void start(void)
{
    const struct nova_info *info = nova_info();
    uint64_t used = (info->pool_used + NOVA_PAGE - 1) & ~(NOVA_PAGE - 1), size, bitmap;

    base = info->pool_start + used;
    pages = (info->pool_size - used) / NOVA_PAGE;
    pages = pages < FRAME ? pages : FRAME - 1;
    windows = 4 * pages + SPARE_WINDOW;
    bitmap = (pages + 63) / 64 * sizeof(*taken);
    size = (bitmap + windows * sizeof(*entry) + NOVA_PAGE - 1) / NOVA_PAGE;
    pages = pages > size ? pages - size : 0;
    windows = pages ? windows : 0;
    taken = (uint64_t *)(base + pages * NOVA_PAGE);
    entry = (uint32_t *)((char *)taken + bitmap);
    next_window = (NOVA_WINDOW_ADDR + windows * NOVA_PAGE + SUPERPAGE - 1) & ~(SUPERPAGE - 1);
}

static void enter(void)
{
    nova_once(&started, start);
    nova_mutex_lock(&lock);
}

static unsigned order_of(uint64_t count)
{
    unsigned order = 63U - (unsigned)__builtin_clzl(count);

    return order < ALIGN_MAX ? order : ALIGN_MAX;
}

/* Adjacent zeroed pages, well aligned if there are such; UINT64_MAX: none. */
static uint64_t pool_take(uint64_t count)
{
    uint64_t page, align = 1UL << order_of(count), used;

    page = nova_bits_find(taken, hint, pages, count, align < 64 ? align : 64);
    if (page == UINT64_MAX && align > 1)
        page = nova_bits_find(taken, hint, pages, count, 1);
    if (page == UINT64_MAX)
        return page;
    nova_bits_set(taken, page, count, true);
    while (hint < pages && nova_bit(taken, hint))
        hint++;
    if (page < fresh) {
        used = fresh - page < count ? fresh - page : count;
        memset((void *)(base + page * NOVA_PAGE), 0, used * NOVA_PAGE);
    }
    fresh = fresh < page + count ? page + count : fresh;
    return page;
}

static void pool_give(uint64_t page, uint64_t count)
{
    nova_bits_set(taken, page, count, false);
    hint = page < hint ? page : hint;
}

int nova_mem_alloc(size_t size, void **address)
{
    uint64_t page;

    *address = NULL;
    if (!size || size % NOVA_PAGE)
        return NOVA_ERR_INVAL;
    enter();
    page = pool_take(size / NOVA_PAGE);
    nova_mutex_unlock(&lock);
    if (page == UINT64_MAX)
        return NOVA_ERR_MEMORY;
    *address = (void *)(base + page * NOVA_PAGE);
    return NOVA_OK;
}

int nova_mem_free(void *address, size_t size)
{
    uint64_t page = ((uint64_t)address - base) / NOVA_PAGE, count = size / NOVA_PAGE;
    int error = NOVA_OK;

    enter();
    if ((uint64_t)address % NOVA_PAGE || size % NOVA_PAGE || (uint64_t)address < base || page >= pages ||
        count > pages - page)
        error = NOVA_ERR_INVAL;
    for (uint64_t n = page; !error && n < page + count; n++)
        if (!nova_bit(taken, n))
            error = NOVA_ERR_INVAL;
    if (!error)
        pool_give(page, count);
    nova_mutex_unlock(&lock);
    return error;
}

/* A range of entries, all of them free or all of them reserved. */
struct range {
    uint64_t first, end;
};

static bool range_of(const void *address, size_t size, struct range *r)
{
    uint64_t offset = (uint64_t)address - NOVA_WINDOW_ADDR;

    r->first = offset / NOVA_PAGE;
    r->end = r->first + size / NOVA_PAGE;
    return size && size % NOVA_PAGE == 0 && offset % NOVA_PAGE == 0 &&
           (uint64_t)address >= NOVA_WINDOW_ADDR && r->first < windows &&
           size / NOVA_PAGE <= windows - r->first;
}

static bool all_reserved(const struct range *r)
{
    for (uint64_t n = r->first; n < r->end; n++)
        if (!entry[n])
            return false;
    return true;
}

static void set_reserved(const struct range *r)
{
    for (uint64_t n = r->first; n < r->end; n++)
        entry[n] = RESERVED;
    reserved += r->end - r->first;
}

int nova_mem_reserve(size_t size, void **address)
{
    uint64_t count = size / NOVA_PAGE, align, run = 0, n;
    struct range r;
    int error = NOVA_ERR_MEMORY;

    *address = NULL;
    if (!size || size % NOVA_PAGE)
        return NOVA_ERR_INVAL;
    align = 1UL << order_of(count);
    enter();
    for (n = 0; n < windows && run < count; n++)
        run = entry[n] || (!run && n % align) ? 0 : run + 1;
    if (run == count) {
        r = (struct range){n - count, n};
        set_reserved(&r);
        *address = (void *)(NOVA_WINDOW_ADDR + r.first * NOVA_PAGE);
        error = NOVA_OK;
    }
    nova_mutex_unlock(&lock);
    return error;
}

int nova_mem_reserve_at(void *address, size_t size)
{
    struct range r;
    int error = NOVA_OK;

    enter();
    if (!range_of(address, size, &r))
        error = NOVA_ERR_INVAL;
    for (uint64_t n = r.first; !error && n < r.end; n++)
        if (entry[n])
            error = NOVA_ERR_BUSY;
    if (!error)
        set_reserved(&r);
    nova_mutex_unlock(&lock);
    return error;
}

/* Pages from n on whose memory is in one piece, too. */
static uint64_t piece(uint64_t n, uint64_t end)
{
    uint64_t last = n + 1;

    while (last < end && (entry[last] & FRAME) == (entry[n] & FRAME) + (last - n))
        last++;
    return last;
}

/*
 * Makes pages with memory visible with rights, or with those in their entries. Pages without memory are left
 * out.
 */
static int show(uint64_t first, uint64_t end, bool old, unsigned rights)
{
    for (uint64_t n = first; n < end;) {
        uint64_t last = piece(n, end), to = NOVA_WINDOW_ADDR / NOVA_PAGE + n;
        if (!(entry[n] & FRAME)) {
            n++;
            continue;
        }
        if (old) {
            rights = RIGHTS_OF(entry[n]);
            last = n + 1;
        }
        while (n < last) {
            uint64_t from = base / NOVA_PAGE + (entry[n] & FRAME) - 1;
            uint64_t largest = 1UL << (63 - __builtin_clzl(last - n));
            unsigned order = (unsigned)__builtin_ctzl(from | to | largest);
            if (nova_hc_ctrl_pd(NOVA_SEL_HST, NOVA_SEL_HST, from, to, order, rights, 0) != NOVA_SUCCESS)
                return NOVA_ERR_MEMORY;
            n += 1UL << order;
            to += 1UL << order;
        }
    }
    return NOVA_OK;
}

/* Gives memory back; the entries get a new value. With `only`, only those that have this flag. */
static void empty(const struct range *r, uint32_t only, uint32_t value)
{
    for (uint64_t n = r->first; n < r->end; n++) {
        if (only && !(entry[n] & only))
            continue;
        if (entry[n] & FRAME)
            pool_give((entry[n] & FRAME) - 1, 1);
        entry[n] = value;
    }
}

/* Memory for all pages that have none, in pieces as large as possible. */
static int fill(const struct range *r)
{
    for (uint64_t n = r->first; n < r->end;) {
        uint64_t count = 0, page = UINT64_MAX;
        if (entry[n] & FRAME) {
            n++;
            continue;
        }
        while (n + count < r->end && !(entry[n + count] & FRAME))
            count++;
        while (count && (page = pool_take(count)) == UINT64_MAX)
            count /= 2;
        if (!count)
            return NOVA_ERR_MEMORY;
        for (; count; count--)
            entry[n++] = RESERVED | NEW | (uint32_t)++page;
    }
    return NOVA_OK;
}

static void set_rights(const struct range *r, unsigned rights)
{
    for (uint64_t n = r->first; n < r->end; n++)
        entry[n] = RESERVED | (entry[n] & FRAME) | RIGHTS(rights);
}

static int check(const void *address, size_t size, struct range *r)
{
    return range_of(address, size, r) && all_reserved(r) ? NOVA_OK : NOVA_ERR_INVAL;
}

/* Changes rights; with `more`, pages without memory get some. */
static int change(void *address, size_t size, unsigned rights, bool more)
{
    struct range r;
    int error;

    if (rights & ~(unsigned)(NOVA_MEM_R | NOVA_MEM_W))
        return NOVA_ERR_DENIED;
    rights |= rights ? NOVA_MEM_R : 0;
    enter();
    error = check(address, size, &r);
    if (!error && !(error = more ? fill(&r) : NOVA_OK) && !(error = show(r.first, r.end, false, rights))) {
        set_rights(&r, rights);
    } else if (error != NOVA_ERR_INVAL) {
        for (uint64_t n = r.first; n < r.end; n++)
            show(n, n + 1, true, 0); /* new pages have no rights in their entries */
        empty(&r, NEW, RESERVED);
    }
    nova_mutex_unlock(&lock);
    return error;
}

int nova_mem_map(void *address, size_t size, unsigned rights)
{
    return change(address, size, rights, true);
}

int nova_mem_protect(void *address, size_t size, unsigned rights)
{
    return change(address, size, rights, false);
}

static int take_away(void *address, size_t size, uint32_t value)
{
    struct range r;
    int error;

    enter();
    error = check(address, size, &r);
    if (!error) {
        show(r.first, r.end, false, 0);
        empty(&r, 0, value);
        reserved -= value ? 0 : r.end - r.first;
    }
    nova_mutex_unlock(&lock);
    return error;
}

int nova_mem_unmap(void *address, size_t size)
{
    return take_away(address, size, RESERVED);
}

int nova_mem_release(void *address, size_t size)
{
    return take_away(address, size, 0);
}

int nova_mem_window(size_t size, uint64_t *address)
{
    int error = NOVA_ERR_MEMORY;

    *address = 0;
    if (!size || size % NOVA_PAGE)
        return NOVA_ERR_INVAL;
    enter();
    if (size <= NOVA_WINDOW_END - next_window) {
        *address = next_window;
        next_window += size;
        error = NOVA_OK;
    }
    nova_mutex_unlock(&lock);
    return error;
}

void nova_mem_state(struct nova_mem_state *state)
{
    enter();
    *state = (struct nova_mem_state){.pool = pages, .reserved = reserved};
    for (uint64_t n = 0; n < pages; n++)
        state->free += !nova_bit(taken, n);
    nova_mutex_unlock(&lock);
}
