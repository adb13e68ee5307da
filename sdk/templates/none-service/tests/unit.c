/*
 * Service and client in one program, for the host: there sessions lead back to the program itself. Prints TAP.
 */

#define nova_main service_main
#include "../NAME.c"
#undef nova_main

#include <nova/thread.h>

static unsigned count, failed;

static void ok(int good, const char *what)
{
    nova_print("%s %u - %s\n", good ? "ok" : "not ok", ++count, what);
    failed += !good;
}

int nova_main(int argc, char **argv)
{
    static struct nova_server server;
    struct nova_session session;

    (void)argc, (void)argv;
    ok(nova_server_start(&server, add, NULL, NULL) == 0, "the service starts");
    ok(nova_session_open(&session, SERVICE, BUFFER_SIZE, nova_now() + NOVA_S) == 0, "a session with it");
    nova_message()[0] = 40;
    ok(nova_session_call(&session, 1) == 1 && nova_message()[0] == 40, "the first sum");
    nova_message()[0] = 2;
    ok(nova_session_call(&session, 1) == 1 && nova_message()[0] == 42, "the second sum");
    nova_session_close(&session);
    nova_print("1..%u\n", count);
    return failed != 0;
}
