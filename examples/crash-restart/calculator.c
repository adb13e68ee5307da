/*
 * calculator: a service with a bug: it divides without looking. A division by zero ends this protection
 * domain and nothing else; root reports it and, as the system file wants it, starts it again.
 *
 * SPDX-License-Identifier: MIT
 */

#include "calculator.h"

#include <nova/session.h>
#include <stdio.h>

static uint64_t quotient(uint64_t dividend, uint64_t divisor)
{
    return dividend / divisor;
}

static unsigned divide(void *context, unsigned session, uint64_t *word, unsigned words)
{
    (void)context, (void)session;
    word[0] = words == 2 ? quotient(word[0], word[1]) : 0;
    return 1;
}

int main(void)
{
    static struct nova_server server;
    unsigned session;

    puts("at your service"); /* who waits for it may call as soon as it is there */
    if (nova_server_start(&server, divide, NULL, NULL) != 0)
        return 1;
    for (;;) {
        nova_server_wait(&server, NOVA_NEVER);
        while (nova_server_next(&server, &session)) {
        }
    }
}
