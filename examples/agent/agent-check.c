/*
 * agent-check: stands in for virtual machines in the test of the agent. What it does depends on the name that the system
 * gives it; each result is a line, ok or not ok.
 *
 * SPDX-License-Identifier: MIT
 */

#include "guest.h"

#include <nova/time.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define TEXT "what is to be signed"

static struct talk talk, flood[4];
static uint8_t work[51], deploy[51];
static bool failed;

static void ok(bool condition, const char *what)
{
    failed |= !condition;
    printf("%s - %s\n", condition ? "ok" : "not ok", what);
}

static int sign(struct talk *t, const uint8_t *blob)
{
    talk_want(t, blob, TEXT);
    return talk_signed(t, blob, TEXT);
}

/* A question for each signature. The user unseals a key, allows one, refuses one, does not answer, and so on. */
static void desk(void)
{
    ok(talk_open(&talk, "agent") && talk_open(&flood[0], "agent"), "two connections");
    ok(talk_list(&talk, "deploy", deploy) == 2 && talk_list(&talk, "work", work) == 2,
       "the list has both keys");
    ok(!sign(&talk, deploy), "a sealed key does not sign");
    printf("please unlock\n");
    int result = 0;
    while (!(result = sign(&talk, deploy)))
        nova_sleep_until(nova_now() + NOVA_S);
    ok(result == 1, "unlocked and allowed, it does");
    talk_want(&talk, work, TEXT);
    ok(talk_list(&flood[0], "work", work) == 2, "another connection is served while the user thinks");
    ok(!talk_signed(&talk, work, TEXT), "refused");
    ok(!sign(&talk, work), "not answered");
    for (unsigned i = 1; i < 4; i++)
        ok(talk_open(&flood[i], "agent"), "one more connection");
    for (unsigned i = 0; i < 4; i++)
        talk_want(&flood[i], work, TEXT);
    for (unsigned i = 0; i < 4; i++)
        result += talk_signed(&flood[i], work, TEXT);
    ok(result == 2, "of four at once, one is allowed");
    talk_want(&talk, work, TEXT);
    printf("please wait for the question\n");
    nova_sleep_until(nova_now() + 3 * NOVA_S);
    talk_close(&talk);
    ok(talk_open(&talk, "agent") && talk_list(&talk, "work", work) == 2, "gone while it was asked, and back");
}

/* No questions, but not too many signatures. */
static void robot(void)
{
    static const uint8_t empty[4], large[] = {0, 0, 0x40, 1, 13}, part[] = {0, 0, 0, 9, 11, 1};
    unsigned granted = 0;

    ok(talk_open(&talk, "agent") && talk_list(&talk, "work", work) == 1, "the list has one key");
    ok(sign(&talk, work) == 1, "a good signature");
    talk_begin(&talk, 22);
    write_string(&talk.out, "open", 4);
    ok(talk_ask(&talk) == 6 && talk_list(&talk, "work", work) == 0 && !sign(&talk, work),
       "locked, there is nothing");
    talk_begin(&talk, 23);
    write_string(&talk.out, "open", 4);
    ok(talk_ask(&talk) == 6 && talk_list(&talk, "work", work) == 1, "unlocked, there is");
    for (unsigned i = 0; i < 4; i++)
        ok(talk_open(&flood[i], "agent"), "a connection");
    for (unsigned n = 0; n < 10; n++) {
        for (unsigned i = 0; i < 4; i++)
            talk_want(&flood[i], work, TEXT);
        for (unsigned i = 0; i < 4; i++)
            granted += talk_signed(&flood[i], work, TEXT) == 1;
    }
    ok(granted == 4, "of forty at once, so many as are left of five in a minute");
    ok(talk_raw(&flood[0], empty, 4) && !talk_wait(&flood[0]), "a message of nothing ends a connection");
    ok(talk_raw(&flood[1], large, 5) && !talk_wait(&flood[1]), "so does one that is too large");
    talk_begin(&flood[2], 13);
    ok(talk_ask(&flood[2]) == 5 && talk_list(&flood[2], "work", work) == 1,
       "a request without arguments does not");
    talk_raw(&flood[3], part, sizeof(part));
    for (unsigned i = 0; i < 4; i++)
        talk_close(&flood[i]);
    ok(talk_list(&talk, "work", work) == 1, "the others go on");
}

static void stranger(void)
{
    ok(talk_open(&talk, "agent") && talk_list(&talk, "work", work) == 0, "the list is empty");
    ok(!sign(&talk, work), "no signature");
    talk_begin(&talk, 22);
    write_string(&talk.out, "x", 1);
    ok(talk_ask(&talk) == 5, "nothing to lock");
}

/* Bytes at random, most of them in frames that are right, of types that there are. */
static void rude(void)
{
    static const uint8_t types[] = {11, 13, 17, 18, 19, 22, 23, 25, 27, 0, 255};
    unsigned answers = 0, ends = 0;

    talk_open(&talk, "agent");
    for (unsigned n = 0; n < 500; n++) {
        uint8_t bytes[64];
        randombytes_buf(bytes, sizeof(bytes));
        talk_begin(&talk, types[bytes[0] % sizeof(types)]);
        for (unsigned i = 1; i < 4 && bytes[63] % 4; i++)
            write_string(&talk.out, bytes + 4, bytes[i] % 60U);
        write_raw(&talk.out, bytes, bytes[62] % 8U);
        if (n % 50 == 49)
            talk_raw(&talk, "\377\0\0", 4);
        int type = talk_ask(&talk);
        answers += type == 5 || type == 12;
        ends += !type;
        if (!type) {
            talk_close(&talk);
            talk_open(&talk, "agent");
        }
    }
    ok(answers == 490 && ends == 10,
       "490 messages at random are refused, 10 of impossible size end the connection");
    ok(talk_list(&talk, "work", work) == 0, "after that, there is still a list");
}

/* Fifty signatures; then it stays as it is. */
static void signer(void)
{
    unsigned granted = 0;

    ok(talk_open(&talk, "agent") && talk_list(&talk, "deploy", deploy) == 1, "the list has a key");
    printf("please unlock\n");
    for (unsigned n = 0; n<50; n += granted> n) {
        granted += sign(&talk, deploy) == 1;
        if (granted == n)
            nova_sleep_until(nova_now() + 5 * NOVA_S);
    }
    printf("signed %u\n", granted);
    nova_sleep_until(NOVA_NEVER);
}

/* The agent here has a fault: it dies when it signs for the first time. */
static void victim(void)
{
    ok(talk_open(&talk, "frail") && talk_list(&talk, "deploy", deploy) == 1, "the list before");
    printf("please unlock the frail one\n");
    int result = 0;
    while (!(result = sign(&talk, deploy)))
        nova_sleep_until(nova_now() + NOVA_S);
    ok(result == -1, "the agent dies while it signs");
    talk_close(&talk);
    ok(talk_open(&talk, "frail") && talk_list(&talk, "deploy", deploy) == 1, "the list after");
    ok(!sign(&talk, deploy), "the key is sealed again");
    printf("please unlock it again\n");
    while (!(result = sign(&talk, deploy)))
        nova_sleep_until(nova_now() + NOVA_S);
    ok(result == 1, "and signs when it is unlocked again");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*act)(void);
    } role[] = {{"desk", desk},     {"robot", robot},    {"stranger", stranger}, {"rude", rude},
                {"signer", signer}, {"another", signer}, {"victim", victim}};

    if (!argc || sodium_init() < 0)
        return 2;
    for (unsigned i = 0; i < sizeof(role) / sizeof(*role); i++)
        if (!strcmp(argv[0], role[i].name))
            role[i].act();
    printf("done\n");
    return failed;
}
