/*
 * Memory. There are two areas, the pool and the windows, each with a bitmap of the pages in use; for each
 * page of the windows there is an entry that says what is behind it. These tables lie at the end of the pool
 * and are used from the first request on. Free pages of the pool are zero: it is so at start, and they are
 * cleared when they are given back.
 *
 *   pool:  | image, stack | pages ...   | bitmaps, entries |
 *          0              pool.start    pool.start + pool.pages * 4096
 *
 *   entry: rights | page of the pool + 1, or 0 for none
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

#include <nova/mem.h>
#include <nova/string.h>

#define NEW 0x40000000U /* got its memory in the request under way */
#define RIGHTS(r) ((uint32_t)(r) << 28)
#define RIGHTS_OF(e) ((e) >> 28 & 3U)
#define FRAME 0x0fffffffU
#define SPARE_WINDOW 512U
#define ALIGN_MAX 9U
#define SUPERPAGE 0x200000UL

static struct area {
    uint64_t start, pages, *used;
} pool, windows;

static struct nova_mutex lock;
static struct nova_once started;
static uint32_t *entry;      /* of each page of the windows */
static uint64_t next_window; /* address for nova_mem_window() */

int nova_map(unsigned space, uint64_t from, uint64_t to, uint64_t pages, unsigned rights)
{
    int error = NOVA_OK;

    for (uint64_t n; pages && !error; pages -= n) {
        n = pages < NOVA_MAP_MAX ? pages : NOVA_MAP_MAX;
        error = nova_parent(NOVA_PARENT_MAP, space, from, to, n, rights);
        from += n * NOVA_PAGE;
        to += n * NOVA_PAGE;
    }
    return error;
}

static uint64_t words(const struct area *area)
{
    return (area->pages + 63) / 64;
}

static void start(void)
{
    const struct nova_info *info = nova_info();
    uint64_t used = round_up(info->pool_used, NOVA_PAGE), size;

    pool.start = info->pool_start + used;
    pool.pages = (info->pool_size - used) / NOVA_PAGE;
    pool.pages = pool.pages < FRAME ? pool.pages : FRAME - 1;
    windows.start = NOVA_WINDOW_ADDR;
    windows.pages = 4 * pool.pages + SPARE_WINDOW;
    size = (words(&pool) + words(&windows)) * sizeof(uint64_t) + windows.pages * sizeof(*entry);
    size = round_up(size, NOVA_PAGE) / NOVA_PAGE;
    pool.pages = pool.pages > size ? pool.pages - size : 0;
    windows.pages = pool.pages ? windows.pages : 0;
    pool.used = (uint64_t *)(pool.start + pool.pages * NOVA_PAGE);
    windows.used = pool.used + words(&pool);
    entry = (uint32_t *)(windows.used + words(&windows));
    next_window = round_up(windows.start + windows.pages * NOVA_PAGE, SUPERPAGE);
}

static void enter(void)
{
    nova_once(&started, start);
    nova_mutex_lock(&lock);
}

/*
 * Marks adjacent free pages as used, well aligned if there are such and it leaves no holes between pieces of the same size, or if
 * they are large; UINT64_MAX: none.
 */
static uint64_t take(struct area *area, uint64_t count)
{
    uint64_t align = count >> ALIGN_MAX ? 1UL << ALIGN_MAX : count & -count;
    uint64_t page = nova_bits_find(area->used, 0, area->pages, count, align);

    if (page == UINT64_MAX && align > 1)
        page = nova_bits_find(area->used, 0, area->pages, count, 1);
    if (page != UINT64_MAX)
        nova_bits_set(area->used, page, count, true);
    return page;
}

static void pool_give(uint64_t page, uint64_t count)
{
    memset((void *)(pool.start + page * NOVA_PAGE), 0, count * NOVA_PAGE);
    nova_bits_set(pool.used, page, count, false);
}

static int take_address(struct area *area, size_t size, void **address)
{
    uint64_t page;

    *address = NULL;
    if (!size || size % NOVA_PAGE)
        return NOVA_ERR_INVAL;
    enter();
    page = take(area, size / NOVA_PAGE);
    nova_mutex_unlock(&lock);
    if (page == UINT64_MAX)
        return NOVA_ERR_MEMORY;
    *address = (void *)(area->start + page * NOVA_PAGE);
    return NOVA_OK;
}

int nova_mem_alloc(size_t size, void **address)
{
    return take_address(&pool, size, address);
}

int nova_mem_reserve(size_t size, void **address)
{
    return take_address(&windows, size, address);
}

struct range {
    uint64_t first, end;
};

/* Locks, and finds pages, which must all be in use, or none. */
static int enter_range(const struct area *area, const void *address, size_t size, bool used, struct range *r)
{
    uint64_t count = size / NOVA_PAGE;

    enter();
    r->first = ((uint64_t)address - area->start) / NOVA_PAGE; /* huge below the start */
    r->end = r->first + count;
    if (!size || ((uint64_t)address | size) % NOVA_PAGE || r->first >= area->pages ||
        count > area->pages - r->first)
        return NOVA_ERR_INVAL;
    for (uint64_t n = r->first; n < r->end; n++)
        if (nova_bit(area->used, n) != used)
            return used ? NOVA_ERR_INVAL : NOVA_ERR_BUSY;
    return NOVA_OK;
}

int nova_mem_free(void *address, size_t size)
{
    struct range r;
    int error = enter_range(&pool, address, size, true, &r);

    if (!error)
        pool_give(r.first, r.end - r.first);
    nova_mutex_unlock(&lock);
    return error;
}

int nova_mem_reserve_at(void *address, size_t size)
{
    struct range r;
    int error = enter_range(&windows, address, size, false, &r);

    if (!error)
        nova_bits_set(windows.used, r.first, r.end - r.first, true);
    nova_mutex_unlock(&lock);
    return error;
}

/* Makes pages visible with rights, as far as they have memory. */
static int show(uint64_t first, uint64_t end, unsigned rights)
{
    uint64_t n, next;
    int error = NOVA_OK;

    for (n = first; n < end && !error; n = next) {
        uint64_t frame = entry[n] & FRAME;
        for (next = n + 1; next < end && frame && (entry[next] & FRAME) == frame + (next - n);)
            next++;
        if (frame)
            error = nova_map(0, pool.start + (frame - 1) * NOVA_PAGE, windows.start + n * NOVA_PAGE, next - n,
                             rights);
    }
    return error;
}

/* Gives memory back: all, or that of the entries with a flag. */
static void empty(const struct range *r, uint32_t only)
{
    for (uint64_t n = r->first; n < r->end; n++)
        if (entry[n] & FRAME && (entry[n] & only || !only)) {
            pool_give((entry[n] & FRAME) - 1, 1);
            entry[n] = 0;
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
        while (count && (page = take(&pool, count)) == UINT64_MAX)
            count /= 2;
        if (!count)
            return NOVA_ERR_MEMORY;
        for (; count; count--)
            entry[n++] = NEW | (uint32_t)++page;
    }
    return NOVA_OK;
}

/* Changes rights; with `more`, pages without memory get some. */
static int change(void *address, size_t size, unsigned rights, bool more)
{
    struct range r;
    int error;

    if (rights & ~(unsigned)(NOVA_MEM_R | NOVA_MEM_W))
        return NOVA_ERR_DENIED;
    rights |= rights ? NOVA_MEM_R : 0;
    error = enter_range(&windows, address, size, true, &r);
    if (error)
        goto out;
    if (more)
        error = fill(&r);
    if (!error)
        error = show(r.first, r.end, rights);
    for (uint64_t n = r.first; n < r.end; n++)
        if (error)
            show(n, n + 1, RIGHTS_OF(entry[n])); /* new pages have no rights in their entries */
        else
            entry[n] = (entry[n] & FRAME) | RIGHTS(rights);
    if (error)
        empty(&r, NEW);
out:
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

static int take_away(void *address, size_t size, bool reserved)
{
    struct range r;
    int error = enter_range(&windows, address, size, true, &r);

    if (!error) {
        show(r.first, r.end, 0);
        empty(&r, 0);
        nova_bits_set(windows.used, r.first, r.end - r.first, reserved);
    }
    nova_mutex_unlock(&lock);
    return error;
}

int nova_mem_unmap(void *address, size_t size)
{
    return take_away(address, size, true);
}

int nova_mem_release(void *address, size_t size)
{
    return take_away(address, size, false);
}

int nova_mem_window(size_t size, uint64_t *address)
{
    bool fits;

    *address = 0;
    if (!size || size % NOVA_PAGE)
        return NOVA_ERR_INVAL;
    enter();
    fits = size <= NOVA_WINDOW_END - next_window;
    *address = fits ? next_window : 0;
    next_window += fits ? size : 0;
    nova_mutex_unlock(&lock);
    return fits ? NOVA_OK : NOVA_ERR_MEMORY;
}

static size_t in_use(const struct area *area)
{
    size_t count = 0;

    for (uint64_t n = 0; n < area->pages; n++)
        count += nova_bit(area->used, n);
    return count;
}

void nova_mem_state(struct nova_mem_state *state)
{
    enter();
    state->pool = pool.pages;
    state->free = pool.pages - in_use(&pool);
    state->reserved = in_use(&windows);
    nova_mutex_unlock(&lock);
}
