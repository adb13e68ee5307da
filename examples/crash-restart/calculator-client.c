/*
 * calculator-client: uses a service that can die. The call in which it dies returns an error, as does every
 * later one; the client closes the session and opens another one, which waits for the service to be back.
 *
 * SPDX-License-Identifier: MIT
 */

#include "calculator.h"

#include <nova/error.h>
#include <nova/session.h>
#include <nova/thread.h>
#include <stdio.h>

int main(void)
{
    static const uint64_t divisors[] = {1, 2, 0, 4, 5};
    struct nova_session session;
    int error = nova_session_open(&session, CALCULATOR, 0, nova_now() + 10 * NOVA_S);

    for (unsigned i = 0; !error && i < sizeof(divisors) / sizeof(*divisors); i++) {
        nova_message()[0] = 60;
        nova_message()[1] = divisors[i];
        int words = nova_session_call(&session, 2);
        if (words == 1) {
            printf("60 / %lu = %lu\n", divisors[i], nova_message()[0]);
        } else {
            printf("60 / %lu: %s\n", divisors[i], nova_error_text(words));
            nova_session_close(&session);
            error = nova_session_open(&session, CALCULATOR, 0, nova_now() + 10 * NOVA_S);
            printf("again: %s\n", error ? nova_error_text(error) : "there is a session");
        }
    }
    if (!error)
        nova_session_close(&session);
    return error != 0;
}
