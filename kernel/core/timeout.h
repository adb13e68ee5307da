/*
 * Timeouts of one CPU: a list sorted by deadline (TSC). Touched by that CPU only.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef CORE_TIMEOUT_H
#define CORE_TIMEOUT_H

#include "lib/list.h"

struct timeout {
    struct list link; /* to cancel it is to remove it */
    uint64_t deadline;
};

/* Inserts behind all that are due earlier or at the same time. The timeout must be on no list. */
void timeout_add(struct list *queue, struct timeout *t, uint64_t deadline);

/* Deadline of the first one, or UINT64_MAX. */
uint64_t timeout_next(const struct list *queue);

/* Takes one that is due at `now` off the list, the earliest first; null if there is none. */
struct timeout *timeout_expire(struct list *queue, uint64_t now);

#endif
