/*
 * editor-client: opens a session with the editor, shares a buffer with it, and has a text edited.
 *
 * SPDX-License-Identifier: MIT
 */

#include "editor.h"

#include <nova/error.h>
#include <nova/session.h>
#include <nova/thread.h>
#include <stdio.h>
#include <string.h>

/* Calls the editor. Returns its answer, or an error. */
static long edit(const struct nova_session *session, enum editor_op op, size_t size)
{
    uint64_t *word = nova_message();

    word[0] = op;
    word[1] = size;
    int words = nova_session_call(session, 2);
    if (words < 0)
        return words;
    return words == 2 && word[0] == NOVA_OK ? (long)word[1] : (long)word[0];
}

int main(void)
{
    static const char poem[] = "I wandered lonely as a cloud";
    struct nova_session session;
    int error = nova_session_open(&session, "editor", EDITOR_BUFFER, nova_now() + 10 * NOVA_S);

    if (error) {
        printf("no session: %s\n", nova_error_text(error));
        return 1;
    }
    memcpy(session.buffer, poem, sizeof(poem));
    printf("words: %ld\n", edit(&session, EDITOR_COUNT, strlen(poem)));
    printf("letters changed: %ld\n", edit(&session, EDITOR_SHOUT, strlen(poem)));
    printf("text: %.*s\n", (int)strlen(poem), (const char *)session.buffer);
    long length = edit(&session, EDITOR_WHO, 0);
    printf("the editor knows me as %.*s\n", (int)length, (const char *)session.buffer);
    error = (int)edit(&session, EDITOR_COUNT, EDITOR_BUFFER + 1);
    printf("more than the buffer: %s\n", nova_error_text(error));
    error = (int)edit(&session, 99, 0);
    printf("an unknown operation: %s\n", nova_error_text(error));
    nova_session_close(&session);

    error = nova_session_open(&session, "vault", 0, nova_now() + NOVA_S);
    printf("a session that the system file does not grant: %s\n", nova_error_text(error));
    return 0;
}
