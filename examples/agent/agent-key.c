/*
 * agent-key: makes a key file (keyfile.h). Reads standard input: a line with the passphrase; then, if a key is to be taken
 * over, an Ed25519 key as `ssh-keygen' makes it, without a passphrase of its own (OpenSSH, PROTOCOL.key). Writes the key
 * file to standard output. make-key asks the user, and runs this with nova-host.
 *
 *   agent-key COMMENT          a new key
 *   agent-key COMMENT import   the key behind the passphrase
 *
 * SPDX-License-Identifier: MIT
 */

#include "keyfile.h"
#include "keys.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define BEGIN "-----BEGIN OPENSSH PRIVATE KEY-----\n"
#define MAGIC "openssh-key-v1" /* with the 0 */

/* The seed within the decoded key file of OpenSSH: no cipher, one key, of our type, both check numbers the same. */
static bool find_seed(struct reader *r, uint8_t seed[32])
{
    bool good = same_bytes(read_raw(r, sizeof(MAGIC)), MAGIC, sizeof(MAGIC)) &&
                same_text(read_string(r), "none") && same_text(read_string(r), "none") &&
                !read_string(r).size && read_u32(r) == 1;

    read_string(r);
    struct bytes private = read_string(r);
    struct reader p = {private.at, private.size, false};
    uint32_t check = read_u32(&p);
    good = good && read_all(r) && check == read_u32(&p) && same_text(read_string(&p), KEY_TYPE);
    struct bytes public = read_string(&p), secret = read_string(&p);
    good = good && public.size == KEY_PUBLIC && secret.size == KEY_SECRET && !p.bad;
    if (good)
        memcpy(seed, secret.at, 32);
    return good;
}

static bool import(uint8_t seed[32])
{
    static char text[2048];
    static uint8_t bytes[1024];
    size_t size = fread(text, 1, sizeof(text) - 1, stdin), length = 0;
    bool good =
        size && !strncmp(text, BEGIN, strlen(BEGIN)) &&
        !sodium_base642bin(bytes, sizeof(bytes), text + strlen(BEGIN), strcspn(text + strlen(BEGIN), "-"),
                           "\n", &length, NULL, sodium_base64_VARIANT_ORIGINAL);
    struct reader r = {bytes, length, false};

    good = good && find_seed(&r, seed);
    key_wipe(text, sizeof(text));
    key_wipe(bytes, sizeof(bytes));
    return good;
}

int main(int argc, char **argv)
{
    char passphrase[256], text[KEYFILE_TEXT];
    uint8_t seed[32];
    bool imports = argc == 3 && !strcmp(argv[2], "import");

    if ((argc != 2 && !imports) || strpbrk(argv[1], "\n\r") || !*argv[1] || strlen(argv[1]) > 100) {
        fprintf(stderr, "usage: agent-key COMMENT [import]\n");
        return 2;
    }
    if (!keys_start() || !fgets(passphrase, sizeof(passphrase), stdin) || !strchr(passphrase, '\n') ||
        *passphrase == '\n') {
        fprintf(stderr, "agent-key: no passphrase\n");
        return 1;
    }
    randombytes_buf(seed, sizeof(seed));
    if (imports && !import(seed)) {
        fprintf(stderr, "agent-key: this is no Ed25519 key of OpenSSH without a passphrase\n");
        return 1;
    }
    bool made = keyfile_make(seed, argv[1], passphrase, strcspn(passphrase, "\n"), text);
    key_wipe(seed, sizeof(seed));
    key_wipe(passphrase, sizeof(passphrase));
    if (!made) {
        fprintf(stderr, "agent-key: no memory\n");
        return 1;
    }
    fputs(text, stdout);
    return 0;
}
