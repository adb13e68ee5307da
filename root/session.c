/*
 * Session broker.
 *
 * A session is a portal for each CPU in the client, whose identifier tells the server who calls; a buffer out
 * of the client's memory in both; and for each side the other one's doorbell. Root keeps a copy of both
 * doorbells, taken and tested when they were handed in, so that it rings and delegates only semaphores. The
 * client pays for the portals.
 *
 * Place 0 of the console's table is root's own: its log.
 *
 * SPDX-License-Identifier: MIT
 */

#include "session.h"

#include "domain.h"
#include "log.h"

#define BUFFER_PAGES_MAX 4096U
#define BUFFER_ORDER 8 /* no large pages: taking them away must not need memory for smaller ones */

/* What servers have offered, by the number of the service in the manifest. */
static struct offer {
    bool open;
    uint64_t entry, window, pages, cpus;
} offers[NOVA_SERVICES_MAX];

static uint64_t bell_of(const struct domain *client, unsigned number)
{
    return SEL_BELL + (uint64_t)client->index * NOVA_SESSIONS_MAX + number;
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

/* Shows a session to one side. The phase goes last: who has seen it may read the rest. */
static void publish(struct nova_session_state *state, const struct session *s, const char *peer,
                    uint64_t buffer)
{
    state->generation = s->generation;
    memcpy(state->peer, peer, sizeof(state->peer));
    state->buffer = s->pages ? buffer : 0;
    state->pages = (uint32_t)s->pages;
    state->service = (uint16_t)(s->service - server_of(s)->config->service);
    state->cpus = s->cpus;
    __atomic_store_n(&state->phase, NOVA_SESSION_OPEN, __ATOMIC_RELEASE);
}

static void set_phase(struct nova_session_state *state, uint32_t phase)
{
    __atomic_store_n(&state->phase, phase, __ATOMIC_RELEASE);
}

/* -- The client's side -- */

/* Takes portals and doorbell away from the client. */
static void revoke_client(const struct session *s)
{
    uint64_t obj = DOMAIN_OBJ(s->client);

    for (uint64_t cpus = s->cpus; cpus; cpus &= cpus - 1)
        revoke(obj, s->portals + (unsigned)__builtin_ctzl(cpus));
    revoke(obj, s->bell + 1);
}

/* The server is gone, or does not want the client any more. */
static void tell_client(struct session *s)
{
    revoke_client(s);
    set_phase(&s->client->client_table[s->number], NOVA_SESSION_GONE);
    s->client->client[s->number].session = NULL;
    ring(bell_of(s->client, s->number));
    s->client = NULL;
}

/* -- The server's side -- */

/* Puts the page that belongs to nobody else in the place of the buffer; without memory for that, nothing. */
static void replace_buffer(const struct session *s)
{
    const struct domain *d = server_of(s);
    uint64_t first = s->window / PAGE_SIZE;

    for (uint64_t i = 0; i < s->pages; i++)
        if (nova_hc_ctrl_pd(SEL_NOVA_HST, DOMAIN_HST(d), d->pages / PAGE_SIZE + 3, first + i, 0,
                            NOVA_MEM_R | NOVA_MEM_W, NOVA_MAD_WB) != NOVA_SUCCESS) {
            delegate_range(SEL_HST, DOMAIN_HST(d), 0, first, s->pages, 0, 0, 0);
            return;
        }
}

/* The place is free again. */
static void remove_from_server(struct session *s)
{
    struct domain *d = server_of(s);
    uint64_t first = s->window / PAGE_SIZE;

    delegate_range(SEL_HST, DOMAIN_HST(d), first, first, s->pages, BUFFER_ORDER, 0, 0);
    revoke(DOMAIN_OBJ(d), NOVA_SEL_BELL + place_of(s));
    set_phase(&d->server_table[place_of(s)], NOVA_SESSION_FREE);
    s->open = false;
}

/* The client is gone. The server keeps the place until it releases it. */
static void tell_server(struct session *s)
{
    struct domain *d = server_of(s);

    replace_buffer(s);
    revoke(DOMAIN_OBJ(d), NOVA_SEL_BELL + place_of(s));
    set_phase(&d->server_table[place_of(s)], NOVA_SESSION_GONE);
    s->client = NULL;
    ring(SEL_DOORBELL + s->service);
}

/* -- Opening -- */

/* The first number, and the first place, that is free; NOVA_SESSIONS_MAX if none is. */
static unsigned free_number(const struct domain *d)
{
    unsigned i = 0;

    while (i < NOVA_SESSIONS_MAX && d->client[i].open)
        i++;
    return i;
}

static unsigned free_place(const struct domain *d)
{
    unsigned i = 0;

    while (i < NOVA_SESSIONS_MAX && d->server[i].open)
        i++;
    return i;
}

/* The entry of the manifest that permits it, or the number of all. */
static unsigned find_connect(const struct domain *d, const char *name)
{
    unsigned end = d->config->connect + d->config->connects;

    for (unsigned i = d->config->connect; i < end; i++)
        if (!strncmp(manifest.connect[i].name, name, NOVA_NAME_MAX))
            return i;
    return manifest.head->connects;
}

static unsigned sessions_under(const struct domain *d, unsigned connect)
{
    unsigned count = 0;

    for (unsigned i = 0; i < NOVA_SESSIONS_MAX; i++)
        count += d->client[i].open && d->client[i].connect == connect;
    return count;
}

static bool buffer_valid(const struct domain *d, uint64_t buffer, uint64_t pages)
{
    uint64_t start = d->info->pool_start, size = d->info->pool_size;

    return !pages || (buffer % PAGE_SIZE == 0 && buffer >= start && buffer - start <= size &&
                      pages <= (size - (buffer - start)) / PAGE_SIZE);
}

/* Buffer and doorbell in the server; doorbell and portals in the client. Status code. */
static unsigned connect_sides(struct domain *client, const struct session *s, const struct offer *o,
                              uint64_t buffer)
{
    struct domain *d = server_of(s);
    uint64_t phys = client->pool + (buffer - client->info->pool_start);
    unsigned status = NOVA_SUCCESS;

    if (s->pages)
        status = delegate_range(SEL_NOVA_HST, DOMAIN_HST(d), phys / PAGE_SIZE, s->window / PAGE_SIZE,
                                s->pages, BUFFER_ORDER, NOVA_MEM_R | NOVA_MEM_W, NOVA_MAD_WB);
    if (!status)
        status =
            give(bell_of(client, s->number), DOMAIN_OBJ(d), NOVA_SEL_BELL + place_of(s), NOVA_SM_CTRL_UP);
    if (!status)
        status = give(SEL_DOORBELL + s->service, DOMAIN_OBJ(client), s->bell + 1, NOVA_SM_CTRL_UP);
    for (uint64_t cpus = s->cpus; !status && cpus; cpus &= cpus - 1) {
        unsigned cpu = (unsigned)__builtin_ctzl(cpus);

        status = nova_hc_create_pt(SEL_NEW, DOMAIN_PD(client), SEL_SERVER + NOVA_CPUS_MAX * s->service + cpu,
                                   o->entry);
        if (!status)
            status = nova_hc_ctrl_pt(SEL_NEW, place_of(s) | (uint64_t)s->generation << 8, 0);
        if (!status)
            status = hand_over(SEL_NEW, DOMAIN_OBJ(client), s->portals + cpu, NOVA_PT_CALL);
    }
    drop(SEL_NEW);
    return status;
}

int session_open(struct domain *client, uint64_t *word)
{
    uint64_t portals = word[5], bell = word[6], buffer = word[7], pages = word[8];
    unsigned connect = find_connect(client, (const char *)(word + 1)), n = free_number(client), place,
             service;
    const struct offer *o;
    struct domain *d;
    struct session *s;
    int error;

    if (connect == manifest.head->connects)
        return NOVA_ERR_DENIED;
    service = manifest.connect[connect].service;
    o = &offers[service];
    d = &domains[manifest.service[service].domain];
    if (!domain_selectors(client, portals, NOVA_CPUS_MAX) || !domain_selectors(client, bell, 2) ||
        !buffer_valid(client, buffer, pages) || (o->open && pages > o->pages))
        return NOVA_ERR_INVAL;
    if (!o->open)
        return NOVA_ERR_ABSENT;
    place = free_place(d);
    if (n == NOVA_SESSIONS_MAX || place == NOVA_SESSIONS_MAX ||
        sessions_under(client, connect) >= manifest.connect[connect].sessions)
        return NOVA_ERR_LIMIT;
    if (!take_bell(client, bell, bell_of(client, n)))
        return NOVA_ERR_INVAL;

    s = &d->server[place];
    *s = (struct session){.open = true,
                          .client = client,
                          .number = n,
                          .service = service,
                          .generation = s->generation + 1,
                          .portals = portals,
                          .bell = bell,
                          .cpus = o->cpus & client->config->cpus,
                          .window = o->window + place * o->pages * PAGE_SIZE,
                          .pages = pages};
    error = error_of(connect_sides(client, s, o, buffer));
    if (error) {
        revoke_client(s);
        remove_from_server(s);
        drop(bell_of(client, n));
        return error;
    }
    client->client[n] = (struct client){.open = true, .connect = (uint16_t)connect, .session = s};
    publish(&d->server_table[place], s, client->config->name, s->window);
    publish(&client->client_table[n], s, d->config->name, buffer);
    ring(SEL_DOORBELL + service);
    word[1] = n;
    word[2] = s->cpus;
    return NOVA_OK;
}

/* -- Closing -- */

int session_close(struct domain *client, uint64_t *word)
{
    uint64_t number = word[1];
    struct client *c;

    if (number >= NOVA_SESSIONS_MAX || !client->client[number].open)
        return NOVA_ERR_INVAL;
    c = &client->client[number];
    if (c->session) {
        revoke_client(c->session);
        tell_server(c->session);
    }
    drop(bell_of(client, (unsigned)number));
    set_phase(&client->client_table[number], NOVA_SESSION_FREE);
    *c = (struct client){.open = false};
    return NOVA_OK;
}

int session_release(struct domain *d, uint64_t *word)
{
    uint64_t place = word[1];
    struct session *s;

    if (place >= NOVA_SESSIONS_MAX || !d->server[place].open)
        return NOVA_ERR_INVAL;
    s = &d->server[place];
    if (s->client)
        tell_client(s);
    if (s->log)
        log_to_serial();
    remove_from_server(s);
    return NOVA_OK;
}

/* -- Serving -- */

static void drop_handlers(unsigned service, uint64_t cpus)
{
    for (; cpus; cpus &= cpus - 1)
        drop(SEL_SERVER + NOVA_CPUS_MAX * service + (unsigned)__builtin_ctzl(cpus));
}

/* Copies the handlers' ECs, and makes a portal for each to see whether that works. Status code. */
static unsigned take_handlers(const struct domain *d, unsigned service, const uint64_t *from, uint64_t cpus,
                              uint64_t entry)
{
    unsigned status = NOVA_SUCCESS;

    for (; !status && cpus; cpus &= cpus - 1) {
        uint64_t to = SEL_SERVER + NOVA_CPUS_MAX * service + (unsigned)__builtin_ctzl(cpus);

        take(DOMAIN_OBJ(d), *from++, to, NOVA_EC_BIND_PT);
        status = nova_hc_create_pt(SEL_NEW, DOMAIN_PD(d), to, entry);
        drop(SEL_NEW);
    }
    return status;
}

/* Root's own session with the console: the stream of its log. */
static void open_log(struct domain *d, unsigned service, const struct offer *o)
{
    struct session *s = &d->server[0];

    if (d->index != manifest.head->console || strcmp(manifest.service[service].name, "log") != 0 ||
        o->pages < LOG_STREAM_PAGES || s->open)
        return;
    *s = (struct session){.open = true,
                          .log = true,
                          .service = service,
                          .generation = s->generation + 1,
                          .window = o->window,
                          .pages = LOG_STREAM_PAGES};
    if (delegate_range(SEL_NOVA_HST, DOMAIN_HST(d), log_stream() / PAGE_SIZE, s->window / PAGE_SIZE, s->pages,
                       BUFFER_ORDER, NOVA_MEM_R | NOVA_MEM_W, NOVA_MAD_WB) != NOVA_SUCCESS)
        return;
    publish(&d->server_table[0], s, "root\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", s->window);
    log_set_bell(SEL_DOORBELL + service);
}

int session_serve(struct domain *d, uint64_t *word)
{
    uint64_t bell = word[3], window = word[4], pages = word[5], cpus = word[6];
    unsigned service, status;
    struct offer *o;

    if (word[1] >= d->config->services || pages > BUFFER_PAGES_MAX || !cpus || cpus & ~d->config->cpus ||
        !domain_selectors(d, bell, 1) ||
        (pages && (window % PAGE_SIZE || window < NOVA_WINDOW_ADDR || window > NOVA_WINDOW_END ||
                   NOVA_SESSIONS_MAX * pages * PAGE_SIZE > NOVA_WINDOW_END - window)))
        return NOVA_ERR_INVAL;
    for (unsigned i = 0; i < count_bits(cpus); i++)
        if (!domain_selectors(d, word[7 + i], 1))
            return NOVA_ERR_INVAL;
    service = d->config->service + (unsigned)word[1];
    o = &offers[service];
    if (o->open)
        return NOVA_ERR_BUSY;
    if (!take_bell(d, bell, SEL_DOORBELL + service))
        return NOVA_ERR_INVAL;
    status = take_handlers(d, service, word + 7, cpus, word[2]);
    if (status) {
        drop_handlers(service, cpus);
        drop(SEL_DOORBELL + service);
        return error_of(status);
    }
    *o = (struct offer){.open = true, .entry = word[2], .window = window, .pages = pages, .cpus = cpus};
    open_log(d, service, o);
    return NOVA_OK;
}

void sessions_end(struct domain *d)
{
    for (unsigned n = 0; n < NOVA_SESSIONS_MAX; n++) {
        struct client *c = &d->client[n];

        if (c->session)
            tell_server(c->session);
        if (c->open)
            drop(bell_of(d, n));
        *c = (struct client){.open = false};
    }
    for (unsigned n = 0; n < NOVA_SESSIONS_MAX; n++) {
        struct session *s = &d->server[n];

        if (s->open && s->client)
            tell_client(s);
        s->open = false;
    }
    for (unsigned n = 0; n < d->config->services; n++) {
        unsigned service = d->config->service + n;

        if (offers[service].open) {
            drop_handlers(service, offers[service].cpus);
            drop(SEL_DOORBELL + service);
        }
        offers[service].open = false;
    }
}
