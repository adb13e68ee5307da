/* NAME-client: sends numbers to the service NAME and prints the sums. */

#include "NAME.h"

#include <nova/log.h>
#include <nova/program.h>
#include <nova/session.h>
#include <nova/thread.h>

int nova_main(int argc, char **argv)
{
    struct nova_session session;
    int error = nova_session_open(&session, SERVICE, BUFFER_SIZE, nova_now() + 5 * NOVA_S);

    (void)argc, (void)argv;
    for (uint64_t i = 1; !error && i <= 5; i++) {
        nova_message()[0] = i;
        error = nova_session_call(&session, 1) == 1 ? 0 : 1;
        nova_print("sum: %lu\n", nova_message()[0]);
    }
    if (error) {
        nova_print("error %d\n", error);
        return 1;
    }
    nova_session_close(&session);
    return 0;
}
