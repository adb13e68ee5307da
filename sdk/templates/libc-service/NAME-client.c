/* NAME-client: sends numbers to the service NAME and prints the sums. */

#include "NAME.h"

#include <nova/error.h>
#include <nova/session.h>
#include <nova/thread.h>
#include <stdio.h>

int main(void)
{
    struct nova_session session;
    int result = nova_session_open(&session, SERVICE, BUFFER_SIZE, nova_now() + 5 * NOVA_S);

    if (result != NOVA_OK) {
        printf("no session with %s: %s\n", SERVICE, nova_error_text(result));
        return 1;
    }
    for (uint64_t i = 1; i <= 5; i++) {
        nova_message()[0] = i;
        result = nova_session_call(&session, 1);
        if (result != 1) { /* words of the answer, or an error */
            printf("call of %s: %s\n", SERVICE, result < 0 ? nova_error_text(result) : "a strange answer");
            return 1;
        }
        printf("sum: %llu\n", (unsigned long long)nova_message()[0]);
    }
    nova_session_close(&session);
    return 0;
}
