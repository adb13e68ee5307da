/*
 * Service for the tests of sessions. With the argument `lean` it only adds 1; otherwise:
 *
 *   word 0   what
 *   1        returns the number of the session, the client's name, the number of open sessions
 *   2        adds up the first word 1 bytes of the buffer
 *   3        rings the client's bell
 *   4        throws the client out
 *   5        crashes
 *   6        returns the words as they are
 *   7        waits for word 1 milliseconds
 *
 * SPDX-License-Identifier: MIT
 */

#include <nova/error.h>
#include <nova/log.h>
#include <nova/program.h>
#include <nova/session.h>
#include <nova/string.h>
#include <nova/sync.h>

static struct nova_server server;
static uint32_t sessions;

static unsigned serve(void *context, unsigned session, uint64_t *word, unsigned words)
{
    const struct nova_session_state *state = nova_server_client(session);
    uint64_t sum = 0, size = words > 1 ? word[1] : 0;

    (void)context;
    switch (word[0]) {
    case 1:
        word[0] = session;
        memcpy(word + 1, state->peer, NOVA_NAME_MAX);
        word[5] = __atomic_load_n(&sessions, __ATOMIC_RELAXED);
        return 6;
    case 2:
        for (uint64_t i = 0; i < size && i < state->pages * 4096UL; i++)
            sum += ((const volatile unsigned char *)state->buffer)[i];
        word[0] = sum;
        return 1;
    case 3:
        word[0] = (uint64_t)nova_server_ring(session);
        return 1;
    case 4:
        nova_server_release(session);
        word[0] = 0;
        return 1;
    case 5:
        __builtin_trap();
    case 6:
        return words;
    case 7:
        nova_sleep_until(nova_now() + size * NOVA_MS);
        return 1;
    default:
        word[0] = (uint64_t)NOVA_ERR_INVAL;
        return 1;
    }
}

/* The least that a service can do: for figures. */
static unsigned lean(void *context, unsigned session, uint64_t *word, unsigned words)
{
    (void)context;
    (void)session;
    (void)words;
    word[0]++;
    return 1;
}

int nova_main(int argc, char **argv)
{
    enum nova_server_event event;
    unsigned n;
    int error;

    error = nova_server_start(&server, argc > 1 && !strcmp(argv[1], "lean") ? lean : serve, NULL,
                              &(struct nova_server_options){.buffer_size = 16 * 4096});
    if (error) {
        nova_print("server: %s\n", nova_error_text(error));
        return 1;
    }
    if (nova_server_start(&(struct nova_server){.bell = 0}, serve, NULL, NULL) != NOVA_ERR_BUSY)
        nova_print("not ok - a service was offered twice\n");
    for (;;) {
        while ((event = nova_server_next(&server, &n)) != NOVA_SERVER_NOTHING)
            __atomic_fetch_add(&sessions, event == NOVA_SERVER_OPENED ? 1U : -1U, __ATOMIC_RELAXED);
        nova_server_wait(&server, NOVA_NEVER);
    }
}
