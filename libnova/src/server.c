/*
 * Sessions, on the server's side. Root has put number and generation of the session into the portal
 * identifier; the table in which root says who is there is read-only.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

#include <nova/mem.h>
#include <nova/portal.h>
#include <nova/session.h>

#define SESSION_BITS 8

uint32_t nova_server_serve(uint64_t pid, uint32_t mtd, const struct nova_thread *self);

/*
 * Called by nova_server_entry. A call that was on its way when its session ended must not be taken for one of
 * the next client: phase and generation, which are neighbours, are compared with what they must be at once.
 */
uint32_t nova_server_serve(uint64_t pid, uint32_t mtd, const struct nova_thread *self)
{
    const struct nova_server *server = self->context;
    unsigned session = pid % NOVA_SESSIONS_MAX;
    uint64_t *word = self->utcb->word, live = pid >> SESSION_BITS << 32 | NOVA_SESSION_OPEN;

    if (__builtin_expect(
            __atomic_load_n((const uint64_t *)nova_server_client(session), __ATOMIC_ACQUIRE) != live, 0)) {
        word[0] = (uint64_t)NOVA_ERR_PEER;
        return NOVA_MTD_WORDS(1);
    }
    return NOVA_MTD_WORDS(server->serve(server->context, session, word, mtd % NOVA_UTCB_WORDS + 1));
}

_Static_assert(offsetof(struct nova_session_state, generation) == 4, "a number of 64 bits with the phase");

/* For services without calls. */
static unsigned refuse(void *context, unsigned session, uint64_t *word, unsigned words)
{
    (void)context;
    (void)session;
    (void)words;
    word[0] = (uint64_t)NOVA_ERR_PROTOCOL;
    return 1;
}

int nova_server_start(struct nova_server *server,
                      unsigned (*serve)(void *context, unsigned session, uint64_t *word, unsigned words),
                      void *context, const struct nova_server_options *options)
{
    static const struct nova_server_options usual;
    const struct nova_server_options *o = options ? options : &usual;
    uint64_t cpus = o->cpus ? o->cpus & nova_info()->cpus : nova_info()->cpus;
    uint64_t word[NOVA_PARENT_WORDS] = {
        NOVA_PARENT_SERVE, o->service, (uint64_t)nova_server_entry, 0, 0, o->buffer_size / NOVA_PAGE, cpus};
    uint64_t bell = o->bell_shared ? server->bell : 0;
    struct nova_thread *handler[NOVA_CPUS_MAX];
    unsigned count = 0;
    int error = NOVA_OK;

    if (!cpus || o->buffer_size % NOVA_PAGE)
        return NOVA_ERR_INVAL;
    *server = (struct nova_server){
        .serve = serve ? serve : refuse, .context = context, .service = o->service, .bell = bell};
    if (!bell)
        error = nova_sm_create(&server->bell, 0);
    if (!error && o->buffer_size)
        error = nova_mem_window(o->buffer_size * NOVA_SESSIONS_MAX, &word[4]);
    for (; cpus && !error; cpus &= cpus - 1) {
        error = nova_handler_create(&handler[count], (unsigned)__builtin_ctzl(cpus), o->stack_size);
        if (error)
            break;
        handler[count]->context = server;
        word[7 + count] = handler[count]->sel;
        count++;
    }
    word[3] = server->bell;
    if (!error)
        error = nova_parent_call(word, 7 + count, 1);
    if (error) {
        while (count)
            nova_handler_destroy(handler[--count]);
        if (!bell)
            nova_sm_destroy(server->bell);
    }
    return error;
}

int nova_server_wait(struct nova_server *server, uint64_t deadline)
{
    return nova_sm_drain(server->bell, deadline);
}

enum nova_server_event nova_server_next(struct nova_server *server, unsigned *session)
{
    for (unsigned i = 0; i < NOVA_SESSIONS_MAX; i++) {
        const struct nova_session_state *state = nova_server_client(i);
        uint32_t phase = __atomic_load_n(&state->phase, __ATOMIC_ACQUIRE), generation = state->generation;

        *session = i;
        if (server->seen[i] && (phase != NOVA_SESSION_OPEN || generation + 1 != server->seen[i])) {
            bool gone = phase == NOVA_SESSION_GONE && generation + 1 == server->seen[i];
            server->seen[i] = 0;
            if (gone)
                nova_server_release(i);
            return NOVA_SERVER_CLOSED;
        }
        if (!server->seen[i] && phase != NOVA_SESSION_FREE && state->service == server->service) {
            server->seen[i] = generation + 1;
            return NOVA_SERVER_OPENED;
        }
    }
    return NOVA_SERVER_NOTHING;
}

int nova_server_ring(unsigned session)
{
    const struct nova_session s = nova_server_session(session);

    return nova_session_ring(&s);
}

void nova_server_release(unsigned session)
{
    nova_parent(NOVA_PARENT_CLOSE, NOVA_SESSIONS_MAX + session);
}
