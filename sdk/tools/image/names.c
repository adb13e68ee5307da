/*
 * Names of a system: domains, services, and who waits for whom. After this every name is an index, or was
 * reported.
 *
 * SPDX-License-Identifier: MIT
 */

#include "image.h"

#include <string.h>

static uint32_t find_domain(const struct system *s, const char *name)
{
    for (uint32_t i = 0; i < s->domain_count; i++)
        if (!strcmp(s->domains[i].name, name))
            return i;
    return NONE;
}

static struct service *find_service(const struct system *s, const char *name, uint32_t *index)
{
    for (uint32_t i = 0; i < s->service_count; i++) {
        if (!strcmp(s->services[i]->name, name)) {
            *index = i;
            return s->services[i];
        }
    }
    return NULL;
}

/* The console provides `log`, whether its section says so or not. */
static void add_log_service(struct system *s, struct domain *d)
{
    for (size_t i = 0; i < d->service_count; i++)
        if (!strcmp(d->services[i].name, "log"))
            return;
    d->services = arena_grow(&s->arena, d->services, d->service_count, sizeof(*d->services));
    memmove(d->services + 1, d->services, d->service_count * sizeof(*d->services));
    d->services[0] = (struct service){"log", d->line, NONE};
    d->service_count++;
}

void system_names(struct system *s)
{
    if (s->until) {
        s->until_domain = find_domain(s, s->until);
        if (s->until_domain == NONE)
            complain(s, s->until_line, "until: there is no [app %s]", s->until);
    }
    if (s->console) {
        s->console_domain = find_domain(s, s->console);
        if (s->console_domain == NONE)
            complain(s, s->console_line, "console: there is no [driver %s]", s->console);
        else if (s->domains[s->console_domain].kind != KIND_DRIVER)
            complain(s, s->console_line, "console: `%s' is not a driver", s->console);
        else
            add_log_service(s, &s->domains[s->console_domain]);
    }
}

void collect_services(struct system *s)
{
    for (uint32_t i = 0; i < s->domain_count; i++) {
        struct domain *d = &s->domains[i];

        d->first_service = (uint32_t)s->service_count;
        for (size_t j = 0; j < d->service_count; j++) {
            struct service *service = &d->services[j], *other;
            uint32_t index;

            service->domain = i;
            other = find_service(s, service->name, &index);
            if (other) {
                complain(s, service->line, "service `%s' is provided by `%s' already (line %u)",
                         service->name, s->domains[other->domain].name, other->line);
                continue;
            }
            if (!strcmp(service->name, "log") && i != s->console_domain &&
                !(s->console && s->console_domain == NONE))
                complain(s, service->line, "only the console can provide `log': see `console' in [system]");
            s->services = arena_grow(&s->arena, s->services, s->service_count, sizeof(struct service *));
            s->services[s->service_count++] = service;
        }
    }
    if (s->service_count > NOVA_SERVICES_MAX)
        complain(s, s->services[NOVA_SERVICES_MAX]->line, "more than %u services", NOVA_SERVICES_MAX);
}

/* A virtual machine has a second session, for its terminal. */
void add_log_connection(struct system *s, struct domain *d)
{
    d->connections = arena_grow(&s->arena, d->connections, d->connection_count, sizeof(*d->connections));
    d->connections[d->connection_count++] = (struct connection){.local = "log",
                                                                .service = "log",
                                                                .line = d->line,
                                                                .sessions = d->kind == KIND_VM ? 2 : 1,
                                                                .target = NONE,
                                                                .implied = true};
}

/* Connects names; a name is used once by a client, and `log` is taken. */
void connect_names(struct system *s, uint32_t index)
{
    struct domain *d = &s->domains[index];
    uint64_t sessions = 0;

    for (size_t i = 0; i < d->connection_count; i++) {
        struct connection *c = &d->connections[i];

        sessions += c->sessions;
        if (!c->implied && s->console && !strcmp(c->local, "log")) {
            complain(s, c->line, "the name `log' is taken: everyone is connected with the log");
            continue;
        }
        for (size_t j = 0; j < i && !c->implied; j++) {
            if (!strcmp(d->connections[j].local, c->local)) {
                complain(s, c->line, "`%s' is connected already (line %u)", c->local, d->connections[j].line);
                break;
            }
        }
        if (!find_service(s, c->service, &c->target)) {
            complain(s, c->line, "nobody provides the service `%s'", c->service);
        } else if (s->services[c->target]->domain == index) {
            complain(s, c->line, "`%s' connects to its own service `%s'", d->name, c->service);
            c->target = NONE;
        }
    }
    if (sessions > NOVA_SESSIONS_MAX) {
        complain(s, line_of(d, KEY_CONNECT),
                 "`%s' may open %llu sessions, with the log; at most %u are possible", d->name,
                 (unsigned long long)sessions, NOVA_SESSIONS_MAX);
    }
}

/* Sessions that all clients together can have with a domain; root has one with the console. */
uint32_t sessions_of_server(const struct system *s, uint32_t domain)
{
    uint32_t sessions = domain == s->console_domain;

    for (size_t i = 0; i < s->domain_count; i++) {
        for (size_t j = 0; j < s->domains[i].connection_count; j++) {
            const struct connection *c = &s->domains[i].connections[j];

            if (c->target != NONE && s->services[c->target]->domain == domain)
                sessions += c->sessions;
        }
    }
    return sessions;
}

/* Depth-first search over "waits for"; the path from the first domain to the current one is in `path`. */
struct search_state {
    uint8_t *color; /* 0 not seen, 1 on the path, 2 done */
    uint32_t *path;
    size_t depth;
};

static void report_cycle(struct system *s, const struct search_state *state, const struct connection *c,
                         uint32_t to)
{
    const char *text = "";
    size_t at = state->depth;

    while (state->path[at - 1] != to)
        at--;
    for (at--; at < state->depth; at++)
        text = arena_print(&s->arena, "%s`%s' waits for ", text, s->domains[state->path[at]].name);
    complain(s, c->line, "cyclic services: %s`%s'%s", text, s->domains[to].name,
             c->implied ? " (everyone waits for the log)" : "");
}

/* The depth is at most the number of domains that parse, which the check has limited before. */
static void visit(struct system *s, struct search_state *state, uint32_t domain)
{
    state->color[domain] = 1;
    state->path[state->depth++] = domain;
    for (size_t i = 0; i < s->domains[domain].connection_count; i++) {
        const struct connection *c = &s->domains[domain].connections[i];
        uint32_t to = c->target == NONE ? NONE : s->services[c->target]->domain;

        if (to == NONE || to == domain)
            continue;
        if (state->color[to] == 1)
            report_cycle(s, state, c, to);
        else if (!state->color[to])
            visit(s, state, to);
    }
    state->depth--;
    state->color[domain] = 2;
}

void find_cycles(struct system *s)
{
    struct search_state state = {
        .color = arena_get(&s->arena, s->domain_count),
        .path = arena_get(&s->arena, s->domain_count * sizeof(uint32_t)),
    };

    for (uint32_t i = 0; i < s->domain_count; i++)
        if (!state.color[i])
            visit(s, &state, i);
}
