/*
 * Pipes between two domains: echo, both ends, what a server says before it goes, limits, a hostile server, one that crashes and
 * comes back. The service is that of pipeserver.c, with a policy of restart.
 *
 * SPDX-License-Identifier: MIT
 */

#include "tap.h"

#include <nova/error.h>
#include <nova/mem.h>
#include <nova/pipe.h>
#include <nova/program.h>
#include <nova/string.h>

#define BUFFER 8192
#define MANY 8U
#define MIB 0x100000L

static bool open(struct nova_pipe *pipe, char mode)
{
    int error = nova_pipe_open(pipe, "peer", NOVA_PIPE_SIZE(BUFFER), nova_now() + 10 * NOVA_S);

    return !error && nova_pipe_write(pipe, &mode, 1) == 1;
}

/* As nova_pipe_read(), but waits for something. */
static long get(struct nova_pipe *pipe, void *bytes, size_t size)
{
    uint64_t end = nova_now() + 20 * NOVA_S;
    long n;

    while ((n = nova_pipe_read(pipe, bytes, size)) == NOVA_ERR_BUSY &&
           nova_session_wait(&pipe->session, end) != NOVA_ERR_TIMEOUT)
        ;
    return n;
}

/* Sends 1 MiB and counts what comes back, as long as it is right. */
static void echo(void)
{
    static unsigned char text[3000];
    struct nova_pipe pipe;
    long sent = 0, got = 0, n = 0;
    unsigned rounds = 0;

    if (!ok(open(&pipe, 'e'), "a pipe"))
        return;
    while (n != NOVA_ERR_PEER && got < MIB && rounds++ < 1000000) {
        long size = MIB - sent < (long)sizeof(text) ? MIB - sent : (long)sizeof(text);

        for (long i = 0; i < size; i++)
            text[i] = (unsigned char)((sent + i) * 5);
        n = size ? nova_pipe_write(&pipe, text, (size_t)size) : NOVA_ERR_BUSY;
        sent += n > 0 ? n : 0;
        if (n > 0 && sent == MIB)
            nova_pipe_end(&pipe);
        n = n > 0 ? nova_pipe_read(&pipe, text, sizeof(text)) : get(&pipe, text, sizeof(text));
        for (long i = 0; i < n; i++)
            got += text[i] == (unsigned char)(got * 5);
        if (n == 0 || n == NOVA_ERR_TIMEOUT || n == NOVA_ERR_PROTOCOL)
            break;
    }
    ok(sent == MIB && got == MIB, "1 MiB there and back: %ld, %ld", sent, got);
    ok(get(&pipe, text, 1) == 0, "it ends when we have ended");
    nova_pipe_close(&pipe);
}

static void words(void)
{
    struct nova_pipe pipe;
    char text[100] = {0};
    long n;

    ok(nova_pipe_open(&pipe, "peer", NOVA_PAGE, nova_now() + NOVA_S) == NOVA_ERR_INVAL &&
           nova_pipe_open(&pipe, "peer", 17 * NOVA_PAGE * 8, nova_now() + NOVA_S) == NOVA_ERR_INVAL,
       "not with a page, nor with more than the server wants");
    ok(open(&pipe, 'n') && (n = get(&pipe, text, sizeof(text))) > 0 && !strcmp(text, nova_info()->name),
       "the server knows us as %s", text);
    ok(get(&pipe, text, sizeof(text)) == 0, "what it has said before it closed is read, and then the end");
    ok(nova_pipe_write(&pipe, "x", 1) == NOVA_ERR_PEER, "it is gone");
    nova_pipe_close(&pipe);
    ok(open(&pipe, 't') && get(&pipe, text, sizeof(text)) == NOVA_ERR_PEER, "it throws us out");
    nova_pipe_close(&pipe);
    ok(open(&pipe, 'h') && !nova_pipe_end(&pipe), "a hostile server");
    do
        n = get(&pipe, text, sizeof(text));
    while (n > 0);
    ok(n == NOVA_ERR_PROTOCOL && nova_pipe_room(&pipe) == NOVA_ERR_INVAL, "what it writes ends the pipe: %ld",
       n);
    nova_pipe_close(&pipe);
}

static void many(void)
{
    struct nova_mem_state before, after;
    struct nova_pipe pipe[MANY];
    bool good = true;
    char c;

    nova_mem_state(&before);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < MANY; i++)
            good &= open(&pipe[i], 'e');
        for (unsigned i = 0; i < MANY; i++)
            good &= nova_pipe_write(&pipe[i], &(char){(char)('a' + i)}, 1) == 1;
        for (unsigned i = MANY; i-- > 0;)
            good &= get(&pipe[i], &c, 1) == 1 && c == (char)('a' + i);
        for (unsigned i = 0; i < MANY; i++)
            nova_pipe_close(&pipe[i]);
    }
    nova_mem_state(&after);
    ok(good && before.free == after.free, "20 times %u pipes at once; they leave no memory behind", MANY);
}

static void death(void)
{
    struct nova_pipe pipe;
    char c = 0, text[1000];
    long n = NOVA_ERR_ABSENT, got = 0;

    if (open(&pipe, 'c'))
        while ((n = get(&pipe, text, sizeof(text))) > 0)
            got += n;
    ok(n == NOVA_ERR_PEER && got >= MIB / 4,
       "the server crashes in the midst of 1 MiB, of which %ld bytes have come", got);
    nova_pipe_close(&pipe);
    ok(open(&pipe, 'e') && nova_pipe_write(&pipe, "z", 1) == 1 && get(&pipe, &c, 1) == 1 && c == 'z',
       "and is back");
    nova_pipe_close(&pipe);
}

int nova_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    echo();
    words();
    many();
    death();
    return tap_done();
}
