/*
 * watchdog: waits for signs of life of the domains that have a session with it. When one of them has given
 * none for too long, or is gone for good, the watchdog ends, and with it the system: `until = watchdog'.
 * With `on-exit = reset' a machine begins anew then.
 *
 * It runs with a higher priority than those whom it watches, so none of them can keep it from looking.
 *
 * SPDX-License-Identifier: MIT
 */

#include "watchdog.h"

#include <nova/session.h>
#include <stdatomic.h>
#include <stdio.h>

static _Atomic uint64_t last; /* sign of life of anybody: one client is enough to show it */

static unsigned alive(void *context, unsigned session, uint64_t *word, unsigned words)
{
    (void)context, (void)session, (void)words;
    atomic_store(&last, nova_now());
    word[0] = 0;
    return 1;
}

int main(void)
{
    static struct nova_server server;
    unsigned session;

    atomic_store(&last, nova_now() + 8 * NOVA_S); /* so long may the system take to start */
    if (nova_server_start(&server, alive, NULL, NULL) != 0)
        return 1;
    for (uint64_t deadline; (deadline = atomic_load(&last) + WATCHDOG_LIMIT) > nova_now();) {
        nova_server_wait(&server, deadline);
        for (enum nova_server_event event; (event = nova_server_next(&server, &session));)
            if (event == NOVA_SERVER_OPENED)
                printf("watching %s\n", nova_server_client(session)->peer);
            else
                puts("lost one; it may come back");
    }
    puts("no sign of life: the system ends");
    return 3;
}
