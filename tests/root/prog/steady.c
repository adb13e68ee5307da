/*
 * A domain that must not notice that its neighbours are hostile: it serves them, and works with a server of
 * its own. It ends when it has had no sessions for a while.
 *
 * SPDX-License-Identifier: MIT
 */

#include "commands.h"
#include "domain.h"

static uint64_t bell, own_bell, handler;
static void *buffer;

uint32_t serve(uint64_t pid, uint32_t mtd)
{
    (void)pid;
    (void)mtd;
    utcb_of(1)->word[0]++;
    return NOVA_MTD_WORDS(1);
}

/* A session with the other server, from opening to closing. */
static bool work(void)
{
    struct session s = {.bell = own_bell, .buffer = buffer, .size = 1};
    uint64_t word = SERVER_ECHO | 41 << 8;
    bool right;

    right = session_open(&s, "peer") == 0 && session_call(&s, &word) == NOVA_SUCCESS && word == 42;
    word = SERVER_RELEASE;
    right &= session_call(&s, &word) == NOVA_SUCCESS;
    return parent_call(2, (uint64_t)NOVA_PARENT_CLOSE, s.number) == 0 && right;
}

static long serve_with(uint64_t service, uint64_t sm, uint64_t window, uint64_t size, uint64_t cpus,
                       uint64_t ec)
{
    return parent_call(8, (uint64_t)NOVA_PARENT_SERVE, service, NOVA_IMAGE_ADDR, sm, window, size, cpus, ec);
}

/* Offers that make no sense. */
static void test_serve(void)
{
    uint64_t sm = sm_new(0), window = OFFER_WINDOW;

    ok(handler_new(2, own->cpu, &handler) == 0, "a handler");
    ok(serve_with(1, sm, window, 4, 1, handler) == NOVA_ERR_INVAL &&
           serve_with(1UL << 32, sm, window, 4, 1, handler) == NOVA_ERR_INVAL,
       "a service that is not the domain's");
    ok(serve_with(0, handler, window, 4, 1, handler) == NOVA_ERR_INVAL &&
           serve_with(0, sm + 20, window, 4, 1, handler) == NOVA_ERR_INVAL &&
           serve_with(0, NOVA_SEL_FIRST_EC, window, 4, 1, handler) == NOVA_ERR_INVAL,
       "a doorbell that is no semaphore");
    ok(serve_with(0, sm, window, 4, 1, sm) == NOVA_ERR_INVAL &&
           serve_with(0, sm, window, 4, 1, NOVA_SEL_FIRST_EC) == NOVA_ERR_INVAL,
       "a handler that is no local thread");
    ok(serve_with(0, sm, window, 4, 2, handler) == NOVA_ERR_INVAL &&
           serve_with(0, sm, window, 4, 1UL << 63, handler) == NOVA_ERR_INVAL,
       "a CPU that was not granted");
    ok(serve_with(0, sm, window + 8, 4, 1, handler) == NOVA_ERR_INVAL &&
           serve_with(0, sm, own->pool_start, 4, 1, handler) == NOVA_ERR_INVAL &&
           serve_with(0, sm, NOVA_WINDOW_END - 64 * 4 * PAGE_SIZE + PAGE_SIZE, 4, 1, handler) ==
               NOVA_ERR_INVAL &&
           serve_with(0, sm, UINT64_MAX - 4095, 4, 1, handler) == NOVA_ERR_INVAL &&
           serve_with(0, sm, window, 4097, 1, handler) == NOVA_ERR_INVAL,
       "a window that is not in the free part");
}

int test_main(int argc, char **argv)
{
    uint64_t quiet = 0, worst = 0, rounds = 0;
    bool right = true;

    (void)argv;
    own_bell = sm_new(0);
    buffer = pages(1);
    test_serve();
    ok(offer(4, &bell) == 0, "the service is offered");
    ok(serve_with(0, bell, OFFER_WINDOW, 4, 1, handler) == NOVA_ERR_BUSY, "only once");
    for (; quiet < 100; rounds++) {
        uint64_t begin = time_stamp(), took;

        right &= work();
        took = time_stamp() - begin;
        if (rounds) /* the first time, the server may not be there yet */
            worst = took > worst ? took : worst;
        for (unsigned i = 0; i < NOVA_SESSIONS_MAX; i++)
            if (server_table[i].phase == NOVA_SESSION_GONE)
                parent_call(2, (uint64_t)NOVA_PARENT_CLOSE, NOVA_SESSIONS_MAX + (uint64_t)i);
        parent_call(1, (uint64_t)NOVA_PARENT_STATE);
        right &= utcb_of(0)->word[1] == 3;
        quiet = utcb_of(0)->word[3] || (argc == 1 && rounds < 100) ? 0 : quiet + 1;
        sleep_ms(10);
    }
    say("# worst time for a session: %lu us", worst / (own->tsc_frequency / 1000000));
    ok(right, "%lu rounds of work beside a hostile domain", rounds);
    return done();
}
