/*
 * Sessions, from the client's side. Arguments name the part: "all" of the ordinary life of sessions with
 * server.c, "death" of the server, "brief" opens a session, leaves a secret in the buffer, and exits.
 *
 * SPDX-License-Identifier: MIT
 */

#include "commands.h"
#include "domain.h"

static uint64_t ask(const struct session *s, uint64_t command, uint64_t argument)
{
    uint64_t word = command | argument << 8;

    return session_call(s, &word) == NOVA_SUCCESS ? word : UINT64_MAX;
}

static long close_session(const struct session *s)
{
    return parent_call(2, (uint64_t)NOVA_PARENT_CLOSE, s->number);
}

/* Waits until a question to the server has this answer. */
static bool until(const struct session *s, uint64_t command, uint64_t answer)
{
    for (unsigned i = 0; i < 300; i++) {
        if (ask(s, command, 0) == answer)
            return true;
        sleep_ms(10);
    }
    return false;
}

static void drain(uint64_t sm)
{
    while (sm_down_ms(sm, 1) == NOVA_SUCCESS)
        ;
}

static void test_limits(void)
{
    struct session many[8];
    long error = 0;
    unsigned n = 0;

    ok(session_new(&many[0], "nowhere", 0) == NOVA_ERR_DENIED, "an unknown name is denied");
    ok(session_new(&many[0], "echo", 0) == NOVA_ERR_DENIED,
       "the service's own name is denied if the client has another one");
    ok(session_new(&many[0], "peer", 17) == NOVA_ERR_INVAL, "a buffer that is too large is refused");
    for (; n < 8 && !error; n++)
        error = session_new(&many[n], "peer", 1);
    ok(error == NOVA_ERR_LIMIT && n == 5, "no more sessions than permitted");
    for (unsigned i = 0; i + 1 < n; i++)
        error = close_session(&many[i]);
    ok(close_session(&many[0]) == NOVA_ERR_INVAL &&
           close_session(&(struct session){.number = NOVA_SESSIONS_MAX}) == NOVA_ERR_INVAL &&
           close_session(&(struct session){.number = 2 * NOVA_SESSIONS_MAX}) == NOVA_ERR_INVAL &&
           close_session(&(struct session){.number = 1UL << 32}) == NOVA_ERR_INVAL,
       "sessions close once");
}

/* Opens "peer" with these; the result of the request. */
static long open_with(uint64_t bell, uint64_t buffer, uint64_t size)
{
    return parent_call(8, (uint64_t)NOVA_PARENT_OPEN, 0x72656570UL, 0UL, 0UL, 0UL, bell, buffer, size);
}

static void test_arguments(void)
{
    uint64_t bell = sm_new(0), space = selectors(1), pool = own->pool_start, size = own->pool_size;

    ok(open_with(space, 0, 0) == NOVA_ERR_INVAL && open_with(own->sel_end, 0, 0) == NOVA_ERR_INVAL &&
           open_with(NOVA_SEL_FIRST_EC, 0, 0) == NOVA_ERR_INVAL &&
           open_with(NOVA_SEL_BELL, 0, 0) == NOVA_ERR_INVAL && open_with(UINT64_MAX, 0, 0) == NOVA_ERR_INVAL,
       "what is no semaphore of the client's own is no doorbell");
    ok(open_with(bell, pool + 1, 1) == NOVA_ERR_INVAL &&
           open_with(bell, pool - PAGE_SIZE, 1) == NOVA_ERR_INVAL &&
           open_with(bell, pool + size, 1) == NOVA_ERR_INVAL &&
           open_with(bell, pool + size - PAGE_SIZE, 2) == NOVA_ERR_INVAL &&
           open_with(bell, pool, UINT64_MAX) == NOVA_ERR_INVAL &&
           open_with(bell, NOVA_IMAGE_ADDR, 1) == NOVA_ERR_INVAL,
       "buffers are in the pool");
    ok(parent_call(1, (uint64_t)NOVA_PARENT_STATE) == 0 && utcb_of(0)->word[2] == 0,
       "no session has come of it");
}

static void test_life(void)
{
    struct session s, other;
    volatile uint64_t *p;
    uint64_t word = SERVER_ECHO, pid, wait;

    ok(session_new(&s, "peer", 16) == 0, "a session opens");
    p = s.buffer;
    ok(client_table[s.number].phase == NOVA_SESSION_OPEN &&
           !strcmp((const char *)client_table[s.number].peer, "server") &&
           client_table[s.number].buffer == (uint64_t)s.buffer && client_table[s.number].pages == 16,
       "the client's table shows it");
    ok(ask(&s, SERVER_ECHO, 41) == 42, "a call is answered");
    pid = ask(&s, SERVER_PLACE, 0);
    ok(pid != UINT64_MAX && pid >> 8 == ask(&s, SERVER_GENERATION, 0),
       "the portal's identifier names place and generation");
    ok(ask(&s, SERVER_NAME, 0) == 0x746e65696c63UL, "the server sees the client's name");
    p[5] = 77;
    p[16 * 512 - 1] = 78;
    ok(ask(&s, SERVER_READ, 5) == 77 && ask(&s, SERVER_READ, 16 * 512 - 1) == 78,
       "the server sees the client's buffer");
    ask(&s, SERVER_WRITE, 1000);
    ok(p[1000] == 3000, "the client sees what the server wrote");
    drain(s.bell);
    ok(ask(&s, SERVER_RING, 0) == NOVA_SUCCESS && sm_down_ms(s.bell, 1000) == NOVA_SUCCESS,
       "the server rings");
    while ((wait = ask(&s, SERVER_WAIT, 1)) == NOVA_SUCCESS)
        ;
    ok(wait == NOVA_TIMEOUT && sm_up(SERVER_BELL(&s)) == NOVA_SUCCESS &&
           ask(&s, SERVER_WAIT, 1000) == NOVA_SUCCESS,
       "the client rings");
    ok(session_new(&other, "peer", 4) == 0 && (ask(&other, SERVER_PLACE, 0) & 0xff) != (pid & 0xff),
       "a second session has another place");

    ok(parent_call(4, (uint64_t)NOVA_PARENT_COPY, PORTAL(&other), selectors(1), 1UL) == NOVA_ERR_INVAL &&
           parent_call(4, (uint64_t)NOVA_PARENT_COPY, SERVER_BELL(&other), selectors(1), 1UL) ==
               NOVA_ERR_INVAL &&
           ask(&other, SERVER_ECHO, 1) == 2,
       "its portal and doorbell cannot be copied");
    for (unsigned i = 0; i < 4; i++)
        ((volatile uint64_t *)other.buffer)[i * 512 + 1] = SECRET;
    ok(close_session(&other) == 0 && client_table[other.number].phase == NOVA_SESSION_FREE, "it closes");
    ok(session_call(&other, &word) == NOVA_BAD_CAP && sm_up(SERVER_BELL(&other)) == NOVA_BAD_CAP,
       "its portal and doorbell are gone");
    ok(until(&s, SERVER_GONE, 1) && ask(&s, SERVER_WAIT, 1000) == NOVA_SUCCESS, "the server is told");
    ok(ask(&s, SERVER_RELEASE, 0) == 1, "the server still has a buffer there, but not the client's");
    ok(ask(&s, SERVER_GONE, 0) == 0, "the server has released it");
    ok(((volatile uint64_t *)other.buffer)[513] == SECRET && ((volatile uint64_t *)other.buffer)[512] == 0,
       "what it wrote then did not reach the client");

    ok(session_new(&other, "peer", 0) == 0 && client_table[other.number].buffer == 0,
       "a session without a buffer");
    pid = ask(&other, SERVER_PLACE, 0);
    drain(other.bell);
    ask(&other, SERVER_THROW_OUT, 0);
    ok(client_table[other.number].phase == NOVA_SESSION_GONE && sm_down_ms(other.bell, 1000) == NOVA_SUCCESS,
       "a client that is thrown out is told");
    ok(session_call(&other, &word) == NOVA_BAD_CAP, "its portal is gone");
    ok(close_session(&other) == 0 && ask(&s, SERVER_OPEN, 0) == 1,
       "it closes, and the other session goes on");
    ok(close_session(&s) == 0, "the first one closes");
    test_limits();
}

/* Another domain opens a session and ends: when it does, the server is told. */
static void test_brief(void)
{
    struct session s;

    ok(session_new(&s, "peer", 0) == 0, "a session to observe");
    ask(&s, SERVER_RELEASE, 0);
    ok(until(&s, SERVER_GONE, 1), "a client that exits leaves a session without a client");
    ok(ask(&s, SERVER_RELEASE, 0) == 1, "the server's buffer does not show the client's memory");
    close_session(&s);
}

static void test_death(bool crash)
{
    struct session s, t;
    uint64_t word = crash ? SERVER_CRASH : SERVER_EXIT, restarts;
    unsigned status;

    ok(session_new(&s, "peer", 4) == 0 && session_new(&t, "peer", 0) == 0, "two sessions");
    restarts = ask(&s, SERVER_RESTARTS, 0);
    drain(s.bell);
    drain(t.bell);
    status = session_call(&s, &word);
    ok(status == NOVA_ABORTED, "the server dies: the call is aborted (%u)", status);
    ok(sm_down_ms(t.bell, 1000) == NOVA_SUCCESS && client_table[t.number].phase == NOVA_SESSION_GONE &&
           client_table[s.number].phase == NOVA_SESSION_GONE,
       "its clients are told");
    ok(session_call(&t, &word) == NOVA_BAD_CAP, "portals are gone");
    ok(close_session(&s) == 0 && close_session(&t) == 0, "the sessions close");
    if (crash) {
        ok(session_new(&s, "peer", 4) == 0, "a new session, once the server has started again");
        ok(ask(&s, SERVER_RESTARTS, 0) == restarts + 1, "it knows how often");
        close_session(&s);
    } else {
        ok(session_new(&s, "peer", 4) == NOVA_ERR_ABSENT, "the service is absent for good");
    }
}

int test_main(int argc, char **argv)
{
    struct session s;

    if (argc > 1 && !strcmp(argv[1], "brief")) {
        sleep_ms(1500);
        session_new(&s, "echo", 4);
        for (unsigned i = 0; i < 4; i++)
            ((volatile uint64_t *)s.buffer)[i * 512 + 1] = SECRET;
        return 0;
    }
    sleep_ms(50);
    test_arguments();
    test_life();
    test_brief();
    test_death(true);
    test_death(true);
    test_death(false);
    ok(parent_call(1, (uint64_t)NOVA_PARENT_STATE) == 0 && utcb_of(0)->word[2] == 0, "no session is left");
    return done();
}
