/*
 * Log: a line is made up as a whole, then put either into the stream or on the serial line.
 *
 * SPDX-License-Identifier: MIT
 */

#include "log.h"

#include "system.h"

#include <nova/stream.h>

#define STREAM_BYTES (LOG_STREAM_PAGES * 4096U)
#define LINE_STATUS (SERIAL_PORT + 5)
#define LINE_READY 0x20 /* room for a character */
#define LINE_EMPTY 0x40 /* all has been sent */
#define POLLS 1000000   /* a line that does not exist must not stop root */

static struct nova_stream *stream;
static uint64_t bell;
static uint32_t lost; /* lines that did not fit */
static bool console;

static void serial_write(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned polls = POLLS;

        while (!(in8(LINE_STATUS) & LINE_READY) && --polls)
            __builtin_ia32_pause();
        if (text[i] == '\n')
            out8(SERIAL_PORT, '\r');
        out8(SERIAL_PORT, (uint8_t)text[i]);
    }
}

void log_direct(const char *text)
{
    serial_write(text, strlen(text));
}

/* To where lines go now. False if there is no room. */
static bool write(const char *text, size_t size)
{
    if (!console)
        serial_write(text, size);
    return !console || nova_stream_put(stream, STREAM_BYTES, text, (uint32_t)size) > 0;
}

/* Puts a whole line, or counts it; those that were lost before are reported first. */
static void put(const char *text, size_t size)
{
    char report[64];

    if (lost && write(report, nova_format(report, sizeof(report), "[root] %u lines lost\n", lost)))
        lost = 0;
    if (lost || !write(text, size))
        lost++;
    if (bell)
        nova_hc_ctrl_sm(bell, 0, NOVA_SM_UP);
}

void log_root(const char *format, ...)
{
    char line[LOG_TEXT_MAX];
    va_list args;
    size_t n;

    memcpy(line, "[root] ", 7);
    va_start(args, format);
    n = 7 + nova_format_args(line + 7, sizeof(line) - 8, format, args);
    va_end(args);
    if (n > sizeof(line) - 2)
        n = sizeof(line) - 2;
    line[n++] = '\n';
    put(line, n);
}

void log_domain(const char *name, const char *text, size_t size)
{
    char line[LOG_TEXT_MAX + NOVA_NAME_MAX + 8];

    for (size_t i = 0; i < size;) {
        size_t n = nova_format(line, sizeof(line), "[%s] ", name);

        while (i < size && text[i] != '\n') {
            char c = text[i++];

            line[n++] = (c >= 0 && c < ' ' && c != '\t') || c == 0x7f ? '?' : c;
        }
        i++;
        line[n++] = '\n';
        put(line, n);
    }
}

void log_to_console(void)
{
    if (!stream)
        stream = root_alloc(STREAM_BYTES);
    nova_stream_init(stream, STREAM_BYTES);
    console = true;
}

void log_to_serial(void)
{
    char text[256];
    long n;

    bell = 0;
    console = false;
    while (stream && (n = nova_stream_get(stream, STREAM_BYTES, text, sizeof(text))) > 0)
        serial_write(text, (size_t)n);
}

uint64_t log_stream(void)
{
    return (uint64_t)stream - PHYSICAL_BASE;
}

void log_set_bell(uint64_t sel)
{
    bell = sel;
    if (sel)
        nova_hc_ctrl_sm(sel, 0, NOVA_SM_UP);
}

bool log_idle(void)
{
    return (!console || nova_stream_used(stream, STREAM_BYTES) <= 0) && in8(LINE_STATUS) & LINE_EMPTY;
}
