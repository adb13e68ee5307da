/*
 * keys: the Ed25519 keys of the agent, and the only code that sees a secret one.
 *
 * A key is made inside, or comes out of a key file (keyfile.h): sealed at first, it can be listed; unsealed with its
 * passphrase, it can sign. Keys are named before threads begin; key_unseal() and key_sign() may run at once.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "wire.h"

#define KEYS_MAX 16U
#define KEY_NAME 32U                     /* bytes of a name, with the 0 */
#define KEY_TYPE "ssh-ed25519"           /* RFC 8709 */
#define KEY_PUBLIC 32U                   /* bytes of a public key */
#define KEY_SECRET 64U                   /* of a secret one, as libsodium has it */
#define KEY_BLOB (4 + 11 + 4 + 32U)      /* of a public key as SSH has it */
#define KEY_SIGNATURE (4 + 11 + 4 + 64U) /* of a signature as SSH has it */
#define KEY_PRINT 64U                    /* of a fingerprint: SHA256:... */

/* Prepares the library. Whether it worked. */
bool keys_start(void);

/* A new key; one out of the text of a key file. Its number, or -1: no room, the name is taken, or the text is wrong. */
int key_new(const char *name);
int key_load(const char *name, const char *text);

int key_find(const char *name);
unsigned key_count(void);
const char *key_name(unsigned key);
struct bytes key_blob(unsigned key);
bool key_sealed(unsigned key);

/* Unseals it with its passphrase. NULL, or what is wrong. Takes long, on purpose. */
const char *key_unseal(unsigned key, const char *passphrase, size_t size);

/* Signs. The signature as SSH has it goes to `signature'. False if the key is sealed. */
bool key_sign(unsigned key, struct bytes data, uint8_t signature[KEY_SIGNATURE]);

/* The fingerprint of a public key as SSH has it; its line in authorized_keys. */
void key_print(struct bytes blob, char print[KEY_PRINT]);
void key_line(unsigned key, char *line, size_t size);

/* Forgets what was a secret. */
void key_wipe(void *secret, size_t size);

/* A passphrase as it is kept to be compared with later: only its hash with a random key. */
#define KEY_MARK 64U
void key_mark(struct bytes passphrase, uint8_t mark[KEY_MARK]);
bool key_marked(struct bytes passphrase, const uint8_t mark[KEY_MARK]);
