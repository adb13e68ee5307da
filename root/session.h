/*
 * Sessions between domains. Under the lock.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef ROOT_SESSION_H
#define ROOT_SESSION_H

#include <stdint.h>

struct domain;

/* The server's side of a session. The rest is what the server sees: its nova_session_state. */
struct session {
    struct domain *client; /* null: gone, or it is root */
    unsigned number;       /* in the client's table */
    unsigned service;
    uint64_t portals, bell; /* selectors in the client's object space */
};

/* The client's side. */
struct client {
    unsigned connect;        /* what permits it */
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

/* The domain has ended: its clients find their sessions gone, its servers lose its buffers. */
void sessions_end(struct domain *d);

#endif
