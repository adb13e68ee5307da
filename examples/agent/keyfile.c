/*
 * keyfile: see keyfile.h.
 *
 * SPDX-License-Identifier: MIT
 */

#include "keyfile.h"

#include "keys.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC "nova-agent-key-1"
#define BASE64 sodium_base64_VARIANT_ORIGINAL
#define BODY (16 + 24 + 48U) /* salt, nonce, sealed */

/* Base64 of exactly `size' bytes at `text', up to one of `ends'. What follows it, or NULL. */
static const char *decode(const char *text, uint8_t *to, size_t size, char ends)
{
    const char *end;
    size_t length;

    return !sodium_base642bin(to, size, text, strcspn(text, " \n"), NULL, &length, &end, BASE64) &&
                   length == size && *end == ends
               ? end
               : NULL;
}

/* A number from 1 to `most' with a blank behind it, which is skipped. 0: something else. */
static unsigned number(const char **text, unsigned most)
{
    char *end;
    unsigned long value = **text >= '1' && **text <= '9' ? strtoul(*text, &end, 10) : 0;

    if (!value || value > most || *end != ' ')
        return 0;
    *text = end + 1;
    return (unsigned)value;
}

bool keyfile_parse(struct keyfile *file, const char *text)
{
    uint8_t blob[KEY_BLOB], body[BODY];
    struct reader r = {blob, sizeof(blob), false};
    const char *body_line = strchr(text, '\n');

    if (strncmp(text, KEY_TYPE " ", strlen(KEY_TYPE) + 1) || !body_line ||
        strncmp(body_line + 1, MAGIC " ", strlen(MAGIC) + 1) ||
        !decode(text + strlen(KEY_TYPE) + 1, blob, sizeof(blob), ' '))
        return false;
    text = body_line + 1 + strlen(MAGIC) + 1;
    file->operations = number(&text, 1000);
    file->mebibytes = file->operations ? number(&text, 1024) : 0;
    if (!file->mebibytes || !decode(text, body, sizeof(body), '\n'))
        return false;
    bool type = same_text(read_string(&r), KEY_TYPE);
    struct bytes public = read_string(&r);
    if (!type || public.size != sizeof(file->public) || !read_all(&r))
        return false;
    memcpy(file->public, public.at, sizeof(file->public));
    memcpy(file->salt, body, 16);
    memcpy(file->nonce, body + 16, 24);
    memcpy(file->sealed, body + 40, 48);
    return true;
}

/* The key that the seed is sealed with. Whether there was memory for it. */
static bool derive(const struct keyfile *file, const char *passphrase, size_t size, uint8_t key[32])
{
    return !crypto_pwhash(key, 32, passphrase, size, file->salt, file->operations,
                          (size_t)file->mebibytes << 20, crypto_pwhash_ALG_ARGON2ID13);
}

const char *keyfile_open(const struct keyfile *file, const char *passphrase, size_t size, uint8_t secret[64])
{
    uint8_t key[32], seed[32], public[32];
    bool derived = derive(file, passphrase, size, key);
    bool right = derived && !crypto_aead_xchacha20poly1305_ietf_decrypt(seed, NULL, NULL, file->sealed,
                                                                        sizeof(file->sealed), file->public,
                                                                        32, file->nonce, key);

    if (right)
        crypto_sign_seed_keypair(public, secret, seed);
    right = right && !memcmp(public, file->public, 32);
    key_wipe(key, sizeof(key));
    key_wipe(seed, sizeof(seed));
    if (!derived)
        return "there is not enough memory for it";
    return right ? NULL : "this is not its passphrase";
}

bool keyfile_make(const uint8_t seed[32], const char *comment, const char *passphrase, size_t size,
                  char text[KEYFILE_TEXT])
{
    struct keyfile file = {.operations = KEYFILE_OPERATIONS, .mebibytes = KEYFILE_MEBIBYTES};
    uint8_t secret[64], key[32], blob[KEY_BLOB], body[BODY];
    char public64[sodium_base64_ENCODED_LEN(KEY_BLOB, BASE64)],
        body64[sodium_base64_ENCODED_LEN(BODY, BASE64)];
    struct writer w = {blob, sizeof(blob), 0, false};

    crypto_sign_seed_keypair(file.public, secret, seed);
    key_wipe(secret, sizeof(secret));
    write_string(&w, KEY_TYPE, strlen(KEY_TYPE));
    write_string(&w, file.public, 32);
    randombytes_buf(file.salt, sizeof(file.salt));
    randombytes_buf(file.nonce, sizeof(file.nonce));
    if (!derive(&file, passphrase, size, key))
        return false;
    crypto_aead_xchacha20poly1305_ietf_encrypt(file.sealed, NULL, seed, 32, file.public, 32, NULL, file.nonce,
                                               key);
    key_wipe(key, sizeof(key));
    memcpy(body, file.salt, 16);
    memcpy(body + 16, file.nonce, 24);
    memcpy(body + 40, file.sealed, 48);
    sodium_bin2base64(public64, sizeof(public64), blob, sizeof(blob), BASE64);
    sodium_bin2base64(body64, sizeof(body64), body, sizeof(body), BASE64);
    return snprintf(text, KEYFILE_TEXT, KEY_TYPE " %s %s\n" MAGIC " %u %u %s\n", public64, comment,
                    file.operations, file.mebibytes, body64) < (int)KEYFILE_TEXT;
}
