/*
 * What a session's round trip, opening a session, and a thread's life cost: lines for bench/run. With an emulator
 * that counts instructions as ticks of the time counter these are instructions.
 *
 * SPDX-License-Identifier: MIT
 */

#include <nova/log.h>
#include <nova/program.h>
#include <nova/session.h>
#include <nova/sync.h>
#include <nova/thread.h>

#define ROUNDS 64U

static void figure(const char *name, uint64_t least)
{
    if (least != UINT64_MAX)
        nova_print("# bench %lu %s\n", least, name);
}

static void nothing(void *context)
{
    (void)context;
}

/* Least of several runs, here and below: the others were interrupted. */
static uint64_t round_trip(struct nova_session *s)
{
    uint64_t least = UINT64_MAX, *word = nova_message();

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t begin = __builtin_ia32_rdtsc(), time;
        word[0] = 6;
        if (nova_session_call(s, 1) != 1 || word[0] != 7)
            return UINT64_MAX;
        time = __builtin_ia32_rdtsc() - begin;
        least = time < least ? time : least;
    }
    return least;
}

static uint64_t open_close(uint64_t *closing)
{
    uint64_t least = UINT64_MAX;
    struct nova_session s;

    *closing = UINT64_MAX;
    for (unsigned i = 0; i < 20; i++) {
        uint64_t begin = __builtin_ia32_rdtsc(), time, end;
        if (nova_session_open(&s, "peer", 0, nova_now() + NOVA_S))
            return UINT64_MAX;
        time = __builtin_ia32_rdtsc();
        nova_session_close(&s);
        end = __builtin_ia32_rdtsc();
        least = time - begin < least ? time - begin : least;
        *closing = end - time < *closing ? end - time : *closing;
    }
    return least;
}

static uint64_t thread_life(void)
{
    uint64_t least = UINT64_MAX;
    struct nova_thread *t;

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t begin = __builtin_ia32_rdtsc(), time;
        if (nova_thread_create(&t, nothing, NULL, NULL) || nova_thread_join(t, NOVA_NEVER))
            return UINT64_MAX;
        time = __builtin_ia32_rdtsc() - begin;
        least = time < least ? time : least;
    }
    return least;
}

static uint64_t mutex_life(void)
{
    static struct nova_mutex mutex;
    uint64_t least = UINT64_MAX;

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t begin = __builtin_ia32_rdtsc(), time;
        nova_mutex_lock(&mutex);
        nova_mutex_unlock(&mutex);
        time = __builtin_ia32_rdtsc() - begin;
        least = time < least ? time : least;
    }
    return least;
}

int nova_main(int argc, char **argv)
{
    struct nova_session s;
    uint64_t closing, opening;

    (void)argc;
    (void)argv;
    if (nova_session_open(&s, "peer", 0, nova_now() + 5 * NOVA_S))
        return 1;
    figure("session, round trip", round_trip(&s));
    opening = open_close(&closing);
    figure("session, open", opening);
    figure("session, close", closing);
    figure("thread, create and join", thread_life());
    figure("mutex, lock and unlock", mutex_life());
    nova_session_close(&s);
    return 0;
}
