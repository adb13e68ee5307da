/*
 * Timeouts of one CPU.
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/timeout.h"

void timeout_add(struct list *queue, struct timeout *t, uint64_t deadline)
{
    struct list *at = queue->next;

    t->deadline = deadline;
    while (at != queue && CONTAINER(at, struct timeout, link)->deadline <= deadline)
        at = at->next;
    list_insert(at, &t->link);
}

uint64_t timeout_next(const struct list *queue)
{
    return list_empty(queue) ? UINT64_MAX : CONTAINER(queue->next, struct timeout, link)->deadline;
}

struct timeout *timeout_expire(struct list *queue, uint64_t now)
{
    struct timeout *t = CONTAINER(queue->next, struct timeout, link);

    if (list_empty(queue) || t->deadline > now)
        return 0;
    list_remove(&t->link);
    return t;
}
