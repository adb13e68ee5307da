/*
 * The least that a service can do: adds 1.
 *
 * SPDX-License-Identifier: MIT
 */

#include <nova/program.h>
#include <nova/session.h>

static unsigned serve(void *context, unsigned session, uint64_t *word, unsigned words)
{
    (void)context;
    (void)session;
    (void)words;
    word[0]++;
    return 1;
}

int nova_main(int argc, char **argv)
{
    static struct nova_server server;
    unsigned session;

    (void)argc;
    (void)argv;
    if (nova_server_start(&server, serve, NULL, NULL))
        return 1;
    for (;;) {
        nova_server_wait(&server, NOVA_NEVER);
        while (nova_server_next(&server, &session))
            continue;
    }
}
