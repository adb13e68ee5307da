/*
 * Sessions between domains. Under the lock.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef ROOT_SESSION_H
#define ROOT_SESSION_H

#include <stdbool.h>
#include <stdint.h>

struct domain;

/* The server's side of a session. */
struct session {
    bool open; /* the place is taken: by a session, by one whose client is gone, or by root's log */
    bool log;  /* it is root's own */
    struct domain *client; /* null: gone */
    unsigned number;       /* in the client's table */
    unsigned service;
    uint32_t generation;
    uint64_t portals, bell; /* selectors in the client's object space */
    uint64_t cpus;
    uint64_t window, pages; /* buffer in the server */
};

/* The client's side. */
struct client {
    bool open;
    uint16_t connect;        /* what permits it */
    struct session *session; /* null: the server is gone */
};

/*
 * Operations of nova/parent.h, with the words of the message, of which OPEN overwrites 1 and 2 with its
 * results. They return `enum nova_error`.
 */
int session_serve(struct domain *server, uint64_t *word);
int session_open(struct domain *client, uint64_t *word);
int session_close(struct domain *client, uint64_t *word);
int session_release(struct domain *server, uint64_t *word);

/* The domain ends: its clients find their sessions gone, its servers lose its buffers. */
void sessions_end(struct domain *d);

#endif
