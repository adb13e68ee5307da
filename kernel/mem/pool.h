/*
 * Page pool: all memory that the kernel ever hands out at run time, and the accounts it is charged to.
 *
 * Pages come zeroed, in blocks of 2^order pages (buddy system) whose physical address is naturally aligned.
 * Every page has a descriptor outside of the page, so that a page that hardware may still be walking
 * can be put on a list without being written to. Any CPU may allocate and free at any time.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "lib/util.h"

#define POOL_ORDERS 11

/* What a PD may use. A charge counts against the account and against all its ancestors. */
struct account {
    struct account *parent; /* or null */
    uint64_t limit;         /* pages */
    uint64_t used;          /* pages, atomic */
};

/*
 * Charges `pages` to the account and all ancestors; false, and nothing charged, if a limit forbids it.
 * A null account is the kernel's own: unlimited. Changing a limit affects later charges only.
 */
bool account_charge(struct account *account, uint64_t pages);
void account_release(struct account *account, uint64_t pages);

/* Takes over page-aligned memory of less than 16 TiB; called once. The descriptors are cut from its start. */
void pool_init(void *start, size_t size);

/*
 * Allocates 2^order zeroed pages and charges them; null if the account or the pool is exhausted, or if
 * the order is not below POOL_ORDERS.
 */
void *page_alloc(struct account *account, unsigned order);

/* Gives back what page_alloc returned, with the same account and order. */
void page_free(struct account *account, void *pages, unsigned order);

/* Pages not allocated, and pages in all (descriptors excluded). */
uint64_t pool_free(void);
uint64_t pool_size(void);

/*
 * List of allocated pages (order 0), linked through their descriptors, last in first out; each has a tag
 * below 256. The caller serialises access to one list. All zero is the empty list; assignment moves a list.
 */
struct page_list {
    uint32_t first; /* index in the pool, 0 if the list is empty */
};

void page_list_push(struct page_list *list, void *page, unsigned tag);

/* Removes a page and tells its tag; null if the list is empty. */
void *page_list_pop(struct page_list *list, unsigned *tag);
