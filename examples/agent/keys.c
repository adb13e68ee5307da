/*
 * keys: see keys.h. The lock is about `secret' and `sealed' only: all else is constant once a key has a number.
 *
 * SPDX-License-Identifier: MIT
 */

#include "keys.h"

#include "keyfile.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned count;
static struct key {
    char name[KEY_NAME];
    uint8_t blob[KEY_BLOB];
    uint8_t secret[KEY_SECRET];
    struct keyfile file;
    bool sealed;
} keys[KEYS_MAX];

bool keys_start(void)
{
    return sodium_init() >= 0;
}

int key_find(const char *name)
{
    for (unsigned i = 0; i < count; i++)
        if (!strcmp(keys[i].name, name))
            return (int)i;
    return -1;
}

/* The next key, without a number yet. */
static struct key *next(const char *name)
{
    struct key *key = &keys[count];

    if (count == KEYS_MAX || key_find(name) >= 0 || !*name || strlen(name) >= KEY_NAME)
        return NULL;
    strcpy(key->name, name);
    return key;
}

static void set_blob(struct key *key, const uint8_t *public)
{
    struct writer w = {key->blob, KEY_BLOB, 0, false};

    write_string(&w, KEY_TYPE, strlen(KEY_TYPE));
    write_string(&w, public, KEY_PUBLIC);
}

int key_new(const char *name)
{
    struct key *key = next(name);
    uint8_t public[KEY_PUBLIC];

    if (!key)
        return -1;
    crypto_sign_keypair(public, key->secret);
    set_blob(key, public);
    return (int)count++;
}

int key_load(const char *name, const char *text)
{
    struct key *key = next(name);

    if (!key || !keyfile_parse(&key->file, text))
        return -1;
    set_blob(key, key->file.public);
    key->sealed = true;
    return (int)count++;
}

unsigned key_count(void)
{
    return count;
}

const char *key_name(unsigned key)
{
    return keys[key].name;
}

struct bytes key_blob(unsigned key)
{
    return (struct bytes){keys[key].blob, KEY_BLOB};
}

bool key_sealed(unsigned key)
{
    pthread_mutex_lock(&lock);
    bool sealed = keys[key].sealed;
    pthread_mutex_unlock(&lock);
    return sealed;
}

const char *key_unseal(unsigned key, const char *passphrase, size_t size)
{
    uint8_t secret[KEY_SECRET];
    const char *error = keyfile_open(&keys[key].file, passphrase, size, secret);

    pthread_mutex_lock(&lock);
    if (!error) {
        memcpy(keys[key].secret, secret, KEY_SECRET);
        keys[key].sealed = false;
    }
    pthread_mutex_unlock(&lock);
    key_wipe(secret, sizeof(secret));
    return error;
}

bool key_sign(unsigned key, struct bytes data, uint8_t signature[KEY_SIGNATURE])
{
    struct writer w = {signature, KEY_SIGNATURE, 0, false};
    uint8_t plain[crypto_sign_BYTES];

    pthread_mutex_lock(&lock);
    bool can = !keys[key].sealed && !crypto_sign_detached(plain, NULL, data.at, data.size, keys[key].secret);
    pthread_mutex_unlock(&lock);
    if (can) {
        write_string(&w, KEY_TYPE, strlen(KEY_TYPE));
        write_string(&w, plain, sizeof(plain));
    }
    return can;
}

void key_print(struct bytes blob, char print[KEY_PRINT])
{
    uint8_t hash[crypto_hash_sha256_BYTES];

    crypto_hash_sha256(hash, blob.at, blob.size);
    strcpy(print, "SHA256:");
    sodium_bin2base64(print + 7, KEY_PRINT - 7, hash, sizeof(hash),
                      sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
}

void key_line(unsigned key, char *line, size_t size)
{
    char text[sodium_base64_ENCODED_LEN(KEY_BLOB, sodium_base64_VARIANT_ORIGINAL)];

    sodium_bin2base64(text, sizeof(text), keys[key].blob, KEY_BLOB, sodium_base64_VARIANT_ORIGINAL);
    snprintf(line, size, KEY_TYPE " %s %s", text, keys[key].name);
}

void key_wipe(void *secret, size_t size)
{
    sodium_memzero(secret, size);
}

/* The mark is the random key, then the hash. */
static void hash_mark(struct bytes passphrase, const uint8_t *key, uint8_t hash[KEY_MARK / 2])
{
    crypto_generichash(hash, KEY_MARK / 2, passphrase.at, passphrase.size, key, KEY_MARK / 2);
}

void key_mark(struct bytes passphrase, uint8_t mark[KEY_MARK])
{
    randombytes_buf(mark, KEY_MARK / 2);
    hash_mark(passphrase, mark, mark + KEY_MARK / 2);
}

bool key_marked(struct bytes passphrase, const uint8_t mark[KEY_MARK])
{
    uint8_t hash[KEY_MARK / 2];

    hash_mark(passphrase, mark, hash);
    return !sodium_memcmp(hash, mark + KEY_MARK / 2, sizeof(hash));
}
