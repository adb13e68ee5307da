/*
 * A server for client.c: its calls are commands. It never trusts its table more than nova/start.h permits.
 *
 *   word = command | argument << 8; the reply is one word
 *
 * SPDX-License-Identifier: MIT
 */

#include "commands.h"
#include "domain.h"

static uint64_t bell;
static volatile int *volatile nowhere = (volatile int *)8;

static volatile uint64_t *buffer_of(unsigned place)
{
    return (volatile uint64_t *)server_table[place].buffer;
}

/* Places of the table with this phase. */
static uint64_t count(uint32_t phase)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < NOVA_SESSIONS_MAX; i++)
        n += server_table[i].phase == phase;
    return n;
}

/* Writes and reads each page of the buffers of clients that are gone, then releases them. */
static uint64_t release_gone(volatile uint64_t *word)
{
    uint64_t released = 0;

    for (unsigned i = 0; i < NOVA_SESSIONS_MAX; i++) {
        volatile uint64_t *p = buffer_of(i);

        if (server_table[i].phase != NOVA_SESSION_GONE)
            continue;
        for (unsigned page = 0; page < server_table[i].pages; page++) {
            p[page * 512UL] += page;
            if (p[page * 512UL + 1] == SECRET)
                return 0;
        }
        word[0] = NOVA_PARENT_CLOSE;
        word[1] = NOVA_SESSIONS_MAX + i;
        {
            uint32_t mtd = NOVA_MTD_WORDS(2);

            nova_hc_ipc_call(NOVA_SEL_PARENT + own->cpu, &mtd, 0);
        }
        released += !word[0];
    }
    return released;
}

uint32_t serve(uint64_t pid, uint32_t mtd)
{
    union nova_utcb *u = utcb_of(1);
    unsigned place = pid & 0xff;
    uint64_t argument = u->word[0] >> 8, answer = 0;

    (void)mtd;
    switch (u->word[0] & 0xff) {
    case SERVER_ECHO:
        answer = argument + 1;
        break;
    case SERVER_PLACE:
        answer = pid;
        break;
    case SERVER_NAME:
        answer = *(const volatile uint64_t *)server_table[place].peer;
        break;
    case SERVER_GENERATION:
        answer = server_table[place].generation;
        break;
    case SERVER_READ:
        answer = buffer_of(place)[argument];
        break;
    case SERVER_WRITE:
        buffer_of(place)[argument] = argument * 3;
        break;
    case SERVER_RING:
        answer = sm_up(NOVA_SEL_BELL + NOVA_SESSIONS_MAX + place);
        break;
    case SERVER_WAIT:
        answer = sm_down_ms(bell, argument);
        break;
    case SERVER_GONE:
        answer = count(NOVA_SESSION_GONE);
        break;
    case SERVER_OPEN:
        answer = count(NOVA_SESSION_OPEN);
        break;
    case SERVER_RELEASE:
        answer = release_gone(u->word);
        break;
    case SERVER_THROW_OUT:
        u->word[0] = NOVA_PARENT_CLOSE;
        u->word[1] = NOVA_SESSIONS_MAX + place;
        mtd = NOVA_MTD_WORDS(2);
        nova_hc_ipc_call(NOVA_SEL_PARENT + own->cpu, &mtd, 0);
        answer = u->word[0];
        break;
    case SERVER_RESTARTS:
        answer = own->restarts;
        break;
    case SERVER_CRASH:
        *nowhere = 1;
        break;
    case SERVER_EXIT:
        u->word[0] = NOVA_PARENT_EXIT;
        u->word[1] = 7;
        mtd = NOVA_MTD_WORDS(2);
        nova_hc_ipc_call(NOVA_SEL_PARENT + own->cpu, &mtd, 0);
        break;
    case SERVER_HANG:
        for (;;)
            __builtin_ia32_pause();
    default:
        break;
    }
    u->word[0] = answer;
    return NOVA_MTD_WORDS(1);
}

int test_main(int argc, char **argv)
{
    long error = offer(16, &bell);

    (void)argc;
    (void)argv;
    if (error)
        say("not ok - the server cannot offer its service: %ld", error);
    for (;;)
        sleep_ms(100000);
}
