/*
 * Services of other domains behind ports of virtio sockets: a connection is a session with the service, and a pipe in it.
 *
 *   guest's buffer --> send ----> pipe --> service             each byte is copied once by the VMM, and kept nowhere else
 *   guest's buffer <-- receive <- pipe <-- service
 *                                   \__ one bell for all sessions __> thread: looks what the services have done
 *
 * Sessions are opened and closed by the thread alone, as that takes a while: a connection waits (VSOCK_LATER). A service that is not
 * there has some time to come back, as Linux gives a connection two seconds.
 *
 *   FREE --> OPENING --> OPEN --> CLOSING --> FREE             CLOSING by the device, the rest by the thread
 *                \____________________^
 * The credit of the guest is what fits into the pipe. What a service has read, the VMM sees when the guest sends more, and when
 * the pipe is half empty again, for which the bell rings: by then it matters.
 *
 * State: slots, under the lock of the socket device; a pipe that is being opened or closed belongs to the thread.
 * Input checked: what services write to the buffer, by nova/pipe.h; how much they have read may go backwards here.
 *
 * SPDX-License-Identifier: MIT
 */

#include "services.h"

#include "virtio/vsock.h"

#include <nova/error.h>
#include <nova/log.h>
#include <nova/pipe.h>
#include <nova/sync.h>
#include <nova/thread.h>

#define BUFFER NOVA_PIPE_SOCKET
#define AGAIN (20 * NOVA_MS)
#define PATIENCE (1500 * NOVA_MS)
#define CROWDED (200 * NOVA_MS) /* for services that have to clean up first */
#define OVER (VSOCK_NO_RECEIVE | VSOCK_NO_SEND)

static struct slot {
    enum { FREE, OPENING, OPEN, CLOSING } state;
    const char *service;
    uint32_t connection;
    uint64_t since; /* when the guest wanted it */
    bool has_pipe;
    struct nova_pipe pipe;
    uint32_t sent, read; /* bytes to the service; how many of them it has read, as far as the guest knows */
    unsigned guest_over, host_over; /* VSOCK_NO_... */
} slots[VSOCK_CONNECTIONS];

static uint64_t bell;

/* How much the service has read: the guest may send as much again. */
static void give_credit(struct slot *slot)
{
    long room = nova_pipe_room(&slot->pipe);
    uint32_t used = slot->pipe.capacity - (room > 0 ? (uint32_t)room : 0);
    uint32_t more = slot->sent - used - slot->read;

    if ((room > 0 || room == NOVA_ERR_BUSY) && more <= slot->pipe.capacity) {
        slot->read += more;
        vsock_consumed(slot->connection, more);
    }
}

/* What the service sends to a guest that does not want it, as much as there was room for. As nova_pipe_waiting(). */
static long discard(struct slot *slot)
{
    uint8_t bytes[512];
    long result = 1;

    for (unsigned i = 0; i < BUFFER / sizeof(bytes) && result > 0; i++)
        result = nova_pipe_read(&slot->pipe, bytes, sizeof(bytes));
    if (result > 0)
        nova_sm_up(bell);
    return result > 0 ? NOVA_ERR_BUSY : result;
}

/* The service writes no more, or is gone, and the guest has read all. */
static void end(struct slot *slot, long why)
{
    unsigned how = nova_session_alive(&slot->pipe.session) ? VSOCK_NO_SEND : OVER;

    if (why < 0 || slot->guest_over == OVER) {
        vsock_reset(slot->connection);
    } else if (how & ~slot->host_over) {
        slot->host_over |= how;
        vsock_shutdown(slot->connection, how);
    }
}

/* What the service may have done. */
static void look(struct slot *slot)
{
    long waiting;

    give_credit(slot);
    waiting = slot->guest_over & VSOCK_NO_RECEIVE ? discard(slot) : nova_pipe_waiting(&slot->pipe);
    if (waiting > 0)
        vsock_ready(slot->connection);
    else if (waiting != NOVA_ERR_BUSY)
        end(slot, waiting);
}

/* -- For the device, with its lock held -- */

static enum vsock_answer connect(void *object, uint32_t connection, void **its)
{
    for (unsigned i = 0; i < VSOCK_CONNECTIONS; i++) {
        if (slots[i].state == FREE) {
            slots[i] = (struct slot){
                .state = OPENING, .service = object, .connection = connection, .since = nova_now()};
            *its = &slots[i];
            nova_sm_up(bell);
            return VSOCK_LATER;
        }
    }
    return VSOCK_REFUSED;
}

/* A service that has gone may have left words for the guest: these come first, the guest's go nowhere. */
static void send(void *its, const uint8_t *bytes, size_t count)
{
    struct slot *slot = its;
    long done = 1;

    while (count && (done = nova_pipe_write(&slot->pipe, bytes, count)) > 0) {
        slot->sent += (uint32_t)done;
        bytes += done;
        count -= (size_t)done;
    }
    if (done > 0) {
        give_credit(slot);
    } else if (done == NOVA_ERR_PEER) {
        vsock_consumed(slot->connection, (uint32_t)count);
        look(slot);
    } else {
        vsock_reset(slot->connection);
    }
}

static size_t receive(void *its, uint8_t *bytes, size_t count)
{
    struct slot *slot = its;
    size_t done = 0;

    while (done < count) {
        long read = nova_pipe_read(&slot->pipe, bytes + done, count - done);

        if (read <= 0) {
            if (read != NOVA_ERR_BUSY)
                end(slot, read);
            break;
        }
        done += (size_t)read;
    }
    return done;
}

static void shutdown(void *its, unsigned how)
{
    struct slot *slot = its;

    if (how & VSOCK_NO_SEND & ~slot->guest_over)
        nova_pipe_end(&slot->pipe);
    slot->guest_over |= how;
    look(slot);
}

static void close(void *its)
{
    struct slot *slot = its;

    slot->state = CLOSING;
    nova_sm_up(bell);
}

static const struct vsock_backend backend = {BUFFER, connect, send, receive, shutdown, close};

/* -- The thread; it holds the lock where it does not say otherwise -- */

/* Without the lock: one try. */
static int try_to_open(struct slot *slot)
{
    int error;

    vsock_unlock();
    error = nova_pipe_open_shared(&slot->pipe, slot->service, NOVA_PIPE_SIZE(BUFFER), 0, bell);
    vsock_lock();
    slot->has_pipe = !error;
    return error;
}

/* When to try again, or NOVA_NEVER. */
static uint64_t open(struct slot *slot)
{
    static bool reported;
    int error = try_to_open(slot);
    uint64_t now = nova_now(), waited = now - slot->since;

    if (slot->state != OPENING) /* the guest does not want it any more */
        return now;
    if ((error == NOVA_ERR_ABSENT && waited < PATIENCE) || (error == NOVA_ERR_LIMIT && waited < CROWDED))
        return now + AGAIN;
    if (!error)
        slot->state = OPEN;
    else if (!reported) /* once: a guest can have this as often as it wants */
        nova_print("vsock: %s: %s\n", slot->service, nova_error_text(error));
    reported |= error != NOVA_OK;
    vsock_answer(slot->connection, !error);
    return NOVA_NEVER;
}

/* Without the lock: nobody else does anything with it. */
static void finish(struct slot *slot)
{
    vsock_unlock();
    if (slot->has_pipe)
        nova_pipe_close(&slot->pipe);
    vsock_lock();
    slot->state = FREE;
}

uint64_t services_step(void)
{
    uint64_t next = NOVA_NEVER;

    vsock_lock();
    for (unsigned i = 0; i < VSOCK_CONNECTIONS; i++)
        if (slots[i].state == CLOSING)
            finish(&slots[i]);
    for (unsigned i = 0; i < VSOCK_CONNECTIONS; i++) {
        uint64_t again = slots[i].state == OPENING ? open(&slots[i]) : NOVA_NEVER;

        next = again < next ? again : next;
        if (slots[i].state == OPEN)
            look(&slots[i]);
    }
    vsock_unlock();
    return next;
}

static void run(void *unused)
{
    (void)unused;
    for (;;)
        nova_sm_drain(bell, services_step());
}

bool services_add(uint32_t port, const char *service)
{
    union {
        const char *name;
        void *object;
    } its = {.name = service};

    return vsock_add(port, &backend, its.object);
}

int services_start(void)
{
    struct nova_thread *thread;
    int error = nova_sm_create(&bell, 0);

    return error ? error
                 : nova_thread_create(&thread, run, NULL, &(struct nova_thread_options){.detached = 1});
}
