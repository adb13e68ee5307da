/*
 * keyfile: a secret key, encrypted under a passphrase, as two lines of text.
 *
 *   ssh-ed25519 BASE64 COMMENT                        the public key, as in authorized_keys
 *   nova-agent-key-1 OPERATIONS MEBIBYTES BASE64      Argon2id's cost; salt (16), nonce (24), sealed key (32 + 16)
 *
 * The key for XChaCha20-Poly1305 is Argon2id of passphrase and salt. What is sealed is the seed of RFC 8032, 5.1.5,
 * with the 32 bytes of the public key as additional data: another public key in front of it is noticed.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEYFILE_OPERATIONS 3U /* cost of new files */
#define KEYFILE_MEBIBYTES 16U
#define KEYFILE_TEXT 512U /* bytes of a file at most, with a 0 */

struct keyfile {
    uint8_t public[32];
    uint8_t salt[16], nonce[24], sealed[32 + 16];
    unsigned operations, mebibytes;
};

/* Reads the text of a file. Whether it is one. */
bool keyfile_parse(struct keyfile *file, const char *text);

/* Opens it: `secret' is seed and public key then. NULL, or what is wrong. */
const char *keyfile_open(const struct keyfile *file, const char *passphrase, size_t size, uint8_t secret[64]);

/* The text of a new file for this seed. Whether there was memory. */
bool keyfile_make(const uint8_t seed[32], const char *comment, const char *passphrase, size_t size,
                  char text[KEYFILE_TEXT]);
