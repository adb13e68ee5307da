/*
 * The log. Text is collected in one buffer for the domain until a line is complete. Whoever sends it keeps
 * the lock meanwhile, so that lines arrive in order; the UTCB is put back as it was.
 *
 * The console server rings the bell of the session both for room and for input. Writers wait for it only for
 * a short time each, and pass a ring on, so that a thread that waits for input does not miss it.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

#include <nova/format.h>
#include <nova/log.h>
#include <nova/session.h>
#include <nova/string.h>

#define PATIENCE (5 * NOVA_S) /* for a console server that is not there */
#define NAP (20 * NOVA_MS)
#define LINE 504U
#define TEXT_WORDS (LINE / 8)

static struct nova_mutex lock;
static struct nova_session session;
static char line[LINE];
static uint32_t used;
static uint64_t lost;

/*
 * Exchanges `words` words and a text with the console server; word[] are the first two words, afterwards
 * those of the answer.
 */
static int exchange(uint64_t *word, const char *text, char *answer, size_t size)
{
    uint64_t *utcb = nova_message(), saved[2 + TEXT_WORDS];
    int words;

    memcpy(saved, utcb, sizeof(saved));
    utcb[0] = word[0];
    utcb[1] = word[1];
    if (text)
        memcpy(utcb + 2, text, word[1]);
    words = nova_session_call(&session, text ? 2 + (unsigned)(word[1] + 7) / 8 : 2);
    word[0] = words > 0 ? utcb[0] : (uint64_t)words;
    word[1] = words > 1 ? utcb[1] : 0;
    if (answer && word[1])
        memcpy(answer, utcb + 2, word[1] < size ? word[1] : size);
    memcpy(utcb, saved, sizeof(saved));
    return (int)word[0];
}

static int connect(uint64_t deadline)
{
    if (session.portal && nova_session_alive(&session))
        return NOVA_OK;
    nova_session_close(&session);
    return nova_session_open(&session, "log", 0, deadline);
}

/* Sends text to the console server; it may take only part of it at a time. */
static int send(const char *text, size_t length)
{
    uint64_t deadline = nova_now() + PATIENCE;
    bool rung = false;
    int error = NOVA_OK;

    while (length && !error) {
        uint64_t word[2] = {NOVA_LOG_WRITE, length};
        error = connect(deadline);
        if (!error)
            error = exchange(word, text, NULL, 0);
        if (error == NOVA_ERR_PEER && nova_now() < deadline) { /* it may come back */
            error = NOVA_OK;
            continue;
        }
        if (!error && word[1] > length)
            error = NOVA_ERR_PROTOCOL;
        if (!error && word[1]) {
            text += word[1];
            length -= word[1];
            deadline = nova_now() + PATIENCE;
        } else if (!error) {
            rung |= nova_session_wait(&session, nova_now() + NAP) == NOVA_OK;
        }
    }
    if (rung)
        nova_sm_up(session.bell);
    return error;
}

/* Without a console server: a request to root for each line. */
static int send_to_root(const char *text, size_t length)
{
    uint64_t word[2 + TEXT_WORDS] = {NOVA_PARENT_LOG, length};

    memcpy(word + 2, text, length);
    return nova_parent_call(word, 2 + (unsigned)(length + 7) / 8, 1);
}

static int emit(const char *text, size_t length)
{
    return nova_info()->console ? send(text, length) : send_to_root(text, length);
}

/* What could not be sent is gone, but not forgotten. */
static void emit_or_count(const char *text, size_t length)
{
    char report[64];

    if (lost && !emit(report, nova_format(report, sizeof(report), "(%lu characters are lost)\n", lost)))
        lost = 0;
    if (length && (lost || emit(text, length)))
        lost += length;
}

/* Sends the complete lines that are there; with `all`, the rest as well. */
static void flush(bool all)
{
    uint32_t end = used;

    while (!all && end && line[end - 1] != '\n')
        end--;
    emit_or_count(line, end);
    used -= end;
    memmove(line, line + end, used);
}

void nova_log_flush(void)
{
    nova_mutex_lock(&lock);
    flush(true);
    nova_mutex_unlock(&lock);
}

void nova_log_write(const char *text, size_t length)
{
    nova_mutex_lock(&lock);
    nova_program_at_exit = nova_log_flush;
    while (length) {
        size_t part = LINE - used < length ? LINE - used : length;
        memcpy(line + used, text, part);
        used += (uint32_t)part;
        text += part;
        length -= part;
        if (used == LINE || !length)
            flush(false);
        if (used == LINE) /* a line that is too long for the buffer */
            flush(true);
    }
    nova_mutex_unlock(&lock);
}

void nova_print_args(const char *format, va_list args)
{
    char text[1024];
    size_t length = nova_format_args(text, sizeof(text), format, args);

    nova_log_write(text, length < sizeof(text) ? length : sizeof(text) - 1);
}

void nova_print(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    nova_print_args(format, args);
    va_end(args);
}

long nova_log_read(char *text, size_t size, uint64_t deadline)
{
    size = size < LINE ? size : LINE;
    if (!nova_info()->console)
        return NOVA_ERR_ABSENT;
    for (;;) {
        uint64_t word[2] = {NOVA_LOG_READ, size};
        int error;

        nova_mutex_lock(&lock);
        flush(true); /* the prompt */
        error = connect(deadline);
        if (!error)
            error = exchange(word, NULL, text, size);
        nova_mutex_unlock(&lock);
        if (error)
            return error;
        if (word[1])
            return word[1] <= size ? (long)word[1] : NOVA_ERR_PROTOCOL;
        error = nova_session_wait(&session, deadline);
        if (error)
            return error;
    }
}
