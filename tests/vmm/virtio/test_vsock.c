/*
 * Virtio sockets: connections, refusals, data with credit in both directions, half-close, resets from either side, limits, packets
 * that make no sense; the echo service end to end with random sizes; a back end on a thread of its own.
 *
 * Sources: ram.c dev/bus.c dev/machine.c dev/msix.c dev/pci.c virtio/echo.c virtio/pci.c virtio/queue.c virtio/vsock.c
 * Sources: ../libnova/src/format.c
 * Fakes: vmm/virtio/driver.c native/host/fake/sync.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "tap.h"
#include "virtio/driver.h"
#include "virtio/virtio.h"
#include "virtio/vsock.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

enum { RX, TX, EVENT };
enum { REQUEST = 1, RESPONSE, RST, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST };

#define CID 3U
#define ECHO_PORT 7U
#define TEST_PORT 1000U
#define BUFFER 1000U
#define RX_SIZE 300U

struct packet {
    uint64_t source_cid, target_cid;
    uint32_t source_port, target_port;
    uint32_t length;
    uint16_t type, operation;
    uint32_t flags, buffer, forwarded;
    uint8_t data[4096];
} __attribute__((packed));

#define HEADER offsetof(struct packet, data)

static struct driver_queue queues[3];
static uint64_t random_state = 31;

/* The back end of TEST_PORT: notes what it is told, gives what the test wants. */
static struct {
    enum vsock_answer answer;
    uint32_t connection; /* the last one */
    unsigned connects, closes, shutdowns, how;
    uint8_t got[1 << 20];
    size_t got_count;
    uint64_t give, given; /* bytes of the pattern */
    bool consumes;
} end;

static uint8_t pattern(uint64_t i)
{
    return (uint8_t)(i * 7 + i / 251);
}

static enum vsock_answer end_connect(void *object, uint32_t connection, void **its)
{
    CHECK(object == &end);
    *its = &end.got[connection & 0xff];
    end.connection = connection;
    end.connects++;
    return end.answer;
}

static void end_send(void *its, const uint8_t *bytes, size_t count)
{
    CHECK(its == &end.got[end.connection & 0xff] && end.got_count + count <= sizeof(end.got));
    memcpy(end.got + end.got_count, bytes, count);
    end.got_count += count;
    if (end.consumes)
        vsock_consumed(end.connection, (uint32_t)count);
}

static size_t end_receive(void *its, uint8_t *bytes, size_t count)
{
    size_t size = end.give - end.given < count ? end.give - end.given : count;

    CHECK((uint8_t *)its >= end.got && (uint8_t *)its < end.got + VSOCK_CONNECTIONS);
    for (size_t i = 0; i < size; i++)
        bytes[i] = pattern(end.given + i);
    end.given += size;
    return size;
}

static void end_shutdown(void *its, unsigned how)
{
    CHECK(its == &end.got[end.connection & 0xff]);
    end.shutdowns++;
    end.how = how;
    if (how == 3)
        vsock_reset(end.connection);
}

static void end_close(void *its)
{
    CHECK((uint8_t *)its >= end.got && (uint8_t *)its < end.got + VSOCK_CONNECTIONS);
    end.closes++;
}

static const struct vsock_backend backend = {BUFFER,      end_connect,  end_send,
                                             end_receive, end_shutdown, end_close};

static bool add(void)
{
    return vsock_init(CID) && vsock_add(ECHO_PORT, &vsock_echo, NULL) && vsock_add(TEST_PORT, &backend, &end);
}

/* The guest: buffers for packets. */
static void give_buffers(unsigned count)
{
    while (count--) {
        uint64_t at = DRIVER_BUFFERS + queues[RX].next / 2 * 512UL;
        struct driver_part part[2] = {{at, 44}, {at + 64, RX_SIZE}};

        driver_add(&queues[RX], part, 0, 2, 0);
    }
    driver_kick(&queues[RX]);
}

static void fresh(unsigned buffers)
{
    memset(&end, 0, sizeof(end));
    end.answer = VSOCK_ACCEPTED;
    driver_start(queues, 3, 128, ALL_FEATURES);
    memset(&end, 0, sizeof(end));
    end.answer = VSOCK_ACCEPTED;
    give_buffers(buffers);
}

/* The next packet for the guest; its buffer is given again. */
static bool receive(struct packet *packet)
{
    uint32_t written;
    unsigned head;

    if (!driver_take(&queues[RX], &head, &written))
        return false;
    memcpy(packet, driver_ram + DRIVER_BUFFERS + head / 2 * 512UL, 44);
    CHECK(packet->length <= RX_SIZE && written == 44 + packet->length);
    CHECK(packet->source_cid == VSOCK_HOST && packet->target_cid == CID && packet->type == 1);
    memcpy(packet->data, driver_ram + DRIVER_BUFFERS + head / 2 * 512UL + 64, packet->length % (RX_SIZE + 1));
    give_buffers(1);
    return true;
}

static void send_raw(const struct packet *packet, uint32_t bytes)
{
    uint64_t at = DRIVER_BUFFERS + 0x20000;
    struct driver_part part[2] = {{at, bytes < 44 ? bytes : 44}, {at + 44, bytes < 44 ? 0 : bytes - 44}};
    uint32_t written;
    unsigned head;

    memcpy(driver_ram + at, packet, bytes);
    driver_add(&queues[TX], part, bytes > 44 ? 2 : 1, 0, 0);
    driver_kick(&queues[TX]);
    while (driver_take(&queues[TX], &head, &written))
        CHECK(written == 0);
}

static struct packet make(uint32_t guest_port, uint32_t host_port, unsigned operation)
{
    return (struct packet){.source_cid = CID,
                           .target_cid = VSOCK_HOST,
                           .source_port = guest_port,
                           .target_port = host_port,
                           .type = 1,
                           .operation = (uint16_t)operation,
                           .buffer = 0x10000};
}

static void send(uint32_t guest_port, uint32_t host_port, unsigned operation)
{
    struct packet packet = make(guest_port, host_port, operation);

    send_raw(&packet, 44);
}

/* Whether the next packet is this one. */
static bool says(uint32_t guest_port, uint32_t host_port, unsigned operation)
{
    struct packet packet;

    return CHECK(receive(&packet)) && CHECK(packet.operation == operation) &&
           CHECK(packet.source_port == host_port) && CHECK(packet.target_port == guest_port);
}

static bool silent(void)
{
    struct packet packet;

    return !receive(&packet);
}

static void test_connect(void)
{
    struct packet packet;

    fresh(16);
    CHECK(driver_get(VIRTIO_CONFIG, 8) == CID);
    send(50, TEST_PORT, REQUEST);
    CHECK(receive(&packet) && packet.operation == RESPONSE && packet.buffer == BUFFER &&
          packet.forwarded == 0);
    CHECK(packet.source_port == TEST_PORT && packet.target_port == 50 && end.connects == 1);
    CHECK(driver_interrupts(RX + 1) > 0);
    send(50, 1001, REQUEST);
    CHECK(says(50, 1001, RST) && end.connects == 1);
    end.answer = VSOCK_REFUSED;
    send(51, TEST_PORT, REQUEST);
    CHECK(says(51, TEST_PORT, RST) && end.connects == 2 && !end.closes);
    end.answer = VSOCK_LATER;
    send(52, TEST_PORT, REQUEST);
    CHECK(silent() && end.connects == 3);
    vsock_lock();
    vsock_answer(end.connection, true);
    vsock_answer(end.connection, false);
    vsock_unlock();
    CHECK(says(52, TEST_PORT, RESPONSE) && silent());
    send(53, TEST_PORT, REQUEST);
    vsock_lock();
    vsock_answer(end.connection, false);
    vsock_unlock();
    CHECK(says(53, TEST_PORT, RST) && end.closes == 1);
    /* Data before the answer. */
    send(54, TEST_PORT, REQUEST);
    packet = make(54, TEST_PORT, RW);
    packet.length = 1;
    send_raw(&packet, 45);
    CHECK(says(54, TEST_PORT, RST) && end.closes == 2 && !end.got_count);
    /* Twice the same. */
    send(52, TEST_PORT, REQUEST);
    CHECK(says(52, TEST_PORT, RST) && end.closes == 3 && silent());
    ok_checks("connect: accepted, refused, later, nobody there, twice");
}

static void test_limit(void)
{
    unsigned accepted = 0;
    struct packet packet;

    fresh(60);
    for (unsigned i = 0; i < VSOCK_CONNECTIONS + 5; i++) {
        send(100 + i, TEST_PORT, REQUEST);
        CHECK(receive(&packet) && packet.operation == (i < VSOCK_CONNECTIONS ? RESPONSE : RST));
        accepted += packet.operation == RESPONSE;
    }
    CHECK(accepted == VSOCK_CONNECTIONS && end.connects == VSOCK_CONNECTIONS);
    send(105, TEST_PORT, RST);
    CHECK(end.closes == 1 && silent());
    send(200, TEST_PORT, REQUEST);
    CHECK(says(200, TEST_PORT, RESPONSE));
    driver_put(STATUS, 1, 0);
    CHECK(end.closes == VSOCK_CONNECTIONS + 1);
    ok_checks("a bounded number of connections; a reset of the device closes all");
}

/* Sends bytes of the pattern. */
static void send_data(uint32_t guest_port, uint32_t host_port, uint64_t from, uint32_t bytes)
{
    struct packet packet = make(guest_port, host_port, RW);

    packet.length = bytes;
    for (uint32_t i = 0; i < bytes; i++)
        packet.data[i] = pattern(from + i);
    send_raw(&packet, 44 + bytes);
}

static void test_to_host(void)
{
    struct packet packet;

    fresh(16);
    send(50, TEST_PORT, REQUEST);
    says(50, TEST_PORT, RESPONSE);
    send_data(50, TEST_PORT, 0, 600);
    send_data(50, TEST_PORT, 600, 400);
    CHECK(silent() && end.got_count == 1000);
    for (unsigned i = 0; i < 1000; i++)
        CHECK(end.got[i] == pattern(i));
    /* Credit: told when it begins to matter, or when the guest asks. */
    vsock_lock();
    vsock_consumed(end.connection, 400);
    vsock_unlock();
    CHECK(silent());
    send(50, TEST_PORT, CREDIT_REQUEST);
    CHECK(receive(&packet) && packet.operation == CREDIT_UPDATE && packet.forwarded == 400 &&
          packet.buffer == BUFFER);
    vsock_lock();
    vsock_consumed(end.connection, 499);
    vsock_unlock();
    CHECK(silent());
    vsock_lock();
    vsock_consumed(end.connection, 1);
    vsock_unlock();
    CHECK(receive(&packet) && packet.operation == CREDIT_UPDATE && packet.forwarded == 900 && silent());
    send_data(50, TEST_PORT, 1000, 900);
    CHECK(end.got_count == 1900 && silent());
    /* One more than there is room for. */
    send_data(50, TEST_PORT, 1900, 1);
    CHECK(says(50, TEST_PORT, RST) && end.closes == 1 && end.got_count == 1900 && driver_errors() > 0);
    send_data(50, TEST_PORT, 1900, 1);
    CHECK(says(50, TEST_PORT, RST) && end.got_count == 1900);
    ok_checks("to the host: data, credit, more than the credit");
}

static void test_to_guest(void)
{
    uint64_t got = 0, rounds = 0;
    struct packet packet = make(50, TEST_PORT, REQUEST);

    fresh(16);
    packet.buffer = 500;
    send_raw(&packet, 44);
    says(50, TEST_PORT, RESPONSE);
    end.give = 5000;
    vsock_lock();
    vsock_ready(end.connection);
    vsock_unlock();
    /* Not more than the guest has room for; it is asked for more, once. */
    while (got < 5000 && rounds++ < 100) {
        uint64_t before = got;

        while (receive(&packet) && packet.operation == RW)
            for (uint32_t i = 0; i < packet.length; i++)
                CHECK(packet.data[i] == pattern(got++));
        CHECK(got - before == 500 && (got == 5000 || packet.operation == CREDIT_REQUEST) && silent());
        packet = make(50, TEST_PORT, CREDIT_UPDATE);
        packet.buffer = 500;
        packet.forwarded = (uint32_t)got;
        send_raw(&packet, 44);
    }
    CHECK(got == 5000 && rounds == 10 && end.given == 5000 && silent());
    /* Hostile credit: forwarded more than was sent, a buffer that shrinks. */
    end.give = 6000;
    packet = make(50, TEST_PORT, CREDIT_UPDATE);
    packet.buffer = UINT32_MAX;
    packet.forwarded = 5001;
    vsock_lock();
    vsock_ready(end.connection);
    vsock_unlock();
    while (receive(&packet)) {
    }
    packet = make(50, TEST_PORT, CREDIT_UPDATE);
    packet.buffer = 100;
    packet.forwarded = 5001;
    send_raw(&packet, 44);
    CHECK(end.given <= 5501);
    send(50, TEST_PORT, RST);
    CHECK(end.closes == 1);
    ok_checks("to the guest: not more than its credit, which it is asked for");
}

/* Without buffers packets wait, and go out when there are some. */
/* Connections that have data take turns, wherever they are in the table. */
static void test_turns(void)
{
    unsigned packets[6] = {0}, sum = 0;
    uint32_t number[6];
    struct packet packet;

    fresh(16);
    for (unsigned i = 0; i < 6; i++) {
        send(60 + i, TEST_PORT, REQUEST);
        says(60 + i, TEST_PORT, RESPONSE);
        number[i] = end.connection;
    }
    end.give = sizeof(end.got);
    vsock_lock();
    vsock_ready(number[0]);
    vsock_ready(number[4]);
    vsock_unlock();
    while (sum < 96 && CHECK(receive(&packet) && packet.operation == RW && packet.target_port - 60 < 6)) {
        packets[packet.target_port - 60]++;
        sum++;
    }
    if (!CHECK(packets[0] == 48 && packets[4] == 48))
        printf("# %u and %u packets\n", packets[0], packets[4]);
    driver_put(STATUS, 1, 0);
    ok_checks("to the guest: connections take turns");
}

static void test_no_buffers(void)
{
    struct packet packet;
    unsigned resets = 0;

    fresh(0);
    send(50, TEST_PORT, REQUEST);
    end.give = 100;
    vsock_lock();
    vsock_ready(end.connection);
    vsock_consumed(end.connection, 600);
    vsock_unlock();
    CHECK(silent());
    give_buffers(4);
    CHECK(says(50, TEST_PORT, RESPONSE) && says(50, TEST_PORT, CREDIT_UPDATE));
    CHECK(receive(&packet) && packet.operation == RW && packet.length == 100 && silent());
    /* Replies are bounded: then the tx queue waits, and goes on when there are buffers. */
    fresh(0);
    for (unsigned i = 0; i < 60; i++)
        send(1000 + i, 99, REQUEST);
    CHECK(queues[TX].seen == 32);
    give_buffers(1);
    virtio_work();
    for (unsigned i = 0; i < 100 && resets < 60; i++) {
        while (receive(&packet)) {
            CHECK(packet.operation == RST && packet.source_port == 99 && packet.target_port >= 1000);
            resets++;
        }
        virtio_work();
    }
    CHECK(resets == 60);
    /* A reset of the device forgets them. */
    fresh(0);
    send(50, 99, REQUEST);
    fresh(4);
    CHECK(silent());
    ok_checks("no buffers: what is to be said waits, and replies are bounded");
}

static void test_shutdown(void)
{
    struct packet packet;

    /* The guest stops sending; the host goes on, and ends. */
    fresh(16);
    send(50, TEST_PORT, REQUEST);
    says(50, TEST_PORT, RESPONSE);
    packet = make(50, TEST_PORT, SHUTDOWN);
    packet.flags = VSOCK_NO_SEND;
    send_raw(&packet, 44);
    CHECK(end.shutdowns == 1 && end.how == VSOCK_NO_SEND && silent());
    end.give = 10;
    vsock_lock();
    vsock_ready(end.connection);
    vsock_unlock();
    CHECK(receive(&packet) && packet.operation == RW && packet.length == 10);
    vsock_lock();
    vsock_shutdown(end.connection, VSOCK_NO_SEND | VSOCK_NO_RECEIVE);
    vsock_unlock();
    CHECK(receive(&packet) && packet.operation == SHUTDOWN && packet.flags == 3 && silent());
    send(50, TEST_PORT, RST);
    CHECK(end.closes == 1 && silent());
    /* Data after that it sends no more. */
    send(51, TEST_PORT, REQUEST);
    says(51, TEST_PORT, RESPONSE);
    packet = make(51, TEST_PORT, SHUTDOWN);
    packet.flags = VSOCK_NO_SEND;
    send_raw(&packet, 44);
    send_data(51, TEST_PORT, 0, 1);
    CHECK(says(51, TEST_PORT, RST) && end.closes == 2 && end.got_count == 0);
    /* The guest does not receive: nothing is sent. Then both: it is over. */
    send(52, TEST_PORT, REQUEST);
    says(52, TEST_PORT, RESPONSE);
    packet = make(52, TEST_PORT, SHUTDOWN);
    packet.flags = VSOCK_NO_RECEIVE;
    send_raw(&packet, 44);
    end.give = 20;
    vsock_lock();
    vsock_ready(end.connection);
    vsock_unlock();
    CHECK(silent() && end.given == 10 && end.how == VSOCK_NO_RECEIVE);
    packet.flags = VSOCK_NO_SEND;
    packet.source_port = 52;
    packet.target_port = TEST_PORT;
    send_raw(&packet, 44);
    CHECK(says(52, TEST_PORT, RST) && end.closes == 3 && end.shutdowns == 4);
    /* The host does not receive: what comes is thrown away, and does not block. */
    send(53, TEST_PORT, REQUEST);
    says(53, TEST_PORT, RESPONSE);
    vsock_lock();
    vsock_shutdown(end.connection, VSOCK_NO_RECEIVE);
    vsock_unlock();
    CHECK(receive(&packet) && packet.operation == SHUTDOWN && packet.flags == VSOCK_NO_RECEIVE);
    /* Later it does not send either: the guest hears of both. */
    vsock_lock();
    vsock_shutdown(end.connection, VSOCK_NO_SEND);
    vsock_unlock();
    CHECK(receive(&packet) && packet.operation == SHUTDOWN && packet.flags == 3);
    for (unsigned i = 0; i < 10; i++) {
        send_data(53, TEST_PORT, 0, 900);
        CHECK(says(53, TEST_PORT, CREDIT_UPDATE));
    }
    CHECK(end.got_count == 0 && end.closes == 3);
    /* The host resets. */
    vsock_lock();
    vsock_reset(end.connection);
    vsock_reset(end.connection);
    vsock_unlock();
    CHECK(says(53, TEST_PORT, RST) && silent() && end.closes == 4);
    ok_checks("half-close and close from both sides, reset");
}

/* The number of a connection that is over does nothing to the one that has its place. */
static void test_stale(void)
{
    uint32_t old;

    fresh(16);
    send(50, TEST_PORT, REQUEST);
    says(50, TEST_PORT, RESPONSE);
    old = end.connection;
    send(50, TEST_PORT, RST);
    send(51, TEST_PORT, REQUEST);
    says(51, TEST_PORT, RESPONSE);
    CHECK(end.connection != old && (end.connection & 0xff) == (old & 0xff));
    vsock_lock();
    vsock_consumed(old, 1000);
    vsock_ready(old);
    vsock_shutdown(old, 3);
    vsock_answer(old, false);
    vsock_reset(old);
    vsock_reset(0);
    vsock_reset(UINT32_MAX);
    vsock_unlock();
    CHECK(silent() && end.closes == 1);
    ok_checks("numbers of connections that are over are ignored");
}

static void test_nonsense(void)
{
    struct packet good, packet;

    fresh(32);
    send(50, TEST_PORT, REQUEST);
    says(50, TEST_PORT, RESPONSE);
    driver_errors();
    /* Short packets, lengths that are not there, somebody else's CID: dropped. */
    good = make(50, TEST_PORT, RW);
    for (uint32_t bytes = 0; bytes < 44; bytes++)
        send_raw(&good, bytes);
    CHECK(driver_errors() == 44);
    packet = good;
    packet.length = 11;
    send_raw(&packet, 54);
    packet.length = UINT32_MAX;
    send_raw(&packet, 54);
    packet = good;
    packet.source_cid = 4;
    send_raw(&packet, 44);
    packet.source_cid |= 1UL << 32;
    send_raw(&packet, 44);
    CHECK(driver_errors() == 4 && silent() && end.closes == 0);
    /* Another target, another type, no such connection: reset, but never for a reset. */
    for (unsigned operation = 0; operation < 12; operation++) {
        for (unsigned kind = 0; kind < 3; kind++) {
            struct packet answer;
            uint32_t written;
            unsigned head;

            packet = make(50, kind == 2 ? 77 : TEST_PORT, operation);
            packet.target_cid = kind == 0 ? 9 : VSOCK_HOST;
            packet.type = kind == 1 ? 2 : 1;
            send_raw(&packet, 44);
            if (operation == RST) {
                CHECK(silent());
                continue;
            }
            CHECK(driver_take(&queues[RX], &head, &written) && written == 44);
            memcpy(&answer, driver_ram + DRIVER_BUFFERS + head / 2 * 512UL, 44);
            CHECK(answer.operation == RST && answer.source_cid == packet.target_cid &&
                  answer.type == packet.type);
            CHECK(answer.source_port == packet.target_port && answer.target_port == 50 &&
                  answer.target_cid == CID);
            give_buffers(1);
        }
    }
    CHECK(end.closes == 0);
    /* Operations that a connection does not know. */
    for (unsigned operation = 0; operation < 300; operation++) {
        if (operation >= RST && operation <= CREDIT_REQUEST)
            continue;
        send(60, TEST_PORT, REQUEST);
        says(60, TEST_PORT, RESPONSE);
        send(60, TEST_PORT, operation);
        CHECK(says(60, TEST_PORT, RST));
    }
    CHECK(driver_get(STATUS, 1) == 15);
    /* Buffers with no room behind the header break the device. */
    fresh(0);
    driver_add(&queues[RX], &(struct driver_part){DRIVER_BUFFERS, 44}, 0, 1, 0);
    send(50, TEST_PORT, REQUEST);
    CHECK(driver_get(STATUS, 1) == (15 | NEEDS_RESET));
    ok_checks("packets and buffers that make no sense");
}

/* Echo: what goes in comes out, on several connections at once, with the credit of both sides. */
static void test_echo(void)
{
    static struct {
        uint64_t sent, got;
        uint32_t host_forwarded, host_buffer;
        bool open, over;
    } c[VSOCK_ECHOES];
    struct packet packet;
    unsigned finished = 0;

    fresh(32);
    for (unsigned i = 0; i <= VSOCK_ECHOES; i++) {
        send(50 + i, ECHO_PORT, REQUEST);
        CHECK(receive(&packet) && packet.operation == (i < VSOCK_ECHOES ? RESPONSE : RST));
        if (i < VSOCK_ECHOES)
            c[i].host_buffer = packet.buffer;
    }
    for (unsigned round = 0; round < 200000 && finished < VSOCK_ECHOES; round++) {
        unsigned i = (unsigned)tap_random(&random_state) % VSOCK_ECHOES;
        uint64_t room = c[i].host_buffer - (c[i].sent - c[i].host_forwarded);

        if (c[i].sent < 20000 && room) {
            uint32_t bytes = 1 + (uint32_t)(tap_random(&random_state) % room);

            bytes = bytes < 20000 - c[i].sent ? bytes : (uint32_t)(20000 - c[i].sent);
            packet = make(50 + i, ECHO_PORT, RW);
            packet.buffer = 700;
            packet.forwarded = (uint32_t)c[i].got;
            packet.length = bytes;
            for (uint32_t k = 0; k < bytes; k++)
                packet.data[k] = pattern(c[i].sent + k + i);
            c[i].sent += bytes;
            send_raw(&packet, 44 + bytes);
        } else if (c[i].sent == 20000 && !c[i].over) {
            c[i].over = true;
            packet = make(50 + i, ECHO_PORT, SHUTDOWN);
            packet.buffer = 700;
            packet.forwarded = (uint32_t)c[i].got;
            packet.flags = VSOCK_NO_SEND;
            send_raw(&packet, 44);
        }
        while (receive(&packet)) {
            i = packet.target_port - 50;
            c[i].host_forwarded = packet.forwarded;
            if (packet.operation == RW) {
                for (uint32_t k = 0; k < packet.length; k++)
                    CHECK(packet.data[k] == pattern(c[i].got++ + i));
            } else if (packet.operation == CREDIT_REQUEST) {
                packet = make(50 + i, ECHO_PORT, CREDIT_UPDATE);
                packet.buffer = 700;
                packet.forwarded = (uint32_t)c[i].got;
                send_raw(&packet, 44);
            } else if (packet.operation == SHUTDOWN) {
                CHECK(packet.flags == 3 && c[i].got == 20000 && c[i].over);
                send(50 + i, ECHO_PORT, RST);
                finished++;
            } else {
                CHECK(packet.operation == CREDIT_UPDATE);
            }
        }
    }
    CHECK(finished == VSOCK_ECHOES);
    send(90, ECHO_PORT, REQUEST);
    CHECK(says(90, ECHO_PORT, RESPONSE));
    ok_checks("echo: 20,000 bytes on each of %u connections come back in order", VSOCK_ECHOES);
}

/* A back end that gives and consumes on its own thread. */
#define COUNT 200000U

static bool finished; /* atomic */

static void *other_end(void *argument)
{
    (void)argument;
    while (!__atomic_load_n(&finished, __ATOMIC_SEQ_CST)) {
        static size_t consumed;

        vsock_lock();
        vsock_consumed(end.connection, (uint32_t)(end.got_count - consumed));
        consumed = end.got_count;
        if (end.give < COUNT) {
            end.give += 100;
            vsock_ready(end.connection);
        }
        vsock_unlock();
        sched_yield();
    }
    return NULL;
}

static void test_threads(void)
{
    uint32_t host_forwarded = 0;
    uint64_t sent = 0, got = 0;
    struct packet packet;
    pthread_t thread;

    fresh(32);
    send(50, TEST_PORT, REQUEST);
    says(50, TEST_PORT, RESPONSE);
    pthread_create(&thread, NULL, other_end, NULL);
    while (got < COUNT || host_forwarded < COUNT) {
        uint32_t room = BUFFER - (uint32_t)(sent - host_forwarded), left = (uint32_t)(COUNT - sent);
        uint32_t bytes = room < left ? room : left;

        if (bytes > BUFFER / 2 || (bytes && bytes == left)) {
            struct packet data = make(50, TEST_PORT, RW);

            data.forwarded = (uint32_t)got;
            data.length = bytes;
            for (uint32_t i = 0; i < bytes; i++)
                data.data[i] = pattern(sent + i);
            sent += bytes;
            send_raw(&data, 44 + bytes);
        } else if (sent == COUNT) {
            packet = make(50, TEST_PORT, CREDIT_REQUEST);
            packet.forwarded = (uint32_t)got;
            send_raw(&packet, 44);
        }
        while (receive(&packet)) {
            host_forwarded = packet.forwarded;
            for (uint32_t i = 0; packet.operation == RW && i < packet.length; i++)
                CHECK(packet.data[i] == pattern(got++));
            if (packet.operation == RW || packet.operation == CREDIT_REQUEST) {
                packet = make(50, TEST_PORT, CREDIT_UPDATE);
                packet.forwarded = (uint32_t)got;
                send_raw(&packet, 44);
            }
            CHECK(packet.operation == CREDIT_UPDATE);
        }
        sched_yield();
    }
    __atomic_store_n(&finished, true, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    CHECK(end.got_count == COUNT && end.closes == 0);
    for (unsigned i = 0; i < COUNT; i++)
        CHECK(end.got[i] == pattern(i));
    ok_checks("a back end on its own thread: both directions in order");
}

int main(void)
{
    alarm(300); /* lost credit would be waited for */
    CHECK(!vsock_init(2) && !vsock_init(UINT32_MAX));
    driver_machine(add);
    CHECK(!vsock_add(ECHO_PORT, &backend, NULL));
    test_connect();
    test_limit();
    test_to_host();
    test_to_guest();
    test_turns();
    test_no_buffers();
    test_shutdown();
    test_stale();
    test_nonsense();
    test_echo();
    test_threads();
    return tap_done();
}
