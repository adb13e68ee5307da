/*
 * protocol: the requests of the SSH agent protocol (draft-miller-ssh-agent) of one domain.
 *
 * A domain sees the keys that are allowed to it and no others: a key that it may not use and one that is not there are
 * the same to it. Every message has one reply; one that makes no sense is answered with a failure, and changes nothing.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "data.h"
#include "policy.h"

/* What a signature is wanted for. `data' is within the message. */
struct wanted {
    struct permission *permission;
    struct bytes data;
    char text[DATA_TEXT]; /* what it is */
};

enum outcome {
    ANSWERED, /* the reply is there */
    WANTED    /* a signature is wanted: it is to be granted or refused */
};

/*
 * A message of a domain, without its length; vm is NULL if nothing is allowed to it. `reply' gets the reply, its length
 * included, if the outcome is ANSWERED.
 */
enum outcome protocol_message(struct vm *vm, struct bytes message, struct wanted *wanted,
                              struct writer *reply);

/* The reply to a signature that is granted or refused. Whether there is one. */
bool protocol_sign(const struct wanted *wanted, bool granted, struct writer *reply);
