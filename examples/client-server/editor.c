/*
 * editor: a service that works on text in the buffer of its client.
 *
 * The client can write to the buffer at any time, also while the editor reads it: every byte is read once,
 * and nothing that was read is believed to be there still. Lengths come by message, which is the editor's
 * own once it has arrived.
 *
 * SPDX-License-Identifier: MIT
 */

#include "editor.h"

#include <ctype.h>
#include <nova/error.h>
#include <nova/session.h>
#include <stdio.h>
#include <string.h>

static uint64_t shout(volatile unsigned char *text, size_t size)
{
    uint64_t changed = 0;

    for (size_t i = 0; i < size; i++) {
        unsigned char c = text[i];
        if (islower(c)) {
            text[i] = (unsigned char)toupper(c);
            changed++;
        }
    }
    return changed;
}

static uint64_t count(const volatile unsigned char *text, size_t size)
{
    uint64_t words = 0;
    int inside = 0;

    for (size_t i = 0; i < size; i++) {
        int letter = !isspace(text[i]);
        words += letter && !inside;
        inside = letter;
    }
    return words;
}

static unsigned edit(void *context, unsigned session, uint64_t *word, unsigned words)
{
    const struct nova_session_state *client = nova_server_client(session);
    unsigned char *text = (unsigned char *)client->buffer;

    (void)context;
    if (words != 2 || !text || word[1] > (uint64_t)client->pages * 4096) {
        word[0] = (uint64_t)NOVA_ERR_PROTOCOL;
        return 1;
    }
    switch (word[0]) {
    case EDITOR_SHOUT:
        word[1] = shout(text, word[1]);
        break;
    case EDITOR_COUNT:
        word[1] = count(text, word[1]);
        break;
    case EDITOR_WHO:
        word[1] = strlen(client->peer);
        memcpy(text, client->peer, word[1]);
        break;
    default:
        word[0] = (uint64_t)NOVA_ERR_INVAL;
        return 1;
    }
    word[0] = NOVA_OK;
    return 2;
}

int main(void)
{
    static const struct nova_server_options options = {.buffer_size = EDITOR_BUFFER};
    static struct nova_server server;
    unsigned session;

    if (nova_server_start(&server, edit, NULL, &options) != 0)
        return 1;
    for (;;) {
        nova_server_wait(&server, NOVA_NEVER);
        for (enum nova_server_event event; (event = nova_server_next(&server, &session));)
            if (event == NOVA_SERVER_OPENED)
                printf("a session with %s\n", nova_server_client(session)->peer);
    }
}
