/*
 * Sessions, on the client's side, and what is the same on both: the two tables lie one behind the other.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

#include <nova/mem.h>
#include <nova/session.h>
#include <nova/string.h>

#define LONGEST_PAUSE (16 * NOVA_MS)

_Static_assert(NOVA_SERVER_TABLE - NOVA_CLIENT_TABLE == NOVA_SESSIONS_MAX * sizeof(struct nova_session_state),
               "numbers of both sides are places in one table");

static const struct nova_session_state *state_of(const struct nova_session *session)
{
    return &((const struct nova_session_state *)NOVA_CLIENT_TABLE)[session->number];
}

bool nova_session_alive(const struct nova_session *session)
{
    const struct nova_session_state *state = state_of(session);

    return __atomic_load_n(&state->phase, __ATOMIC_ACQUIRE) == NOVA_SESSION_OPEN &&
           state->generation == session->generation;
}

/* Bell and buffer. What is there when it fails is freed by give_back(). */
static int prepare(struct nova_session *s, size_t size, uint64_t bell)
{
    int error = NOVA_OK;

    *s = (struct nova_session){.size = size, .bell = bell, .bell_shared = bell};
    if (!bell)
        error = nova_sm_create(&s->bell, 0);
    if (!error && size)
        error = nova_mem_alloc(size, &s->buffer);
    return error;
}

static void give_back(struct nova_session *s)
{
    if (!s->bell_shared)
        nova_sm_destroy(s->bell);
    if (s->buffer)
        nova_mem_free(s->buffer, s->size);
    *s = (struct nova_session){.generation = 0};
}

/* Sleeps, longer each time; false: the deadline has passed. */
static bool pause(uint64_t *time, uint64_t deadline)
{
    uint64_t now = nova_now();

    if (now >= deadline)
        return false;
    nova_sleep_until(deadline - now < *time ? deadline : now + *time);
    *time = *time < LONGEST_PAUSE ? 2 * *time : *time;
    return true;
}

/*
 * Asks root, again and again as long as the server is not there, or has not cleaned up after former sessions.
 */
static int request(struct nova_session *s, const char *name, uint64_t deadline)
{
    uint64_t word[8], time = NOVA_MS / 2;
    int error;

    do {
        memset(word, 0, sizeof(word));
        word[0] = NOVA_PARENT_OPEN;
        memcpy(word + 1, name, strlen(name));
        word[5] = s->bell;
        word[6] = (uint64_t)s->buffer;
        word[7] = s->size / NOVA_PAGE;
        error = nova_parent_call(word, 8, 2);
    } while ((error == NOVA_ERR_ABSENT || error == NOVA_ERR_LIMIT) && pause(&time, deadline));
    if (!error) {
        s->number = word[1] % NOVA_SESSIONS_MAX;
        s->portal = nova_info()->sel_session + s->number * nova_info()->portals;
        s->cpus = state_of(s)->cpus;
        s->generation = state_of(s)->generation;
    }
    return error;
}

int nova_session_open_shared(struct nova_session *session, const char *name, size_t size, uint64_t deadline,
                             uint64_t bell)
{
    int error;

    if (strnlen(name, NOVA_NAME_MAX) == NOVA_NAME_MAX || size % NOVA_PAGE)
        return NOVA_ERR_INVAL;
    error = prepare(session, size, bell);
    if (!error)
        error = request(session, name, deadline);
    if (error)
        give_back(session);
    return error;
}

int nova_session_open(struct nova_session *session, const char *name, size_t size, uint64_t deadline)
{
    return nova_session_open_shared(session, name, size, deadline, 0);
}

static inline int call(const struct nova_session *session, unsigned words, unsigned flags)
{
    unsigned cpu = nova_thread_cpu();
    int result = call_portal(session->portal + cpu, words, flags);

    return result == NOVA_ERR_PEER && !(session->cpus >> cpu & 1) ? NOVA_ERR_ABSENT : result;
}

int nova_session_call(const struct nova_session *session, unsigned words)
{
    return call(session, words, 0);
}

int nova_session_call_until(const struct nova_session *session, unsigned words, uint64_t deadline)
{
    uint64_t time = 10 * NOVA_US;
    int result;

    do
        result = call(session, words, NOVA_CALL_TIMEOUT);
    while (result == NOVA_ERR_TIMEOUT && pause(&time, deadline));
    return result;
}

int nova_session_ring(const struct nova_session *session)
{
    return nova_session_alive(session) && !nova_sm_up(NOVA_SEL_BELL + session->number) ? NOVA_OK
                                                                                       : NOVA_ERR_PEER;
}

int nova_session_wait(const struct nova_session *session, uint64_t deadline)
{
    int error = NOVA_ERR_PEER;

    if (nova_session_alive(session))
        error = nova_sm_drain(session->bell, deadline);
    return nova_session_alive(session) ? error : NOVA_ERR_PEER;
}

void nova_session_close(struct nova_session *session)
{
    if (!session->portal && session->number < NOVA_SESSIONS_MAX)
        return;
    nova_parent(NOVA_PARENT_CLOSE, session->number);
    give_back(session);
}
