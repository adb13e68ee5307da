/*
 * Virtio socket device: streams only.
 *
 *   tx queue --> packet --> connection --> back end          back end --> connection --> rx queue
 *                  |                                                          ^
 *                  +--> replies (resets of what is no connection) ------------+
 *
 * Nothing is kept but what there is to say about each connection: a word of bits. The rx queue is filled from these when the
 * guest gives buffers. If the list of replies is full, the tx queue waits.
 *
 * State: connections, services, replies, under the lock of the device.
 * Guest input checked: CIDs, type, operation and length of each packet, which is copied before; what it sends against the
 * credit it has; its own credit, which is only ever counted modulo 2^32. Who breaks the rules gets a reset.
 * Locking: the lock of the device, then that of its MSI-X table. Any thread.
 * Specification: virtio 1.2, 5.10. The event queue is never used: the CID does not change.
 *
 * SPDX-License-Identifier: MIT
 */

#include "virtio/vsock.h"

#include "dev/machine.h"
#include "virtio/virtio.h"

#include <string.h>

#define TYPE 19
#define CLASS 0x078000
#define SIZE 128
#define REPLIES 32U
#define STREAM 1
#define GENERATION 0x100U /* the number of a connection: its place, and how often that was used */

enum { RX, TX, EVENT, QUEUES };
enum { REQUEST = 1, RESPONSE, RST, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST };

struct header {
    uint64_t source_cid, target_cid;
    uint32_t source_port, target_port;
    uint32_t length;
    uint16_t type, operation;
    uint32_t flags, buffer, forwarded;
} __attribute__((packed));

_Static_assert(sizeof(struct header) == 44, "5.10.6");

struct service {
    uint32_t port;
    const struct vsock_backend *backend;
    void *object;
};

struct connection {
    uint32_t number; /* 0: free */
    uint32_t guest_port, host_port;
    const struct vsock_backend *backend;
    void *its;                          /* what the back end wants to get */
    enum { WAITING, OPEN, DEAD } state; /* dead: only the reset is still to be sent */
    uint32_t to_say;                    /* operations, as bits */
    bool ready, asked;                  /* the back end may have data; the guest was asked for credit */
    unsigned guest_over, host_over;     /* VSOCK_NO_... */
    uint32_t sent, guest_buffer, guest_forwarded;
    uint32_t received, forwarded, told; /* told: what the guest knows of `forwarded` */
};

static struct service services[VSOCK_SERVICES];
static unsigned service_count;
static struct connection connections[VSOCK_CONNECTIONS];
static unsigned turn; /* whose data comes next */
static struct header replies[REPLIES];
static unsigned reply_count;
static bool tx_waits;
static uint64_t guest_cid;
static uint32_t generation = GENERATION;

static struct connection *find(uint32_t number)
{
    struct connection *connection = &connections[number % GENERATION % VSOCK_CONNECTIONS];

    return number && connection->number == number && connection->state != DEAD ? connection : NULL;
}

static struct connection *find_ports(uint32_t guest_port, uint32_t host_port)
{
    for (unsigned i = 0; i < VSOCK_CONNECTIONS; i++) {
        struct connection *connection = &connections[i];

        if (connection->number && connection->guest_port == guest_port && connection->host_port == host_port)
            return connection;
    }
    return NULL;
}

static void say(struct connection *connection, unsigned operation)
{
    connection->to_say |= 1U << operation;
}

/* The end of a connection, for its back end. */
static void close(struct connection *connection)
{
    connection->backend->close(connection->its);
}

/* The end, for the guest too. */
static void kill(struct connection *connection)
{
    connection->state = DEAD;
    connection->to_say = 1U << RST;
    close(connection);
}

static void reply_reset(const struct header *to)
{
    replies[reply_count++] = (struct header){.source_cid = to->target_cid,
                                             .target_cid = to->source_cid,
                                             .source_port = to->target_port,
                                             .target_port = to->source_port,
                                             .type = to->type,
                                             .operation = RST};
}

static const struct service *find_service(uint32_t port)
{
    for (unsigned i = 0; i < service_count; i++)
        if (services[i].port == port)
            return &services[i];
    return NULL;
}

static struct connection *find_free(void)
{
    for (unsigned i = 0; i < VSOCK_CONNECTIONS; i++)
        if (!connections[i].number)
            return &connections[i];
    return NULL;
}

static void set_credit(struct connection *connection, const struct header *header)
{
    connection->guest_buffer = header->buffer;
    connection->guest_forwarded = header->forwarded;
    connection->asked = false;
}

static void request(const struct header *header)
{
    const struct service *service = find_service(header->target_port);
    struct connection *connection = find_free();

    if (!service || !connection) {
        reply_reset(header);
        return;
    }
    *connection = (struct connection){.number = generation | (uint32_t)(connection - connections),
                                      .guest_port = header->source_port,
                                      .host_port = header->target_port,
                                      .backend = service->backend};
    generation = generation + GENERATION ? generation + GENERATION : GENERATION;
    set_credit(connection, header);
    switch (service->backend->connect(service->object, connection->number, &connection->its)) {
    case VSOCK_REFUSED:
        connection->number = 0;
        reply_reset(header);
        break;
    case VSOCK_ACCEPTED:
        vsock_answer(connection->number, true);
        break;
    default:
        break;
    }
}

/* Data of the guest, to the back end. */
static void receive(struct connection *connection, const struct virtq_chain *chain, uint32_t length)
{
    const struct vsock_backend *backend = connection->backend;
    uint32_t held = connection->received - connection->forwarded, done = 0;

    if (connection->state != OPEN || connection->guest_over & VSOCK_NO_SEND || held > backend->buffer ||
        length > backend->buffer - held) {
        machine_guest_error("vsock: %u bytes without credit", length);
        kill(connection);
        return;
    }
    connection->received += length;
    while (done < length && connection->state == OPEN) {
        size_t run;
        const uint8_t *bytes = virtq_at(chain, false, sizeof(struct header) + done, &run);

        run = run < length - done ? run : length - done;
        /* If nobody wants it, it is gone. */
        if (connection->host_over & VSOCK_NO_RECEIVE)
            vsock_consumed(connection->number, (uint32_t)run);
        else
            backend->send(connection->its, bytes, run);
        done += (uint32_t)run;
    }
}

static void guest_shutdown(struct connection *connection, unsigned how)
{
    connection->guest_over |= how & (VSOCK_NO_RECEIVE | VSOCK_NO_SEND);
    if (connection->state == OPEN)
        connection->backend->shutdown(connection->its, connection->guest_over);
    else
        kill(connection);
}

/* A packet for a connection that exists. */
static void handle(struct connection *connection, const struct header *header,
                   const struct virtq_chain *chain)
{
    set_credit(connection, header);
    switch (header->operation) {
    case RST:
        close(connection);
        connection->number = 0;
        break;
    case SHUTDOWN:
        guest_shutdown(connection, header->flags);
        break;
    case RW:
        receive(connection, chain, header->length);
        break;
    case CREDIT_UPDATE:
        break;
    case CREDIT_REQUEST:
        say(connection, CREDIT_UPDATE);
        break;
    default: /* among them a second request, and a response to nothing */
        kill(connection);
    }
}

/* Takes a packet of the tx queue. */
static uint32_t take(struct virtio_device *device)
{
    struct connection *connection;
    struct header header = {0};

    /* Each packet has one reset as its answer, at most. */
    if (reply_count == REPLIES) {
        tx_waits = true;
        return VIRTIO_BLOCKED;
    }
    if (virtq_copy_from(&device->chain, 0, &header, sizeof(header)) < sizeof(header) ||
        header.length > device->chain.readable - sizeof(header) || header.source_cid != guest_cid) {
        machine_guest_error("vsock: packet of %lu bytes from CID %lu, length %u",
                            (unsigned long)device->chain.readable, (unsigned long)header.source_cid,
                            header.length);
        return 0;
    }
    connection = find_ports(header.source_port, header.target_port);
    if (header.target_cid == VSOCK_HOST && header.type == STREAM && connection && connection->state != DEAD)
        handle(connection, &header, &device->chain);
    else if (header.target_cid == VSOCK_HOST && header.type == STREAM && !connection &&
             header.operation == REQUEST)
        request(&header);
    else if (header.operation != RST)
        reply_reset(&header);
    return 0;
}

/* Bytes that the guest has room for. */
static uint32_t credit(const struct connection *connection)
{
    uint32_t held = connection->sent - connection->guest_forwarded;

    return held < connection->guest_buffer ? connection->guest_buffer - held : 0;
}

/* Whether there may be data to send; asks the guest for room if it has none. */
static bool has_data(struct connection *connection)
{
    if (!connection->number || connection->state != OPEN || !connection->ready ||
        connection->guest_over & VSOCK_NO_RECEIVE || connection->host_over & VSOCK_NO_SEND)
        return false;
    if (!credit(connection) && !connection->asked) {
        connection->asked = true;
        say(connection, CREDIT_REQUEST);
    }
    return credit(connection);
}

/* The connection that has something to say, or data, or null. */
static struct connection *next_connection(void)
{
    for (unsigned i = 0; i < VSOCK_CONNECTIONS; i++) {
        struct connection *connection = &connections[(turn + i) % VSOCK_CONNECTIONS];

        if (has_data(connection) || (connection->number && connection->to_say))
            return connection;
    }
    return NULL;
}

/* Fetches data from the back end into a chain, behind the header. */
static uint32_t fetch(struct connection *connection, const struct virtq_chain *chain)
{
    uint32_t done = 0, limit = credit(connection);

    while (done < limit && connection->ready) {
        size_t run, got;
        uint8_t *bytes = virtq_at(chain, true, sizeof(struct header) + done, &run);

        if (!bytes)
            break;
        run = run < limit - done ? run : limit - done;
        got = connection->backend->receive(connection->its, bytes, run);
        connection->ready = got == run;
        done += (uint32_t)got;
    }
    connection->sent += done;
    return done;
}

/* The next packet for the guest, into a chain. Bytes written; 0: there was nothing after all. */
static uint32_t write_packet(const struct virtq_chain *chain, struct connection *connection)
{
    struct header header = {.source_cid = VSOCK_HOST, .target_cid = guest_cid, .type = STREAM};
    unsigned operation;

    if (reply_count) {
        virtq_copy_to(chain, 0, &replies[--reply_count], sizeof(header));
        return sizeof(header);
    }
    if (connection->to_say) {
        operation = (unsigned)__builtin_ctz(connection->to_say);
        connection->to_say &= ~(1U << operation);
        header.flags = operation == SHUTDOWN ? connection->host_over : 0;
    } else {
        operation = RW;
        header.length = fetch(connection, chain);
        if (!header.length)
            return 0;
        turn = (unsigned)(connection - connections + 1) % VSOCK_CONNECTIONS;
    }
    header.operation = (uint16_t)operation;
    header.source_port = connection->host_port;
    header.target_port = connection->guest_port;
    header.buffer = connection->backend->buffer;
    header.forwarded = connection->told = connection->forwarded;
    virtq_copy_to(chain, 0, &header, sizeof(header));
    if (operation == RST)
        connection->number = 0;
    return (uint32_t)sizeof(header) + header.length;
}

/* Fills the rx queue with what there is to say. */
static void pump(struct virtio_device *device)
{
    unsigned packets = 0;

    while (packets < VIRTIO_TURN) {
        struct connection *connection = next_connection();
        uint32_t written;

        if (!reply_count && !connection)
            break;
        if (!virtio_pop(device, RX)) {
            if (!virtio_is_live(device) || !virtq_rearm(&device->queue[RX]))
                break;
            packets++;
            continue;
        }
        if (device->chain.writable <= sizeof(struct header)) {
            virtio_fail(device, "rx buffer with no room behind the header");
            break;
        }
        written = write_packet(&device->chain, connection);
        if (written)
            virtio_push(device, RX, written);
        else
            virtq_unpop(&device->queue[RX]);
        packets++;
    }
    if (packets == VIRTIO_TURN)
        virtio_defer(device, RX);
    virtio_interrupt(device, RX);
    if (tx_waits && reply_count < REPLIES) {
        tx_waits = false;
        virtio_defer(device, TX);
    }
}

static void notify(struct virtio_device *device, unsigned queue)
{
    if (queue == TX)
        virtio_serve(device, TX, take);
    pump(device);
}

static void reset(struct virtio_device *device)
{
    (void)device;
    for (unsigned i = 0; i < VSOCK_CONNECTIONS; i++) {
        if (connections[i].number && connections[i].state != DEAD)
            close(&connections[i]);
        connections[i].number = 0;
    }
    reply_count = 0;
    tx_waits = false;
}

static struct virtio_device vsock = {.name = "vsock",
                                     .type = TYPE,
                                     .class = CLASS,
                                     .queues = QUEUES,
                                     .sizes = {SIZE, SIZE, SIZE},
                                     .config = &guest_cid,
                                     .config_size = sizeof(guest_cid),
                                     .notify = notify,
                                     .reset = reset};

void vsock_lock(void)
{
    nova_mutex_lock(&vsock.lock);
}

void vsock_unlock(void)
{
    if (virtio_is_live(&vsock))
        pump(&vsock);
    nova_mutex_unlock(&vsock.lock);
}

void vsock_answer(uint32_t number, bool accepted)
{
    struct connection *connection = find(number);

    if (connection && connection->state == WAITING) {
        if (accepted) {
            connection->state = OPEN;
            say(connection, RESPONSE);
        } else {
            kill(connection);
        }
    }
}

void vsock_consumed(uint32_t number, uint32_t bytes)
{
    struct connection *connection = find(number);

    if (connection) {
        connection->forwarded += bytes;
        /* The guest hears of it when it may begin to matter. */
        if (connection->forwarded - connection->told >= connection->backend->buffer / 2)
            say(connection, CREDIT_UPDATE);
    }
}

void vsock_ready(uint32_t number)
{
    struct connection *connection = find(number);

    if (connection)
        connection->ready = true;
}

void vsock_reset(uint32_t number)
{
    struct connection *connection = find(number);

    if (connection)
        kill(connection);
}

void vsock_shutdown(uint32_t number, unsigned how)
{
    struct connection *connection = find(number);

    if (connection && connection->state == OPEN) {
        connection->host_over |= how & (VSOCK_NO_RECEIVE | VSOCK_NO_SEND);
        say(connection, SHUTDOWN);
    }
}

bool vsock_add(uint32_t port, const struct vsock_backend *backend, void *object)
{
    if (service_count == VSOCK_SERVICES || find_service(port))
        return false;
    services[service_count++] = (struct service){port, backend, object};
    return true;
}

bool vsock_init(uint64_t cid)
{
    guest_cid = cid;
    return cid > VSOCK_HOST && cid < UINT32_MAX && virtio_add(&vsock);
}
