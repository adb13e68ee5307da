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

static struct nova_mutex lock;
static struct nova_session session;
static char line[LINE];
static uint32_t used;
static uint64_t lost;

/* To the console server, or to root; and what the console server answers. */
struct message {
    uint64_t op, bytes; /* answer: error; bytes that were taken, or that have come */
    char text[LINE];
};

/* Words of a message with so many bytes of text. */
static unsigned words(size_t bytes)
{
    return 2 + (unsigned)(bytes + 7) / 8;
}

/* One call to the console server, in a session that is opened if there is none. Returns the bytes of the answer. */
static long exchange(struct message *m, unsigned count, uint64_t deadline)
{
    uint64_t most = m->bytes;
    unsigned cpu = nova_thread_cpu();
    int error = NOVA_OK;

    if (!nova_session_alive(&session)) {
        nova_session_close(&session);
        error = nova_session_open(&session, "log", 0, deadline);
        error = error == NOVA_ERR_ABSENT ? NOVA_ERR_PEER : error;
    }
    if (!error && !(session.cpus >> cpu & 1))
        error = NOVA_ERR_ABSENT;
    if (!error)
        error = nova_call_aside(session.portal + cpu, &m->op, count, words(LINE));
    if (error > 0 || (!error && m->bytes > most))
        error = NOVA_ERR_PROTOCOL;
    return error ? error : (long)m->bytes;
}

/* Sends text to the console server; it may take only part of it at a time, and it may come back. */
static int send(const char *text, size_t length)
{
    uint64_t deadline = nova_now() + PATIENCE;
    struct message m;
    bool rung = false;
    long taken = 0;

    while (length && (taken >= 0 || (taken == NOVA_ERR_PEER && nova_now() < deadline))) {
        m.op = NOVA_LOG_WRITE;
        m.bytes = length;
        memcpy(m.text, text, length);
        taken = exchange(&m, words(length), deadline);
        if (taken > 0) {
            text += taken;
            length -= (size_t)taken;
            deadline = nova_now() + PATIENCE;
        } else if (!taken) {
            rung |= nova_session_wait(&session, nova_now() + NAP) == NOVA_OK;
        }
    }
    if (rung)
        nova_sm_up(session.bell);
    return taken < 0 ? (int)taken : NOVA_OK;
}

/* Without a console server, a line is a request to root. */
static int emit(const char *text, size_t length)
{
    struct message m = {.op = NOVA_PARENT_LOG, .bytes = length};

    if (nova_info()->console)
        return send(text, length);
    memcpy(m.text, text, length);
    return nova_parent_call(&m.op, words(length), 1);
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

void nova_print(const char *format, ...)
{
    char text[1024];
    size_t length;
    va_list args;

    va_start(args, format);
    length = nova_format_args(text, sizeof(text), format, args);
    va_end(args);
    nova_log_write(text, length < sizeof(text) ? length : sizeof(text) - 1);
}

static long read_with(enum nova_log_op op, char *text, size_t size, uint64_t deadline)
{
    size = size < LINE ? size : LINE;
    if (!nova_info()->console)
        return NOVA_ERR_ABSENT;
    if (!(nova_info()->flags & NOVA_DOMAIN_CONSOLE))
        return NOVA_ERR_DENIED;
    for (;;) {
        struct message m = {.op = op, .bytes = size};
        long result;

        nova_mutex_lock(&lock);
        flush(true); /* the prompt */
        result = exchange(&m, words(0), deadline);
        nova_mutex_unlock(&lock);
        if (result > 0)
            memcpy(text, m.text, (size_t)result);
        if (!result)
            result = nova_session_wait(&session, deadline);
        if (result)
            return result;
    }
}

long nova_log_read(char *text, size_t size, uint64_t deadline)
{
    return read_with(NOVA_LOG_READ, text, size, deadline);
}

long nova_log_read_secret(char *text, size_t size, uint64_t deadline)
{
    return read_with(NOVA_LOG_READ_SECRET, text, size, deadline);
}
