/*
 * protocol: see protocol.h. Section numbers are those of draft-miller-ssh-agent-14.
 *
 * SPDX-License-Identifier: MIT
 */

#include "protocol.h"

#include <string.h>

/* Numbers of messages: 6.1. */
enum message {
    FAILURE = 5,
    SUCCESS = 6,
    REQUEST_IDENTITIES = 11,
    IDENTITIES_ANSWER = 12,
    SIGN_REQUEST = 13,
    SIGN_RESPONSE = 14,
    LOCK = 22,
    UNLOCK = 23
};

/* A reply begins; what is written already is dropped. */
static void begin(struct writer *reply, enum message type)
{
    reply->used = 0;
    reply->full = false;
    write_u32(reply, 0);
    write_u8(reply, (uint8_t)type);
}

/* It is complete: its length goes in front. */
static void end(struct writer *reply)
{
    struct writer length = {reply->at, 4, 0, false};

    write_u32(&length, (uint32_t)(reply->used - 4));
}

static enum outcome answer(struct writer *reply, bool success)
{
    begin(reply, success ? SUCCESS : FAILURE);
    end(reply);
    return ANSWERED;
}

/* 3.5: the keys that are allowed; none while locked. */
static enum outcome list(const struct vm *vm, struct writer *reply)
{
    const struct permission *p;
    unsigned count = 0;

    while (vm && !vm->locked && policy_permission(vm, count))
        count++;
    begin(reply, IDENTITIES_ANSWER);
    write_u32(reply, count);
    for (unsigned i = 0; i < count && (p = policy_permission(vm, i)); i++) {
        write_string(reply, key_blob(p->key).at, KEY_BLOB);
        write_string(reply, key_name(p->key), strlen(key_name(p->key)));
    }
    end(reply);
    return reply->full ? answer(reply, false) : ANSWERED;
}

/* 3.6: key, data, flags. Flags are about RSA only. */
static enum outcome sign(struct vm *vm, struct reader *r, struct wanted *wanted, struct writer *reply)
{
    struct bytes blob = read_string(r);
    struct permission *p = NULL;

    wanted->data = read_string(r);
    if (read_u32(r) || !read_all(r) || !vm || vm->locked)
        return answer(reply, false);
    for (unsigned i = 0; (p = policy_permission(vm, i)); i++)
        if (same_bytes(blob, key_blob(p->key).at, KEY_BLOB))
            break;
    if (!p)
        return answer(reply, false);
    wanted->permission = p;
    data_describe(wanted->data, blob, wanted->text);
    return WANTED;
}

/* 3.8: for this domain only; the others see nothing of it. */
static enum outcome lock(struct vm *vm, struct reader *r, bool locks, struct writer *reply)
{
    struct bytes passphrase = read_string(r);
    bool done = read_all(r) && vm && vm->locked != locks;

    if (done && locks)
        key_mark(passphrase, vm->mark);
    else if (done)
        done = key_marked(passphrase, vm->mark);
    if (done)
        vm->locked = locks;
    if (done && !locks)
        key_wipe(vm->mark, sizeof(vm->mark));
    return answer(reply, done);
}

enum outcome protocol_message(struct vm *vm, struct bytes message, struct wanted *wanted,
                              struct writer *reply)
{
    struct reader r = {message.at, message.size, false};

    switch (read_u8(&r)) {
    case REQUEST_IDENTITIES:
        return read_all(&r) ? list(vm, reply) : answer(reply, false);
    case SIGN_REQUEST:
        return sign(vm, &r, wanted, reply);
    case LOCK:
        return lock(vm, &r, true, reply);
    case UNLOCK:
        return lock(vm, &r, false, reply);
    default: /* 3.2 to 3.4: keys are added and removed by the system file; 3.9: no extensions */
        return answer(reply, false);
    }
}

bool protocol_sign(const struct wanted *wanted, bool granted, struct writer *reply)
{
    uint8_t signature[KEY_SIGNATURE];

    granted = granted && key_sign(wanted->permission->key, wanted->data, signature);
    if (!granted) {
        answer(reply, false);
        return false;
    }
    begin(reply, SIGN_RESPONSE);
    write_string(reply, signature, sizeof(signature));
    end(reply);
    return true;
}
