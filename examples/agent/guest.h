/*
 * guest: what a client of the agent needs, for the programs that stand in for virtual machines in the tests.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "wire.h"

#include <nova/pipe.h>

struct talk {
    struct nova_pipe pipe;
    uint8_t request[1024];
    struct writer out; /* of the request, without its length */
    struct frame reply;
};

/* Opens a connection with a service. Whether there is one. */
bool talk_open(struct talk *t, const char *service);
void talk_close(struct talk *t);

/* A request begins; it is sent; its reply is waited for. The type of the reply, 0: the connection is gone. */
void talk_begin(struct talk *t, uint8_t type);
bool talk_send(struct talk *t);
int talk_wait(struct talk *t);
int talk_ask(struct talk *t);

/* Sends bytes as they are. */
bool talk_raw(struct talk *t, const void *from, size_t size);

/* The number of keys in a list, or -1. The blob of the one with this name. */
int talk_list(struct talk *t, const char *name, uint8_t blob[51]);

/* A request to sign; after it the wait: 1: a good signature. 0: refused. -1: anything else. */
void talk_want(struct talk *t, const uint8_t blob[51], const char *text);
int talk_signed(struct talk *t, const uint8_t blob[51], const char *text);
