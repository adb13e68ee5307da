/*
 * keyfile-check: makes key files, damages them, and looks what the agent says to them. Runs on the machine, or with
 * nova-host.
 *
 * SPDX-License-Identifier: MIT
 */

#include "keyfile.h"
#include "keys.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

static const uint8_t seed[32] = {1, 2, 3};
static char text[KEYFILE_TEXT];
static struct keyfile file;
static uint8_t secret[64];
static bool failed;

static void ok(bool condition, const char *what)
{
    failed |= !condition;
    printf("%s - %s\n", condition ? "ok" : "not ok", what);
}

static bool opens(const struct keyfile *f, const char *passphrase)
{
    return !keyfile_open(f, passphrase, strlen(passphrase), secret);
}

static void whole(void)
{
    uint8_t public[32], expected[64];

    crypto_sign_seed_keypair(public, expected, seed);
    ok(keyfile_make(seed, "a name", "secret", 6, text) && keyfile_parse(&file, text), "a key file");
    ok(opens(&file, "secret") && !memcmp(secret, expected, 64), "opens with its passphrase");
    ok(!opens(&file, "Secret") && !opens(&file, "") && !opens(&file, "secret "), "and with no other");
}

/* One bit of each part. */
static void damaged(void)
{
    uint8_t *const part[] = {file.public, file.salt, file.nonce, file.sealed, file.sealed + 47};

    for (unsigned i = 0; i < sizeof(part) / sizeof(*part); i++) {
        *part[i] ^= 1;
        ok(!opens(&file, "secret"), "one bit is another");
        *part[i] ^= 1;
    }
    file.operations++;
    ok(!opens(&file, "secret"), "another cost");
    file.operations--;
    ok(opens(&file, "secret"), "as it was");
}

/* No text that is cut off is a key file; a character that is another one may be in the name, or in what only opening shows. */
static void texts(void)
{
    char cut[KEYFILE_TEXT];
    size_t length = strlen(text);
    unsigned taken = 0;

    for (size_t i = 0; i < length; i++) {
        memcpy(cut, text, length + 1);
        cut[i] = 0;
        taken += keyfile_parse(&file, cut);
    }
    ok(!taken, "a text that is cut off is no key file");
    for (size_t i = 0; i < length; i++) {
        memcpy(cut, text, length + 1);
        cut[i] = '\n';
        taken += keyfile_parse(&file, cut);
    }
    ok(taken == 2, "nor is one with one more end of line");
    static const char *const wrong[] = {"ssh-rsa", "ssh-ed25519 AAAA x\nnova-agent-key-1 3 16 AAAA\n", "",
                                        "\n\n"};
    for (unsigned i = 0; i < 4; i++)
        ok(!keyfile_parse(&file, wrong[i]), "something else");
}

/* One bit of the text, in every third character: what is still a key file does not open, unless it was its name. */
static void flipped(void)
{
    size_t length = strlen(text), name = (size_t)(strstr(text, "a name") - text);
    unsigned parsed = 0, opened = 0;

    for (size_t i = 0; i < length; i += 3) {
        if (i >= name && i < name + 6)
            continue;
        text[i] ^= 1;
        bool parses = keyfile_parse(&file, text);
        parsed += parses;
        opened += parses && opens(&file, "secret");
        text[i] ^= 1;
    }
    ok(parsed > 10 && !opened, "a bit in the text is another: it does not open");
}

/* More than there is, here. */
static void large(void)
{
    keyfile_parse(&file, text);
    file.mebibytes = 1024;
    const char *error = keyfile_open(&file, "secret", 6, secret);
    ok(error && strstr(error, "memory"), "no memory for the cost: it says so");
}

int main(void)
{
    if (!keys_start())
        return 2;
    whole();
    damaged();
    texts();
    flipped();
    large();
    return failed;
}
