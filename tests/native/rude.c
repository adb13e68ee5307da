/*
 * A client of the console server that sends nonsense: every message is answered, and the console goes on.
 *
 * SPDX-License-Identifier: MIT
 */

#include "tap.h"

#include <nova/error.h>
#include <nova/log.h>
#include <nova/program.h>
#include <nova/session.h>
#include <nova/thread.h>

#define ROUNDS 20000U

static uint64_t state = 12345;

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* The right answer to a message, as far as it can be told. */
static bool right(uint64_t op, uint64_t size, unsigned words, int got)
{
    const uint64_t *word = nova_message();
    bool write = op == NOVA_LOG_WRITE && words >= 2 && size && size <= 4000 && words >= 2 + (size + 7) / 8;
    bool read = (op == NOVA_LOG_READ || op == NOVA_LOG_READ_SECRET) && words == 2 && size;
    bool terminal = (op == NOVA_LOG_TERMINAL || op == NOVA_LOG_COMMAND) && words == 1;

    if (!write)
        return got >= 1 && (int)word[0] == (read || terminal ? NOVA_ERR_DENIED : NOVA_ERR_PROTOCOL);
    return got >= 2 && !word[0] && word[1] <= size;
}

int nova_main(int argc, char **argv)
{
    static const uint64_t sizes[] = {0, 1, 8, 100, 4000, 4001, 4096, UINT64_MAX, 1UL << 32, UINT64_MAX - 7};
    struct nova_session s;
    unsigned wrong = 0;
    char key;
    int error = nova_session_open(&s, "log", 0, nova_now() + 5 * NOVA_S);

    (void)argc;
    (void)argv;
    for (unsigned i = 0; i < ROUNDS && !error; i++) {
        uint64_t op = next() % 8 ? next() % 6 : next(), size = next() % 4 ? sizes[next() % 10] : next() % 500;
        unsigned words = next() % 2 ? 1 + (unsigned)(next() % 4) : 1 + (unsigned)(next() % 512);
        for (unsigned k = 0; k < 512; k++)
            nova_message()[k] = k == 0 ? op : k == 1 ? size : 0x0a7a7a7a7a7a7a7aUL;
        wrong += !right(op, words > 1 ? size : 0, words, nova_session_call(&s, words));
        if (i % 64 == 0)
            nova_session_ring(&s);
    }
    nova_session_close(&s);
    ok(!error && !wrong, "%u messages, %u answers are wrong", ROUNDS, wrong);
    ok(nova_log_read(&key, 1, NOVA_NEVER) == NOVA_ERR_DENIED, "what is typed is for others");
    return tap_done();
}
