/*
 * Root, for one domain: see nova/parent.h. Sessions lead to the console, if it asks for `log`, or else back to
 * the program itself, whatever the name: it is client and server, each side with its own view, so both can be
 * tested in one process.
 *
 * SPDX-License-Identifier: MIT
 */

#define _GNU_SOURCE
#include "host.h"
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The service that is offered, and the sessions with it. */
static struct service {
    bool offered;
    uint64_t entry, window, pages, cpus;
    struct object *bell;
    struct object *handler[NOVA_CPUS_MAX];
} service;

static struct session {
    bool open;
    uint64_t buffer, pages;
    struct object *bell; /* of the client */
} sessions[NOVA_SESSIONS_MAX];

static int thread(const uint64_t *word)
{
    uint64_t cpu = word[1], selector = word[8];
    struct object *ec, *sc;

    if (cpu >= NOVA_CPUS_MAX || !(host.info->cpus >> cpu & 1))
        return NOVA_ERR_DENIED;
    if (word[2] >= NOVA_UTCB_SLOTS || selector + 1 >= SELECTORS || host.cap[selector] ||
        host.cap[selector + 1])
        return NOVA_ERR_INVAL;
    if (host.threads >= host.info->threads)
        return NOVA_ERR_LIMIT;
    host.threads++;
    ec = kernel_object(EC);
    ec->utcb = (uint64_t *)(NOVA_UTCB_ADDR + word[2] * PAGE);
    ec->cpu = (unsigned)cpu;
    ec->sp = word[3];
    ec->ip = word[4];
    ec->local = word[5] & NOVA_THREAD_LOCAL;
    kernel_set(selector, ec);
    if (!ec->local) {
        sc = kernel_object(SC);
        sc->ec = ec;
        ec->references++;
        kernel_set(selector + 1, sc);
        kernel_put(sc);
    }
    /* The reference that was made with it goes to the thread. */
    host_thread(ec);
    return NOVA_OK;
}

static int drop(uint64_t first, uint64_t count)
{
    if (first < host.info->sel_free || count > NOVA_DROP_MAX || first + count > SELECTORS)
        return NOVA_ERR_INVAL;
    for (uint64_t i = 0; i < count; i++)
        kernel_set(first + i, NULL);
    return NOVA_OK;
}

static int map(const uint64_t *word)
{
    uint64_t start = word[5] ? NOVA_WINDOW_ADDR : NOVA_IMAGE_ADDR;

    if (word[1] || word[5] > (NOVA_MEM_R | NOVA_MEM_W) || word[2] % PAGE || word[3] % PAGE ||
        word[4] > NOVA_MAP_MAX || word[3] < start || word[3] + word[4] * PAGE > NOVA_WINDOW_END)
        return NOVA_ERR_INVAL;
    return kernel_map(word[2] / PAGE, word[3] / PAGE, word[4], (unsigned)word[5]) ? NOVA_ERR_INVAL : NOVA_OK;
}

static int serve(const uint64_t *word, unsigned words)
{
    struct object *bell = kernel_get(word[3], SM);
    unsigned n = 7;

    if (service.offered)
        return NOVA_ERR_BUSY;
    if (!bell || !word[6] || (word[6] & ~host.info->cpus))
        return NOVA_ERR_INVAL;
    for (unsigned cpu = 0; cpu < NOVA_CPUS_MAX; cpu++) {
        struct object *ec;

        if (!(word[6] >> cpu & 1))
            continue;
        ec = n < words ? kernel_get(word[n++], EC) : NULL;
        if (!ec || !ec->local || ec->cpu != cpu)
            return NOVA_ERR_INVAL;
        service.handler[cpu] = ec;
        ec->references++;
    }
    bell->references++;
    service.offered = true;
    service.entry = word[2];
    service.bell = bell;
    service.window = word[4];
    service.pages = word[5];
    service.cpus = word[6];
    return NOVA_OK;
}

static void show(struct nova_session_state *state, uint32_t phase, uint64_t buffer, uint64_t pages,
                 uint64_t cpus)
{
    strcpy(state->peer, host.info->name);
    state->buffer = pages ? buffer : 0;
    state->pages = (uint32_t)pages;
    state->cpus = cpus;
    if (phase == NOVA_SESSION_OPEN)
        state->generation++;
    __atomic_store_n(&state->phase, phase, __ATOMIC_RELEASE);
}

static uint64_t window_of(unsigned n)
{
    return service.window + n * service.pages * PAGE;
}

static uint64_t portals_of(unsigned n)
{
    return host.info->sel_session + n * host.info->portals;
}

/* A portal of session n for each CPU in a set. */
static void make_portals(unsigned n, uint64_t cpus, struct object *console_bell)
{
    for (unsigned cpu = 0; cpu < NOVA_CPUS_MAX; cpu++) {
        struct object *portal;

        if (!(cpus >> cpu & 1))
            continue;
        portal = kernel_object(PT);
        if (console_bell) {
            portal->bell = console_bell;
            console_bell->references++;
        } else {
            portal->ec = service.handler[cpu];
            portal->ec->references++;
            portal->ip = service.entry;
            portal->id = n | (uint64_t)host.server[n].generation << 8;
        }
        kernel_set(portals_of(n) + cpu, portal);
        kernel_put(portal);
    }
}

static int open_session(uint64_t *word)
{
    bool console = !strncmp((const char *)(word + 1), "log", NOVA_NAME_MAX);
    uint64_t cpus = console ? host.info->cpus : service.cpus;
    struct object *bell = kernel_get(word[5], SM);
    unsigned n = 0;

    if (!console && !service.offered)
        return NOVA_ERR_ABSENT;
    while (n < NOVA_SESSIONS_MAX &&
           (host.client[n].phase != NOVA_SESSION_FREE || host.server[n].phase != NOVA_SESSION_FREE))
        n++;
    if (n == NOVA_SESSIONS_MAX)
        return NOVA_ERR_LIMIT;
    if (!bell || word[7] > (console ? 0 : service.pages))
        return NOVA_ERR_INVAL;
    if (word[7] && kernel_map(word[6] / PAGE, window_of(n) / PAGE, word[7], NOVA_MEM_R | NOVA_MEM_W))
        return NOVA_ERR_INVAL;
    bell->references++;
    sessions[n] = (struct session){true, word[6], word[7], bell};
    show(&host.client[n], NOVA_SESSION_OPEN, word[6], word[7], cpus);
    if (!console) {
        kernel_set(NOVA_SEL_BELL + NOVA_SESSIONS_MAX + n, bell);
        kernel_set(NOVA_SEL_BELL + n, service.bell);
        show(&host.server[n], NOVA_SESSION_OPEN, window_of(n), word[7], cpus);
        kernel_up(service.bell);
    }
    make_portals(n, cpus, console ? bell : NULL);
    word[1] = n;
    return NOVA_OK;
}

/* Takes away what joins the two sides. */
static void disconnect(unsigned n)
{
    struct session *s = &sessions[n];

    if (!s->open)
        return;
    s->open = false;
    for (unsigned cpu = 0; cpu < NOVA_CPUS_MAX; cpu++)
        kernel_set(portals_of(n) + cpu, NULL);
    kernel_set(NOVA_SEL_BELL + n, NULL);
    kernel_set(NOVA_SEL_BELL + NOVA_SESSIONS_MAX + n, NULL);
    if (s->pages)
        mmap((void *)window_of(n), s->pages * PAGE, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

static int close_session(uint64_t n)
{
    if (n >= NOVA_SESSIONS_MAX || host.client[n].phase == NOVA_SESSION_FREE)
        return NOVA_ERR_INVAL;
    disconnect((unsigned)n);
    kernel_put(sessions[n].bell);
    sessions[n].bell = NULL;
    show(&host.client[n], NOVA_SESSION_FREE, 0, 0, 0);
    if (host.server[n].phase == NOVA_SESSION_OPEN) {
        show(&host.server[n], NOVA_SESSION_GONE, window_of((unsigned)n), sessions[n].pages, service.cpus);
        kernel_up(service.bell);
    }
    return NOVA_OK;
}

static int release_session(uint64_t n)
{
    if (n >= NOVA_SESSIONS_MAX || host.server[n].phase == NOVA_SESSION_FREE)
        return NOVA_ERR_INVAL;
    disconnect((unsigned)n);
    show(&host.server[n], NOVA_SESSION_FREE, 0, 0, 0);
    if (host.client[n].phase == NOVA_SESSION_OPEN) {
        show(&host.client[n], NOVA_SESSION_GONE, sessions[n].buffer, sessions[n].pages, service.cpus);
        kernel_up(sessions[n].bell);
    }
    return NOVA_OK;
}

unsigned parent_request(uint64_t *word, unsigned words)
{
    static const uint8_t least[] = {
        [NOVA_PARENT_EXIT] = 2,  [NOVA_PARENT_THREAD] = 9, [NOVA_PARENT_THREAD_ENDED] = 2,
        [NOVA_PARENT_SERVE] = 8, [NOVA_PARENT_OPEN] = 8,   [NOVA_PARENT_CLOSE] = 2,
        [NOVA_PARENT_LOG] = 2,   [NOVA_PARENT_STATE] = 1,  [NOVA_PARENT_DROP] = 3,
        [NOVA_PARENT_MAP] = 6};
    unsigned reply = 1;
    int error = NOVA_ERR_PROTOCOL;

    if (word[0] && word[0] < sizeof(least) && words >= least[word[0]]) {
        switch (word[0]) {
        case NOVA_PARENT_EXIT:
            _exit((int)(word[1] & 255));
        case NOVA_PARENT_THREAD:
            error = thread(word);
            break;
        case NOVA_PARENT_THREAD_ENDED:
            error = drop(word[1], 2);
            host.threads -= !error;
            break;
        case NOVA_PARENT_SERVE:
            error = serve(word, words);
            break;
        case NOVA_PARENT_OPEN:
            error = open_session(word);
            reply = 2;
            break;
        case NOVA_PARENT_CLOSE:
            error = word[1] < NOVA_SESSIONS_MAX ? close_session(word[1])
                                                : release_session(word[1] - NOVA_SESSIONS_MAX);
            break;
        case NOVA_PARENT_LOG:
            error = NOVA_ERR_INVAL;
            if (word[1] <= (words - 2) * sizeof(uint64_t)) {
                host_log((const char *)(word + 2), word[1]);
                error = NOVA_OK;
            }
            break;
        case NOVA_PARENT_DROP:
            error = drop(word[1], word[2]);
            break;
        case NOVA_PARENT_MAP:
            error = map(word);
            break;
        default:
            word[1] = host.threads;
            word[2] = word[3] = word[4] = 0;
            reply = 5;
            error = NOVA_OK;
            break;
        }
    }
    word[0] = (uint64_t)error;
    return error ? 1 : reply;
}
