/*
 * Requests at random to the agent: bytes as they come in a connection, with their frames. libFuzzer looks for ways
 * through the code, the sanitizers at memory. What must hold for any input: each message has one reply with its own
 * length; a signature is wanted with a permitted key only; the reply of who has no permission says nothing.
 *
 *   fuzz_agent CORPUS -max_total_time=60
 *
 * SPDX-License-Identifier: MIT
 */

#include "protocol.h"

#include <stdlib.h>
#include <string.h>

#define MUST(condition) ((condition) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static const char *load(const char *path)
{
    (void)path;
    return NULL;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const char *const words[] = {"key=work", "key=deploy", "allow=debian,key=work,confirm=no"};

    (void)argc;
    (void)argv;
    for (unsigned i = 0; i < 3; i++)
        MUST(!policy_word(words[i], load));
    return 0;
}

static void one(const char *name, const uint8_t *bytes, size_t size)
{
    static uint8_t out[REPLY_MAX];
    struct writer reply = {out, sizeof(out), 0, false};
    struct wanted wanted;
    struct vm *vm = policy_vm(name);

    if (protocol_message(vm, (struct bytes){bytes, size}, &wanted, &reply) == WANTED) {
        MUST(wanted.permission->vm == vm && wanted.permission->key == 0);
        MUST(wanted.data.at >= bytes && wanted.data.at + wanted.data.size <= bytes + size);
        MUST(memchr(wanted.text, 0, sizeof(wanted.text)) && !strpbrk(wanted.text, "\n\r\033"));
        MUST(protocol_sign(&wanted, true, &reply));
    }
    struct reader r = {out, reply.used, false};
    MUST(!reply.full && read_u32(&r) == reply.used - 4 && (vm || reply.used == 5 || reply.used == 9));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct frame f;

    f.have = 0;
    while (size) {
        long wants = frame_wants(&f);
        if (wants < 0)
            return 0;
        size_t n = (size_t)wants < size ? (size_t)wants : size;
        memcpy(f.bytes + f.have, data, n);
        f.have += n;
        data += n;
        size -= n;
        if (frame_wants(&f))
            continue;
        uint8_t *copy = malloc(f.have - 4);
        memcpy(copy, f.bytes + 4, f.have - 4);
        one("debian", copy, f.have - 4);
        one("mallory", copy, f.have - 4);
        free(copy);
        f.have = 0;
    }
    return 0;
}
