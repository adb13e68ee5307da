/*
 * Pipes: random traffic both ways around the wrap of the indices, ends, bells that must not get lost between two threads, peers
 * that go, and hostile ones.
 *
 * Sources: libnova/src/pipe.c libnova/src/stream.c
 * Fakes: sync.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "tap.h"

#include <nova/error.h>
#include <nova/pipe.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CAPACITY 2048
#define SIZE NOVA_PIPE_SIZE(CAPACITY)
#define SESSION 7

struct nova_session_state fake_server_table[NOVA_SESSIONS_MAX];

static uint64_t seed = 815;
static bool client_alive;
static sem_t bell_of_client, bell_of_server;
static unsigned rings_client, rings_server; /* atomic */
static void *buffer;
static struct nova_pipe client, server;

int nova_session_open_shared(struct nova_session *session, const char *name, size_t size, uint64_t deadline,
                             uint64_t bell)
{
    (void)name;
    (void)deadline;
    CHECK(!bell);
    session->buffer = buffer;
    session->size = size;
    return 0;
}

bool nova_session_alive(const struct nova_session *session)
{
    const struct nova_session_state *state = &fake_server_table[SESSION];

    if (session->number != NOVA_SESSIONS_MAX + SESSION)
        return client_alive;
    return state->phase == NOVA_SESSION_OPEN && state->generation == session->generation;
}

int nova_session_ring(const struct nova_session *session)
{
    bool to_client = session->number == NOVA_SESSIONS_MAX + SESSION;

    __atomic_fetch_add(to_client ? &rings_client : &rings_server, 1, __ATOMIC_SEQ_CST);
    sem_post(to_client ? &bell_of_client : &bell_of_server);
    return nova_session_alive(session) ? NOVA_OK : NOVA_ERR_PEER;
}

void nova_session_close(struct nova_session *session)
{
    if (session->number == NOVA_SESSIONS_MAX + SESSION)
        fake_server_table[SESSION].phase = NOVA_SESSION_FREE;
    else
        client_alive = false;
}

static uint32_t rnd(uint32_t n)
{
    return (uint32_t)(tap_random(&seed) % n);
}

/* Both sides of a new pipe, with fresh memory, and its indices near the wrap. */
static void fresh(uint32_t index)
{
    memset(buffer, 0, SIZE);
    client_alive = true;
    fake_server_table[SESSION] = (struct nova_session_state){
        .phase = NOVA_SESSION_OPEN, .generation = 3, .buffer = (uint64_t)buffer, .pages = SIZE / 4096};
    CHECK(!nova_pipe_open(&client, "x", SIZE, 0) && !nova_pipe_accept(&server, SESSION));
    client.out->head = client.out->tail = index;
    server.out->head = server.out->tail = index;
    rings_client = rings_server = 0;
}

static void test_limits(void)
{
    fresh(0);
    CHECK(nova_pipe_open(&client, "x", 4096, 0) == NOVA_ERR_INVAL);
    fake_server_table[SESSION].pages = 1;
    CHECK(nova_pipe_accept(&server, SESSION) == NOVA_ERR_INVAL);
    fake_server_table[SESSION].phase = NOVA_SESSION_GONE;
    CHECK(nova_pipe_accept(&server, SESSION) == NOVA_ERR_PEER);
    ok_checks("buffers that are too small, clients that are gone");
}

static void test_traffic(void)
{
    unsigned char text[3000];
    uint8_t in[2] = {0}, out[2] = {0};
    long held[2] = {0};

    fresh(UINT32_MAX - 5000);
    for (unsigned i = 0; i < 200000; i++) {
        unsigned way = rnd(2);
        struct nova_pipe *from = way ? &server : &client, *to = way ? &client : &server;
        uint32_t n = 1 + rnd(sizeof(text));
        long done;

        if (rnd(2)) {
            long room = CAPACITY - held[way];

            for (uint32_t k = 0; k < n; k++)
                text[k] = (uint8_t)(in[way] + k);
            CHECK(nova_pipe_room(from) == (room ? room : NOVA_ERR_BUSY));
            done = nova_pipe_write(from, text, n);
            CHECK(done == (room ? ((long)n < room ? (long)n : room) : NOVA_ERR_BUSY));
            in[way] = (uint8_t)(in[way] + (done > 0 ? done : 0));
            held[way] += done > 0 ? done : 0;
        } else {
            CHECK(nova_pipe_waiting(to) == (held[way] ? held[way] : NOVA_ERR_BUSY));
            done = nova_pipe_read(to, text, n);
            CHECK(done == (held[way] ? ((long)n < held[way] ? (long)n : held[way]) : NOVA_ERR_BUSY));
            for (long k = 0; k < done; k++)
                CHECK(text[k] == (uint8_t)(out[way] + k));
            out[way] = (uint8_t)(out[way] + (done > 0 ? done : 0));
            held[way] -= done > 0 ? done : 0;
        }
    }
    ok_checks("random traffic both ways");
}

/* Nobody is rung who does not wait. */
static void test_rings(void)
{
    char text[CAPACITY] = {0};

    fresh(100);
    CHECK(nova_pipe_read(&server, text, 1) == NOVA_ERR_BUSY);
    for (unsigned i = 0; i < 10; i++)
        CHECK(nova_pipe_write(&client, text, 100) == 100);
    CHECK(rings_server == 1 && rings_client == 0);
    for (unsigned i = 0; i < 100; i++)
        CHECK(nova_pipe_read(&server, text, 10) == 10);
    CHECK(rings_server == 1 && rings_client == 0);
    CHECK(nova_pipe_write(&client, text, CAPACITY) == CAPACITY && rings_server == 1);
    CHECK(nova_pipe_read(&server, text, CAPACITY / 2 - 1) == CAPACITY / 2 - 1 && rings_client == 0);
    CHECK(nova_pipe_read(&server, text, 1) == 1 && rings_client == 1);
    CHECK(nova_pipe_read(&server, text, CAPACITY) == CAPACITY / 2 && rings_client == 1);
    ok_checks("a bell rings once: for the first byte, and when half has been read");
}

static void test_end(void)
{
    char text[10];

    fresh(0);
    CHECK(nova_pipe_write(&client, "abc", 3) == 3 && !nova_pipe_end(&client));
    CHECK(nova_pipe_write(&client, "d", 1) == NOVA_ERR_INVAL && nova_pipe_room(&client) == NOVA_ERR_INVAL);
    CHECK(rings_server == 2 && nova_pipe_waiting(&server) == 3);
    CHECK(nova_pipe_read(&server, text, 2) == 2 && nova_pipe_read(&server, text, 2) == 1);
    CHECK(nova_pipe_read(&server, text, 2) == 0 && nova_pipe_waiting(&server) == 0);
    CHECK(nova_pipe_write(&server, "xyz", 3) == 3 && !nova_pipe_end(&server));
    /* The server has said all, and goes. */
    nova_pipe_close(&server);
    CHECK(fake_server_table[SESSION].phase == NOVA_SESSION_FREE);
    client_alive = false;
    CHECK(nova_pipe_read(&client, text, 10) == 3 && !memcmp(text, "xyz", 3));
    CHECK(nova_pipe_read(&client, text, 10) == 0 && nova_pipe_end(&client) == NOVA_ERR_PEER);
    ok_checks("an end in each direction; what a server has said before it goes can be read");
}

static void test_gone(void)
{
    char text[10];

    fresh(0);
    CHECK(nova_pipe_write(&server, "abc", 3) == 3);
    client_alive = false;
    CHECK(nova_pipe_write(&client, "d", 1) == NOVA_ERR_PEER && nova_pipe_read(&client, text, 10) == 3);
    CHECK(nova_pipe_read(&client, text, 10) == NOVA_ERR_PEER && nova_pipe_waiting(&client) == NOVA_ERR_PEER);
    fresh(0);
    CHECK(nova_pipe_write(&client, "abc", 3) == 3);
    /* The place has been given to the next client. */
    fake_server_table[SESSION].generation++;
    memset(buffer, 0x55, SIZE);
    CHECK(nova_pipe_read(&server, text, 10) == NOVA_ERR_PEER &&
          nova_pipe_write(&server, "d", 1) == NOVA_ERR_PEER);
    CHECK(nova_pipe_room(&server) == NOVA_ERR_PEER && nova_pipe_waiting(&server) == NOVA_ERR_PEER);
    nova_pipe_close(&server);
    CHECK(fake_server_table[SESSION].phase == NOVA_SESSION_OPEN);
    ok_checks("a peer that is gone; the next one in its place is left alone");
}

static void test_hostile(void)
{
    unsigned char text[3000];
    unsigned ended = 0;

    fresh(0);
    client.out->over = 2;
    CHECK(nova_pipe_read(&server, text, 1) == NOVA_ERR_PROTOCOL);
    client.out->over = 0;
    CHECK(nova_pipe_read(&server, text, 1) == NOVA_ERR_PROTOCOL &&
          nova_pipe_room(&server) == NOVA_ERR_PROTOCOL);
    for (unsigned i = 0; i < 20000; i++) {
        fresh(rnd(2) ? 0 : (uint32_t)tap_random(&seed));
        for (unsigned k = 0; k < 8; k++) {
            struct nova_stream *s = rnd(2) ? server.in : server.out;
            uint32_t *word[] = {&s->head, &s->over, &s->get_event, &s->tail, &s->put_event};
            uint32_t value = rnd(3) ? rnd(CAPACITY + 2) : (uint32_t)tap_random(&seed);
            long n;

            *word[rnd(5)] = rnd(2) ? value : s->tail + value;
            n = rnd(2) ? nova_pipe_read(&server, text, 1 + rnd(sizeof(text)))
                       : nova_pipe_write(&server, text, 1 + rnd(sizeof(text)));
            CHECK(n <= CAPACITY && (n >= 0 || n == NOVA_ERR_BUSY || n == NOVA_ERR_PROTOCOL));
            ended += n == NOVA_ERR_PROTOCOL;
        }
    }
    CHECK(ended > 1000);
    ok_checks("a hostile peer changes all there is, at random");
}

/* Two threads wait for bells alone: one that gets lost is waited for until the alarm. */
#define TOTAL 3000000U

static void move(struct nova_pipe *pipe, sem_t *bell, uint64_t random)
{
    uint32_t sent = 0, got = 0;
    unsigned char text[CAPACITY];
    bool over = false;

    while (!over || sent < TOTAL) {
        uint32_t n = 1 + (uint32_t)(tap_random(&random) % sizeof(text));
        bool idle = true;
        long done;

        if (sent < TOTAL) {
            uint32_t left = n < TOTAL - sent ? n : TOTAL - sent;

            for (uint32_t i = 0; i < left; i++)
                text[i] = (unsigned char)((sent + i) * 7);
            done = nova_pipe_write(pipe, text, left);
            CHECK(done > 0 || done == NOVA_ERR_BUSY);
            idle = done < 0;
            sent += done > 0 ? (uint32_t)done : 0;
            if (sent == TOTAL)
                nova_pipe_end(pipe);
        }
        done = nova_pipe_read(pipe, text, n);
        CHECK(done >= 0 || done == NOVA_ERR_BUSY);
        over = done == 0;
        for (long i = 0; i < done; i++)
            CHECK(text[i] == (unsigned char)((got + (uint32_t)i) * 7));
        got += done > 0 ? (uint32_t)done : 0;
        if (idle && (done < 0 || (over && sent < TOTAL)))
            sem_wait(bell);
    }
    CHECK(got == TOTAL);
}

static void *serve(void *unused)
{
    (void)unused;
    move(&server, &bell_of_server, 2);
    return NULL;
}

static void test_threads(void)
{
    pthread_t thread;

    fresh(UINT32_MAX - 10000);
    pthread_create(&thread, NULL, serve, NULL);
    move(&client, &bell_of_client, 1);
    pthread_join(thread, NULL);
    ok_checks("two threads, 3,000,000 bytes both ways, %u and %u bells", rings_client, rings_server);
}

int main(void)
{
    alarm(100);
    sem_init(&bell_of_client, 0, 0);
    sem_init(&bell_of_server, 0, 0);
    buffer = aligned_alloc(4096, SIZE);
    test_limits();
    test_traffic();
    test_rings();
    test_end();
    test_gone();
    test_hostile();
    test_threads();
    free(buffer);
    return tap_done();
}
