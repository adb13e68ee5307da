/*
 * Page pool: a buddy allocator with accounts.
 *
 *   pool:  +-----------------------------+-----------------------+----------------- - - -+
 *          | descriptor of each page     | list heads, by order  | pages                 |
 *          +-----------------------------+-----------------------+----------------- - - -+
 *
 * A page is named by its index in the pool, which is never 0 for a page that can be allocated. Free blocks
 * are linked through the descriptor of their first page, in rings whose heads are descriptors as well. One
 * lock protects rings and counter; accounts need none. Pages are zeroed when handed out, outside of the lock.
 *
 * SPDX-License-Identifier: MIT
 */

#include "mem/pool.h"
#include "lib/spinlock.h"
#include "lib/string.h"
#include "mem/layout.h"

struct descriptor {
    uint32_t next; /* in a ring of free blocks or on a page list */
    uint32_t prev; /* in a ring of free blocks */
    uint8_t free;  /* 1 + order if this is the first page of a free block, else 0 */
    uint8_t tag;   /* on a page list */
};

static struct pool {
    struct spinlock lock;
    struct descriptor *pages; /* at the start of page 0 */
    uint32_t count;           /* pages, descriptors included: the index of the first list head */
    uint32_t skew;            /* of page 0, counted from an address where a largest block could be */
    uint64_t size;            /* pages, descriptors excluded */
    uint64_t unused;          /* pages not allocated */
} pool;

static void *page_of(uint32_t index)
{
    return (char *)pool.pages + index * PAGE_SIZE;
}

static uint32_t index_of(const void *page)
{
    return (uint32_t)(((uintptr_t)page - (uintptr_t)pool.pages) / PAGE_SIZE);
}

static void insert(uint32_t index, unsigned order)
{
    uint32_t head = pool.count + order;
    uint32_t next = pool.pages[head].next;

    pool.pages[index] = (struct descriptor){.next = next, .prev = head, .free = (uint8_t)(order + 1)};
    pool.pages[next].prev = index;
    pool.pages[head].next = index;
}

static void take(uint32_t index)
{
    struct descriptor *d = &pool.pages[index];

    pool.pages[d->prev].next = d->next;
    pool.pages[d->next].prev = d->prev;
    d->free = 0;
}

void pool_init(void *start, size_t size)
{
    uint32_t count = (uint32_t)(size / PAGE_SIZE), nodes = count + POOL_ORDERS;
    uint32_t first = (uint32_t)((nodes * sizeof(struct descriptor) + PAGE_SIZE - 1) / PAGE_SIZE);

    pool = (struct pool){.pages = start, .count = count, .size = count - first};
    pool.skew = (uint32_t)(phys_of(start) / PAGE_SIZE % BIT(POOL_ORDERS - 1));
    for (uint32_t index = 0; index < nodes; index++)
        pool.pages[index] = (struct descriptor){.next = index, .prev = index};
    for (uint32_t index = first; index < count; index++)
        page_free(NULL, page_of(index), 0);
}

bool account_charge(struct account *account, uint64_t pages)
{
    for (struct account *a = account; a; a = a->parent) {
        uint64_t used;
        do {
            used = __atomic_load_n(&a->used, __ATOMIC_RELAXED);
            if (pages > a->limit || used > a->limit - pages) {
                for (; account != a; account = account->parent)
                    __atomic_fetch_sub(&account->used, pages, __ATOMIC_RELAXED);
                return false;
            }
        } while (!__sync_bool_compare_and_swap(&a->used, used, used + pages));
    }
    return true;
}

void account_release(struct account *account, uint64_t pages)
{
    for (; account; account = account->parent)
        __atomic_fetch_sub(&account->used, pages, __ATOMIC_RELAXED);
}

/* Cuts a block out of the smallest one that is large enough, or null. The caller holds the lock. */
static void *carve(unsigned order)
{
    for (unsigned o = order; o < POOL_ORDERS; o++) {
        uint32_t head = pool.count + o;
        uint32_t index = pool.pages[head].next;
        if (index != head) {
            take(index);
            while (o-- > order)
                insert(index + (uint32_t)BIT(o), o);
            pool.unused -= BIT(order);
            return page_of(index);
        }
    }
    return NULL;
}

void *page_alloc(struct account *account, unsigned order)
{
    if (!account_charge(account, BIT(order)))
        return NULL;

    lock(&pool.lock);
    void *pages = carve(order);
    unlock(&pool.lock);

    if (!pages) {
        account_release(account, BIT(order));
        return NULL;
    }
    return memset(pages, 0, PAGE_SIZE << order);
}

void page_free(struct account *account, void *pages, unsigned order)
{
    uint32_t index = index_of(pages);
    unsigned o = order;

    lock(&pool.lock);
    for (; o < POOL_ORDERS - 1; o++) {
        uint32_t buddy = ((index + pool.skew) ^ (uint32_t)BIT(o)) - pool.skew;
        if (buddy >= pool.count || pool.pages[buddy].free != o + 1)
            break;
        take(buddy);
        index = (uint32_t)min_u64(index, buddy);
    }
    insert(index, o);
    pool.unused += BIT(order);
    unlock(&pool.lock);

    account_release(account, BIT(order));
}

uint64_t pool_free(void)
{
    return READ_ONCE(pool.unused);
}

uint64_t pool_size(void)
{
    return pool.size;
}

void page_list_push(struct page_list *list, void *page, unsigned tag)
{
    uint32_t index = index_of(page);

    pool.pages[index].next = list->first;
    pool.pages[index].tag = (uint8_t)tag;
    list->first = index;
}

void *page_list_pop(struct page_list *list, unsigned *tag)
{
    uint32_t index = list->first;

    if (!index)
        return NULL;
    list->first = pool.pages[index].next;
    *tag = pool.pages[index].tag;
    return page_of(index);
}
