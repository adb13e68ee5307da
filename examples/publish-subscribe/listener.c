/*
 * listener: subscribes to a station and prints what it hears, until the station has nothing more to say. It
 * sleeps in between.
 *
 * SPDX-License-Identifier: MIT
 */

#include "station.h"

#include <nova/error.h>
#include <nova/session.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Prints complete lines of the text. Returns whether the empty line was among them. */
static bool hear(const char *text)
{
    for (const char *end; (end = strchr(text, '\n')); text = end + 1) {
        if (end == text)
            return true;
        printf("%.*s\n", (int)(end - text), text);
    }
    return false;
}

int main(void)
{
    struct nova_session session;
    char text[512];
    bool over = false;
    int error = nova_session_open(&session, "station", STATION_BUFFER, nova_now() + 10 * NOVA_S);

    if (error) {
        printf("no session: %s\n", nova_error_text(error));
        return 1;
    }
    while (!over && !(error = nova_session_wait(&session, nova_now() + 10 * NOVA_S))) {
        long length;
        while (!over &&
               (length = nova_stream_get(session.buffer, STATION_BUFFER, text, sizeof(text) - 1)) > 0) {
            text[length] = '\0';
            over = hear(text);
        }
    }
    if (error)
        printf("the station: %s\n", nova_error_text(error));
    nova_session_close(&session);
    return error != 0;
}
