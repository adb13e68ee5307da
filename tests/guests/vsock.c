/*
 * Guest test, in a VM only: sockets to a native service (tests/native/pipeserver.c): on the command line, sessions=NUMBER that it may have with it;
 * streams both ways, ends, a service that goes, crashes or is hostile, floods, packets and credit that are wrong.
 *
 * SPDX-License-Identifier: MIT
 */

#include "lib/guest.h"
#include "lib/virtio.h"
#include "lib/vsock.h"

#define HOST 2
#define SERVICE 5 /* ports */
#define ABSENT 6
#define NOBODY 7
#define MIB 0x100000U
#define ROOM 16384U /* that we say we have for each connection */
#define CYCLES (60UL * 1000000000)

enum { NO_RECEIVE = 1, NO_SEND = 2, BOTH = 3 };

static struct virtio_queue queues[QUEUES] __attribute__((aligned(4096)));
static struct packet buffers[VIRTIO_SIZE], out;
static uint64_t cid;

/* The connection of most tests. */
static struct {
    uint32_t port, sent, got;   /* bytes */
    uint32_t buffer, forwarded; /* of the host */
    uint32_t told;              /* of `got` */
    uint32_t wrong;             /* bytes */
    unsigned over;              /* the host has ended: NO_... */
    bool reset;
} c;

static void start(void)
{
    virtio_start(VIRTIO_VSOCK, queues, QUEUES);
    for (unsigned i = 0; i < VIRTIO_SIZE; i++)
        virtio_offer(&queues[RX], i, &buffers[i], sizeof(buffers[i]), true);
    virtio_kick(&queues[RX]);
}

static void transmit(const void *packet, uint32_t length)
{
    uint32_t written;
    unsigned slot;

    virtio_offer(&queues[TX], 0, (void *)(uint64_t)packet, length, false);
    virtio_kick(&queues[TX]);
    if (!WAIT_FOR(virtio_used(&queues[TX])))
        tap_bail("the tx queue stands still");
    virtio_take(&queues[TX], &slot, &written);
}

/* The next packet, copied; its buffer is given back. */
static bool poll(struct packet *packet)
{
    uint32_t written;
    unsigned slot;

    if (!virtio_take(&queues[RX], &slot, &written))
        return false;
    *packet = buffers[slot % VIRTIO_SIZE];
    virtio_offer(&queues[RX], slot % VIRTIO_SIZE, &buffers[slot % VIRTIO_SIZE], sizeof(buffers[0]), true);
    virtio_kick(&queues[RX]);
    return true;
}

static struct packet *make(uint32_t from, uint32_t to, unsigned operation)
{
    out.source_cid = cid;
    out.target_cid = HOST;
    out.source_port = from;
    out.target_port = to;
    out.length = 0;
    out.type = 1;
    out.operation = (uint16_t)operation;
    out.flags = 0;
    out.buffer = ROOM;
    out.forwarded = from == c.port ? c.got : 0;
    return &out;
}

static void say(unsigned operation, uint32_t flags)
{
    make(c.port, SERVICE, operation)->flags = flags;
    c.told = c.got;
    transmit(&out, HEADER);
}

static void send_bytes(const void *bytes, uint32_t count)
{
    make(c.port, SERVICE, RW)->length = count;
    c.told = c.got;
    c.sent += count;
    for (uint32_t i = 0; i < count; i++)
        out.data[i] = ((const uint8_t *)bytes)[i];
    transmit(&out, (uint32_t)HEADER + count);
}

/* Takes a packet for the connection; its data is in *packet. Returns the operation, 0 for none. */
static unsigned hear(struct packet *packet)
{
    if (!poll(packet) || packet->target_port != c.port)
        return 0;
    c.buffer = packet->buffer;
    c.forwarded = packet->forwarded;
    if (packet->operation == RW)
        c.got += packet->length;
    if (packet->operation == CREDIT_REQUEST || c.got - c.told >= ROOM / 2)
        say(CREDIT_UPDATE, 0);
    if (packet->operation == SHUTDOWN)
        c.over |= packet->flags;
    c.reset |= packet->operation == RST;
    return packet->operation;
}

/* Waits for one of these operations, as bits, or a reset. Data is thrown away. The operation, 0 for none. */
static unsigned wait_for(unsigned operations)
{
    uint64_t end = rdtsc() + CYCLES;
    static struct packet packet;
    unsigned operation = 0;

    do
        operation = hear(&packet);
    while (rdtsc() < end && !(operation && (operations | 1U << RST) >> operation & 1));
    return operation;
}

static bool open_port(uint32_t port, char mode)
{
    static uint32_t next = 1000;
    uint64_t end = rdtsc() + CYCLES;
    static struct packet packet;

    __builtin_memset(&c, 0, sizeof(c));
    c.port = next++;
    transmit(make(c.port, port, REQUEST), HEADER);
    while (rdtsc() < end)
        switch (hear(&packet)) {
        case RESPONSE:
            send_bytes(&mode, 1);
            return true;
        case RST:
            return false;
        }
    tap_diag("no answer");
    return false;
}

/* The last session of a connection may still be about to be closed. */
static bool open(char mode)
{
    bool opened = false;

    for (unsigned i = 0; i < 10 && !opened; i++)
        opened = open_port(SERVICE, mode);
    return opened;
}

static uint32_t credit(void)
{
    return c.buffer - (c.sent - c.forwarded);
}

static uint8_t pattern(uint32_t n)
{
    return (uint8_t)(n * 7);
}

/*
 * Sends `send` bytes and ends; gets what comes, until the other side has ended. False: something is wrong, or nothing has come for
 * too long.
 */
static bool stream(uint32_t send)
{
    uint64_t end = rdtsc() + CYCLES, random = 88172645463325252;
    uint32_t first = c.sent, left = send, at = 0;
    static uint8_t bytes[VSOCK_DATA];
    static struct packet packet;
    bool ended = false;

    while (!c.reset && !(c.over & NO_SEND && ended) && rdtsc() < end) {
        uint32_t size;

        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        size = 1 + (uint32_t)random % VSOCK_DATA;
        size = size < left ? size : left;
        size = size < credit() ? size : credit();
        for (uint32_t i = 0; i < size; i++)
            bytes[i] = pattern(c.sent - first + i);
        if (size) {
            send_bytes(bytes, size);
            left -= size;
        } else if (!left && !ended) {
            say(SHUTDOWN, NO_SEND);
            ended = true;
        }
        while (hear(&packet) == RW)
            for (uint32_t i = 0; i < packet.length; i++)
                c.wrong += packet.data[i] != pattern(at++);
    }
    return !c.reset && rdtsc() < end;
}

static void finish(const char *what)
{
    if (!c.reset) {
        say(SHUTDOWN, BOTH);
        wait_for(0);
    }
    tap_ok(c.reset, "%s: closed", what);
}

static void test_streams(void)
{
    static struct packet packet;
    uint64_t answer[2] = {0, 0};
    bool good;

    good = open('e');
    tap_ok(good && c.buffer == ROOM, "a connection to a service; its buffer is %u bytes", c.buffer);
    good = stream(MIB);
    tap_ok(good && c.got == MIB && !c.wrong, "1 MiB there and back: %u bytes, %u wrong", c.got, c.wrong);
    finish("echo");
    good = open('s') && stream(MIB);
    tap_ok(good && c.got == 16, "1 MiB to the service");
    finish("sink");
    good = open('g') && stream(0);
    tap_ok(good && c.got == MIB && !c.wrong, "1 MiB from it: %u bytes, %u wrong", c.got, c.wrong);
    finish("source");
    /* All of it is counted: at the end of our half. */
    open('s');
    send_bytes("abc", 3);
    say(SHUTDOWN, NO_SEND);
    while (!c.over && !c.reset)
        if (hear(&packet) == RW)
            __builtin_memcpy(answer, packet.data, sizeof(answer));
    tap_ok(answer[0] == 3 && answer[1] == 'a' + 'b' + 'c', "half-close: the answer comes after the end");
    finish("half-close");
    /* Data and both ends, at once: the service reads it all before it is over. */
    open('s');
    send_bytes("abcdef", 6);
    finish("everything at once");
}

static void test_ends(void)
{
    static struct packet packet;
    char name[32] = {0};
    uint64_t before;

    open('n');
    while (!c.over && !c.reset)
        if (hear(&packet) == RW)
            __builtin_memcpy(name, packet.data, packet.length % sizeof(name));
    tap_ok(name[0] == 'g' && name[1] == 'u' && name[4] == 't' && !name[5], "the service knows us as %s",
           name);
    tap_is(c.over, BOTH, "it has said that, and gone");
    finish("it is over");
    tap_ok(open('t') && wait_for(0) == RST, "a service that throws us out: reset");
    tap_ok(open('h') && wait_for(0) == RST, "a service that ruins the buffer: reset");
    tap_ok(open('c') && wait_for(0) == RST && c.got >= MIB / 4,
           "a service that crashes in the midst of a stream: reset");
    tap_ok(open('e'), "it is back");
    finish("back");
    before = rdtsc();
    tap_ok(!open_port(ABSENT, 'e') && c.reset, "a service that is not there: refused");
    tap_ok(rdtsc() - before < CYCLES / 2, "... after a while");
    tap_ok(!open_port(NOBODY, 'e') && c.reset, "a port without a service: refused");
    /* It never reads: what there is room for, and not a byte more. */
    open('w');
    while (credit() && !c.reset)
        send_bytes(out.data, credit() < VSOCK_DATA ? credit() : VSOCK_DATA);
    wait_until_later();
    while (hear(&packet))
        ;
    /* It has read the first byte. */
    tap_ok(!c.reset && credit() <= 1, "a service that does not read: the credit is used up");
    say(RST, 0);
}

static void test_many(void)
{
    unsigned good = 0, accepted = 0, refused = 0;
    static struct packet packet;
    uint64_t end;

    for (unsigned i = 0; i < 100; i++) {
        uint8_t byte = (uint8_t)i;

        if (!open('e'))
            break;
        send_bytes(&byte, 1);
        while (!c.got && !c.reset)
            if (hear(&packet) == RW)
                good += packet.data[0] == byte;
        say(i % 2 ? RST : SHUTDOWN, i % 2 ? 0 : BOTH);
    }
    tap_is(good, 100, "100 connections, one after the other");
    wait_until_later();
    while (poll(&packet))
        ;
    for (uint32_t i = 0; i < 100; i++) {
        transmit(make(100000 + i, SERVICE, REQUEST), HEADER);
        while (poll(&packet)) {
            accepted += packet.operation == RESPONSE;
            refused += packet.operation == RST;
        }
    }
    end = rdtsc() + CYCLES;
    while (accepted + refused < 100 && rdtsc() < end)
        if (poll(&packet)) {
            accepted += packet.operation == RESPONSE;
            refused += packet.operation == RST;
        }
    tap_ok(accepted == option("sessions", 4) && refused == 100 - accepted,
           "100 at once: %u accepted, %u refused", accepted, refused);
    start();
    tap_ok(open('e'), "a reset of the device closes them all");
    finish("after the reset");
}

static void test_nonsense(void)
{
    uint64_t random = 362436069;
    static struct packet packet;
    uint8_t byte = 1;

    /* More than the credit. */
    open('w');
    for (unsigned i = 0; i < 20 && !c.reset; i++) {
        send_bytes(out.data, VSOCK_DATA);
        while (hear(&packet))
            ;
    }
    tap_ok(c.reset || wait_for(0) == RST, "more bytes than there is credit for: reset");
    open('e');
    send_bytes(&byte, 1);
    wait_for(1U << RW);
    for (unsigned i = 0; i < 3000; i++) {
        make(1 + i, SERVICE, i);
        for (unsigned k = 0; k < 4; k++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            ((uint8_t *)&out)[random % HEADER] = (uint8_t)(random >> 32);
        }
        if (out.source_port != c.port)
            transmit(&out, (uint32_t)(random >> 40) % (uint32_t)(HEADER + 100));
        while (poll(&packet))
            ;
    }
    send_bytes(&byte, 1);
    tap_is(wait_for(1U << RW), RW, "3000 wrong packets: the connection lives");
    /* Credit that makes no sense, as to what it is to get. */
    open('g');
    for (unsigned i = 0; i < 200; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        make(c.port, SERVICE, CREDIT_UPDATE)->buffer = (uint32_t)random;
        out.forwarded = (uint32_t)(random >> 32);
        transmit(&out, HEADER);
        while (poll(&packet))
            ;
    }
    say(RST, 0);
    start();
    tap_ok(open('e'), "wrong credit: the VM and the service go on");
    finish("the last one");
}

void test(void)
{
    if (!in_vm() || !virtio_start(VIRTIO_VSOCK, queues, QUEUES)) {
        tap_skip("no such device", "sockets");
        return;
    }
    cid = virtio_config(VIRTIO_VSOCK);
    tap_is(cid, 5, "our number");
    start();
    test_streams();
    test_ends();
    test_many();
    test_nonsense();
}
