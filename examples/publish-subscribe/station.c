/*
 * station: publishes news to whoever listens. It waits until as many listeners are there as its argument
 * says, and sends each news to all of them, without a message: it writes into the listener's buffer and
 * rings its bell. A listener that is slow, dead or hostile loses news of its own, and nobody else notices.
 *
 * SPDX-License-Identifier: MIT
 */

#include "station.h"

#include <nova/session.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct nova_server server;
static unsigned char listening[NOVA_SESSIONS_MAX];
static unsigned listeners;

/* Nothing can be asked for by call. */
static unsigned refuse(void *context, unsigned session, uint64_t *word, unsigned words)
{
    (void)context, (void)session, (void)words;
    word[0] = 0;
    return 1;
}

static void look_who_is_there(void)
{
    unsigned session;

    for (enum nova_server_event event; (event = nova_server_next(&server, &session));) {
        listening[session] =
            event == NOVA_SERVER_OPENED && nova_server_client(session)->pages * 4096 == STATION_BUFFER;
        listeners += event == NOVA_SERVER_OPENED ? 1 : -1U;
    }
}

static void publish(const char *line)
{
    for (unsigned session = 0; session < NOVA_SESSIONS_MAX; session++) {
        if (listening[session]) {
            struct nova_stream *stream = (struct nova_stream *)nova_server_client(session)->buffer;
            if (nova_stream_put(stream, STATION_BUFFER, line, (uint32_t)strlen(line)) < 0)
                nova_server_release(session); /* it does not keep to the rules */
            nova_server_ring(session);
        }
    }
}

int main(int argc, char **argv)
{
    unsigned wanted = argc > 1 ? (unsigned)atoi(argv[1]) : 1;

    if (nova_server_start(&server, refuse, NULL,
                          &(struct nova_server_options){.buffer_size = STATION_BUFFER}) != 0)
        return 1;
    while (listeners < wanted) {
        nova_server_wait(&server, NOVA_NEVER);
        look_who_is_there();
    }
    printf("%u are listening\n", listeners);
    for (int hour = 6; hour <= 9; hour++) {
        char line[64];
        snprintf(line, sizeof(line), "at %d it has %d degrees\n", hour, 2 * hour - 3);
        publish(line);
        nova_sleep_until(nova_now() + 50 * NOVA_MS);
    }
    publish("\n");
    while (listeners) {
        nova_server_wait(&server, NOVA_NEVER);
        look_who_is_there();
    }
    return 0;
}
