/*
 * NAME: a service. It keeps a sum for each client and adds to it what the client sends.
 *
 * Who the client is says the system: the number of the session, and the name that belongs to it.
 */

#include "NAME.h"

#include <nova/error.h>
#include <nova/session.h>
#include <stdio.h>

static uint64_t sum[NOVA_SESSIONS_MAX];

static unsigned add(void *context, unsigned session, uint64_t *word, unsigned words)
{
    (void)context;
    sum[session] += words ? word[0] : 0;
    word[0] = sum[session];
    return 1;
}

int main(void)
{
    static struct nova_server server;
    unsigned session;
    int error = nova_server_start(&server, add, NULL, NULL);

    if (error != NOVA_OK) {
        printf("cannot offer %s: %s\n", SERVICE, nova_error_text(error));
        return 1;
    }
    for (;;) {
        nova_server_wait(&server, NOVA_NEVER);
        for (enum nova_server_event event; (event = nova_server_next(&server, &session));) {
            if (event == NOVA_SERVER_OPENED) {
                printf("session %u with %s\n", session, nova_server_client(session)->peer);
            } else {
                sum[session] = 0;
            }
        }
    }
}
