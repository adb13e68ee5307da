/*
 * Services behind sockets: sessions that open at once, later, or never; bytes and credit both ways; every order of ends; services that
 * go, crash, write nonsense. The socket device and the system are fakes, pipes are real; the test is the service, too.
 *
 * Sources: services.c ../libnova/src/pipe.c ../libnova/src/stream.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "tap.h"

#include "services.h"
#include "virtio/vsock.h"

#include <nova/error.h>
#include <nova/log.h>
#include <nova/pipe.h>
#include <nova/sync.h>
#include <nova/thread.h>
#include <stdlib.h>
#include <string.h>

#define PORT 22
#define BUFFER NOVA_PIPE_SOCKET
#define SIZE NOVA_PIPE_SIZE(BUFFER)
#define BOTH (0U + VSOCK_NO_SEND + VSOCK_NO_RECEIVE)

static uint64_t seed = 99, now;
static bool locked;

/* -- The socket device -- */

static const struct vsock_backend *backend;
static void *object;
static struct connection {
    void *its;
    bool open, ready;
    unsigned accepted, refused, closes, over; /* over: what the service's end has said */
    uint64_t consumed;
} device[VSOCK_CONNECTIONS + 1];

bool vsock_add(uint32_t port, const struct vsock_backend *its, void *what)
{
    backend = its;
    object = what;
    return port == PORT;
}

void vsock_lock(void)
{
    CHECK(!locked);
    locked = true;
}

void vsock_unlock(void)
{
    CHECK(locked);
    locked = false;
}

static void device_close(struct connection *c)
{
    if (c->open) {
        c->open = false;
        c->closes++;
        backend->close(c->its);
    }
}

void vsock_answer(uint32_t number, bool accepted)
{
    struct connection *c = &device[number];

    CHECK(locked && c->open);
    c->accepted += accepted;
    c->refused += !accepted;
    if (!accepted)
        device_close(c);
}

void vsock_consumed(uint32_t number, uint32_t bytes)
{
    CHECK(locked && bytes <= BUFFER);
    device[number].consumed += bytes;
}

void vsock_ready(uint32_t number)
{
    device[number].ready = true;
}

void vsock_reset(uint32_t number)
{
    CHECK(locked);
    device_close(&device[number]);
}

void vsock_shutdown(uint32_t number, unsigned how)
{
    CHECK(locked && how && !(how & ~BOTH));
    device[number].over |= how;
}

/* -- The system -- */

static struct service {
    bool open, alive;
    void *buffer;
    struct nova_pipe pipe; /* its own side */
} service[VSOCK_CONNECTIONS];
static int open_error;
static unsigned opens, closes, tries;
static struct connection *closes_while_opening;

int nova_session_open_shared(struct nova_session *session, const char *name, size_t size, uint64_t deadline,
                             uint64_t bell)
{
    unsigned n = 0;

    CHECK(!locked && !strcmp(name, "vault") && size == SIZE && !deadline && bell == 77);
    tries++;
    if (closes_while_opening) {
        vsock_lock();
        device_close(closes_while_opening);
        vsock_unlock();
        closes_while_opening = NULL;
    }
    if (open_error)
        return open_error;
    while (service[n].open)
        n++;
    CHECK(n < VSOCK_CONNECTIONS);
    service[n].buffer = aligned_alloc(4096, SIZE);
    memset(service[n].buffer, 0, SIZE);
    *session = (struct nova_session){.buffer = service[n].buffer, .size = size, .number = n, .portal = 1};
    service[n].open = service[n].alive = true;
    service[n].pipe = (struct nova_pipe){
        .session = *session, .bytes = SIZE / 2, .capacity = nova_stream_capacity(SIZE / 2)};
    service[n].pipe.in = service[n].buffer;
    service[n].pipe.out = (void *)((char *)service[n].buffer + SIZE / 2);
    opens++;
    return 0;
}

bool nova_session_alive(const struct nova_session *session)
{
    return service[session->number].alive;
}

int nova_session_ring(const struct nova_session *session)
{
    return nova_session_alive(session) ? 0 : NOVA_ERR_PEER;
}

void nova_session_close(struct nova_session *session)
{
    struct service *s = &service[session->number];

    CHECK(!locked && s->open);
    free(s->buffer);
    s->open = s->alive = false;
    closes++;
}

int nova_server_ring(unsigned session)
{
    return session ? NOVA_ERR_PEER : 0;
}

void nova_server_release(unsigned session)
{
    (void)session;
}

int nova_sm_create(uint64_t *sel, uint64_t count)
{
    *sel = 77 + count;
    return 0;
}

int nova_sm_up(uint64_t sel)
{
    return CHECK(sel == 77) ? 0 : NOVA_ERR_INVAL;
}

int nova_sm_drain(uint64_t sel, uint64_t deadline)
{
    return deadline ? (int)sel : 0;
}

int nova_thread_create(struct nova_thread **thread, void (*entry)(void *), void *context,
                       const struct nova_thread_options *options)
{
    *thread = context;
    return CHECK(entry && options->detached) ? 0 : NOVA_ERR_INVAL;
}

uint64_t nova_now(void)
{
    return now;
}

void nova_print(const char *format, ...)
{
    (void)format;
}

const char *nova_error_text(int error)
{
    return error ? "error" : "";
}

/* -- Tests -- */

static uint32_t rnd(uint32_t n)
{
    return (uint32_t)(tap_random(&seed) % n);
}

/* Connection `number` of the guest. */
static enum vsock_answer dial(unsigned number)
{
    enum vsock_answer answer;

    device[number] = (struct connection){.open = true};
    vsock_lock();
    answer = backend->connect(object, number, &device[number].its);
    vsock_unlock();
    device[number].open = answer != VSOCK_REFUSED;
    return answer;
}

static void guest_closes(unsigned number)
{
    vsock_lock();
    device_close(&device[number]);
    vsock_unlock();
    services_step();
}

static void guest_shuts(unsigned number, unsigned how)
{
    vsock_lock();
    backend->shutdown(device[number].its, how);
    vsock_unlock();
}

static void send(unsigned number, const void *bytes, size_t count)
{
    vsock_lock();
    backend->send(device[number].its, bytes, count);
    vsock_unlock();
}

static size_t receive(unsigned number, void *bytes, size_t count)
{
    size_t done;

    vsock_lock();
    done = backend->receive(device[number].its, bytes, count);
    vsock_unlock();
    return done;
}

/* A connection that is open; the service's side. */
static struct nova_pipe *fresh(unsigned number)
{
    unsigned n = 0;

    services_step(); /* closes the last ones */
    while (service[n].open)
        n++;
    CHECK(dial(number) == VSOCK_LATER && services_step() == NOVA_NEVER && device[number].accepted == 1);
    return &service[n].pipe;
}

static void test_open(void)
{
    unsigned later = 0, before;
    uint64_t start = now, next;

    fresh(1);
    CHECK(opens == 1 && device[1].accepted == 1);
    guest_closes(1);
    CHECK(closes == 1 && device[1].closes == 1);
    /* Not there: tried again for some time, and then refused. */
    open_error = NOVA_ERR_ABSENT;
    CHECK(dial(1) == VSOCK_LATER);
    while ((next = services_step()) != NOVA_NEVER && device[1].open) {
        CHECK(next > now && next <= now + 100 * NOVA_MS);
        now = next;
    }
    services_step();
    CHECK(device[1].refused == 1 && now - start > NOVA_S && now - start < 2 * NOVA_S);
    /* It comes back. */
    CHECK(dial(1) == VSOCK_LATER && services_step() != NOVA_NEVER);
    open_error = 0;
    now += 20 * NOVA_MS;
    CHECK(services_step() == NOVA_NEVER && device[1].accepted == 1);
    guest_closes(1);
    /* The guest does not wait. */
    open_error = NOVA_ERR_ABSENT;
    dial(1);
    services_step();
    before = tries;
    guest_closes(1);
    CHECK(services_step() == NOVA_NEVER && tries == before && !device[1].accepted && !device[1].refused);
    /* It goes at the moment at which the session opens. */
    open_error = 0;
    dial(1);
    closes_while_opening = &device[1];
    next = services_step();
    CHECK(next <= now && !device[1].accepted);
    CHECK(services_step() == NOVA_NEVER && opens == closes);
    /* What will not get better is refused at once; too many sessions, after a little. */
    open_error = NOVA_ERR_INVAL;
    dial(1);
    CHECK(services_step() == NOVA_NEVER && device[1].refused == 1);
    services_step();
    open_error = NOVA_ERR_LIMIT;
    dial(1);
    CHECK(services_step() != NOVA_NEVER);
    now += NOVA_S;
    CHECK(services_step() == NOVA_NEVER && device[1].refused == 1);
    services_step();
    /* As many as the device has. */
    open_error = 0;
    for (unsigned i = 0; i <= VSOCK_CONNECTIONS; i++)
        later += dial(i) == VSOCK_LATER;
    services_step();
    CHECK(later == VSOCK_CONNECTIONS && device[VSOCK_CONNECTIONS - 1].accepted == 1);
    for (unsigned i = 0; i < VSOCK_CONNECTIONS; i++)
        guest_closes(i);
    CHECK(opens == closes);
    ok_checks("sessions open at once, later, or not at all");
}

static void test_traffic(void)
{
    struct nova_pipe *pipe = fresh(1);
    uint64_t sent = 0, read = 0, written = 0, received = 0;
    uint8_t bytes[5000];

    for (unsigned i = 0; i < 100000; i++) {
        uint32_t n = 1 + rnd(sizeof(bytes)), credit = BUFFER - (uint32_t)(sent - device[1].consumed);
        long done;

        switch (rnd(5)) {
        case 0:
            n = n < credit ? n : credit;
            for (uint32_t k = 0; k < n; k++)
                bytes[k] = (uint8_t)((sent + k) * 3);
            if (n)
                send(1, bytes, n);
            sent += n;
            break;
        case 1:
            done = nova_pipe_read(pipe, bytes, n);
            CHECK(done > 0 || done == NOVA_ERR_BUSY);
            for (long k = 0; k < done; k++)
                CHECK(bytes[k] == (uint8_t)(read++ * 3));
            break;
        case 2:
            for (uint32_t k = 0; k < n; k++)
                bytes[k] = (uint8_t)((written + k) * 5);
            done = nova_pipe_write(pipe, bytes, n);
            CHECK(done > 0 || done == NOVA_ERR_BUSY);
            written += done > 0 ? (uint64_t)done : 0;
            break;
        case 3:
            n = (uint32_t)receive(1, bytes, n);
            for (uint32_t k = 0; k < n; k++)
                CHECK(bytes[k] == (uint8_t)(received++ * 5));
            break;
        default:
            device[1].ready = false;
            services_step();
            CHECK(device[1].ready == (received < written));
        }
        CHECK(device[1].consumed <= read && device[1].open);
    }
    services_step();
    CHECK(device[1].consumed == read && sent > 10 * BUFFER && received > 10 * BUFFER);
    /* One byte more than the credit: this cannot be, but harms nobody. */
    while (device[1].open)
        send(1, bytes, 1);
    services_step();
    CHECK(opens == closes);
    ok_checks("bytes both ways in order; credit is what the service has read");
}

static void test_ends(void)
{
    struct nova_pipe *pipe = fresh(1);
    static char bytes[2 * BUFFER];

    /* The guest ends; the service answers, ends, goes. */
    send(1, "abc", 3);
    guest_shuts(1, VSOCK_NO_SEND);
    CHECK(nova_pipe_read(pipe, bytes, 10) == 3 && nova_pipe_read(pipe, bytes, 10) == 0);
    CHECK(nova_pipe_write(pipe, "xyz", 3) == 3 && !nova_pipe_end(pipe));
    services_step();
    CHECK(device[1].ready && !device[1].over);
    CHECK(receive(1, bytes, 2) == 2 && !device[1].over);
    CHECK(receive(1, bytes, 2) == 1 && device[1].over == VSOCK_NO_SEND);
    service[pipe->session.number].alive = false;
    services_step();
    CHECK(device[1].over == BOTH && device[1].open);
    guest_shuts(1, BOTH);
    CHECK(!device[1].open && device[1].closes == 1);
    services_step();
    CHECK(opens == closes);
    /* The guest wants nothing more: what it has sent is read, what it would get is thrown away, and then it is over. */
    pipe = fresh(2);
    send(2, "abc", 3);
    guest_shuts(2, BOTH);
    CHECK(device[2].open && nova_pipe_write(pipe, bytes, sizeof(bytes)) == BUFFER);
    services_step();
    CHECK(device[2].open && nova_pipe_room(pipe) == BUFFER && nova_pipe_read(pipe, bytes, 10) == 3);
    CHECK(nova_pipe_read(pipe, bytes, 10) == 0 && !nova_pipe_end(pipe));
    services_step();
    CHECK(!device[2].open && device[2].closes == 1);
    services_step();
    CHECK(opens == closes);
    /* The service has the last word, and is gone; what the guest still sends goes nowhere, with its credit. */
    pipe = fresh(3);
    CHECK(nova_pipe_write(pipe, "bye", 3) == 3 && !nova_pipe_end(pipe));
    service[pipe->session.number].alive = false;
    send(3, "hello", 5);
    CHECK(device[3].open && device[3].consumed == 5 && receive(3, bytes, 10) == 3 && device[3].over == BOTH);
    guest_closes(3);
    /* It goes without a word, or in the middle: reset. */
    pipe = fresh(4);
    CHECK(nova_pipe_write(pipe, "by", 2) == 2);
    service[pipe->session.number].alive = false;
    services_step();
    CHECK(device[4].open && receive(4, bytes, 10) == 2 && !device[4].open);
    pipe = fresh(5);
    service[pipe->session.number].alive = false;
    send(5, "hello", 5);
    CHECK(!device[5].open && device[5].closes == 1);
    services_step();
    CHECK(opens == closes);
    ok_checks("ends and deaths, in every order");
}

/* Whatever the service writes, a guest within its credit gets bytes, or a reset. */
static void test_hostile(void)
{
    unsigned resets = 0;

    for (unsigned round = 0; round < 3000; round++) {
        struct nova_pipe *pipe = fresh(1);
        static uint8_t bytes[2 * BUFFER];
        uint64_t sent = 0;

        for (unsigned i = 0; i < 12 && device[1].open; i++) {
            struct nova_stream *s = rnd(2) ? pipe->in : pipe->out;
            uint32_t *word[] = {&s->head, &s->tail, &s->over, &s->get_event, &s->put_event};
            uint32_t n = 1 + rnd(BUFFER), credit = BUFFER - (uint32_t)(sent - device[1].consumed);

            if (rnd(3))
                *word[rnd(5)] += rnd(2) ? rnd(2 * BUFFER) : -rnd(2 * BUFFER);
            n = n < credit ? n : credit;
            CHECK(credit <= BUFFER);
            if (rnd(2) && n) {
                sent += n;
                send(1, bytes, n);
            } else if (rnd(2)) {
                CHECK(receive(1, bytes, BUFFER) <= BUFFER);
            } else {
                services_step();
            }
            if (rnd(20) == 0)
                service[pipe->session.number].alive = false;
            if (rnd(20) == 0 && device[1].open)
                guest_shuts(1, VSOCK_NO_RECEIVE);
        }
        resets += !device[1].open;
        guest_closes(1);
        CHECK(device[1].closes == 1 && device[1].consumed <= sent);
    }
    CHECK(resets > 100 && opens == closes);
    ok_checks("services that write nonsense: %u of 3000 connections are reset", resets);
}

int main(void)
{
    CHECK(services_add(PORT, "vault") && !services_start() && backend->buffer == BUFFER);
    test_open();
    test_traffic();
    test_ends();
    test_hostile();
    return tap_done();
}
