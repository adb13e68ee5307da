/*
 * What console.c (text of clients) and keyboard.c (what is typed) share.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "console.h"

#include <nova/start.h>
#include <nova/sync.h>

#define NOBODY NOVA_SESSIONS_MAX

struct client {
    struct nova_mutex lock;
    char *ring;
    uint32_t first, used; /* of the ring */
    uint32_t generation;  /* whose text it is */
    char name[NOVA_NAME_MAX];
    bool bound;           /* there is a client */
    bool closed;          /* it is gone, its text is not */
    bool waiting;         /* for room */
    bool reads;           /* has asked for input */
    bool secret;          /* atomic: it is not to be shown */
    bool prompt;          /* wants to see what it has written of a line */
    uint32_t before_root; /* bytes to be sent before root's next line */
    bool terminal;
    char command; /* atomic: to the program behind a terminal, or 0 */
    /* The rest belongs to the main thread. */
    char *open_line;                           /* terminal: what it has shown of a line; CONSOLE_RING bytes */
    uint32_t open_used;                        /* bytes of it */
    enum { PLAIN, ESCAPED, SEQUENCE } control; /* terminal, as log: within a control sequence */
};

extern struct client client[NOVA_SESSIONS_MAX];

/* Who has the keyboard, or NOBODY. Any thread. */
unsigned keyboard_focus(void);

/* A client that may read: it gets the keyboard if nobody has it. Any thread. */
void keyboard_want(unsigned number);

/* A client is gone. Main thread. */
void keyboard_drop(unsigned number);

/* Echo and messages of the console itself: bytes are taken from the front. Main thread. */
size_t keyboard_own(char *out, size_t size);
