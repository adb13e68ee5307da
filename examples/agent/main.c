/*
 * agent: an SSH agent (draft-miller-ssh-agent) for other domains, virtual machines above all. They have signatures made
 * with keys that they cannot read. doc/agent.md says what that is worth.
 *
 *   main.c      arguments, and the loop of the thread that does all the work
 *   service.c   connections, and whose question is asked
 *   console.c   what the user types, in a thread of its own
 *   protocol.c  requests and replies          \
 *   policy.c    who may use which key          | no state of others, no input or output:
 *   data.c      what is to be signed           | tested and fuzzed on any machine
 *   wire.c      encodings, frames             /
 *   keys.c, keyfile.c   the keys; all that calls libsodium
 *
 * SPDX-License-Identifier: MIT
 */

#include "console.h"
#include "policy.h"
#include "service.h"

#include <nova/error.h>
#include <nova/pipe.h>
#include <stdio.h>

/* All of the service goes through pipes. */
static unsigned serve(void *context, unsigned session, uint64_t *word, unsigned words)
{
    (void)context;
    (void)session;
    (void)words;
    word[0] = (uint64_t)NOVA_ERR_PROTOCOL;
    return 1;
}

static const char *load(const char *path)
{
    static char text[512];
    FILE *file = fopen(path, "r");
    size_t size = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

    if (file)
        fclose(file);
    text[size] = 0;
    return file ? text : NULL;
}

static bool set_up(struct nova_server *server, int argc, char **argv)
{
    static const struct nova_server_options options = {.buffer_size = NOVA_PIPE_SIZE(NOVA_PIPE_SOCKET)};
    const char *error = keys_start() ? NULL : "the library cannot be used";
    int result;

    for (int i = 1; i < argc && !error; i++)
        if ((error = policy_word(argv[i], load)))
            fprintf(stderr, "%s: ", argv[i]);
    if (error) {
        fprintf(stderr, "%s\n", error);
        return false;
    }
    console_keys();
    result = nova_server_start(server, serve, NULL, &options);
    if (result)
        fprintf(stderr, "no service: %s\n", nova_error_text(result));
    return !result && console_start(server->bell);
}

int main(int argc, char **argv)
{
    static struct nova_server server;
    unsigned session;

    if (!set_up(&server, argc, argv))
        return 1;
    for (;;) {
        for (enum nova_server_event event; (event = nova_server_next(&server, &session));)
            (event == NOVA_SERVER_OPENED ? service_opened : service_closed)(session);
        uint64_t until = service_question();
        if (!service_round())
            nova_server_wait(&server, until);
    }
}
