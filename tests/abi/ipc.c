/*
 * Communication: ipc_call and ipc_reply (specification 2.3, 2.4, 4.3.1, 4.4.1, 5.2).
 *
 * Messages of every length, portal identifiers, the timeout flag, wrong CPUs, dead callees, nested
 * calls, calls into other PDs, donation and helping.
 *
 * SPDX-License-Identifier: MIT
 */

#include "system.h"
#include "tap.h"

static union nova_utcb *utcb(void)
{
    return thread_self()->utcb;
}

static uint64_t word(unsigned set, unsigned i)
{
    return 0x9e3779b97f4a7c15UL * (set * 1000 + i + 1);
}

static void fill(unsigned set)
{
    for (unsigned i = 0; i < NOVA_UTCB_WORDS; i++)
        utcb()->word[i] = word(set, i);
}

/* Words [from, to) of the UTCB that are not those of set. */
static unsigned differences(unsigned set, unsigned from, unsigned to)
{
    unsigned n = 0;

    for (unsigned i = from; i < to; i++)
        n += utcb()->word[i] != word(set, i);
    return n;
}

/* -- Messages -- */

static unsigned sent, answered, callee_wrong; /* words of request and reply; errors the callee saw */

/* A server whose UTCB holds set 2; expects sent words of set 1, then replies with set 3. */
PORTAL_ENTRY(message_entry, on_message);

static uint32_t on_message(uint64_t pid, uint32_t mtd)
{
    (void)pid;
    callee_wrong += differences(1, 0, sent) + differences(2, sent, NOVA_UTCB_WORDS);
    callee_wrong += (mtd & 0x1ff) != NOVA_MTD_WORDS(sent);
    fill(3);
    return NOVA_MTD_WORDS(answered);
}

/* Puts set 2 into the server's UTCB. */
PORTAL_ENTRY(prepare_entry, on_prepare);

static uint32_t on_prepare(uint64_t pid, uint32_t mtd)
{
    (void)pid;
    (void)mtd;
    fill(2);
    return 0;
}

static void messages(const struct thread *server)
{
    uint64_t prepare = portal_create(server, prepare_entry, 0, 0);
    uint64_t message = portal_create(server, message_entry, 0, 0);
    unsigned wrong = 0, failed = 0, bad_mtd = 0;

    for (sent = 1; sent <= NOVA_UTCB_WORDS; sent++) {
        uint32_t mtd = 0;

        answered = NOVA_UTCB_WORDS + 1 - sent;
        failed += ipc_call(prepare, &mtd, 0) != NOVA_SUCCESS;
        fill(1);
        mtd = NOVA_MTD_WORDS(sent);
        failed += ipc_call(message, &mtd, 0) != NOVA_SUCCESS;
        bad_mtd += (mtd & 0x1ff) != NOVA_MTD_WORDS(answered);
        wrong += differences(3, 0, answered) + differences(1, answered, NOVA_UTCB_WORDS);
    }
    tap_is(failed, 0, "1 to 512 words: calls succeed");
    tap_is(callee_wrong, 0, "1 to 512 words: the callee gets these words and no others, and the count");
    tap_is(bad_mtd, 0, "1 to 512 words: the caller gets the count of the reply");
    tap_is(wrong, 0, "1 to 512 words: the caller gets the words of the reply and no others");
}

/* -- Portal identifiers -- */

PORTAL_ENTRY(pid_entry, on_pid);

static uint32_t on_pid(uint64_t pid, uint32_t mtd)
{
    (void)mtd;
    utcb()->word[0] = pid;
    return 0;
}

static uint64_t call(uint64_t portal)
{
    uint32_t mtd = 0;

    return ipc_call(portal, &mtd, 0) == NOVA_SUCCESS ? utcb()->word[0] : 0xbad;
}

static void identifiers(const struct thread *server)
{
    uint64_t first = SEL(), second = portal_create(server, pid_entry, 0x1234, 0);

    must(create_pt(first, sys.root.pd, server->ec, (uint64_t)pid_entry), "create_pt");
    tap_is(call(first), 0, "the initial portal identifier is 0");
    must(ctrl_pt(first, 0xfedcba9876543210, 0), "ctrl_pt");
    tap_is(call(first), 0xfedcba9876543210, "ctrl_pt sets all 64 bits of it");
    tap_is(call(second), 0x1234, "each portal has its own");
}

/* -- Nested calls -- */

#define DEPTH 16

static uint64_t chain[DEPTH];

PORTAL_ENTRY(chain_entry, on_chain);

/* Adds one and passes the call on. */
static uint32_t on_chain(uint64_t pid, uint32_t mtd)
{
    utcb()->word[0]++;
    if (pid + 1 < DEPTH)
        must(ipc_call(chain[pid + 1], &mtd, 0), "nested ipc_call");
    return 0;
}

static void nesting(void)
{
    for (unsigned i = 0; i < DEPTH; i++)
        chain[i] = portal_create(local_create(sys.bsp), chain_entry, i, 0);
    utcb()->word[0] = 100;
    tap_is(call(chain[0]), 100 + DEPTH, "a call through %u threads", DEPTH);
    utcb()->word[0] = 200;
    tap_is(call(chain[0]), 200 + DEPTH, "and again");
}

/* -- Another PD -- */

static void other_pd(void)
{
    struct pd pd;

    pd_create(&pd);
    pd_share_image(&pd);

    const struct thread *server = thread_create(&pd, sys.bsp, STANDARD_EVENTS(sys.bsp), 0);
    uint64_t portal = portal_create(server, pid_entry, 77, 0);

    tap_is(call(portal), 77, "a call into another PD");
    callee_wrong = 0;
    messages(server);
}

/* -- Another CPU -- */

static void other_cpu(void)
{
    unsigned cpu = (sys.bsp + 1) % sys.cpus;
    uint32_t mtd = 0;

    if (sys.cpus == 1) {
        tap_skip("one CPU", "callee on another CPU");
        return;
    }

    uint64_t portal = portal_create(local_create(cpu), pid_entry, 0, 0);

    tap_is(ipc_call(portal, &mtd, 0), NOVA_BAD_CPU, "callee on another CPU");
    tap_is(ipc_call(portal, &mtd, NOVA_CALL_TIMEOUT), NOVA_BAD_CPU, "callee on another CPU, timeout flag");
}

/* -- Dead callee -- */

PORTAL_ENTRY(die_entry, on_die);

static uint32_t on_die(uint64_t pid, uint32_t mtd)
{
    (void)pid;
    __asm__ volatile("ud2");
    return mtd;
}

static void dead_callee(void)
{
    /* Without event portals an exception kills. */
    const struct thread *server = thread_create(&sys.root, sys.bsp, sys.hip->sel_num - 0x80, 0);
    const struct thread *middle = local_create(sys.bsp);
    uint64_t portal = portal_create(server, die_entry, 0, 0);
    uint32_t mtd = 0;

    tap_is(ipc_call(portal, &mtd, 0), NOVA_ABORTED, "a callee that dies during the call");
    tap_is(ipc_call(portal, &mtd, 0), NOVA_ABORTED, "a callee that is dead");
    tap_is(ipc_call(portal_create(server, pid_entry, 0, 0), &mtd, 0), NOVA_ABORTED, "another portal of it");
    tap_is(call(portal_create(middle, pid_entry, 5, 0)), 5, "other threads are not affected");
}

/* -- A busy callee: timeout and helping -- */

static uint64_t gate; /* the busy server blocks on it */
static uint64_t busy_portal;
static uint64_t entered;          /* upped by the busy server */
static uint64_t caller_done; /* upped by the first caller */
static unsigned served;

PORTAL_ENTRY(busy_entry, on_busy);

static uint32_t on_busy(uint64_t pid, uint32_t mtd)
{
    (void)pid;
    (void)mtd;
    sm_up(entered);
    sm_down(gate);
    served++;
    return 0;
}

static void first_caller(void *arg)
{
    uint32_t mtd = 0;

    *(unsigned *)arg = ipc_call(busy_portal, &mtd, 0);
    sm_up(caller_done);
}

static void open_gate(void *arg)
{
    (void)arg;
    sm_up(gate);
    sm_up(gate);
}

static void busy_callee(void)
{
    unsigned status = 99;
    uint32_t mtd = 0;

    gate = sm_create(0);
    entered = sm_create(0);
    caller_done = sm_create(0);
    busy_portal = portal_create(local_create(sys.bsp), busy_entry, 0, 0);
    global_start(sys.bsp, 10, first_caller, &status);
    sm_down(entered);

    tap_is(ipc_call(busy_portal, &mtd, NOVA_CALL_TIMEOUT), NOVA_TIMEOUT, "a busy callee, timeout flag");
    global_start(sys.bsp, 5, open_gate, NULL);
    tap_is(ipc_call(busy_portal, &mtd, 0), NOVA_SUCCESS, "a busy callee: the call waits until it is free");
    tap_is(served, 2, "both calls were served");
    tap_is(sm_down_ms(caller_done, 1000), NOVA_SUCCESS, "the first caller got its reply");
    tap_is(status, NOVA_SUCCESS, "with success");
}

/* -- Helping bounds priority inversion -- */

static uint64_t slow_portal[2];
static volatile bool in_server, high_done, low_done, medium_gave_up;
static uint64_t all_done;

PORTAL_ENTRY(slow_entry, on_slow);

/* Pid 1 passes the call on, pid 0 is busy for some milliseconds. */
static uint32_t on_slow(uint64_t pid, uint32_t mtd)
{
    if (pid) {
        must(ipc_call(slow_portal[0], &mtd, 0), "ipc_call");
        return 0;
    }
    in_server = true;
    for (volatile unsigned i = 0; i < 3000000; i++)
        continue;
    return 0;
}

static void low(void *arg)
{
    uint32_t mtd = 0;

    ipc_call(*(uint64_t *)arg, &mtd, 0);
    low_done = true;
    sm_up(all_done);
}

/* Keeps low from running until high is done. */
static void medium(void *arg)
{
    uint64_t end = tsc() + ticks(5000000);

    (void)arg;
    while (!high_done && !medium_gave_up)
        medium_gave_up = tsc() > end;
    sm_up(all_done);
}

static void high(void *arg)
{
    uint32_t mtd = 0;

    ipc_call(*(uint64_t *)arg, &mtd, 0);
    high_done = true;
    sm_up(all_done);
}

static void helping(unsigned depth, const char *what)
{
    all_done = sm_create(0);
    in_server = high_done = low_done = medium_gave_up = false;
    slow_portal[0] = portal_create(local_create(sys.bsp), slow_entry, 0, 0);
    slow_portal[1] = portal_create(local_create(sys.bsp), slow_entry, 1, 0);

    global_start(sys.bsp, 10, low, &slow_portal[depth]);
    while (!in_server)
        sleep_us(100);
    bool busy = !low_done;

    global_start(sys.bsp, 20, medium, NULL);
    sleep_us(300);
    global_start(sys.bsp, 30, high, &slow_portal[depth]);
    for (unsigned i = 0; i < 3; i++)
        sm_down_ms(all_done, 20000);
    tap_ok(busy && high_done && low_done && !medium_gave_up,
           "%s: a medium thread cannot keep the high one from the server", what);
}

/* -- Donation -- */

static uint64_t donor_done;

static void donor(void *arg)
{
    uint32_t mtd = 0;

    ipc_call(*(uint64_t *)arg, &mtd, 0);
    sm_up(donor_done);
    sm_down(sys.never);
}

/* The time the server takes is the caller's: its SC pays, through two servers. */
static void donation(void)
{
    uint64_t before, after = 0, spent = 0;

    donor_done = sm_create(0);
    before = tsc();
    const struct thread *t = global_start(sys.bsp, 50, donor, &slow_portal[1]);

    must(sm_down_ms(donor_done, 20000), "waiting for the donor");
    after = tsc();
    must(ctrl_sc(t->sc, &spent), "ctrl_sc");
    tap_ok(spent > (after - before) / 2, "donation: the caller's SC paid for %lu of %lu ticks", spent,
           after - before);
}

/* -- ipc_reply without a caller -- */

static uint64_t alive;

static void reply_only(void *arg)
{
    (void)arg;
    sm_up(alive);
    ipc_reply(0);
}

static void no_caller(const struct thread *server)
{
    alive = sm_create(0);
    global_start(sys.bsp, 60, reply_only, NULL);
    must(sm_down_ms(alive, 1000), "waiting for a thread");
    sleep_us(1000);
    tap_is(call(portal_create(server, pid_entry, 11, 0)), 11,
           "ipc_reply of a thread without caller harms nobody");
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    const struct thread *server = local_create(sys.bsp);

    (void)hip;
    (void)magic;
    (void)mbi;
    messages(server);
    identifiers(server);
    nesting();
    other_pd();
    other_cpu();
    dead_callee();
    busy_callee();
    helping(0, "helping");
    helping(1, "helping along a chain of calls");
    donation();
    no_caller(server);
}
