/*
 * Slabs: objects of one size from whole pages.
 *
 * A page is divided into 64 units of 64 bytes; unit 0 is the header. An object is named by its first unit, so
 * one word shows which objects of a page are free, and neither allocating nor freeing divides.
 * Pages with free objects are listed; one without objects goes back to the pool at once.
 * The lock is a leaf: pages come from the pool and go back to it while it is not held.
 *
 * SPDX-License-Identifier: MIT
 */

#include "mem/slab.h"
#include "lib/string.h"

#define UNIT 64U

struct slab_page {
    struct slab *slab;
    struct list link; /* in slab->pages, unless full */
    uint64_t free;    /* first units of free objects */
};

_Static_assert(sizeof(struct slab_page) <= UNIT, "header fits into unit 0");

void slab_init(struct slab *slab, struct account *account, uint32_t size)
{
    *slab = (struct slab){.account = account, .size = size};
    list_init(&slab->pages);
    for (uint32_t at = UNIT; at + size <= PAGE_SIZE; at += size)
        slab->objects |= BIT(at / UNIT);
}

void *slab_alloc(struct slab *slab)
{
    struct slab_page *fresh = NULL;
    void *object = NULL;

    lock(&slab->lock);
    if (UNLIKELY(list_empty(&slab->pages))) {
        unlock(&slab->lock);
        fresh = page_alloc(slab->account, 0);
        lock(&slab->lock);
        /* Meanwhile another CPU may have brought a page or freed an object. */
        if (fresh && list_empty(&slab->pages)) {
            fresh->slab = slab;
            fresh->free = slab->objects;
            list_insert(&slab->pages, &fresh->link);
            fresh = NULL;
        }
    }
    if (LIKELY(!list_empty(&slab->pages))) {
        struct slab_page *page = CONTAINER(slab->pages.next, struct slab_page, link);
        object = (char *)page + bit_lowest(page->free) * UNIT;
        page->free &= page->free - 1;
        if (!page->free)
            list_remove(&page->link);
    }
    unlock(&slab->lock);

    if (fresh)
        page_free(slab->account, fresh, 0);
    return object ? memset(object, 0, slab->size) : NULL;
}

void slab_free(void *object)
{
    size_t offset = (uintptr_t)object % PAGE_SIZE;
    struct slab_page *page = (void *)((char *)object - offset);
    struct slab *slab = page->slab;
    bool empty;

    lock(&slab->lock);
    if (!page->free)
        list_insert(slab->pages.next, &page->link);
    page->free |= BIT(offset / UNIT);
    empty = page->free == slab->objects;
    if (empty)
        list_remove(&page->link);
    unlock(&slab->lock);

    if (empty)
        page_free(slab->account, page, 0);
}
