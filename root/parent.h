/*
 * Requests of domains to their parent (nova/parent.h). Under the lock.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef ROOT_PARENT_H
#define ROOT_PARENT_H

#include <nova/parent.h>

struct domain;

/* Serves a message of `words` words in place; returns how many words the reply has. */
unsigned parent_request(struct domain *d, uint64_t *word, unsigned words);

#endif
