/*
 * The console, without the hardware.
 *
 * SPDX-License-Identifier: MIT
 */

#include "console.h"

#include <nova/error.h>
#include <nova/format.h>
#include <nova/start.h>
#include <nova/string.h>
#include <nova/sync.h>

#define ESCAPE 0x1d /* Ctrl-] */
#define TYPED 1024U
#define EDITED 256U
#define OWN 4096U
#define NOBODY NOVA_SESSIONS_MAX
#define ROOT (NOVA_SESSIONS_MAX + 1)

static struct client {
    struct nova_mutex lock;
    char *ring;
    uint32_t first, used; /* of the ring */
    uint32_t generation;  /* whose text it is */
    char name[NOVA_NAME_MAX];
    bool bound;           /* there is a client */
    bool closed;          /* it is gone, its text is not */
    bool waiting;         /* for room */
    bool reads;           /* has asked for input */
    bool prompt;          /* wants to see what it has written of a line */
    uint32_t before_root; /* bytes to be sent before root's next line */
} client[NOVA_SESSIONS_MAX];

/* The line that is being sent. */
static unsigned current = NOBODY; /* a client, ROOT */
static uint32_t left;             /* bytes of it in the ring */
static bool complete;             /* a newline follows */
static unsigned last;             /* whose turn it was */
static unsigned open_by = NOBODY; /* who has left the line open */
static bool line_open;            /* the last character was no newline */
static char stage[NOVA_NAME_MAX + 96];
static size_t staged, stage_at;

static struct nova_stream *root;
static uint32_t root_bytes, root_dropped;
static bool root_waits; /* before_root is set */

static struct nova_mutex input_lock; /* of the following */
static char typed[TYPED];
static uint32_t typed_first, typed_used;
static unsigned focus = NOBODY;

static char edited[EDITED];
static size_t edited_used;
static bool escaped;
static char own[OWN]; /* echo and messages of the console itself */
static uint32_t own_first, own_used;

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
    c->closed = c->waiting = c->reads = c->prompt = false;
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

long console_read(unsigned number, uint32_t generation, const char *name, void *text, size_t size)
{
    struct client *c = &client[number];
    size_t n = 0;

    nova_mutex_lock(&c->lock);
    if (bind(c, generation, name)) {
        c->reads = true;
        c->prompt = c->used != 0;
    }
    nova_mutex_unlock(&c->lock);

    nova_mutex_lock(&input_lock);
    if (focus == NOBODY)
        focus = number;
    for (; focus == number && n < size && typed_used; typed_used--, n++) {
        ((char *)text)[n] = typed[typed_first];
        typed_first = (typed_first + 1) % TYPED;
    }
    nova_mutex_unlock(&input_lock);
    return (long)n;
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
    nova_mutex_unlock(&c->lock);
    nova_mutex_lock(&input_lock);
    focus = focus == number ? NOBODY : focus;
    nova_mutex_unlock(&input_lock);
}

void console_root(struct nova_stream *stream, uint32_t bytes)
{
    root = stream;
    root_bytes = bytes;
}

/* -- Output -- */

/* Bytes of the first line in a ring, or 0 if it is not to be sent yet. */
static uint32_t line_length(const struct client *c)
{
    for (uint32_t i = 0; i < c->used; i++)
        if (c->ring[(c->first + i) % CONSOLE_RING] == '\n')
            return i + 1;
    return c->used == CONSOLE_RING || c->closed || c->prompt ? c->used : 0;
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

    current = last = number;
    left = length;
    complete = c->ring[(c->first + length - 1) % CONSOLE_RING] == '\n' || !c->prompt;
    if (line_open && open_by == number)
        return;
    put(line_open ? "\r\n[" : "[");
    put(c->name);
    put("] ");
}

/* Root's line may go out when everything that was there before it is out. */
static bool root_ready(void)
{
    bool ready = true;

    if (!root || nova_stream_used(root, root_bytes) <= 0)
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

/* Goes on with the line of a client. Control characters would let it write over what is on the screen. */
static void go_on(void)
{
    struct client *c = &client[current];
    bool ring = false;

    nova_mutex_lock(&c->lock);
    for (unsigned n = 0; n < 48 && left; n++, left--) {
        char ch = c->ring[c->first];
        c->first = (c->first + 1) % CONSOLE_RING;
        c->used--;
        c->before_root -= c->before_root != 0;
        if (ch != '\n')
            stage[staged++] = (ch >= 0 && ch < ' ' && ch != '\t') || ch == 0x7f ? '?' : ch;
    }
    if (!left) {
        line_open = !complete;
        open_by = current;
        current = NOBODY;
        if (complete)
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

/* Root's stream: shown as it is; taken only when it has been sent, because root looks whether it is empty. */
static size_t from_root(char *out)
{
    char text[CONSOLE_FIFO / 2];
    long n = nova_stream_peek(root, root_bytes, text, sizeof(text));
    size_t length = 0;

    for (long i = 0; i < n && current == ROOT; i++) {
        root_dropped++;
        if (text[i] == '\n') {
            out[length++] = '\r';
            current = NOBODY;
            root_waits = line_open = false;
        }
        out[length++] = text[i];
    }
    if (n <= 0) /* no whole line: do not wait for the rest */
        current = NOBODY;
    return length;
}

static size_t from_own(char *out)
{
    size_t length = 0;

    for (; own_used && length < CONSOLE_FIFO; own_used--) {
        out[length++] = own[own_first];
        line_open = own[own_first] != '\n';
        own_first = (own_first + 1) % OWN;
    }
    open_by = NOBODY;
    return length;
}

size_t console_next(char *out)
{
    size_t length = 0;

    if (stage_at == staged) {
        stage_at = staged = 0;
        if (current == NOBODY && own_used)
            return from_own(out);
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

void console_sent(void)
{
    if (root_dropped)
        nova_stream_drop(root, root_dropped);
    root_dropped = 0;
}

/* -- Input -- */

static void say(const char *text, size_t length)
{
    for (size_t i = 0; i < length && own_used < OWN; i++)
        own[(own_first + own_used++) % OWN] = text[i];
}

static void say_text(const char *text)
{
    say(text, strlen(text));
}

static bool present(unsigned number)
{
    return number < NOBODY && client[number].bound && !client[number].closed;
}

/* The list of clients: number, name, * for the one with the keyboard. */
static void list(void)
{
    char line[NOVA_NAME_MAX + 40];

    say_text("\r\n");
    for (unsigned i = 0; i < NOBODY; i++)
        if (present(i))
            say(line, nova_format(line, sizeof(line), "[console] %c %2u %s\r\n", i == focus ? '*' : ' ', i,
                                  client[i].name));
    say_text("[console] Ctrl-] then n: next, p: previous, digit: that one, ?: list\r\n");
}

/* Moves the keyboard to another client, counted in either direction. */
static void move(unsigned from, unsigned step)
{
    for (unsigned i = 0; i < NOBODY; i++, from = (from + step) % NOBODY)
        if (present(from)) {
            nova_mutex_lock(&input_lock);
            focus = from;
            nova_mutex_unlock(&input_lock);
            edited_used = 0;
            list();
            console_ring(from);
            return;
        }
}

static void command(char c)
{
    unsigned now = focus == NOBODY ? 0 : focus;

    if (c == 'n')
        move((now + 1) % NOBODY, 1);
    else if (c == 'p')
        move((now + NOBODY - 1) % NOBODY, NOBODY - 1);
    else if (c >= '0' && c <= '9' && present((unsigned)(c - '0')))
        move((unsigned)(c - '0'), 1);
    else if (c == '?')
        list();
}

/* A line is complete: it goes to whoever has the keyboard. */
static void enter(void)
{
    unsigned to;

    edited[edited_used++] = '\n';
    nova_mutex_lock(&input_lock);
    for (size_t i = 0; i < edited_used && typed_used < TYPED; i++)
        typed[(typed_first + typed_used++) % TYPED] = edited[i];
    to = focus;
    nova_mutex_unlock(&input_lock);
    edited_used = 0;
    if (to != NOBODY)
        console_ring(to);
}

bool console_accepts(void)
{
    bool room;

    nova_mutex_lock(&input_lock);
    room = typed_used + EDITED <= TYPED;
    nova_mutex_unlock(&input_lock);
    return room;
}

void console_typed(char c)
{
    if (escaped) {
        escaped = false;
        command(c);
    } else if (c == ESCAPE) {
        escaped = true;
    } else if (c == '\r' || c == '\n') {
        say_text("\r\n");
        enter();
    } else if ((c == 0x7f || c == '\b') && edited_used) {
        edited_used--;
        say_text("\b \b");
    } else if (((unsigned char)c >= ' ' && c != 0x7f) || c == '\t') {
        if (edited_used < EDITED - 1) {
            edited[edited_used++] = c;
            say(&c, 1);
        }
    }
}
