/*
 * What becomes of callers when an EC dies that has called another one itself: they get their answer at once,
 * although what that other one waits for never comes.
 *
 * SPDX-License-Identifier: MIT
 */

#include "system.h"
#include "tap.h"

#define UNKNOWN 99
#define SERVERS 6
#define CALLERS 8
#define WAIT_MS 2000

static uint64_t outer, inner;              /* portals of the server that dies, and of the one behind it */
static uint64_t entered, finished, closed; /* semaphores; nobody ups the last one */

PORTAL_ENTRY(outer_entry, on_outer);
PORTAL_ENTRY(inner_entry, on_inner);

static uint32_t on_outer(uint64_t pid, uint32_t mtd)
{
    (void)pid;
    sm_up(entered);
    ipc_call(inner, &mtd, 0);
    return 0;
}

static uint32_t on_inner(uint64_t pid, uint32_t mtd)
{
    (void)pid;
    (void)mtd;
    sm_up(entered);
    sm_down(closed);
    return 0;
}

struct caller {
    uint64_t *portal;
    volatile unsigned status;
};

static void call(void *arg)
{
    struct caller *caller = arg;
    uint32_t mtd = 0;

    caller->status = ipc_call(*caller->portal, &mtd, 0);
    sm_up(finished);
}

static void drop(uint64_t sel)
{
    must(ctrl_pd(sys.root.obj, sys.root.obj, sel, sel, 0, 0, 0), "dropping a capability");
}

/*
 *   first --> outer --> inner, blocked           `busy`: outer waits for inner, which `other` has called.
 *             ^
 *   second ---+  helps                           The server of `outer` dies.
 */
static void death(bool busy, const char *what)
{
    struct caller first = {&outer, UNKNOWN}, second = {&outer, UNKNOWN}, other = {&inner, UNKNOWN};
    struct thread *server = local_create(sys.bsp), *behind = local_create(sys.bsp);

    outer = portal_create(server, outer_entry, 0, 0);
    inner = portal_create(behind, inner_entry, 0, 0);
    entered = sm_create(0);
    finished = sm_create(0);
    closed = sm_create(0);
    if (busy) {
        global_start(sys.bsp, 40, call, &other);
        must(sm_down_ms(entered, WAIT_MS), "waiting for the inner server");
    }
    global_start(sys.bsp, 30, call, &first);
    must(sm_down_ms(entered, WAIT_MS), "waiting for the outer server");
    if (!busy)
        must(sm_down_ms(entered, WAIT_MS), "waiting for the inner server");
    global_start(sys.bsp, 20, call, &second);
    sleep_us(1000);
    tap_ok(first.status == UNKNOWN && second.status == UNKNOWN, "%s: both callers wait", what);

    drop(outer);
    drop(server->ec);
    tap_is(sm_down_ms(finished, WAIT_MS), NOVA_SUCCESS, "%s: one caller goes on", what);
    tap_is(sm_down_ms(finished, WAIT_MS), NOVA_SUCCESS, "%s: so does the other one", what);
    tap_is(first.status, NOVA_ABORTED, "%s: who was served gets ABORTED", what);
    tap_is(second.status, NOVA_BAD_CAP, "%s: who helped finds no portal", what);
    tap_is(other.status, UNKNOWN, "%s: who called the inner server still waits", what);

    for (unsigned i = 0; i < 3; i++)
        sm_up(closed);
    if (busy)
        tap_is(sm_down_ms(finished, WAIT_MS), NOVA_SUCCESS, "%s: and gets its reply later", what);
}

/*
 * At random: callers call servers, servers call each other or block, and die. Only the first one, which callers do
 * not call themselves, lives on, and sooner or later blocks for ever. When no other server is left, no caller may
 * wait any more.
 */
static uint64_t random_state = 1;

static unsigned random(unsigned below)
{
    random_state = random_state * 6364136223846793005 + 1442695040888963407;
    return (unsigned)(random_state >> 33) % below;
}

static uint64_t portals[SERVERS];
static struct thread *servers[SERVERS];
static volatile unsigned calls[CALLERS], answers[CALLERS];
static volatile bool over;

PORTAL_ENTRY(random_entry, on_random);

static uint32_t on_random(uint64_t pid, uint32_t mtd)
{
    (void)pid;
    (void)mtd;
    for (unsigned n = random(3); n || !pid; n--) {
        uint32_t none = 0;
        if (random(4))
            ipc_call(portals[random(SERVERS)], &none, 0);
        else
            ctrl_sm(closed, random(3) ? tsc() + ticks(random(2000)) : 0, NOVA_SM_DOWN);
    }
    return 0;
}

static void random_caller(void *arg)
{
    unsigned n = (unsigned)(uintptr_t)arg;

    while (!over) {
        uint32_t mtd = 0;
        calls[n]++;
        ipc_call(portals[1 + random(SERVERS - 1)], &mtd, 0);
        answers[n]++;
        sleep_us(random(200));
    }
    sm_up(finished);
    thread_exit();
}

static void kill_server(unsigned n)
{
    drop(portals[n]);
    thread_free(servers[n]);
}

static void start_server(unsigned n)
{
    servers[n] = local_create(sys.bsp);
    portal_create_at(portals[n], servers[n], random_entry, n, 0);
}

static void at_random(unsigned deaths)
{
    unsigned waiting = 0;

    closed = sm_create(0);
    finished = sm_create(0);
    for (unsigned n = 0; n < SERVERS; n++) {
        portals[n] = SEL();
        start_server(n);
    }
    for (unsigned n = 0; n < CALLERS; n++)
        global_start(sys.bsp, 10 + 5 * n, random_caller, (void *)(uintptr_t)n);
    for (unsigned i = 0; i < deaths; i++) {
        unsigned n = 1 + random(SERVERS - 1);
        sleep_us(1000 + random(3000));
        kill_server(n);
        sleep_us(random(3000));
        start_server(n);
    }
    over = true;
    for (unsigned n = 1; n < SERVERS; n++)
        kill_server(n);
    for (unsigned n = 0; n < CALLERS; n++)
        waiting += sm_down_ms(finished, WAIT_MS) != NOVA_SUCCESS;
    tap_is(waiting, 0, "%u servers died: no caller waits in the end", deaths);
    for (unsigned n = 0; n < CALLERS; n++)
        tap_ok(answers[n] == calls[n] && calls[n] > deaths / 20, "caller %u: %u answers to %u calls", n,
               answers[n], calls[n]);
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    (void)hip;
    (void)magic;
    (void)mbi;
    death(false, "the next server is blocked");
    death(true, "the next server is busy for another caller, and blocked");
    at_random((unsigned)option("count", 300));
}
