/*
 * Keys of the agent without a library: fixed public keys, a signature that shows what was signed with what. For tests of
 * everything around them.
 *
 * SPDX-License-Identifier: MIT
 */

#include "keys.h"

#include <stdio.h>
#include <string.h>

static char names[KEYS_MAX][KEY_NAME];
static uint8_t blobs[KEYS_MAX][KEY_BLOB];
static bool sealed[KEYS_MAX];
static unsigned count;

int key_find(const char *name)
{
    for (unsigned i = 0; i < count; i++)
        if (!strcmp(names[i], name))
            return (int)i;
    return -1;
}

int key_new(const char *name)
{
    struct writer w = {blobs[count % KEYS_MAX], KEY_BLOB, 0, false};
    uint8_t public[KEY_PUBLIC];

    if (count == KEYS_MAX || key_find(name) >= 0 || strlen(name) >= KEY_NAME)
        return -1;
    memset(public, (int)('A' + count), sizeof(public));
    write_string(&w, KEY_TYPE, strlen(KEY_TYPE));
    write_string(&w, public, sizeof(public));
    strcpy(names[count], name);
    return (int)count++;
}

int key_load(const char *name, const char *text)
{
    int key = strcmp(text, "a key file") ? -1 : key_new(name);

    if (key >= 0)
        sealed[key] = true;
    return key;
}

const char *key_name(unsigned key)
{
    return names[key];
}

struct bytes key_blob(unsigned key)
{
    return (struct bytes){blobs[key], KEY_BLOB};
}

bool key_sign(unsigned key, struct bytes data, uint8_t signature[KEY_SIGNATURE])
{
    memset(signature, (int)('a' + key), KEY_SIGNATURE);
    if (!sealed[key])
        memcpy(signature + 1, data.at, data.size < KEY_SIGNATURE - 1 ? data.size : KEY_SIGNATURE - 1);
    return !sealed[key];
}

void key_print(struct bytes blob, char print[KEY_PRINT])
{
    snprintf(print, KEY_PRINT, "PRINT:%zu", blob.size);
}

void key_mark(struct bytes passphrase, uint8_t mark[KEY_MARK])
{
    memset(mark, 0, KEY_MARK);
    memcpy(mark, passphrase.at, passphrase.size < KEY_MARK ? passphrase.size : KEY_MARK);
}

bool key_marked(struct bytes passphrase, const uint8_t mark[KEY_MARK])
{
    uint8_t other[KEY_MARK];

    key_mark(passphrase, other);
    return !memcmp(mark, other, KEY_MARK);
}

bool key_sealed(unsigned key)
{
    return sealed[key];
}

void key_wipe(void *secret, size_t size)
{
    memset(secret, 0, size);
}
