/*
 * What becomes of callers when an EC dies that has called another one itself: they get their answer at once, although
 * what that other one waits for never comes.
 *
 * SPDX-License-Identifier: MIT
 */

#include "system.h"
#include "tap.h"

#define UNKNOWN 99
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

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    (void)hip;
    (void)magic;
    (void)mbi;
    death(false, "the next server is blocked");
    death(true, "the next server is busy for another caller, and blocked");
}
