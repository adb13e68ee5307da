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

static uint64_t bell_of(const struct domain *client, uint64_t number)
{
    return SEL_BELL + (uint64_t)client->index * NOVA_SESSIONS_MAX + number;
}

static uint64_t handler_of(unsigned service, uint64_t cpus)
{
    return SEL_SERVER + NOVA_CPUS_MAX * service + (unsigned)__builtin_ctzl(cpus);
}

static void ring(uint64_t sel)
{
    nova_hc_ctrl_sm(sel, 0, NOVA_SM_UP);
}

static struct domain *server_of(const struct session *s)
{
    return &domains[manifest.service[s->service].domain];
}

static unsigned place_of(const struct session *s)
{
    return (unsigned)(s - server_of(s)->server);
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

/* The entry of a session in a table; null if there is none, or a session. */
static struct nova_session_state *find(struct nova_session_state *table, uint64_t number)
{
    return number < NOVA_SESSIONS_MAX && table[number].phase != NOVA_SESSION_FREE ? &table[number] : NULL;
}

/* The first free entry, or NOVA_SESSIONS_MAX. */
static unsigned find_free(struct nova_session_state *table)
{
    unsigned i = 0;

    while (find(table, i))
        i++;
    return i;
}

/* -- Closing -- */

/* Takes portals and doorbell away from the client. */
static void revoke_client(const struct session *s)
{
    revoke(DOMAIN_OBJ(s->client), s->portals, NOVA_CPUS_MAX);
    revoke(DOMAIN_OBJ(s->client), s->doorbell, 1);
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
static void free_place(const struct session *s)
{
    struct domain *d = server_of(s);
    struct nova_session_state *state = &d->server_table[place_of(s)];

    revoke(DOMAIN_HST(d), state->buffer / PAGE_SIZE, state->pages);
    revoke(DOMAIN_OBJ(d), NOVA_SEL_BELL + place_of(s), 1);
    set_phase(state, NOVA_SESSION_FREE);
}

int session_close(struct domain *client, uint64_t *word)
{
    struct nova_session_state *state = find(client->client_table, word[1]), *peer;
    struct session *s;

    if (!state)
        return NOVA_ERR_INVAL;
    s = client->client[word[1]].session;
    if (s) { /* the server keeps its place until it releases it */
        peer = &server_of(s)->server_table[place_of(s)];
        revoke_client(s);
        replace_buffer(server_of(s), peer);
        revoke(DOMAIN_OBJ(server_of(s)), NOVA_SEL_BELL + place_of(s), 1);
        set_phase(peer, NOVA_SESSION_GONE);
        s->client = NULL;
        ring(SEL_DOORBELL + s->service);
    }
    drop(bell_of(client, word[1]));
    set_phase(state, NOVA_SESSION_FREE);
    return NOVA_OK;
}

int session_release(struct domain *d, uint64_t *word)
{
    struct nova_session_state *state = find(d->server_table, word[1]);
    struct session *s;

    if (!state)
        return NOVA_ERR_INVAL;
    s = &d->server[word[1]];
    if (s->client) {
        revoke_client(s);
        set_phase(&s->client->client_table[s->number], NOVA_SESSION_GONE);
        s->client->client[s->number].session = NULL;
        ring(bell_of(s->client, s->number));
    }
    free_place(s);
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
    for (uint64_t n = 0; n < NOVA_SESSIONS_MAX; n++) {
        uint64_t word[] = {0, n};

        session_close(d, word);
        session_release(d, word);
    }
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
        count += find(d->client_table, i) && d->client[i].connect == connect;
    return count;
}

/* Prepares the server's entry of a session, and its memory. It is not open yet. Status code. */
static unsigned enter(const struct session *s, uint64_t address, uint64_t pages)
{
    const struct domain *d = server_of(s);
    const struct offer *o = &offers[s->service];
    struct nova_session_state *state = &d->server_table[place_of(s)];
    uint64_t window = o->window + place_of(s) * o->pages * PAGE_SIZE;

    *state = (struct nova_session_state){.generation = state->generation + 1,
                                         .buffer = pages ? window : 0,
                                         .pages = (uint32_t)pages,
                                         .service = (uint16_t)(s->service - d->service),
                                         .flags = (uint16_t)s->client->plan->flags,
                                         .cpus = o->cpus & s->client->plan->cpus};
    memcpy(state->peer, s->client->plan->name, sizeof(state->peer));
    return delegate(SEL_NOVA_HST, DOMAIN_HST(d), address / PAGE_SIZE, window / PAGE_SIZE, pages, BUFFER_ORDER,
                    NOVA_MEM_R | NOVA_MEM_W, NOVA_MAD_WB);
}

/* Doorbells for both sides, portals for the client. Status code. */
static unsigned connect_sides(const struct session *s, const struct nova_session_state *state)
{
    struct domain *client = s->client, *d = server_of(s);
    uint64_t pid = place_of(s) | (uint64_t)state->generation << 8;
    unsigned status =
        give(bell_of(client, s->number), DOMAIN_OBJ(d), NOVA_SEL_BELL + place_of(s), NOVA_SM_CTRL_UP);

    if (!status)
        status = give(SEL_DOORBELL + s->service, DOMAIN_OBJ(client), s->doorbell, NOVA_SM_CTRL_UP);
    for (uint64_t cpus = state->cpus; !status && cpus; cpus &= cpus - 1) {
        status = portal_create(SEL_NEW, handler_of(s->service, cpus), DOMAIN_PD(client),
                               offers[s->service].entry, pid, 0);
        if (!status)
            status = hand_over(SEL_NEW, DOMAIN_OBJ(client), s->portals + (unsigned)__builtin_ctzl(cpus),
                               NOVA_PT_CALL);
    }
    drop(SEL_NEW);
    return status;
}

int session_open(struct domain *client, uint64_t *word)
{
    uint64_t portals = word[5], bell = word[6], buffer = word[7], pages = word[8], doorbell = word[9];
    uint64_t physical_buffer = domain_memory(client, buffer, pages);
    unsigned connect = find_connect(client, (const char *)(word + 1)), status;
    unsigned n = find_free(client->client_table), place, service;
    struct nova_session_state *state;
    struct domain *d;
    struct session *s;

    if (connect == manifest.head->connects)
        return NOVA_ERR_DENIED;
    service = manifest.connect[connect].service;
    d = &domains[manifest.service[service].domain];
    if (!domain_selectors(client, portals, NOVA_CPUS_MAX) || !domain_selectors(client, bell, 1) ||
        !domain_selectors(client, doorbell, 1) || (pages && !physical_buffer) ||
        (offers[service].cpus && pages > offers[service].pages))
        return NOVA_ERR_INVAL;
    if (!offers[service].cpus)
        return NOVA_ERR_ABSENT;
    place = find_free(d->server_table);
    if (n == NOVA_SESSIONS_MAX || place == NOVA_SESSIONS_MAX ||
        sessions_under(client, connect) >= manifest.connect[connect].sessions)
        return NOVA_ERR_LIMIT;
    if (!take_bell(client, bell, bell_of(client, n)))
        return NOVA_ERR_INVAL;
    s = &d->server[place];
    state = &d->server_table[place];
    *s = (struct session){
        .client = client, .number = n, .service = service, .portals = portals, .doorbell = doorbell};
    client->client[n] = (struct client){.connect = connect, .session = s};
    status = enter(s, physical_buffer, pages);
    if (!status)
        status = connect_sides(s, state);
    if (status) {
        revoke_client(s);
        free_place(s);
        drop(bell_of(client, n));
        return nova_hc_error(status);
    }
    client->client_table[n] = *state;
    memcpy(client->client_table[n].peer, d->plan->name, NOVA_NAME_MAX);
    client->client_table[n].buffer = pages ? buffer : 0;
    set_phase(&client->client_table[n], NOVA_SESSION_OPEN);
    set_phase(state, NOVA_SESSION_OPEN);
    ring(SEL_DOORBELL + service);
    word[1] = n;
    word[2] = state->cpus;
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
