/*
 * Sessions while everything dies. With the argument "server": a server with a handler on each of its CPUs,
 * and a thread that crashes after a short while, life after life. Otherwise a client that opens sessions,
 * calls, and closes, until the server is gone for good; with the argument "mortal" it crashes now and then,
 * too. Every call must be answered rightly or fail as nova/parent.h says, in bounded time.
 *
 * SPDX-License-Identifier: MIT
 */

#include "domain.h"

#define LIVES 10

extern void serve_entry(void);

static volatile int *volatile nowhere;

static unsigned current_cpu(void)
{
    uint32_t a = 1, b, c = 0, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return b >> 24;
}

uint32_t serve(uint64_t pid, uint32_t mtd)
{
    union nova_utcb *u = utcb_of(1 + current_cpu());

    (void)pid;
    (void)mtd;
    u->word[0] ^= 0x55;
    return NOVA_MTD_WORDS(1);
}

/* Crashes on its CPU after a while that differs from life to life. */
static void crash_later(void *arg)
{
    uint64_t end = time_stamp() + own->tsc_frequency / 1000 * (5 + (uint64_t)arg * 7 % 23);

    while (time_stamp() < end)
        __builtin_ia32_pause();
    *nowhere = 1;
}

static int server(void)
{
    uint64_t handler[4], sel, bell = sm_new(0);
    unsigned n = 0;
    long error;

    if (own->restarts == LIVES)
        return 0;
    for (unsigned cpu = 0; cpu < 4; cpu++)
        if (own->cpus & 1UL << cpu)
            handler_new(1 + cpu, cpu, &handler[n++]);
    error = parent_call(7 + n, (uint64_t)NOVA_PARENT_SERVE, 0UL, (uint64_t)serve_entry, bell, OFFER_WINDOW,
                        4UL, own->cpus, handler[0], handler[1], handler[2], handler[3]);
    if (error)
        say("not ok - the server cannot offer its service: %ld", error);
    thread_new(10, own->restarts % 2 ? own->cpu : own->cpu + 1, crash_later, (void *)(uint64_t)own->restarts,
               &sel);
    for (;;) {
        for (unsigned i = 0; i < NOVA_SESSIONS_MAX; i++)
            if (server_table[i].phase == NOVA_SESSION_GONE)
                parent_call(2, (uint64_t)NOVA_PARENT_CLOSE, NOVA_SESSIONS_MAX + (uint64_t)i);
        sm_down_ms(bell, 5);
    }
}

/* Calls until something is wrong, at most `calls` times. False if the answer is none that can be. */
static bool talk(const struct session *s, unsigned calls, unsigned *answered)
{
    for (unsigned i = 0; i < calls; i++) {
        uint64_t word = i;
        unsigned status = session_call(s, &word);

        if (status == NOVA_SUCCESS && word == (i ^ 0x55)) {
            ++*answered;
            continue;
        }
        return (status == NOVA_ABORTED || status == NOVA_BAD_CAP) &&
               (client_table[s->number].phase == NOVA_SESSION_GONE ||
                sm_down_ms(s->bell, 2000) == NOVA_SUCCESS);
    }
    return true;
}

static int client(bool mortal)
{
    struct session s = {.bell = selectors(1), .buffer = pages(4), .size = 4};
    unsigned opened = 0, answered = 0, crash_at = mortal && own->restarts < 8 ? 1 + own->restarts * 3 : 0;
    bool right = true;
    long error = 0;

    nova_hc_create_sm(s.bell, NOVA_SEL_PD, 0);
    while (right && error != NOVA_ERR_ABSENT) {
        error = session_open(&s, "chaos");
        if (error == NOVA_ERR_LIMIT) { /* the server has not released places yet */
            sleep_ms(1);
            continue;
        }
        right &= !error || error == NOVA_ERR_ABSENT;
        if (error)
            continue;
        opened++;
        if (opened == crash_at)
            *nowhere = 1;
        ((volatile uint64_t *)s.buffer)[0] = opened;
        right &= talk(&s, 1 + opened % 40, &answered);
        right &= parent_call(2, (uint64_t)NOVA_PARENT_CLOSE, s.number) == 0;
    }
    ok(right, "%u sessions and %u calls end as they should (%ld)", opened, answered, error);
    ok(mortal || (opened && answered), "some are answered");
    return done();
}

int test_main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "server"))
        return server();
    return client(argc > 1);
}
