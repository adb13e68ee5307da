/*
 * Guest that measures, for bench/domains/streams.nova: 1 MiB to a native service by a socket, by the console of virtio, and back by a
 * socket. In instructions, where the time counter counts these, and notifications, which are exits. What the guest waits while nobody
 * works is not counted: the console waits a while for more before it sends anything.
 *
 * SPDX-License-Identifier: MIT
 */

#include "lib/guest.h"
#include "lib/virtio.h"
#include "lib/vsock.h"

#define MIB 0x100000U
#define SERVICE 5
#define ROOM 0x10000U
#define ALONE 300 /* instructions: more than a look at a queue takes, less than an exit */

static struct virtio_queue sockets[QUEUES] __attribute__((aligned(4096)));
static struct virtio_queue console[2] __attribute__((aligned(4096)));
static struct packet buffers[VIRTIO_SIZE], out;
static uint8_t zeros[VSOCK_DATA];
static uint64_t cid, notifications, waited, looked;
static uint32_t port, sent, got, told, room, forwarded;

/* Between two looks at a queue: if nobody else has worked since the last one, that was waiting. */
static void pause(void)
{
    uint64_t now = rdtsc();

    waited += now - looked < ALONE ? now - looked : 0;
    looked = now;
    __builtin_ia32_pause();
}

static void transmit(struct virtio_queue *queue, const void *bytes, uint32_t length)
{
    uint32_t written;
    unsigned slot;

    virtio_offer(queue, 0, (void *)(uint64_t)bytes, length, false);
    virtio_kick(queue);
    notifications++;
    while (!virtio_take(queue, &slot, &written))
        pause();
}

static void say(unsigned operation, uint32_t length)
{
    out.source_cid = cid;
    out.target_cid = 2;
    out.source_port = port;
    out.target_port = SERVICE;
    out.length = length;
    out.type = 1;
    out.operation = (uint16_t)operation;
    out.flags = 2; /* of SHUTDOWN: sends no more */
    out.buffer = ROOM;
    out.forwarded = told = got;
    sent += length;
    transmit(&sockets[TX], &out, (uint32_t)HEADER + length);
}

/* The next packet: its operation, or 0. */
static unsigned hear(void)
{
    uint32_t written;
    unsigned slot, operation;

    if (!virtio_take(&sockets[RX], &slot, &written))
        return 0;
    operation = buffers[slot].operation;
    room = buffers[slot].buffer;
    forwarded = buffers[slot].forwarded;
    if (operation == RW)
        got += buffers[slot].length;
    virtio_offer(&sockets[RX], slot, &buffers[slot], sizeof(buffers[0]), true);
    if (got - told >= ROOM / 2)
        say(CREDIT_UPDATE, 0);
    return operation;
}

static void wait_for(unsigned operation)
{
    unsigned heard;

    while ((heard = hear()) != operation && heard != RST)
        pause();
}

static void open(char mode)
{
    port++;
    sent = got = told = 0;
    say(REQUEST, 0);
    wait_for(RESPONSE);
    out.data[0] = (uint8_t)mode;
    say(RW, 1);
}

/* Until the service has taken all, and said so. */
static void to_service(void)
{
    for (uint32_t left = MIB; left;) {
        uint32_t credit = room - (sent - forwarded), size = credit < VSOCK_DATA ? credit : VSOCK_DATA;

        if (size)
            say(RW, size);
        left -= size;
        hear();
    }
    say(SHUTDOWN, 0);
    wait_for(SHUTDOWN);
}

static void from_service(void)
{
    while (got < MIB)
        if (!hear())
            pause();
}

static void to_console(void)
{
    for (uint32_t done = 0; done < MIB; done += VSOCK_DATA)
        transmit(&console[TX], zeros, VSOCK_DATA);
}

static uint64_t measure(void (*function)(void), const char *what)
{
    uint64_t start = rdtsc(), time;

    notifications = waited = 0;
    function();
    time = rdtsc() - start - waited;
    tap_diag("bench %lu %s: instructions for each KiB", time / 1024, what);
    tap_diag("bench %lu %s: notifications for 1 MiB", notifications, what);
    return time;
}

void test(void)
{
    uint64_t socket, other;

    tap_ok(virtio_start(VIRTIO_VSOCK, sockets, QUEUES) && virtio_start(VIRTIO_CONSOLE, console, 2),
           "devices");
    cid = virtio_config(VIRTIO_VSOCK);
    for (unsigned i = 0; i < VIRTIO_SIZE; i++)
        virtio_offer(&sockets[RX], i, &buffers[i], sizeof(buffers[i]), true);
    virtio_kick(&sockets[RX]);
    open('s');
    socket = measure(to_service, "socket to a service");
    other = measure(to_console, "virtio console to a service");
    tap_diag("bench %lu socket to a service, %% of the work of a virtio console", socket * 100 / other);
    open('g');
    measure(from_service, "socket from a service");
}
