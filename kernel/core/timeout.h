/*
 * Timeouts of one CPU: a list sorted by deadline (TSC). Touched by that CPU only.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "lib/list.h"

struct timeout {
    struct list link; /* to cancel it is to remove it */
    uint64_t deadline;
};

/* Inserts behind all that are due earlier or at the same time. The timeout must be on no list. */
static inline void timeout_add(struct list *queue, struct timeout *t, uint64_t deadline)
{
    struct list *at = queue->next;

    t->deadline = deadline;
    while (at != queue && CONTAINER(at, struct timeout, link)->deadline <= deadline)
        at = at->next;
    list_insert(at, &t->link);
}

/* Deadline of the first one, or UINT64_MAX. */
static inline uint64_t timeout_next(const struct list *queue)
{
    return list_empty(queue) ? UINT64_MAX : CONTAINER(queue->next, struct timeout, link)->deadline;
}

/* Takes one that is due at `now` off the list, the earliest first; null if there is none. */
static inline struct timeout *timeout_expire(struct list *queue, uint64_t now)
{
    struct timeout *t = CONTAINER(queue->next, struct timeout, link);

    if (list_empty(queue) || t->deadline > now)
        return 0;
    list_remove(&t->link);
    return t;
}
