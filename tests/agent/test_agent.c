/*
 * The agent's requests, policy and descriptions, without keys that sign and without sessions.
 *
 * SPDX-License-Identifier: MIT
 */

#include "protocol.h"
#include "tap.h"

#include <stdlib.h>
#include <string.h>

#define SECOND 1000000000UL

static uint8_t message[MESSAGE_MAX + 100], out[REPLY_MAX];
static struct writer in, reply;
static struct wanted wanted;

static const char *load(const char *path)
{
    return !strcmp(path, "/good") ? "a key file" : !strcmp(path, "/bad") ? "something else" : NULL;
}

static bool takes(const char *word)
{
    const char *error = policy_word(word, load);

    if (error)
        printf("# %s: %s\n", word, error);
    return !error;
}

/* A request begins. */
static void request(uint8_t type)
{
    in = (struct writer){message, sizeof(message), 0, false};
    write_u8(&in, type);
}

static void text(const char *string)
{
    write_string(&in, string, strlen(string));
}

/* What a domain gets for it. The reply is judged by its type; it has to have its own length. */
static int send(const char *name)
{
    struct reader r = {out, 0, false};

    reply = (struct writer){out, sizeof(out), 0, false};
    /* A copy of just this size, so that the sanitizers see what reads beyond it. */
    uint8_t *copy = malloc(in.used ? in.used : 1);
    memcpy(copy, message, in.used);
    enum outcome outcome = protocol_message(policy_vm(name), (struct bytes){copy, in.used}, &wanted, &reply);
    free(copy);
    if (outcome == WANTED)
        return -1;
    r.left = reply.used;
    return read_u32(&r) == reply.used - 4 && !reply.full ? read_u8(&r) : -2;
}

static void words(void)
{
    static const char *const bad[] = {"",
                                      "key",
                                      "key=",
                                      "key=a,key=b",
                                      "what=a",
                                      "key=work",
                                      "key=a,rate=3",
                                      "key=x,file=/absent",
                                      "key=x,file=/bad",
                                      "key=a-name-that-is-longer-than-31-letters",
                                      "allow=debian,key=absent",
                                      "allow=debian",
                                      "allow=debian,key=work",
                                      "allow=other,key=work,rate=0",
                                      "allow=other,key=work,rate=61",
                                      "allow=other,key=work,rate=3x",
                                      "allow=other,key=work,rate=-3",
                                      "allow=other,key=work,confirm=maybe",
                                      "allow=a-name-that-is-longer-than-31-letters,key=work",
                                      "wait=0",
                                      "wait=3601",
                                      "wait=5,key=a",
                                      "wait=5,allow=debian",
                                      "allow=other,key=work,file=/good"};

    ok(takes("key=work") && takes("key=deploy") && takes("key=sealed,file=/good"), "keys");
    ok(takes("allow=debian,key=work,rate=3,confirm=no") && takes("allow=debian,key=sealed") &&
           takes("allow=build,key=deploy,confirm=yes") && takes("wait=20"),
       "permissions");
    for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        CHECK(policy_word(bad[i], load) != NULL);
    ok_checks("words that are wrong are refused");
    ok(policy_wait() == 20 && !policy_vm("other") && !policy_vm("x"), "and change nothing");
    struct permission *p = policy_permission(policy_vm("debian"), 1);
    ok(p && p->confirm && p->rate == 10 && !policy_permission(policy_vm("debian"), 2),
       "without more words: ten a minute, to be confirmed");
}

static void rates(void)
{
    struct permission *p = policy_permission(policy_vm("debian"), 0);
    uint64_t now = SECOND;

    ok(policy_count(p, now) && policy_count(p, now) && policy_count(p, now + 30 * SECOND),
       "three in a minute");
    ok(!policy_count(p, now + 59 * SECOND), "no fourth one");
    ok(policy_count(p, now + 60 * SECOND) && policy_count(p, now + 60 * SECOND), "after a minute, two more");
    ok(!policy_count(p, now + 89 * SECOND) && policy_count(p, now + 90 * SECOND),
       "and one that is due later");
    unsigned granted = 0;
    for (uint64_t t = now + 200 * SECOND; t < now + 800 * SECOND; t += SECOND / 100)
        granted += policy_count(p, t);
    ok(granted == 30, "a flood of ten minutes gets thirty");
}

static void lists(void)
{
    request(11);
    ok(send("debian") == 12 && reply.used == 4 + 1 + 4 + 2 * (4 + KEY_BLOB + 4) + 4 + 6,
       "two keys for debian");
    struct reader r = {out + 5, reply.used - 5, false};
    ok(read_u32(&r) == 2 && same_bytes(read_string(&r), key_blob(0).at, KEY_BLOB) &&
           same_text(read_string(&r), "work") && same_bytes(read_string(&r), key_blob(2).at, KEY_BLOB) &&
           same_text(read_string(&r), "sealed") && read_all(&r),
       "those that are allowed to it, with their names");
    ok(send("mallory") == 12 && reply.used == 9 && !memcmp(out + 5, "\0\0\0", 4),
       "none for who has no permission");
    write_u8(&in, 0);
    ok(send("debian") == 5, "a list with more in the message is none");
}

static void sign_request(unsigned key, const char *data, uint32_t flags)
{
    request(13);
    write_string(&in, key_blob(key).at, KEY_BLOB);
    text(data);
    write_u32(&in, flags);
}

static void signs(void)
{
    uint8_t refused[REPLY_MAX];

    sign_request(0, "hello", 0);
    ok(send("debian") == -1 && wanted.permission == policy_permission(policy_vm("debian"), 0) &&
           wanted.data.size == 5 && !strcmp(wanted.text, "5 bytes of unknown data"),
       "a signature is wanted");
    wanted.data.at = (const uint8_t *)"hello";
    ok(protocol_sign(&wanted, true, &reply) && out[4] == 14 && reply.used == 4 + 1 + 4 + KEY_SIGNATURE &&
           out[9] == 'a' && !memcmp(out + 10, "hello", 5),
       "granted, it is made with this key");
    ok(!protocol_sign(&wanted, false, &reply) && reply.used == 5 && out[4] == 5, "refused, it is a failure");
    memcpy(refused, out, reply.used);
    size_t size = reply.used;
    sign_request(1, "hello", 0);
    ok(send("debian") == 5 && reply.used == size && !memcmp(refused, out, size),
       "the key of somebody else: the same");
    ok(send("mallory") == 5 && reply.used == size, "without any permission: the same");
    sign_request(2, "hello", 0);
    ok(send("debian") == -1 && !protocol_sign(&wanted, true, &reply) && out[4] == 5,
       "a sealed key does not sign");
    sign_request(0, "hello", 2);
    ok(send("debian") == 5, "flags are for other kinds of keys");
    sign_request(0, "hello", 0);
    size = in.used;
    for (in.used = 0; in.used < size; in.used++)
        CHECK(send("debian") == 5);
    in.used = size + 1;
    CHECK(send("debian") == 5);
    ok_checks("a message that is too short or too long is refused");
}

static void others(void)
{
    for (unsigned type = 0; type < 256; type++)
        if (type != 11 && type != 13 && type != 22 && type != 23) {
            request((uint8_t)type);
            text("session-bind@openssh.com");
            CHECK(send("debian") == 5);
        }
    ok_checks("adding, removing, extensions and all else are refused");
    in.used = 0;
    ok(send("debian") == 5, "a message of nothing is refused");
}

static void locks(void)
{
    request(23);
    text("pass");
    ok(send("debian") == 5, "what is not locked cannot be unlocked");
    request(22);
    text("pass");
    ok(send("debian") == 6 && send("debian") == 5, "locked, once");
    ok(send("mallory") == 5, "by who has a permission");
    request(11);
    ok(send("debian") == 12 && reply.used == 9, "then there are no keys");
    sign_request(0, "hello", 0);
    ok(send("debian") == 5, "and no signatures");
    request(11);
    ok(send("build") == 12 && reply.used > 9, "for this domain; others see nothing of it");
    request(23);
    text("word");
    ok(send("debian") == 5, "another passphrase");
    request(23);
    text("pass");
    ok(send("debian") == 6, "the right one");
    request(11);
    ok(send("debian") == 12 && reply.used > 9, "and the keys are there again");
}

/* What is said about data. */
static const char *said(void)
{
    static char said_text[DATA_TEXT];

    data_describe((struct bytes){message, in.used}, key_blob(0), said_text);
    return said_text;
}

static void sshsig(const char *namespace, const char *hash, size_t size)
{
    uint8_t zeros[64] = {0};

    in = (struct writer){message, sizeof(message), 0, false};
    write_raw(&in, "SSHSIG", 6);
    text(namespace);
    text("");
    text(hash);
    write_string(&in, zeros, size);
}

static void login(const char *user, unsigned key, const char *method)
{
    in = (struct writer){message, sizeof(message), 0, false};
    text("0123456789abcdef0123456789abcdef");
    write_u8(&in, 50);
    text(user);
    text("ssh-connection");
    text(method);
    write_u8(&in, 1);
    text("ssh-ed25519");
    write_string(&in, key_blob(key).at, KEY_BLOB);
}

static void descriptions(void)
{
    sshsig("file", "sha512", 64);
    ok(!strcmp(said(), "a signature for \"file\""), "ssh-keygen -Y sign");
    write_u8(&in, 0);
    ok(strstr(said(), "unknown") != NULL, "with more behind it: unknown");
    sshsig("file", "sha256", 64);
    ok(strstr(said(), "unknown") != NULL, "a hash of another size: unknown");
    sshsig("a \"\n\033[2J", "sha256", 32);
    ok(!strcmp(said(), "a signature for \"a ???[2J\""), "names cannot control the console");
    login("root", 0, "publickey");
    ok(!strcmp(said(), "a login as \"root\" on a host that it does not name"), "a login");
    login("root", 1, "publickey");
    ok(strstr(said(), "unknown") != NULL, "with another key: unknown");
    login("root", 0, "publickey-hostbound-v00@openssh.com");
    ok(strstr(said(), "unknown") != NULL, "without the host's key: unknown");
    text("the key of a host");
    ok(!strcmp(said(), "a login as \"root\" on host PRINT:17"), "a login on a host");
    login("a-very-long-name-of-a-user-which-does-not-fit-onto-a-line-of-text", 0, "publickey");
    ok(strstr(said(), "does-not-fit...\"") != NULL, "a long name is cut off");
    in.used = 0;
    ok(!strcmp(said(), "0 bytes of unknown data"), "nothing");
}

/* Any division into pieces gives the same messages. */
static void frames(void)
{
    struct frame f = {.have = 0};
    uint8_t stream[600], got[600];
    uint64_t seed = 1;
    size_t at = 0, collected = 0;

    for (unsigned i = 0; i < sizeof(stream); i++)
        stream[i] = (uint8_t)(i % 20 < 3 ? 0 : i % 20 == 3 ? 16 : i);
    while (at < sizeof(stream)) {
        long n = frame_wants(&f);
        CHECK(n > 0 && n <= 16);
        n = 1 + (long)(tap_random(&seed) % (uint64_t)n);
        memcpy(f.bytes + f.have, stream + at, (size_t)n);
        f.have += (size_t)n;
        at += (size_t)n;
        if (!frame_wants(&f)) {
            memcpy(got + collected, f.bytes, f.have);
            collected += f.have;
            f.have = 0;
        }
    }
    CHECK(collected == sizeof(stream) && !memcmp(got, stream, collected));
    ok_checks("messages out of pieces");
    f.have = 4;
    memcpy(f.bytes, "\0\0\0", 4);
    ok(frame_wants(&f) == -1, "an empty message is not permitted");
    memcpy(f.bytes, "\0\0\x40\0", 4);
    ok(frame_wants(&f) == MESSAGE_MAX, "the longest one is");
    memcpy(f.bytes, "\0\0\x40\1", 4);
    ok(frame_wants(&f) == -1, "a longer one is not");
    memcpy(f.bytes, "\377\377\377\377", 4);
    ok(frame_wants(&f) == -1, "by far");
}

int main(void)
{
    words();
    rates();
    lists();
    signs();
    others();
    locks();
    descriptions();
    frames();
    return tap_done();
}
