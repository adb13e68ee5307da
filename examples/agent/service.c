/*
 * service: see service.h. A connection has one request at a time. One that is to be confirmed waits for its turn: the
 * next one is asked for another domain than the last one, if another one waits.
 *
 * SPDX-License-Identifier: MIT
 */

#include "service.h"

#include "console.h"
#include "protocol.h"

#include <nova/error.h>
#include <nova/pipe.h>
#include <stdio.h>
#include <string.h>

enum state { CLOSED, READING, WAITING, ASKED, ANSWERING };

static struct connection {
    enum state state;
    struct nova_pipe pipe;
    char name[NOVA_NAME_MAX + 1];
    struct vm *vm; /* NULL: nothing is allowed to it */
    struct frame in;
    struct wanted wanted; /* its data is in `in' */
    uint8_t out[REPLY_MAX];
    size_t out_size, out_sent;
} connections[NOVA_SESSIONS_MAX];

static struct connection *asked; /* whose question it is */
static unsigned last;            /* whose it was */
static uint64_t asked_until;

void service_opened(unsigned session)
{
    struct connection *c = &connections[session];

    if (nova_pipe_accept(&c->pipe, session)) {
        nova_server_release(session);
        return;
    }
    snprintf(c->name, sizeof(c->name), "%s", nova_server_client(session)->peer);
    c->vm = policy_vm(c->name);
    c->in.have = 0;
    c->state = READING;
}

/* What was in a message may have been secret. */
static void forget(struct connection *c)
{
    key_wipe(c->in.bytes, c->in.have);
    c->in.have = 0;
}

static void withdraw(struct connection *c)
{
    if (asked == c) {
        asked = NULL;
        console_close();
        printf("%s is gone: its request is void\n", c->name);
    }
    forget(c);
    c->state = CLOSED;
}

void service_closed(unsigned session)
{
    if (connections[session].state != CLOSED)
        withdraw(&connections[session]);
}

/* A reply: it goes out, and the request is forgotten. */
static void reply(struct connection *c, size_t size)
{
    forget(c);
    c->out_size = size;
    c->out_sent = 0;
    c->state = ANSWERING;
}

/* The request of a signature is decided. Each signature is in the log. */
static void decide(struct connection *c, bool granted, const char *why)
{
    struct writer w = {c->out, sizeof(c->out), 0, false};
    const struct permission *p = c->wanted.permission;

    if (!protocol_sign(&c->wanted, granted, &w) && granted)
        why = "the key is sealed";
    printf("%s for %s with %s: %s%s%s\n", *why ? "refused" : "signed", c->name, key_name(p->key),
           c->wanted.text, *why ? "; " : "", why);
    reply(c, w.used);
}

/* A line for each is too much. */
static void refuse_quietly(struct connection *c)
{
    struct writer w = {c->out, sizeof(c->out), 0, false};

    protocol_sign(&c->wanted, false, &w);
    reply(c, w.used);
}

/* Whether it is too often. The log has a line for the first one, and for how many there were in the end. */
static bool often(struct permission *p)
{
    if (policy_count(p, nova_now())) {
        if (p->refused > 1)
            printf("refused %u more for %s with %s; too often\n", p->refused - 1, p->vm->name,
                   key_name(p->key));
        p->refused = 0;
        return false;
    }
    p->refused++;
    return true;
}

/* A message is complete. */
static void message(struct connection *c)
{
    struct writer w = {c->out, sizeof(c->out), 0, false};

    if (protocol_message(c->vm, (struct bytes){c->in.bytes + 4, c->in.have - 4}, &c->wanted, &w) ==
        ANSWERED) {
        reply(c, w.used);
        return;
    }
    struct permission *p = c->wanted.permission;
    if (often(p) && p->refused > 1)
        refuse_quietly(c);
    else if (p->refused)
        decide(c, false, "too often");
    else if (key_sealed(p->key))
        decide(c, false, "the key is sealed");
    else if (p->confirm)
        c->state = WAITING;
    else
        decide(c, true, "");
}

/* Takes what is there of a message. Errors, and the end of the stream, end the connection. */
static bool receive(struct connection *c)
{
    long wants = frame_wants(&c->in);
    long n =
        wants > 0 ? nova_pipe_read(&c->pipe, c->in.bytes + c->in.have, (size_t)wants) : NOVA_ERR_PROTOCOL;

    if (n == NOVA_ERR_BUSY)
        return false;
    if (n <= 0) {
        withdraw(c);
        nova_pipe_close(&c->pipe);
        return true;
    }
    c->in.have += (size_t)n;
    if (!frame_wants(&c->in))
        message(c);
    return true;
}

static bool send(struct connection *c)
{
    long n = nova_pipe_write(&c->pipe, c->out + c->out_sent, c->out_size - c->out_sent);

    if (n == NOVA_ERR_BUSY)
        return false;
    c->out_sent += n > 0 ? (size_t)n : 0;
    if (n < 0) {
        withdraw(c);
        nova_pipe_close(&c->pipe);
    } else if (c->out_sent == c->out_size) {
        c->state = READING;
    }
    return true;
}

bool service_round(void)
{
    bool any = false;

    for (unsigned i = 0; i < NOVA_SESSIONS_MAX; i++) {
        struct connection *c = &connections[i];
        if (c->state == READING)
            any |= receive(c);
        if (c->state == ANSWERING)
            any |= send(c);
    }
    return any;
}

/* Whose turn it is, or NULL. */
static struct connection *choose(void)
{
    struct connection *found = NULL;

    for (unsigned i = 1; i <= NOVA_SESSIONS_MAX; i++) {
        struct connection *c = &connections[(last + i) % NOVA_SESSIONS_MAX];
        if (c->state == WAITING && (!found || found->vm == connections[last].vm))
            found = found && c->vm == connections[last].vm ? found : c;
    }
    return found;
}

static void ask(struct connection *c)
{
    char text[128 + DATA_TEXT];

    snprintf(text, sizeof(text), "%s wants to sign with %s: %s", c->name, key_name(c->wanted.permission->key),
             c->wanted.text);
    asked = c;
    last = (unsigned)(c - connections);
    asked_until = nova_now() + policy_wait() * NOVA_S;
    c->state = ASKED;
    console_ask(text);
}

uint64_t service_question(void)
{
    static const char *const why[] = {
        [GRANTED] = "", [REFUSED] = "not confirmed", [NOBODY] = "nobody is there"};
    struct connection *c = asked;
    enum verdict verdict = c ? console_verdict() : UNDECIDED;

    if (c && (verdict != UNDECIDED || nova_now() >= asked_until)) {
        asked = NULL;
        console_close();
        decide(c, verdict == GRANTED, verdict == UNDECIDED ? "no answer in time" : why[verdict]);
    }
    if (!asked && (c = choose()))
        ask(c);
    return asked ? asked_until : NOVA_NEVER;
}
