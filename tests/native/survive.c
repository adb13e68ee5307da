/*
 * What remains when the console server crashes and comes back, while others write and one waits for input. Argument:
 *
 *   crash    makes it crash; its session with the service `peer` (server.c) goes on, and so does the log
 *   write    writes numbered lines all the time
 *   read     waits for input: learns that the console has gone, and waits again
 *   end      makes it crash when input is at its end: it still is
 *
 * SPDX-License-Identifier: MIT
 */

#include "tap.h"

#include <nova/error.h>
#include <nova/log.h>
#include <nova/mem.h>
#include <nova/program.h>
#include <nova/session.h>
#include <nova/string.h>
#include <nova/thread.h>
#include <nova/time.h>

#define ECHO 6U /* operations of server.c */
#define RING 3U

static bool echoes(const struct nova_session *s, uint64_t word)
{
    nova_message()[0] = ECHO;
    nova_message()[1] = word;
    return nova_session_call(s, 2) == 2 && nova_message()[1] == word;
}

static void crash(void)
{
    struct nova_session s;
    uint64_t begin;

    if (!ok(!nova_session_open(&s, "peer", NOVA_PAGE, nova_now() + 5 * NOVA_S) && echoes(&s, 1), "a session"))
        return;
    nova_sleep_until(nova_now() + 300 * NOVA_MS); /* the others write and wait */
    begin = nova_now();
    nova_print("crash the console\n");
    ok(nova_now() - begin < 4 * NOVA_S, "a line that meets the crash goes to the console's successor");
    ok(nova_session_alive(&s) && echoes(&s, 2), "the session with another domain goes on");
    nova_message()[0] = RING;
    ok(nova_session_call(&s, 1) == 1 && !nova_session_wait(&s, nova_now() + 5 * NOVA_S),
       "and so does its bell");
    nova_session_close(&s);
    ok(!nova_session_open(&s, "peer", NOVA_PAGE, nova_now() + 5 * NOVA_S) && echoes(&s, 3), "and a new one");
}

static void keep_writing(void)
{
    for (unsigned i = 0; i < 150; i++) {
        nova_print("line %u\n", i);
        nova_sleep_until(nova_now() + 10 * NOVA_MS);
    }
    ok(true, "150 lines");
}

static void keep_reading(void)
{
    char text[64];
    long n = nova_log_read(text, sizeof(text), nova_now() + 60 * NOVA_S);

    ok(n == NOVA_ERR_PEER, "who waits for input learns that the console has gone: %s",
       nova_error_text(n < 0 ? (int)n : 0));
    nova_print("again> ");
    n = nova_log_read(text, sizeof(text), nova_now() + 60 * NOVA_S);
    ok(n == 6 && !memcmp(text, "hello\n", 6), "and can wait for the next one's");
}

static void end_again(void)
{
    char text[64];

    ok(nova_log_read(text, sizeof(text), nova_now() + 60 * NOVA_S) == NOVA_ERR_ABSENT, "no input");
    nova_print("crash the console\n");
    ok(nova_log_read(text, sizeof(text), nova_now() + 60 * NOVA_S) == NOVA_ERR_ABSENT,
       "nor any after the crash");
}

int nova_main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "crash"))
        crash();
    else if (argc > 1 && !strcmp(argv[1], "write"))
        keep_writing();
    else if (argc > 1 && !strcmp(argv[1], "end"))
        end_again();
    else
        keep_reading();
    return tap_done();
}
