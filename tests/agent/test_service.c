/*
 * The agent's connections and questions, with pipes, a console, and a time of the test's own.
 *
 * SPDX-License-Identifier: MIT
 */

#include "console.h"
#include "protocol.h"
#include "service.h"
#include "tap.h"

#include <nova/error.h>
#include <nova/pipe.h>
#include <nova/time.h>
#include <string.h>

struct nova_session_state fake_server_table[NOVA_SESSIONS_MAX];

static struct end {
    uint8_t in[8192], out[8192];
    size_t in_size, in_taken, out_size, room;
    bool closed;
} ends[NOVA_SESSIONS_MAX];

static uint64_t now = 1000 * NOVA_S;
static unsigned questions;
static bool open;
static enum verdict verdict;
static char question[512];

uint64_t nova_now(void)
{
    return now;
}

int nova_pipe_accept(struct nova_pipe *pipe, unsigned session)
{
    pipe->session.number = session;
    return session == 63 ? NOVA_ERR_INVAL : NOVA_OK;
}

long nova_pipe_read(struct nova_pipe *pipe, void *bytes, size_t size)
{
    struct end *e = &ends[pipe->session.number];
    size_t n = e->in_size - e->in_taken < size ? e->in_size - e->in_taken : size;

    memcpy(bytes, e->in + e->in_taken, n);
    e->in_taken += n;
    return n ? (long)n : NOVA_ERR_BUSY;
}

long nova_pipe_write(struct nova_pipe *pipe, const void *bytes, size_t size)
{
    struct end *e = &ends[pipe->session.number];
    size_t n = e->room < size ? e->room : size;

    memcpy(e->out + e->out_size, bytes, n);
    e->out_size += n;
    e->room -= n;
    return n ? (long)n : NOVA_ERR_BUSY;
}

void nova_pipe_close(struct nova_pipe *pipe)
{
    ends[pipe->session.number].closed = true;
}

void nova_server_release(unsigned session)
{
    ends[session].closed = true;
}

void console_ask(const char *text)
{
    CHECK(!open);
    open = true;
    verdict = UNDECIDED;
    questions++;
    snprintf(question, sizeof(question), "%s", text);
}

enum verdict console_verdict(void)
{
    return verdict;
}

void console_close(void)
{
    open = false;
}

static const char *load(const char *path)
{
    (void)path;
    return NULL;
}

static void connect(unsigned session, const char *name)
{
    memset(&ends[session], 0, sizeof(ends[session]));
    ends[session].room = sizeof(ends[session].out);
    strcpy(fake_server_table[session].peer, name);
    service_opened(session);
}

/* A request to sign comes in. */
static void want(unsigned session, unsigned key)
{
    struct end *e = &ends[session];
    struct writer w = {e->in, sizeof(e->in), e->in_size, false};

    write_u32(&w, 1 + 4 + KEY_BLOB + 4 + 5 + 4);
    write_u8(&w, 13);
    write_string(&w, key_blob(key).at, KEY_BLOB);
    write_string(&w, "hello", 5);
    write_u32(&w, 0);
    e->in_size = w.used;
}

/* As the main loop does it, until there is nothing to do. When it wants to be called next. */
static uint64_t run(void)
{
    uint64_t until;
    unsigned rounds = 0;

    do
        until = service_question();
    while (service_round() && CHECK(++rounds < 10000));
    return until;
}

/* The type of the next reply, which is taken away; 0: none. */
static int reply(unsigned session)
{
    struct end *e = &ends[session];
    struct reader r = {e->out, e->out_size, false};
    size_t size = read_u32(&r);
    int type = read_u8(&r);

    if (r.bad || e->out_size < 4 + size)
        return 0;
    e->out_size -= 4 + size;
    memmove(e->out, e->out + 4 + size, e->out_size);
    return type;
}

static void say(enum verdict v)
{
    verdict = v;
    run();
}

static void turns(void)
{
    for (unsigned i = 0; i < 4; i++)
        connect(i, "debian");
    connect(9, "build");
    for (unsigned i = 0; i < 4; i++)
        want(i, 0);
    ok(run() == now + 20 * NOVA_S && questions == 1 &&
           strstr(question, "debian wants to sign with work: 5 bytes"),
       "of four requests, one is asked");
    want(9, 1);
    run();
    ok(questions == 1 && !reply(9), "another domain waits for its turn");
    connect(10, "build");
    memcpy(ends[10].in, "\0\0\0\1\13", 5);
    ends[10].in_size = 5;
    run();
    ok(questions == 1 && reply(10) == 12, "what needs no answer is served meanwhile");
    say(GRANTED);
    ok(reply(1) + reply(0) == 14 && questions == 2 && strstr(question, "build wants to sign with deploy"),
       "allowed; then it is the other one's turn");
    say(REFUSED);
    ok(reply(9) == 5 && questions == 3 && strstr(question, "debian"), "refused; then the first one again");
    now += 19 * NOVA_S;
    run();
    ok(questions == 3, "it has some time");
    now += NOVA_S;
    run();
    ok(questions == 4, "then it is refused");
    say(NOBODY);
    ok(questions == 5, "nobody is there: refused at once");
}

/* The last request of turns() is asked for. */
static void gone(void)
{
    unsigned failures = 0;

    for (unsigned i = 0; i < 4; i++)
        failures += reply(i) == 5;
    ok(failures == 2 && open, "one question is open");
    for (unsigned i = 0; i < 4; i++)
        service_closed(i);
    ok(!open && run() == NOVA_NEVER, "its asker goes: there is no question any more");
    verdict = GRANTED;
    run();
    unsigned replies = 0;
    for (unsigned i = 0; i < 4; i++)
        replies += reply(i) == 14;
    ok(!replies, "a late answer is for nobody");
    connect(0, "debian");
    want(0, 0);
    run();
    ok(open && questions == 6, "the next one in its place is asked again");
    say(GRANTED);
    ok(reply(0) == 14, "and gets a signature");
}

static void flood(void)
{
    unsigned good = 0, bad = 0, before = questions;

    now += 100 * NOVA_S;
    for (unsigned i = 0; i < 4; i++)
        connect(20 + i, "robot");
    for (unsigned n = 0; n < 400; n++) {
        want(20 + n % 4, 0);
        run();
        int type = reply(20 + n % 4);
        good += type == 14;
        bad += type == 5;
        if (ends[20 + n % 4].in_taken == ends[20 + n % 4].in_size)
            ends[20 + n % 4].in_size = ends[20 + n % 4].in_taken = 0;
    }
    ok(good == 3 && bad == 397 && questions == before,
       "a flood of 400 gets three in a minute, and no questions");
    now += 61 * NOVA_S;
    want(20, 0);
    run();
    ok(reply(20) == 14, "later it goes on");
}

/* The same, and each is to be confirmed: the user is not asked more often than that. */
static void flood_of_questions(void)
{
    unsigned bad = 0, before = questions;

    for (unsigned i = 0; i < 4; i++)
        connect(40 + i, "crowd");
    for (unsigned n = 0; n < 400; n++) {
        struct end *e = &ends[40 + n % 4];
        want(40 + n % 4, 1);
        run();
        if (open)
            say(REFUSED);
        bad += reply(40 + n % 4) == 5;
        if (e->in_taken == e->in_size)
            e->in_size = e->in_taken = 0;
    }
    ok(bad == 400 && questions == before + 3, "a flood of 400 that are to be confirmed: three questions");
}

static void pieces(void)
{
    connect(30, "build");
    memcpy(ends[30].in, "\0\0\0\1\13", 5);
    for (ends[30].in_size = 1; ends[30].in_size < 5; ends[30].in_size++) {
        run();
        CHECK(!ends[30].out_size);
    }
    ends[30].room = 3;
    run();
    CHECK(ends[30].out_size == 3);
    ends[30].room = 100;
    run();
    CHECK(reply(30) == 12);
    ok_checks("a message in pieces, a reply without room");
    memcpy(ends[30].in, "\377\0\0\0", 4);
    ends[30].in_size = 4;
    ends[30].in_taken = 0;
    run();
    ok(ends[30].closed && !ends[30].out_size, "a bad frame ends the connection");
    connect(63, "build");
    ok(ends[63].closed, "a session that can be no pipe is released");
}

int main(void)
{
    static const char *const words[] = {"key=work",
                                        "key=deploy",
                                        "wait=20",
                                        "allow=debian,key=work",
                                        "allow=build,key=deploy",
                                        "allow=crowd,key=deploy,rate=3",
                                        "allow=robot,key=work,rate=3,confirm=no"};

    for (unsigned i = 0; i < sizeof(words) / sizeof(*words); i++)
        CHECK(!policy_word(words[i], load));
    turns();
    gone();
    flood();
    flood_of_questions();
    pieces();
    ok_checks("the console is asked one question at a time");
    return tap_done();
}
