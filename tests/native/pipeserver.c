/*
 * Service for the tests of pipes, and of sockets of virtual machines. The first byte of a connection says what it does:
 *
 *   e   gives back what it gets, and ends when the client has ended
 *   s   reads all; then says how many bytes and what they add up to, two words of 64 bits
 *   g   sends 1 MiB, byte n is 7 n, and ends
 *   n   says the client's name, and closes at once
 *   w   never reads again, nor writes
 *   t   throws the client out
 *   h   sends bytes until there is no room, and ruins the indices
 *   c   crashes in the midst of doing the same as g
 *
 * With an argument it only sleeps, and the service is not there.
 *
 * SPDX-License-Identifier: MIT
 */

#include <nova/error.h>
#include <nova/log.h>
#include <nova/pipe.h>
#include <nova/program.h>
#include <nova/string.h>
#include <nova/time.h>

#define BUFFER 32768
#define GIVEN 0x100000U

static struct connection {
    struct nova_pipe pipe;
    bool open, ended;
    char mode; /* 0: not known */
    uint64_t count, sum;
} connections[NOVA_SESSIONS_MAX];

static struct nova_server server;

static void finish(struct connection *c)
{
    nova_pipe_close(&c->pipe);
    c->open = false;
}

static void end(struct connection *c)
{
    nova_pipe_end(&c->pipe);
    c->ended = true;
}

/* What has gone both ways is closed when the client closes; these return whether there may be more to do. */
static bool echo(struct connection *c)
{
    static char text[4096];
    long room = nova_pipe_room(&c->pipe);
    long n = room > 0
                 ? nova_pipe_read(&c->pipe, text, (size_t)room < sizeof(text) ? (size_t)room : sizeof(text))
                 : room;

    if (n == 0)
        end(c);
    return n > 0 && nova_pipe_write(&c->pipe, text, (size_t)n) == n;
}

static bool sink(struct connection *c)
{
    static unsigned char text[4096];
    long n = nova_pipe_read(&c->pipe, text, sizeof(text));

    for (long i = 0; i < n; i++)
        c->sum += text[i];
    c->count += n > 0 ? (uint64_t)n : 0;
    if (n == 0) {
        nova_pipe_write(&c->pipe, &c->count, 16);
        end(c);
    }
    return n > 0;
}

static bool give(struct connection *c)
{
    static unsigned char text[4096];
    size_t size = GIVEN - c->count < sizeof(text) ? GIVEN - c->count : sizeof(text);
    long n;

    for (size_t i = 0; i < size; i++)
        text[i] = (unsigned char)((c->count + i) * 7);
    n = nova_pipe_write(&c->pipe, text, size);
    c->count += n > 0 ? (uint64_t)n : 0;
    if (c->count == GIVEN)
        end(c);
    return n > 0;
}

static bool hostile(struct connection *c)
{
    while (nova_pipe_write(&c->pipe, "0123456789", 10) > 0)
        ;
    c->pipe.out->head += 0x10000;
    c->pipe.in->tail -= 0x20000;
    c->pipe.out->over = 77;
    return false;
}

static bool serve(struct connection *c, unsigned session)
{
    const char *name = nova_server_client(session)->peer;

    if (c->ended)
        return false;
    if (!c->mode && nova_pipe_read(&c->pipe, &c->mode, 1) <= 0)
        return false;
    switch (c->mode) {
    case 'e':
        return echo(c);
    case 's':
        return sink(c);
    case 'g':
        return give(c);
    case 'h':
        return hostile(c);
    case 'n':
        nova_pipe_write(&c->pipe, name, strlen(name));
        nova_pipe_end(&c->pipe);
        finish(c);
        return false;
    case 't':
        finish(c);
        return false;
    case 'c':
        if (c->count >= GIVEN / 4)
            __builtin_trap();
        return give(c);
    default:
        return false;
    }
}

static void look(void)
{
    enum nova_server_event event;
    unsigned n;

    while ((event = nova_server_next(&server, &n)) != NOVA_SERVER_NOTHING) {
        connections[n] = (struct connection){.open = false};
        if (event == NOVA_SERVER_OPENED) {
            connections[n].open = !nova_pipe_accept(&connections[n].pipe, n);
            if (!connections[n].open)
                nova_server_release(n);
        }
    }
}

int nova_main(int argc, char **argv)
{
    bool more = false;
    int error;

    (void)argv;
    if (argc > 1)
        nova_sleep_until(NOVA_NEVER);
    error = nova_server_start(&server, NULL, NULL,
                              &(struct nova_server_options){.buffer_size = NOVA_PIPE_SIZE(BUFFER)});
    if (error) {
        nova_print("pipeserver: %s\n", nova_error_text(error));
        return 1;
    }
    for (;;) {
        if (!more)
            nova_server_wait(&server, NOVA_NEVER);
        look();
        more = false;
        for (unsigned i = 0; i < NOVA_SESSIONS_MAX; i++)
            more |= connections[i].open && serve(&connections[i], i);
    }
}
