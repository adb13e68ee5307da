/*
 * guest: see guest.h. Waits without end: whoever waits for all of this has a time limit.
 *
 * SPDX-License-Identifier: MIT
 */

#include "guest.h"

#include <nova/error.h>
#include <sodium.h>
#include <string.h>

bool talk_open(struct talk *t, const char *service)
{
    return !nova_pipe_open(&t->pipe, service, NOVA_PIPE_SIZE(2048), nova_now() + 60 * NOVA_S);
}

void talk_close(struct talk *t)
{
    nova_pipe_close(&t->pipe);
}

bool talk_raw(struct talk *t, const void *from, size_t size)
{
    const uint8_t *at = from;

    while (size) {
        long n = nova_pipe_write(&t->pipe, at, size);
        if (n == NOVA_ERR_BUSY)
            nova_session_wait(&t->pipe.session, NOVA_NEVER);
        else if (n < 0)
            return false;
        at += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

void talk_begin(struct talk *t, uint8_t type)
{
    t->out = (struct writer){t->request, sizeof(t->request), 0, false};
    write_u8(&t->out, type);
}

bool talk_send(struct talk *t)
{
    uint8_t length[4];
    struct writer w = {length, 4, 0, false};

    write_u32(&w, (uint32_t)t->out.used);
    return !t->out.full && talk_raw(t, length, 4) && talk_raw(t, t->request, t->out.used);
}

int talk_wait(struct talk *t)
{
    long wants;

    t->reply.have = 0;
    while ((wants = frame_wants(&t->reply)) > 0) {
        long n = nova_pipe_read(&t->pipe, t->reply.bytes + t->reply.have, (size_t)wants);
        if (n == NOVA_ERR_BUSY)
            nova_session_wait(&t->pipe.session, NOVA_NEVER);
        else if (n <= 0)
            return 0;
        t->reply.have += n > 0 ? (size_t)n : 0;
    }
    return wants ? 0 : t->reply.bytes[4];
}

int talk_ask(struct talk *t)
{
    return talk_send(t) ? talk_wait(t) : 0;
}

int talk_list(struct talk *t, const char *name, uint8_t blob[51])
{
    talk_begin(t, 11);
    if (talk_ask(t) != 12)
        return -1;
    struct reader r = {t->reply.bytes + 5, t->reply.have - 5, false};
    uint32_t count = read_u32(&r);
    for (uint32_t i = 0; i < count && !r.bad; i++) {
        struct bytes found = read_string(&r);
        if (same_text(read_string(&r), name) && found.size == 51)
            memcpy(blob, found.at, 51);
    }
    return read_all(&r) ? (int)count : -1;
}

void talk_want(struct talk *t, const uint8_t blob[51], const char *text)
{
    talk_begin(t, 13);
    write_string(&t->out, blob, 51);
    write_string(&t->out, text, strlen(text));
    write_u32(&t->out, 0);
    talk_send(t);
}

int talk_signed(struct talk *t, const uint8_t blob[51], const char *text)
{
    int type = talk_wait(t);
    struct reader r = {t->reply.bytes + 5, t->reply.have - 5, false};

    if (type != 14)
        return type == 5 ? 0 : -1;
    struct bytes signature = read_string(&r);
    struct reader in = {signature.at, signature.size, false};
    bool kind = read_all(&r) && same_text(read_string(&in), "ssh-ed25519");
    struct bytes plain = read_string(&in);
    return kind && read_all(&in) && plain.size == crypto_sign_BYTES &&
                   !crypto_sign_verify_detached(plain.at, (const uint8_t *)text, strlen(text), blob + 19)
               ? 1
               : -1;
}
