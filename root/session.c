/*
 * Session broker.
 *
 * A session is a portal for each CPU in the client, whose identifier tells the server who calls; a buffer out
 * of the client's memory in both; and for each side the other one's doorbell. Root keeps a copy of both
 * doorbells, taken and tested when they were handed in, so that it rings and delegates only semaphores. The
 * client pays for the portals.
 *
 * SPDX-License-Identifier: MIT
 */

#include "domain.h"
#include "events.h"
#include "log.h"

#define BUFFER_PAGES_MAX 4096U

/* What servers have offered, by the number of the service in the manifest. No CPUs: nothing. */
static struct offer {
    uint64_t entry, window, pages, cpus;
} offers[NOVA_SERVICES_MAX];

/* A side's own doorbell, in root. */
static uint64_t bell_of(const struct domain *d, unsigned n)
{
    return n < NOVA_SESSIONS_MAX ? SEL_BELL + (uint64_t)d->index * NOVA_SESSIONS_MAX + n
                                 : SEL_DOORBELL + d->service + d->table[n].service;
}

static uint64_t handler_of(unsigned service, uint64_t cpus)
{
    return SEL_SERVER + NOVA_CPUS_MAX * service + (unsigned)__builtin_ctzl(cpus);
}

static void ring(uint64_t sel)
{
    nova_hc_ctrl_sm(sel, 0, NOVA_SM_UP);
}

/* Copies a semaphore out of a domain; false if it is none that may be upped. It is upped to find out. */
static bool take_bell(const struct domain *d, uint64_t from, uint64_t to)
{
    unsigned status;

    take(DOMAIN_OBJ(d), from, to, NOVA_SM_CTRL_UP);
    status = nova_hc_ctrl_sm(to, 0, NOVA_SM_UP);
    if (status == NOVA_SUCCESS || status == NOVA_OVRFLOW)
        return true;
    drop(to);
    return false;
}

/* Who sees a phase may read the rest. */
static void set_phase(struct nova_session_state *state, uint32_t phase)
{
    __atomic_store_n(&state->phase, phase, __ATOMIC_RELEASE);
}

/* Whether there is such a session, open or gone. */
static bool exists(const struct domain *d, uint64_t n)
{
    return n < SESSIONS && d->table[n].phase != NOVA_SESSION_FREE;
}

/* The first free place from `n` on; SESSIONS if there is none. */
static unsigned find_free(const struct domain *d, unsigned n)
{
    while (exists(d, n))
        n++;
    return n;
}

/* -- Closing -- */

/* Takes away what a side has of the other one: its doorbell and, in the client, the portals. */
static void disconnect(const struct domain *d, unsigned n)
{
    revoke(DOMAIN_OBJ(d), NOVA_SEL_BELL + n, 1);
    if (n < NOVA_SESSIONS_MAX)
        revoke(DOMAIN_OBJ(d), d->info->sel_session + n * d->info->portals, d->info->portals);
}

/* Puts the page that belongs to nobody else in the place of the buffer; without memory for that, nothing. */
static void replace_buffer(const struct domain *d, const struct nova_session_state *state)
{
    uint64_t first = state->buffer / PAGE_SIZE, spare = d->pages / PAGE_SIZE + INFO_PAGES;
    unsigned status = NOVA_SUCCESS;

    for (uint64_t i = 0; !status && i < state->pages; i++)
        status = nova_hc_ctrl_pd(SEL_NOVA_HST, DOMAIN_HST(d), spare, first + i, 0, NOVA_MEM_R | NOVA_MEM_W,
                                 NOVA_MAD_WB);
    if (status)
        revoke(DOMAIN_HST(d), first, state->pages);
}

/* The place is free again. */
static void free_place(struct domain *d, unsigned n)
{
    disconnect(d, n);
    if (n < NOVA_SESSIONS_MAX)
        drop(bell_of(d, n));
    else
        revoke(DOMAIN_HST(d), d->table[n].buffer / PAGE_SIZE, d->table[n].pages);
    set_phase(&d->table[n], NOVA_SESSION_FREE);
}

int session_close(struct domain *d, uint64_t *word)
{
    unsigned n = (unsigned)word[1], other;
    struct domain *peer;

    if (!exists(d, word[1]))
        return NOVA_ERR_INVAL;
    peer = d->session[n].peer;
    other = d->session[n].number;
    if (peer) { /* it keeps its place until it closes */
        disconnect(peer, other);
        if (n < NOVA_SESSIONS_MAX)
            replace_buffer(peer, &peer->table[other]);
        set_phase(&peer->table[other], NOVA_SESSION_GONE);
        peer->session[other].peer = NULL;
        ring(bell_of(peer, other));
    }
    free_place(d, n);
    return NOVA_OK;
}

static void withdraw(unsigned service)
{
    for (uint64_t cpus = offers[service].cpus; cpus; cpus &= cpus - 1)
        drop(handler_of(service, cpus));
    drop(SEL_DOORBELL + service);
    offers[service].cpus = 0;
}

void sessions_end(struct domain *d)
{
    for (uint64_t n = 0; n < SESSIONS; n++)
        session_close(d, (uint64_t[]){0, n});
    for (unsigned n = 0; n < d->services; n++)
        withdraw(d->service + n);
}

/* -- Opening -- */

/* The entry of the manifest that permits it, or the number of all. */
static unsigned find_connect(const struct domain *d, const char *name)
{
    unsigned i = 0;

    while (i < manifest.head->connects && (manifest.connect[i].domain != d->index ||
                                           strncmp(manifest.connect[i].name, name, NOVA_NAME_MAX) != 0))
        i++;
    return i;
}

static unsigned sessions_under(const struct domain *d, unsigned connect)
{
    unsigned count = 0;

    for (unsigned i = 0; i < NOVA_SESSIONS_MAX; i++)
        count += exists(d, i) && d->session[i].connect == connect;
    return count;
}

/* Prepares the server's entry of a session, and its memory. It is not open yet. Status code. */
static unsigned enter(const struct domain *d, unsigned place, unsigned service, uint64_t address,
                      uint64_t pages)
{
    const struct nova_info *client = d->session[place].peer->plan;
    const struct offer *o = &offers[service];
    struct nova_session_state *state = &d->table[place];
    uint64_t window = o->window + place % NOVA_SESSIONS_MAX * o->pages * PAGE_SIZE;

    *state = (struct nova_session_state){.generation = state->generation + 1,
                                         .buffer = pages ? window : 0,
                                         .pages = (uint32_t)pages,
                                         .service = (uint16_t)(service - d->service),
                                         .flags = (uint16_t)client->flags,
                                         .cpus = o->cpus & client->cpus};
    memcpy(state->peer, client->name, sizeof(state->peer));
    return delegate(SEL_NOVA_HST, DOMAIN_HST(d), address / PAGE_SIZE, window / PAGE_SIZE, pages, BUFFER_ORDER,
                    NOVA_MEM_R | NOVA_MEM_W, NOVA_MAD_WB);
}

/* Doorbells for both sides, portals for the client. Status code. */
static unsigned connect_sides(const struct domain *client, unsigned n, const struct domain *d, unsigned place)
{
    const struct nova_session_state *state = &d->table[place];
    uint64_t pid = place % NOVA_SESSIONS_MAX | (uint64_t)state->generation << 8;
    uint64_t portals = client->info->sel_session + n * client->info->portals;
    unsigned service = d->service + state->service;
    unsigned status = give(bell_of(client, n), DOMAIN_OBJ(d), NOVA_SEL_BELL + place, NOVA_SM_CTRL_UP);

    if (!status)
        status = give(bell_of(d, place), DOMAIN_OBJ(client), NOVA_SEL_BELL + n, NOVA_SM_CTRL_UP);
    for (uint64_t cpus = state->cpus; !status && cpus; cpus &= cpus - 1) {
        status = portal_create(SEL_NEW, handler_of(service, cpus), DOMAIN_PD(client), offers[service].entry,
                               pid, 0);
        if (!status)
            status = hand_over(SEL_NEW, DOMAIN_OBJ(client), portals + (unsigned)__builtin_ctzl(cpus),
                               NOVA_PT_CALL);
    }
    drop(SEL_NEW);
    return status;
}

int session_open(struct domain *client, uint64_t *word)
{
    uint64_t bell = word[5], buffer = word[6], pages = word[7];
    uint64_t from = domain_memory(client, buffer, pages);
    unsigned connect = find_connect(client, (const char *)(word + 1)), status;
    unsigned n = find_free(client, 0), place, service;
    struct domain *d;

    if (connect == manifest.head->connects)
        return NOVA_ERR_DENIED;
    service = manifest.connect[connect].service;
    d = &domains[manifest.service[service].domain];
    if (!domain_selectors(client, bell, 1) || (pages && !from) ||
        (offers[service].cpus && pages > offers[service].pages))
        return NOVA_ERR_INVAL;
    if (!offers[service].cpus)
        return NOVA_ERR_ABSENT;
    place = find_free(d, NOVA_SESSIONS_MAX);
    if (n >= NOVA_SESSIONS_MAX || place == SESSIONS ||
        sessions_under(client, connect) >= manifest.connect[connect].sessions)
        return NOVA_ERR_LIMIT;
    if (!take_bell(client, bell, bell_of(client, n)))
        return NOVA_ERR_INVAL;
    client->session[n] = (struct session){.peer = d, .number = place, .connect = connect};
    d->session[place] = (struct session){.peer = client, .number = n};
    status = enter(d, place, service, from, pages);
    if (!status)
        status = connect_sides(client, n, d, place);
    if (status) {
        free_place(client, n);
        free_place(d, place);
        return nova_hc_error(status);
    }
    client->table[n] = d->table[place];
    memcpy(client->table[n].peer, d->plan->name, NOVA_NAME_MAX);
    client->table[n].buffer = pages ? buffer : 0;
    set_phase(&client->table[n], NOVA_SESSION_OPEN);
    set_phase(&d->table[place], NOVA_SESSION_OPEN);
    ring(bell_of(d, place));
    word[1] = n;
    return NOVA_OK;
}

/* Takes doorbell and handlers, and makes a portal for each of these to see whether that works. */
int session_serve(struct domain *d, uint64_t *word)
{
    uint64_t window = word[4], pages = word[5], cpus = word[6], *handler = word + 7;
    unsigned service = d->service + (unsigned)word[1], status;

    if (word[1] >= d->services || pages > BUFFER_PAGES_MAX || !cpus || cpus & ~d->plan->cpus ||
        (pages && (window % PAGE_SIZE || window < NOVA_WINDOW_ADDR || window > NOVA_WINDOW_END ||
                   NOVA_SESSIONS_MAX * pages * PAGE_SIZE > NOVA_WINDOW_END - window)))
        return NOVA_ERR_INVAL;
    if (offers[service].cpus)
        return NOVA_ERR_BUSY;
    offers[service] = (struct offer){.entry = word[2], .window = window, .pages = pages, .cpus = cpus};
    status = take_bell(d, word[3], SEL_DOORBELL + service) ? NOVA_SUCCESS : NOVA_BAD_CAP;
    for (; !status && cpus; cpus &= cpus - 1) {
        take(DOMAIN_OBJ(d), *handler++, handler_of(service, cpus), NOVA_EC_BIND_PT);
        status = nova_hc_create_pt(SEL_NEW, DOMAIN_PD(d), handler_of(service, cpus), word[2]);
        drop(SEL_NEW);
    }
    if (status)
        withdraw(service);
    else if (d->index == manifest.head->console && !strcmp(manifest.service[service].name, "log"))
        log_set_bell(SEL_DOORBELL + service);
    return nova_hc_error(status);
}
