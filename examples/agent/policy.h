/*
 * policy: who may use which key, and how often. It comes from the arguments in the system file, a word for each key and
 * for each permission; nothing that is not there is allowed.
 *
 *   key=NAME                                   a key that is made at the start, and gone at the end
 *   key=NAME,file=PATH                         a key in a key file, sealed until its passphrase is typed
 *   allow=VM,key=NAME,rate=N,confirm=yes|no    domain VM may have N signatures a minute (1 to 60; 10), each of which
 *                                              is to be confirmed at the console (yes)
 *   wait=N                                     seconds that a question waits for its answer (1 to 3600; 60)
 *
 * Belongs to one thread.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "keys.h"

#define PERMISSIONS_MAX 64U
#define RATE_MAX 60U

/* A domain that asks. Known by the name that the system gives it. */
struct vm {
    char name[KEY_NAME];
    bool locked;
    uint8_t mark[KEY_MARK]; /* of the passphrase that it was locked with */
};

struct permission {
    struct vm *vm;
    unsigned key;
    bool confirm;
    unsigned rate;
    uint64_t asked[RATE_MAX]; /* when: the last `rate' ones, in a ring */
    unsigned next;
    unsigned refused; /* too often, since the last one that was not */
};

/*
 * Takes one word. Files are read with `load': text of the file, or NULL. An error to show, or NULL.
 */
const char *policy_word(const char *word, const char *(*load)(const char *path));

/* How long a question waits for its answer, in seconds. */
unsigned policy_wait(void);

/* The domain of this name; NULL if nothing is allowed to it. */
struct vm *policy_vm(const char *name);

/* The n-th permission of a domain, or NULL. */
struct permission *policy_permission(const struct vm *vm, unsigned n);

/* One more signature is wanted, at this time (ns). Whether that is not too often; it is counted then. */
bool policy_count(struct permission *p, uint64_t now);
