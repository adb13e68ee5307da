/*
 * data: what can be said about bytes that are to be signed.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "wire.h"

#define DATA_TEXT 256U

/*
 * Describes data, for people: a login (RFC 4252, 7, with `key' as the key that is used), a signature of the kind
 * `ssh-keygen -Y sign' makes, or that it is neither. What it says of the first two is part of what is signed.
 */
void data_describe(struct bytes data, struct bytes key, char text[DATA_TEXT]);
