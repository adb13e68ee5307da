/*
 * What streams.nova measures against: a service of pipes, as far as the guest needs it, and a log that swallows zeros and shows the
 * rest on the serial port. The first byte of a pipe says what it is: `s', it is read until its end, and then ended; `g', 1 MiB goes
 * into it.
 *
 * SPDX-License-Identifier: MIT
 */

#include <nova/error.h>
#include <nova/log.h>
#include <nova/pipe.h>
#include <nova/program.h>
#include <nova/sync.h>

#define PORT 0x3f8
#define GIVEN 0x100000U

static struct nova_server log, pipes;
static struct connection {
    struct nova_pipe pipe;
    char mode;
    uint32_t given;
} connections[NOVA_SESSIONS_MAX];

static unsigned serve_log(void *context, unsigned session, uint64_t *word, unsigned words)
{
    const char *text = (const char *)(word + 2);
    uint64_t size = words > 1 && word[0] == NOVA_LOG_WRITE ? word[1] : 0;

    (void)context;
    (void)session;
    for (uint64_t i = 0; i < size && i / 8 + 2 < words; i++)
        if (text[i])
            __asm__ volatile("outb %0, %1" : : "a"(text[i]), "Nd"((uint16_t)PORT));
    word[0] = 0;
    word[1] = size;
    return 2;
}

/* Whether there may be more to do. */
static bool serve(struct connection *c)
{
    static char bytes[8192];
    long n;

    if (!c->pipe.in || (!c->mode && nova_pipe_read(&c->pipe, &c->mode, 1) <= 0) || c->pipe.ended)
        return false;
    if (c->mode == 's')
        n = nova_pipe_read(&c->pipe, bytes, sizeof(bytes));
    else if ((n = nova_pipe_write(&c->pipe, bytes,
                                  GIVEN - c->given < sizeof(bytes) ? GIVEN - c->given : sizeof(bytes))) > 0)
        c->given += (uint32_t)n;
    if (n == 0 || c->given == GIVEN)
        nova_pipe_end(&c->pipe);
    return n > 0;
}

static void look(struct nova_server *server)
{
    enum nova_server_event event;
    unsigned n;

    while ((event = nova_server_next(server, &n)) != NOVA_SERVER_NOTHING) {
        connections[n] = (struct connection){.mode = 0};
        if (event == NOVA_SERVER_OPENED && server == &pipes)
            nova_pipe_accept(&connections[n].pipe, n);
    }
}

int nova_main(int argc, char **argv)
{
    bool more = false;

    (void)argc;
    (void)argv;
    if (nova_sm_create(&log.bell, 0))
        return 1;
    pipes.bell = log.bell;
    if (nova_server_start(&log, serve_log, NULL, &(struct nova_server_options){.bell_shared = 1}) ||
        nova_server_start(&pipes, NULL, NULL,
                          &(struct nova_server_options){.service = 1,
                                                        .bell_shared = 1,
                                                        .buffer_size = NOVA_PIPE_SIZE(NOVA_PIPE_SOCKET)}))
        return 1;
    for (;;) {
        if (!more)
            nova_server_wait(&pipes, NOVA_NEVER);
        look(&log);
        look(&pipes);
        more = false;
        for (unsigned i = 0; i < NOVA_SESSIONS_MAX; i++)
            more |= serve(&connections[i]);
    }
}
