/*
 * The console, without the hardware: what is typed. It goes to one client at a time: in lines, with echo, or
 * byte by byte to a terminal. The escape key comes before commands to the console, and to the program behind a
 * terminal.
 *
 * SPDX-License-Identifier: MIT
 */

#include "clients.h"

#include <nova/error.h>
#include <nova/format.h>
#include <nova/log.h>
#include <nova/string.h>

#define ESCAPE 0x1d /* Ctrl-] */
#define END 0x04    /* Ctrl-D: the end of input; also as a mark in what was typed for who is no terminal */
#define TYPED 1024U
#define EDITED 256U
#define OWN 4096U

static struct nova_mutex lock; /* of the following */
static char typed[TYPED];
static uint32_t typed_first, typed_used;
static bool ended; /* nothing will ever be typed any more */
static unsigned focus = NOBODY;

static char edited[EDITED];
static size_t edited_used;
static bool escaped;
static bool silent; /* what is typed is not shown */
static char own[OWN];
static uint32_t own_first, own_used;

unsigned keyboard_focus(void)
{
    return __atomic_load_n(&focus, __ATOMIC_RELAXED);
}

/* What was typed for one client is nothing for another one. Locked. */
static void give(unsigned number)
{
    __atomic_store_n(&focus, number, __ATOMIC_RELAXED);
    typed_used = 0;
}

/* What was typed for nobody is for the first one. */
void keyboard_want(unsigned number)
{
    nova_mutex_lock(&lock);
    if (focus == NOBODY)
        __atomic_store_n(&focus, number, __ATOMIC_RELAXED);
    nova_mutex_unlock(&lock);
}

long console_read(unsigned number, char *text, size_t size)
{
    bool ends = !client[number].terminal, end = false;
    size_t n = 0;

    nova_mutex_lock(&lock);
    while (focus == number && n < size && typed_used && !end) {
        char next = typed[typed_first];

        end = ends && next == END;
        if (end && n) /* next time */
            break;
        if (!end)
            text[n++] = next;
        typed_first = (typed_first + 1) % TYPED;
        typed_used--;
    }
    end |= ends && ended;
    nova_mutex_unlock(&lock);
    return end && !n ? NOVA_ERR_ABSENT : (long)n;
}

size_t keyboard_own(char *out, size_t size)
{
    size_t n = 0;

    for (; own_used && n < size; own_used--, n++) {
        out[n] = own[own_first];
        own_first = (own_first + 1) % OWN;
    }
    return n;
}

static void say(const char *text, size_t length)
{
    for (size_t i = 0; i < length && own_used < OWN; i++)
        own[(own_first + own_used++) % OWN] = text[i];
}

static void say_text(const char *text)
{
    say(text, strlen(text));
}

/* A client that reads. */
static bool present(unsigned number)
{
    return number < NOBODY && client[number].bound && !client[number].closed &&
           (client[number].reads || client[number].terminal);
}

static bool is_terminal(unsigned number)
{
    return present(number) && client[number].terminal;
}

/* The list of clients: number from 1 on, name, * for the one with the keyboard. */
static void list(void)
{
    char line[NOVA_NAME_MAX + 40];

    say_text("\r\n");
    for (unsigned i = 0; i < NOBODY; i++)
        if (present(i))
            say(line, nova_format(line, sizeof(line), "[console] %c %2u %s%s\r\n", i == focus ? '*' : ' ',
                                  i + 1, client[i].name, client[i].terminal ? " (terminal)" : ""));
    say_text(
        "[console] Ctrl-] then n: next, p: previous, digit: that one, ?: list, e: echo, Ctrl-D: end\r\n");
    if (is_terminal(focus))
        say_text("[console] s: state, x: exits, r: registers, h: halt, c: continue, b: reset, "
                 "o: power button, Ctrl-]: itself\r\n");
}

/* Moves the keyboard to another client, counted in either direction. */
static void move(unsigned from, unsigned step)
{
    char line[NOVA_NAME_MAX + 40];

    for (unsigned i = 0; i < NOBODY; i++, from = (from + step) % NOBODY)
        if (present(from)) {
            nova_mutex_lock(&lock);
            give(from);
            nova_mutex_unlock(&lock);
            edited_used = 0;
            say(line,
                nova_format(line, sizeof(line), "\r\n[console] %s has the keyboard\r\n", client[from].name));
            console_ring(from);
            return;
        }
}

void keyboard_drop(unsigned number)
{
    if (focus != number)
        return;
    nova_mutex_lock(&lock);
    give(NOBODY);
    nova_mutex_unlock(&lock);
    edited_used = 0;
    move((number + 1) % NOBODY, 1);
}

/* Hands over bytes to whoever has the keyboard; what does not fit is lost. */
static void pass(const char *text, size_t length)
{
    nova_mutex_lock(&lock);
    for (size_t i = 0; i < length && typed_used < TYPED; i++)
        typed[(typed_first + typed_used++) % TYPED] = text[i];
    nova_mutex_unlock(&lock);
    if (focus != NOBODY)
        console_ring(focus);
}

/* What has been typed of a line. */
static void enter(void)
{
    pass(edited, edited_used);
    edited_used = 0;
}

/* The end of input, for all clients and for good: nobody is there who could type. */
static void end(void)
{
    enter();
    nova_mutex_lock(&lock);
    ended = true;
    nova_mutex_unlock(&lock);
    for (unsigned i = 0; i < NOBODY; i++)
        if (present(i))
            console_ring(i);
}

static bool is_monitor(char c)
{
    static const char commands[] = {NOVA_LOG_STATE,  NOVA_LOG_EXITS, NOVA_LOG_REGISTERS, NOVA_LOG_PAUSE,
                                    NOVA_LOG_RESUME, NOVA_LOG_RESET, NOVA_LOG_POWER};
    unsigned i = 0;

    while (i < sizeof(commands) && commands[i] != c)
        i++;
    return i < sizeof(commands);
}

static void command(char c)
{
    unsigned now = focus == NOBODY ? 0 : focus;

    if (c == 'n') {
        move((now + 1) % NOBODY, 1);
    } else if (c == 'p') {
        move((now + NOBODY - 1) % NOBODY, NOBODY - 1);
    } else if (c >= '1' && c <= '9' && present((unsigned)(c - '1'))) {
        move((unsigned)(c - '1'), 1);
    } else if (c == 'e') {
        silent = !silent;
    } else if (c == END) {
        end();
    } else if (c == ESCAPE && is_terminal(focus)) {
        pass(&c, 1);
    } else if (is_monitor(c) && is_terminal(focus)) {
        __atomic_store_n(&client[focus].command, c, __ATOMIC_RELAXED);
        console_ring(focus);
    } else {
        list();
    }
}

bool console_accepts(void)
{
    bool room;

    nova_mutex_lock(&lock);
    room = typed_used + EDITED <= TYPED;
    nova_mutex_unlock(&lock);
    return room;
}

static void echo(const char *text, size_t length)
{
    bool secret = focus < NOBODY && __atomic_load_n(&client[focus].secret, __ATOMIC_RELAXED);

    if (!silent && !secret)
        say(text, length);
}

/* A line that is too long goes on in pieces, so that nothing of it is lost. */
static void add(char c)
{
    edited[edited_used++] = c;
    if (edited_used == EDITED)
        enter();
}

/* Lines are edited here. */
static void edit(char c)
{
    if (c == '\r' || c == '\n') {
        echo("\r\n", 2);
        add('\n');
        enter();
    } else if (c == END) {
        if (!edited_used) /* else what is there goes out without the end of a line */
            add(END);
        enter();
    } else if ((c == 0x7f || c == '\b') && edited_used) {
        edited_used--;
        echo("\b \b", 3);
    } else if (((unsigned char)c >= ' ' && c != 0x7f) || c == '\t') {
        add(c);
        echo(&c, 1);
    }
}

void console_typed(char c)
{
    bool was_escaped = escaped;

    escaped = !was_escaped && c == ESCAPE;
    if (was_escaped)
        command(c);
    else if (is_terminal(focus) && !escaped)
        pass(&c, 1);
    else if (!escaped)
        edit(c);
}
