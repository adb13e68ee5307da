/*
 * Log: a line is made up as a whole, then put into a ring, from where it goes to the serial line at once or waits for
 * the console server.
 *
 * SPDX-License-Identifier: MIT
 */

#include "log.h"

#include "system.h"

#include <nova/parent.h>

#define RING 8192U
#define LINE_STATUS (SERIAL_PORT + 5)
#define LINE_READY 0x20 /* room for a character */
#define LINE_EMPTY 0x40 /* all has been sent */
#define POLLS 1000000   /* a line that does not exist must not stop root */

static char ring[RING];
static uint32_t head, tail; /* bytes ever put, and taken */
static uint32_t lost;       /* lines that did not fit */
static uint64_t bell;
static bool console;

static void serial_write(char c)
{
    unsigned polls = POLLS;

    if (c == '\n')
        serial_write('\r');
    while (!(in8(LINE_STATUS) & LINE_READY) && --polls)
        __builtin_ia32_pause();
    out8(SERIAL_PORT, (uint8_t)c);
}

void log_direct(const char *text)
{
    while (*text)
        serial_write(*text++);
}

/* False if there is no room for all of it. */
static bool append(const char *text, size_t size)
{
    bool fits = size <= RING - (head - tail);

    while (fits && size--)
        ring[head++ % RING] = *text++;
    return fits;
}

/* Puts a whole line, or counts it; those that were lost before are reported first. */
static void put(const char *text, size_t size)
{
    char report[64];

    if (lost && append(report, nova_format(report, sizeof(report), "[root] %u lines lost\n", lost)))
        lost = 0;
    if (lost || !append(text, size))
        lost++;
    if (!console)
        log_to_serial();
    else if (bell)
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
    console = true;
}

void log_to_serial(void)
{
    bell = 0;
    console = false;
    while (tail != head)
        serial_write(ring[tail++ % RING]);
}

void log_set_bell(uint64_t sel)
{
    bell = sel;
}

bool log_take(uint64_t *bytes, char *text)
{
    uint32_t n;

    if (*bytes > head - tail)
        return false;
    tail += (uint32_t)*bytes;
    for (n = 0; n < NOVA_LOG_PIECE && tail + n != head; n++)
        text[n] = ring[(tail + n) % RING];
    *bytes = n;
    return true;
}

bool log_idle(void)
{
    return head == tail && in8(LINE_STATUS) & LINE_EMPTY;
}
