/*
 * service: the connections, each a pipe (nova/pipe.h) with one domain, and the question that is asked for one of them.
 *
 * All of it belongs to one thread. It never waits for a domain: what cannot go on now is tried again with the next bell.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A session has been opened; it is closed. */
void service_opened(unsigned session);
void service_closed(unsigned session);

/* Goes on with all connections, a message each at most. Whether anything has happened. */
bool service_round(void);

/* Goes on with the question: asks the next one, takes the answer. Gives the time when it is to be called at the latest. */
uint64_t service_question(void);
