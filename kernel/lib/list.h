/*
 * Doubly linked ring with a head. A node that is on no list points to itself, so that removing it again does
 * no harm.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "lib/util.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l;
    l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

/* Inserts a node in front of `at`: at the tail if `at` is the head. */
static inline void list_insert(struct list *at, struct list *node)
{
    node->next = at;
    node->prev = at->prev;
    at->prev->next = node;
    at->prev = node;
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}
