/*
 * The console, without the hardware: the text of clients.
 *
 * The terminal that has the keyboard is shown as it is. When a line of somebody else comes in between it goes
 * behind a line break, and what the terminal has shown of its line is repeated.
 *
 * SPDX-License-Identifier: MIT
 */

#include "clients.h"

#include <nova/error.h>
#include <nova/string.h>

#define ROOT (NOVA_SESSIONS_MAX + 1)
#define PIECE 48U

struct client client[NOVA_SESSIONS_MAX];

/* The line that is being sent. */
static unsigned current = NOBODY; /* a client, ROOT */
static uint32_t left;             /* bytes of it in the ring */
static bool complete;             /* a newline follows */
static bool raw;                  /* it is a terminal that has the keyboard */
static uint32_t again;            /* bytes of what it has shown before that are to be repeated */
static unsigned last;             /* whose turn it was */
static unsigned open_by = NOBODY; /* who has left the line open */
static bool line_open;            /* the last character was no newline */
static char stage[NOVA_NAME_MAX + 96];
static size_t staged, stage_at;

static char root_text[CONSOLE_PIECE];
static size_t root_length, root_at;
static bool root_waits; /* before_root is set */

/* -- What clients ask for. Client locked. -- */

/* Makes the place that of a new client, once the text of the last one has been sent. */
static bool bind(struct client *c, uint32_t generation, const char *name)
{
    if (c->bound && c->generation == generation)
        return true;
    if (c->used || c->before_root)
        return false;
    c->ring = c->ring ? c->ring : console_memory();
    memcpy(c->name, name, sizeof(c->name));
    c->name[sizeof(c->name) - 1] = '\0';
    c->generation = generation;
    c->bound = true;
    c->closed = c->waiting = c->reads = c->prompt = c->terminal = false;
    __atomic_store_n(&c->secret, false, __ATOMIC_RELAXED);
    c->command = 0;
    return true;
}

long console_write(unsigned number, uint32_t generation, const char *name, const void *text, size_t length)
{
    struct client *c = &client[number];
    uint32_t taken = 0, at, part;

    nova_mutex_lock(&c->lock);
    if (bind(c, generation, name) && !c->closed) {
        taken = CONSOLE_RING - c->used < length ? CONSOLE_RING - c->used : (uint32_t)length;
        at = (c->first + c->used) % CONSOLE_RING;
        part = taken < CONSOLE_RING - at ? taken : CONSOLE_RING - at;
        if (c->ring) {
            memcpy(c->ring + at, text, part);
            memcpy(c->ring, (const char *)text + part, taken - part);
            c->used += taken;
        }
    }
    c->waiting |= taken < length;
    nova_mutex_unlock(&c->lock);
    return c->ring || !c->bound ? (long)taken : NOVA_ERR_MEMORY;
}

void console_reads(unsigned number, uint32_t generation, const char *name, bool secret)
{
    struct client *c = &client[number];

    nova_mutex_lock(&c->lock);
    if (bind(c, generation, name)) {
        c->reads = true;
        c->prompt =
            c->used && !c->terminal; /* what a terminal shows of a line can end within a control sequence */
        __atomic_store_n(&c->secret, secret, __ATOMIC_RELAXED);
    }
    nova_mutex_unlock(&c->lock);
    keyboard_want(number);
}

long console_terminal(unsigned number, uint32_t generation, const char *name)
{
    struct client *c = &client[number];
    bool ready = true;

    nova_mutex_lock(&c->lock);
    if (bind(c, generation, name)) {
        c->open_line = c->open_line ? c->open_line : console_memory();
        c->terminal = ready = c->open_line;
    }
    nova_mutex_unlock(&c->lock);
    if (ready)
        keyboard_want(number);
    return ready ? NOVA_OK : NOVA_ERR_MEMORY;
}

char console_command(unsigned number)
{
    return __atomic_exchange_n(&client[number].command, 0, __ATOMIC_RELAXED);
}

void console_opened(unsigned number, uint32_t generation, const char *name)
{
    nova_mutex_lock(&client[number].lock);
    bind(&client[number], generation, name);
    nova_mutex_unlock(&client[number].lock);
}

void console_closed(unsigned number)
{
    struct client *c = &client[number];

    nova_mutex_lock(&c->lock);
    c->closed = true;
    c->bound = c->used != 0;
    c->open_used = 0;
    c->control = PLAIN;
    again = current == number ? 0 : again;
    nova_mutex_unlock(&c->lock);
    keyboard_drop(number);
}

/* -- Output -- */

/* Is this the terminal that has the keyboard? */
static bool is_raw(const struct client *c)
{
    return c->terminal && !c->closed && keyboard_focus() == (unsigned)(c - client);
}

/* Bytes of the first line in a ring, or 0 if it is not to be sent yet. */
static uint32_t line_length(const struct client *c)
{
    for (uint32_t i = 0; i < c->used; i++)
        if (c->ring[(c->first + i) % CONSOLE_RING] == '\n')
            return i + 1;
    return c->used == CONSOLE_RING || c->closed || c->prompt || is_raw(c) ? c->used : 0;
}

/* Bytes up to the end of the last line that can be sent. */
static uint32_t lines_length(const struct client *c)
{
    uint32_t n = c->used;

    if (n == CONSOLE_RING || c->closed)
        return n;
    while (n && c->ring[(c->first + n - 1) % CONSOLE_RING] != '\n')
        n--;
    return n;
}

static void put(const char *text)
{
    while (*text)
        stage[staged++] = *text++;
}

/* Begins a line of a client: its name, unless it goes on with what it has left open. */
static void begin(unsigned number, uint32_t length)
{
    struct client *c = &client[number];
    bool goes_on = line_open && open_by == number;

    current = last = number;
    left = length;
    raw = is_raw(c);
    again = raw && !goes_on ? c->open_used : 0;
    complete = length && (c->ring[(c->first + length - 1) % CONSOLE_RING] == '\n' || !(c->prompt || raw));
    if (goes_on)
        return;
    put(line_open ? "\r\n" : "");
    if (raw)
        return;
    put("[");
    put(c->name);
    put("] ");
}

/* Whether there is text of root. Root sees that it has been taken only when all of it is on its way. */
static bool root_has_text(void)
{
    if (root_at == root_length) {
        root_length = console_root(root_text, root_at);
        root_at = 0;
    }
    return root_length;
}

/* Root's line may go out when everything that was there before it is out. */
static bool root_ready(void)
{
    bool ready = true;

    if (!root_has_text())
        return false;
    for (unsigned i = 0; i < NOVA_SESSIONS_MAX; i++) {
        struct client *c = &client[i];
        nova_mutex_lock(&c->lock);
        if (!root_waits)
            c->before_root = lines_length(c);
        ready &= !c->before_root;
        nova_mutex_unlock(&c->lock);
    }
    root_waits = true;
    return ready;
}

bool console_interrupted(void)
{
    unsigned focus = keyboard_focus();

    return focus < NOBODY && is_raw(&client[focus]) && client[focus].open_used &&
           !(line_open && open_by == focus);
}

void console_quiet(void)
{
    if (current == NOBODY && console_interrupted())
        begin(keyboard_focus(), 0);
}

/* Chooses whose line is next. */
static void choose(void)
{
    bool ready = root_ready();

    if (ready && last < ROOT) { /* root takes turns as well */
        put(line_open ? "\r\n" : "");
        current = last = ROOT;
        return;
    }
    for (unsigned i = 1; i <= NOVA_SESSIONS_MAX && current == NOBODY; i++) {
        unsigned number = (last + i) % NOVA_SESSIONS_MAX;
        struct client *c = &client[number];
        uint32_t length;
        nova_mutex_lock(&c->lock);
        length = c->used && c->ring ? line_length(c) : 0;
        if (length)
            begin(number, length);
        nova_mutex_unlock(&c->lock);
    }
    if (current == NOBODY && ready)
        last = NOBODY; /* nobody else: root again */
}

/* Whether a character of a terminal belongs to a control sequence (ECMA-48, 5.4). Each is to be asked for, in order. */
static bool in_sequence(struct client *c, char ch)
{
    bool inside = c->control != PLAIN || ch == '\033';

    if (c->control == PLAIN)
        c->control = inside ? ESCAPED : PLAIN;
    else if (c->control == ESCAPED)
        c->control = ch == '[' ? SEQUENCE : PLAIN;
    else if (ch >= '@' && ch <= '~')
        c->control = PLAIN;
    return inside;
}

/* As it is; and it is kept, up to the end of the line. A line that is too long is kept in part. */
static void send_raw(struct client *c, char ch)
{
    in_sequence(c, ch);
    stage[staged++] = ch;
    if (ch == '\n')
        c->open_used = 0;
    else if (c->open_used < CONSOLE_RING)
        c->open_line[c->open_used++] = ch;
}

/* As part of a line of the log: control characters would let it write over what is on the screen. */
static void send_plain(struct client *c, char ch)
{
    c->open_used = 0;
    if (!(c->terminal && in_sequence(c, ch)) && ch != '\n' && !(ch == '\r' && c->terminal))
        stage[staged++] = (ch >= 0 && ch < ' ' && ch != '\t') || ch == 0x7f ? '?' : ch;
}

/* Goes on with the line of a client. */
static void go_on(void)
{
    struct client *c = &client[current];
    bool ring = false;

    nova_mutex_lock(&c->lock);
    for (; again && staged < PIECE; again--)
        stage[staged++] = c->open_line[c->open_used - again];
    for (; left && staged < sizeof(stage) - 2 && !again; left--) {
        char ch = c->ring[c->first];
        c->first = (c->first + 1) % CONSOLE_RING;
        c->used--;
        c->before_root -= c->before_root != 0;
        (raw ? send_raw : send_plain)(c, ch);
    }
    if (!left && !again) {
        line_open = raw ? c->open_used != 0 : !complete;
        open_by = current;
        current = NOBODY;
        if (complete && !raw)
            put("\r\n");
        c->prompt &= c->used != 0;
        c->bound &= !c->closed || c->used;
        ring = c->waiting && c->used <= CONSOLE_RING / 2;
        c->waiting &= !ring;
    }
    nova_mutex_unlock(&c->lock);
    if (ring)
        console_ring((unsigned)(c - client));
}

/* Root's line: shown as it is. Root puts whole lines only. */
static size_t from_root(char *out)
{
    size_t length = 0;

    while (current == ROOT && length < CONSOLE_FIFO - 1 && root_has_text()) {
        char ch = root_text[root_at++];
        if (ch == '\n') {
            out[length++] = '\r';
            current = NOBODY;
            root_waits = line_open = false;
        }
        out[length++] = ch;
    }
    return length;
}

static size_t from_own(char *out)
{
    size_t length = keyboard_own(out, CONSOLE_FIFO);

    if (length) {
        line_open = out[length - 1] != '\n';
        open_by = NOBODY;
    }
    return length;
}

size_t console_next(char *out)
{
    size_t length = 0;

    if (stage_at == staged) {
        stage_at = staged = 0;
        if (current == NOBODY)
            length = from_own(out);
        if (length)
            return length;
        if (current == NOBODY)
            choose();
        if (current == NOBODY && last == NOBODY)
            choose();
        if (current < NOBODY)
            go_on();
    }
    while (length < CONSOLE_FIFO && stage_at < staged)
        out[length++] = stage[stage_at++];
    return length || current != ROOT ? length : from_root(out);
}
