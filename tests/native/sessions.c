/*
 * Sessions from the client's side: opening, calls on all CPUs, buffer, bells, being thrown out, a server that
 * crashes and comes back, a busy one. The server is server.c, with a policy of restart.
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
#include <nova/sync.h>
#include <nova/thread.h>

#define LIMIT 4U /* sessions that the system file permits */

static uint64_t ask(const struct nova_session *s, uint64_t op, uint64_t argument)
{
    int n;

    nova_message()[0] = op;
    nova_message()[1] = argument;
    n = nova_session_call(s, 2);
    return n > 0 ? nova_message()[0] : (uint64_t)n;
}

static void opening(void)
{
    struct nova_session s[LIMIT + 1];
    struct nova_mem_state before, after;
    int error = 0;

    nova_mem_state(&before);
    ok(nova_session_open(&s[0], "nobody", 0, nova_now() + NOVA_S) == NOVA_ERR_DENIED,
       "a name that is not permitted");
    ok(nova_session_open(&s[0], "a-name-that-is-longer-than-any-name-may-be", 0, 0) == NOVA_ERR_INVAL,
       "a long name");
    ok(nova_session_open(&s[0], "peer", 17 * NOVA_PAGE, nova_now() + 5 * NOVA_S) == NOVA_ERR_INVAL,
       "a larger buffer than the server wants");
    ok(nova_session_open(&s[0], "absent", 0, nova_now() + 10 * NOVA_MS) == NOVA_ERR_ABSENT,
       "a server that is not there");
    for (unsigned i = 0; i < LIMIT; i++)
        error |= nova_session_open(&s[i], "peer", i * NOVA_PAGE, nova_now() + 5 * NOVA_S);
    ok(!error, "%u sessions", LIMIT);
    ok(nova_session_open(&s[LIMIT], "peer", 0, nova_now() + 10 * NOVA_MS) == NOVA_ERR_LIMIT, "not one more");
    for (unsigned i = 0; i < LIMIT; i++)
        nova_session_close(&s[i]);
    error = 0;
    for (unsigned i = 0; i < 200 && !error; i++) {
        error = nova_session_open(&s[0], "peer", 4 * NOVA_PAGE, nova_now() + 5 * NOVA_S);
        if (!error && ask(&s[0], 6, 5) != 6)
            error = NOVA_ERR_PROTOCOL;
        nova_session_close(&s[0]);
    }
    ok(!error, "200 sessions one after the other: %s", nova_error_text(error));
    nova_mem_state(&after);
    ok(before.free == after.free && before.reserved == after.reserved, "they leave no memory behind");
}

/* One semaphore for two sessions. */
static void shared(void)
{
    struct nova_session s[2];
    uint64_t bell, rings = 0;
    int error = nova_sm_create(&bell, 0);

    for (unsigned i = 0; i < 2; i++)
        error |= nova_session_open_shared(&s[i], "peer", NOVA_PAGE, nova_now() + 5 * NOVA_S, bell);
    if (!ok(!error && s[0].bell == bell && s[1].bell == bell, "two sessions share a bell: %s",
            nova_error_text(error)))
        return;
    nova_sm_drain(bell, nova_now());
    for (unsigned i = 0; i < 2; i++)
        rings += ask(&s[i], 3, 0) == 0 && !nova_sm_drain(bell, nova_now() + NOVA_S);
    ok(rings == 2, "each of them rings it");
    nova_session_close(&s[0]);
    ok(ask(&s[1], 3, 0) == 0 && !nova_sm_drain(bell, nova_now() + NOVA_S),
       "it is still there when one is closed");
    ok(ask(&s[1], 4, 0) == 0 || !nova_session_alive(&s[1]), "the server ends the other one");
    ok(!nova_sm_drain(bell, nova_now() + NOVA_S) && nova_session_wait(&s[1], NOVA_NEVER) == NOVA_ERR_PEER,
       "which rings, too");
    nova_session_close(&s[1]);
    ok(!nova_sm_up(bell), "the bell is the caller's");
    nova_sm_destroy(bell);
}

static const struct nova_session *used;
static uint32_t wrong;

static void many_calls(void *context)
{
    (void)context;
    for (uint64_t i = 0; i < 2000; i++) {
        uint64_t *word = nova_message(), n = 1 + i % 8;
        for (uint64_t k = 0; k < n; k++)
            word[k] = k ? i * k : 6;
        if (nova_session_call(used, (unsigned)n) != (int)n || (n > 1 && word[n - 1] != i * (n - 1)))
            __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
    }
}

static void calls(void)
{
    struct nova_thread *t[NOVA_CPUS_MAX];
    struct nova_session s;
    unsigned threads = 0;
    uint64_t sum = 0;
    int error;

    error = nova_session_open(&s, "peer", 16 * NOVA_PAGE, nova_now() + 5 * NOVA_S);
    if (!ok(!error, "a session with a buffer: %s", nova_error_text(error)))
        return;
    ok(ask(&s, 1, 0) < NOVA_SESSIONS_MAX && !strcmp((char *)(nova_message() + 1), nova_info()->name),
       "the server knows us as %s", (char *)(nova_message() + 1));
    for (size_t i = 0; i < s.size; i++) {
        ((unsigned char *)s.buffer)[i] = (unsigned char)(i * 7);
        sum += (unsigned char)(i * 7);
    }
    ok(ask(&s, 2, s.size) == sum, "it sees the buffer");
    ok(ask(&s, 2, UINT64_MAX) == sum, "and not more");
    for (unsigned i = 0; i < 512; i++)
        nova_message()[i] = i == 0 ? 6 : i;
    ok(nova_session_call(&s, 512) == 512 && nova_message()[511] == 511, "512 words there and back");
    ok(nova_session_call(&s, 0) == NOVA_ERR_INVAL && nova_session_call(&s, 513) == NOVA_ERR_INVAL,
       "not 0, not 513");
    ok(ask(&s, 3, 0) == 0 && !nova_session_wait(&s, nova_now() + NOVA_S), "it rings");
    ok(nova_session_wait(&s, nova_now() + 5 * NOVA_MS) == NOVA_ERR_TIMEOUT, "once");
    ok(!nova_session_ring(&s), "we ring");
    used = &s;
    for (unsigned cpu = 0; cpu < NOVA_CPUS_MAX; cpu++)
        if (nova_info()->cpus & s.cpus & 1UL << cpu)
            threads += !nova_thread_create(&t[threads], many_calls, NULL,
                                           &(struct nova_thread_options){.cpu = NOVA_ON_CPU(cpu)});
    for (unsigned i = 0; i < threads; i++)
        nova_thread_join(t[i], nova_now() + 60 * NOVA_S);
    ok(threads && !wrong, "2000 calls on each of %u CPUs", threads);
    ok(ask(&s, 4, 0) == 0 || !nova_session_alive(&s), "it throws us out");
    ok(!nova_session_alive(&s) && ask(&s, 1, 0) == (uint64_t)NOVA_ERR_PEER,
       "calls say that the peer is gone");
    ok(nova_session_wait(&s, NOVA_NEVER) == NOVA_ERR_PEER && nova_session_ring(&s) == NOVA_ERR_PEER,
       "bells, too");
    ((volatile char *)s.buffer)[0] = 1;
    nova_session_close(&s);
}

static void wait_for_peer(void *context)
{
    uint64_t deadline = nova_now() + 10 * NOVA_S;

    while (!(*(int *)context = nova_session_wait(used, deadline)))
        ;
}

static void death(void)
{
    struct nova_session s, again;
    struct nova_thread *t;
    uint64_t begin;
    int error = nova_session_open(&s, "peer", NOVA_PAGE, nova_now() + 5 * NOVA_S), waited = 0;

    used = &s;
    if (!ok(!error && !nova_thread_create(&t, wait_for_peer, &waited, NULL),
            "a session, and somebody who waits"))
        return;
    nova_sleep_until(nova_now() + 5 * NOVA_MS);
    begin = nova_now();
    ok(ask(&s, 5, 0) == (uint64_t)NOVA_ERR_PEER, "the server crashes while it serves us");
    ok(nova_now() < begin + 2 * NOVA_S, "we know after %lu us", (nova_now() - begin) / 1000);
    ok(!nova_thread_join(t, nova_now() + 5 * NOVA_S) && waited == NOVA_ERR_PEER, "and so does who waits");
    error = nova_session_open(&again, "peer", 0, nova_now() + 10 * NOVA_S);
    ok(!error && ask(&again, 6, 0) == 6, "it is started again, and we reach it: %s", nova_error_text(error));
    ok(ask(&s, 6, 0) == (uint64_t)NOVA_ERR_PEER, "the old session stays dead");
    nova_session_close(&s);
    nova_session_close(&again);
}

static void keep_busy(void *context)
{
    ask(context, 7, 60);
}

static void busy(void)
{
    struct nova_session s;
    struct nova_thread *t;
    int result;

    if (!ok(!nova_session_open(&s, "peer", 0, nova_now() + 5 * NOVA_S) &&
                !nova_thread_create(&t, keep_busy, &s, NULL),
            "a server that is kept busy"))
        return;
    nova_sleep_until(nova_now() + 10 * NOVA_MS);
    nova_message()[0] = 6;
    result = nova_session_call_until(&s, 1, nova_now() + 10 * NOVA_MS);
    ok(result == NOVA_ERR_TIMEOUT, "a call with a deadline is abandoned: %d", result);
    nova_message()[0] = 6;
    ok(nova_session_call_until(&s, 1, nova_now() + 5 * NOVA_S) == 1, "and works later");
    nova_thread_join(t, NOVA_NEVER);
    nova_session_close(&s);
}

int nova_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    opening();
    shared();
    calls();
    death();
    busy();
    return tap_done();
}
