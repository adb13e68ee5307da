/*
 * A back end of virtio sockets that gives back what it gets, for tests of guests.
 *
 * State: a ring of bytes for each connection. Locking: that of the socket device, which calls it.
 *
 * SPDX-License-Identifier: MIT
 */

#include "virtio/vsock.h"

#include <string.h>

#define BUFFER 2048U

static struct echo {
    uint32_t connection; /* 0: free */
    bool ends;           /* the guest sends no more */
    uint32_t head, count;
    uint8_t data[BUFFER];
} echoes[VSOCK_ECHOES];

static enum vsock_answer echo_connect(void *object, uint32_t connection, void **its)
{
    (void)object;
    for (unsigned i = 0; i < VSOCK_ECHOES; i++) {
        if (!echoes[i].connection) {
            echoes[i] = (struct echo){.connection = connection};
            *its = &echoes[i];
            return VSOCK_ACCEPTED;
        }
    }
    return VSOCK_REFUSED;
}

static void echo_send(void *its, const uint8_t *bytes, size_t count)
{
    struct echo *echo = its;

    for (size_t i = 0; i < count; i++)
        echo->data[(echo->head + echo->count++) % BUFFER] = bytes[i];
    vsock_ready(echo->connection);
}

static size_t echo_receive(void *its, uint8_t *bytes, size_t count)
{
    struct echo *echo = its;
    uint32_t size = echo->count < count ? echo->count : (uint32_t)count;

    for (uint32_t i = 0; i < size; i++)
        bytes[i] = echo->data[(echo->head + i) % BUFFER];
    echo->head = (echo->head + size) % BUFFER;
    echo->count -= size;
    vsock_consumed(echo->connection, size);
    if (echo->ends && !echo->count)
        vsock_shutdown(echo->connection, VSOCK_NO_RECEIVE | VSOCK_NO_SEND);
    return size;
}

static void echo_shutdown(void *its, unsigned how)
{
    struct echo *echo = its;

    echo->ends = how & VSOCK_NO_SEND;
    if (how == (VSOCK_NO_RECEIVE | VSOCK_NO_SEND))
        vsock_reset(echo->connection);
    else if (how & VSOCK_NO_RECEIVE)
        vsock_shutdown(echo->connection, VSOCK_NO_SEND);
    else if (!echo->count)
        vsock_shutdown(echo->connection, VSOCK_NO_RECEIVE | VSOCK_NO_SEND);
}

static void echo_close(void *its)
{
    struct echo *echo = its;

    echo->connection = 0;
}

const struct vsock_backend vsock_echo = {BUFFER,       echo_connect,  echo_send,
                                         echo_receive, echo_shutdown, echo_close};
