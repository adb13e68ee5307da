/**
 * @file
 * Virtio sockets: streams between programs of the guest and services of the host (CID 2). The guest connects; each port leads
 * to a back end.
 *
 * Back ends know a connection by a number, which is not used again for long after its end. They hold what the guest sends: the
 * device never lets it send more than they have room for. What the guest shall receive they hold, too, until it is fetched.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VSOCK_HOST 2U         /**< CID of the host */
#define VSOCK_CONNECTIONS 32U /**< at the same time */
#define VSOCK_SERVICES 16U

enum vsock_answer { VSOCK_REFUSED, VSOCK_ACCEPTED, VSOCK_LATER };

/** How much of a connection is over, seen from who says it. */
enum { VSOCK_NO_RECEIVE = 1, VSOCK_NO_SEND = 2 };

/** All of these are called with the lock held, and must not wait; they may call the functions below, but not vsock_lock(). */
struct vsock_backend {
    uint32_t buffer; /**< bytes of each connection that it holds */
    /* The guest connects. VSOCK_LATER: vsock_answer() follows. What it stores in `its` the other functions get. */
    enum vsock_answer (*connect)(void *object, uint32_t connection, void **its);
    /* The guest sends (not nothing): takes all of it, which is not more than there is room for. vsock_consumed() makes room again. */
    void (*send)(void *its, const uint8_t *bytes, size_t count);
    /* The guest has room: how many bytes there were for it. Not all that was asked for: it is asked again after vsock_ready(). */
    size_t (*receive)(void *its, uint8_t *bytes, size_t count);
    /* The guest will not receive, or not send, any more. If neither, vsock_reset() ends it: when what it has sent has been used. */
    void (*shutdown)(void *its, unsigned how);
    /* The connection is over, for whatever reason; also after vsock_reset(). */
    void (*close)(void *its);
};

/** Once, before the machine runs: the device of a guest with this CID (above 2). False: no room on the bus. */
bool vsock_init(uint64_t cid);

/** What a port leads to. Before the machine runs; false: too many, or it is taken. */
bool vsock_add(uint32_t port, const struct vsock_backend *backend, void *object);

/** Around calls of the functions below by threads of back ends; unlocking does what has become possible. */
void vsock_lock(void);
void vsock_unlock(void);

/** Connections that are over are ignored. */
void vsock_answer(uint32_t connection, bool accepted);
void vsock_consumed(uint32_t connection, uint32_t bytes);
void vsock_ready(uint32_t connection);
void vsock_reset(uint32_t connection);

/** The back end will not receive, or not send, any more: when everything it had to send has been fetched. */
void vsock_shutdown(uint32_t connection, unsigned how);

/** Gives back what it gets, for tests: up to VSOCK_ECHOES connections at a time. */
#define VSOCK_ECHOES 8U
extern const struct vsock_backend vsock_echo;
