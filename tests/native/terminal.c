/*
 * What is behind the serial line of a virtual machine, as the console sees it: a session that is a terminal.
 * Echoes what is typed, as a shell would, and reports commands, until there is a line "q".
 *
 * SPDX-License-Identifier: MIT
 */

#include <nova/error.h>
#include <nova/format.h>
#include <nova/log.h>
#include <nova/program.h>
#include <nova/session.h>
#include <nova/string.h>
#include <nova/thread.h>

static struct nova_session s;

/* One call: the operation and its argument; the second word of the answer, or an error. */
static long call(uint64_t op, const char *text, size_t size)
{
    uint64_t *word = nova_message();
    int words;

    word[0] = op;
    word[1] = size;
    if (text)
        memcpy(word + 2, text, size);
    words = nova_session_call(&s, op >= NOVA_LOG_TERMINAL ? 1 : text ? 2 + (unsigned)(size + 7) / 8 : 2);
    return words < 2 ? -100 : word[0] ? (long)word[0] : (long)word[1];
}

static void write_text(const char *text)
{
    size_t length = strlen(text);

    while (length) {
        long n = call(NOVA_LOG_WRITE, text, length);
        if (n < 0)
            nova_exit(1);
        text += n;
        length -= (size_t)n;
    }
}

int nova_main(int argc, char **argv)
{
    char text[64], line[64] = "", shown[16];
    size_t used = 0;
    long n, command;

    (void)argc;
    (void)argv;
    if (nova_session_open(&s, "log", 0, nova_now() + 5 * NOVA_S) || call(NOVA_LOG_TERMINAL, NULL, 0))
        return 1;
    write_text("boot\r\nvm# ");
    for (;;) {
        command = call(NOVA_LOG_COMMAND, NULL, 0);
        if (command) {
            nova_format(text, sizeof(text), "<command %c>", (char)command);
            write_text(text);
        }
        n = call(NOVA_LOG_READ, NULL, sizeof(text));
        if (n < 0)
            return 2;
        memcpy(text, nova_message() + 2, (size_t)n);
        for (long i = 0; i < n; i++)
            if (text[i] == '\r') {
                write_text("\r\n");
                if (!strcmp(line, "q"))
                    return 0;
                memset(line, 0, sizeof(line));
                used = 0;
                write_text("vm# ");
            } else {
                if (used < sizeof(line) - 1)
                    line[used++] = text[i];
                nova_format(shown, sizeof(shown), text[i] < ' ' || text[i] == 0x7f ? "<%02x>" : "%c",
                            text[i]);
                write_text(shown);
            }
        if (!n && !command && nova_session_wait(&s, nova_now() + 60 * NOVA_S))
            return 3;
    }
}
