/*
 * The console server without the hardware: lines stay whole and in order, whatever clients do; input goes to
 * one of them.
 *
 * Sources: drivers/uart/console.c drivers/uart/keyboard.c libnova/src/format.c
 * Fakes: sync.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "tap.h"

#include "uart/console.h"

#include <nova/error.h>
#include <nova/start.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS 20U

struct nova_info fake_info;

static uint64_t seed = 2024;
static char out[1 << 22];
static size_t length;
static unsigned rings[NOVA_SESSIONS_MAX];
static bool no_memory;

static uint32_t rnd(uint32_t n)
{
    return (uint32_t)(tap_random(&seed) % n);
}

void *console_memory(void)
{
    return no_memory ? NULL : malloc(CONSOLE_RING);
}

void console_ring(unsigned client)
{
    rings[client]++;
}

static char root[4096];
static size_t root_head, root_tail;

static bool root_puts(const char *line)
{
    size_t size = strlen(line);
    bool fits = root_head - root_tail + size <= sizeof(root);

    while (fits && *line)
        root[root_head++ % sizeof(root)] = *line++;
    return fits;
}

size_t console_root(char *text, size_t sent)
{
    size_t n = 0;

    CHECK(sent <= root_head - root_tail);
    for (root_tail += sent; n < CONSOLE_PIECE && root_tail + n != root_head; n++)
        text[n] = root[(root_tail + n) % sizeof(root)];
    return n;
}

static long read_text(unsigned n, const char *name, char *text, size_t size)
{
    console_reads(n, 1, name, false);
    return (long)console_read(n, text, size);
}

/* Sends up to `limit` pieces; true if nothing is left. */
static bool drain(unsigned limit)
{
    size_t n = 1;

    while (limit-- && n) {
        n = console_next(out + length);
        CHECK(n <= CONSOLE_FIFO);
        length += n;
    }
    return !n;
}

static bool sent(const char *text)
{
    bool same = drain(100000);

    console_quiet();
    same = drain(100000) && same && length == strlen(text) && !memcmp(out, text, length);

    if (!same)
        printf("# got: <%.*s>\n", (int)length, out);
    length = 0;
    return same;
}

static void write_text(unsigned n, const char *name, const char *text)
{
    char padded[NOVA_NAME_MAX] = {0};

    strncpy(padded, name, sizeof(padded) - 1);
    CHECK(console_write(n, 1, padded, text, strlen(text)) == (long)strlen(text));
}

static void simple(void)
{
    char text[100], name[NOVA_NAME_MAX] = "one";

    write_text(1, "one", "hello\n");
    ok(sent("[one] hello\r\n"), "a line");
    write_text(1, "one", "a\n\nb");
    ok(sent("[one] a\r\n[one] \r\n"), "several lines; a partial one waits");
    write_text(2, "two", "x\n");
    write_text(1, "one", "c\n");
    ok(sent("[two] x\r\n[one] bc\r\n"), "lines of two clients do not mix");
    write_text(1, "one", "\033[2J\rfake\x7f\n");
    ok(sent("[one] ?[2J?fake?\r\n"), "control characters are not sent");
    write_text(1, "one", "> ");
    ok(sent("") && read_text(1, name, text, sizeof(text)) == 0 && sent("[one] > "),
       "a prompt is shown when input is wanted");
    for (const char *c = "lx\bs\r"; *c; c++)
        console_typed(*c);
    ok(sent("lx\b \bs\r\n"), "what is typed is shown");
    ok(rings[1] == 1 && read_text(1, name, text, sizeof(text)) == 3 && !memcmp(text, "ls\n", 3),
       "and read as a line");
    strcpy(name, "two");
    ok(read_text(2, name, text, sizeof(text)) == 0, "others read nothing");
    for (const char *c = "\035nyes\r"; *c; c++)
        console_typed(*c);
    ok(read_text(2, name, text, 2) == 2 && read_text(2, name, text, sizeof(text)) == 2 &&
           !memcmp(text, "s\n", 2),
       "the keyboard goes to the next one");
    drain(1000);
    length = 0;
    write_text(1, "one", "rest");
    console_closed(1);
    strcpy(name, "new");
    ok(console_write(1, 2, name, "n\n", 2) == 0, "a new client in the same place has to wait");
    ok(sent("[one] rest\r\n"), "until the rest of the old one is sent");
    ok(console_write(1, 2, name, "n\n", 2) == 2 && sent("[new] n\r\n"), "then it can write");
    console_closed(1);
    console_closed(2);
    no_memory = true;
    ok(console_write(60, 1, name, "n\n", 2) == NOVA_ERR_MEMORY, "without memory there is an error");
    no_memory = false;
}

static void type(const char *text)
{
    while (*text)
        console_typed(*text++);
}

static void terminals(void)
{
    char text[100], vm[NOVA_NAME_MAX] = "vm", app[NOVA_NAME_MAX] = "app", other[NOVA_NAME_MAX] = "other";
    char low[NOVA_NAME_MAX] = "low";

    write_text(10, "vm", "boot\npart");
    ok(sent("[vm] boot\r\n"), "a session begins as a log");
    ok(!console_terminal(10, 1, vm) && sent("part"), "a terminal is shown as it is");
    write_text(10, "vm", "ial\r\n/ # ");
    ok(sent("ial\r\n/ # "), "without waiting for the end of a line");
    write_text(11, "app", "one\ntwo\nrest");
    ok(sent("\r\n[app] one\r\n[app] two\r\n/ # "), "lines of others come in between; its own is repeated");
    type("ls\x7f\r\4\t\x03");
    ok(sent("") && console_read(10, text, sizeof(text)) == 7 && !memcmp(text, "ls\x7f\r\4\t\x03", 7),
       "what is typed comes as it is, without echo");
    write_text(10, "vm", "ls\b \b");
    write_text(11, "app", "\n");
    ok(sent("\r\n[app] rest\r\n/ # ls\b \b"), "a line that was edited is repeated as it was");
    type("\035\035\035x");
    ok(console_read(10, text, sizeof(text)) == 1 && text[0] == '\035' && console_command(10) == 'x' &&
           !console_command(10) && sent(""),
       "the escape key itself, and a command to the monitor");
    ok(!console_terminal(12, 1, other) && sent(""), "a second terminal");
    write_text(12, "other", "\033[2Jclear\033=\r\nlogin: ");
    ok(sent("\r\n[other] clear\r\n/ # ls\b \b"), "is shown in lines, without control sequences");
    type("q\035n");
    ok(sent("\r\n[console] other has the keyboard\r\nlogin: ") && console_read(12, text, sizeof(text)) == 0 &&
           console_read(10, text, sizeof(text)) == 0,
       "it gets the keyboard and shows its line; nothing that was typed for others");
    write_text(10, "vm", "\r\n\033");
    ok(sent("\r\n[vm] \r\nlogin: ") && read_text(10, vm, text, sizeof(text)) == 0 && sent(""),
       "the first one has become a log, and what there is of a line waits when it reads");
    type("\035p");
    write_text(10, "vm", "[6n> \033");
    ok(sent("\r\n[console] vm has the keyboard\r\n\033[6n> \033"), "a control sequence stays whole");
    type("\035n");
    ok(sent("\r\n[console] other has the keyboard\r\nlogin: "), "within another one the keyboard goes");
    write_text(10, "vm", "[0mdone\r\n/ # ");
    ok(sent("\r\n[vm] done\r\nlogin: "),
       "the rest of it does not come into the log, nor does the line lose anything");
    type("\035p");
    ok(sent("\r\n[console] vm has the keyboard\r\n/ # "), "and back");
    type("\035?");
    drain(1000);
    ok(console_interrupted(), "a list interrupts a terminal");
    console_quiet();
    drain(1000);
    out[length] = '\0';
    ok(strstr(out, "* 11 vm (terminal)\r\n") && strstr(out, "  13 other (terminal)\r\n") &&
           !strstr(out, "app") && !strcmp(out + length - 4, "/ # "),
       "the list has those that read");
    length = 0;
    ok(!console_terminal(2, 1, low) && sent(""), "a third terminal");
    type("\0353");
    ok(sent("\r\n[console] low has the keyboard\r\n"), "a digit is its number in the list");
    console_closed(2);
    ok(sent("\r\n[console] vm has the keyboard\r\n/ # "), "it ends");
    type("\035n");
    ok(sent("\r\n[console] other has the keyboard\r\nlogin: "), "to the other one");
    console_closed(12);
    ok(sent("\r\n[console] vm has the keyboard\r\n/ # "), "when one ends, the next one gets the keyboard");
    length = 0;
    console_closed(10);
    type("\035s");
    ok(sent(
           "\r\n[console] Ctrl-] then n: next, p: previous, digit: that one, ?: list, e: echo, Ctrl-D: end\r\n") &&
           !console_command(10),
       "without terminals there are no commands to monitors");
    console_reads(11, 1, app, false);
    console_closed(11);
}

/* Half a secret, for one that dies: the next one to read gets what is typed from then on. */
static void halves(void)
{
    char text[100], vault[NOVA_NAME_MAX] = "vault", thief[NOVA_NAME_MAX] = "thief";

    console_reads(4, 1, vault, true);
    type("pass");
    console_closed(4);
    ok(read_text(5, thief, text, sizeof(text)) == 0,
       "what was typed for one that is gone is nothing for others");
    type("x\r");
    ok(read_text(5, thief, text, sizeof(text)) == 2 && !memcmp(text, "x\n", 2),
       "... nor when the line is complete");
    console_closed(5);
    drain(1000);
    length = 0;
}

/* The end of input: once, as typed, and for good. */
static void ends(void)
{
    char text[600], in[NOVA_NAME_MAX] = "in", other[NOVA_NAME_MAX] = "other", late[NOVA_NAME_MAX] = "late";
    bool same = true;

    ok(read_text(1, in, text, sizeof(text)) == 0 && read_text(2, other, text, sizeof(text)) == 0,
       "nothing typed, nothing read");
    rings[1] = rings[2] = 0;
    type("ab\4");
    ok(rings[1] == 1 && read_text(1, in, text, sizeof(text)) == 2 && !memcmp(text, "ab", 2),
       "Ctrl-D sends a line that is not complete");
    type("c\r\4");
    ok(read_text(1, in, text, sizeof(text)) == 2 && read_text(1, in, text, sizeof(text)) == NOVA_ERR_ABSENT &&
           read_text(1, in, text, sizeof(text)) == 0,
       "at the beginning of a line it is the end of input, once");
    for (unsigned i = 0; i < 500; i++)
        console_typed((char)('a' + i % 26));
    type("\r");
    ok(read_text(1, in, text, sizeof(text)) == 501 && text[500] == '\n', "a long line is whole");
    for (unsigned i = 0; i < 500; i++)
        same &= text[i] == (char)('a' + i % 26);
    ok(same, "and as it was typed");
    drain(1000);
    length = 0;
    type("\035e12\b\r\035e3\r");
    ok(sent("3\r\n"), "without echo nothing is shown");
    ok(read_text(1, in, text, sizeof(text)) == 4 && !memcmp(text, "1\n3\n", 4), "but read");
    console_reads(1, 1, in, true);
    type("key\b\r");
    ok(sent("") && read_text(1, in, text, sizeof(text)) == 3 && !memcmp(text, "ke\n", 3),
       "a secret is not shown, but read");
    type("4\b\r");
    ok(read_text(1, in, text, sizeof(text)) == 1 && sent("4\b \b\r\n"), "what is typed after it is shown");
    rings[1] = rings[2] = 0;
    type("\035ex\035\4");
    ok(rings[1] >= 1 && rings[2] == 1, "the end for good rings all bells");
    ok(read_text(2, other, text, sizeof(text)) == NOVA_ERR_ABSENT &&
           read_text(1, in, text, sizeof(text)) == 1 && text[0] == 'x' &&
           read_text(1, in, text, sizeof(text)) == NOVA_ERR_ABSENT &&
           read_text(1, in, text, sizeof(text)) == NOVA_ERR_ABSENT,
       "and comes behind all that was typed");
    console_closed(1);
    console_closed(2);
    type("early\r");
    ok(read_text(3, late, text, sizeof(text)) == 6, "what was typed for nobody is for the first who reads");
    type("\035e");
    console_closed(3);
    drain(1000);
    length = 0;
}

static void long_line(void)
{
    char text[6000], name[NOVA_NAME_MAX] = "long";
    long n;

    memset(text, 'x', sizeof(text));
    n = console_write(3, 1, name, text, sizeof(text));
    ok(n == CONSOLE_RING && console_write(3, 1, name, text, 1) == 0, "a full ring takes no more");
    rings[3] = 0;
    drain(100000);
    ok(length == CONSOLE_RING + 9 && rings[3] == 1,
       "a line that is too long is broken; the bell rings for room");
    length = 0;
    console_closed(3);
}

/* Clients write pieces of numbered lines of random length; a slow line; root in between. */
static void load(void)
{
    static struct {
        char text[300], name[NOVA_NAME_MAX];
        size_t length, at;
        unsigned number, seen;
    } client[CLIENTS];
    unsigned root_sent = 0, root_seen = 0, good = 0;
    char line[100];

    for (unsigned i = 0; i < CLIENTS; i++)
        snprintf(client[i].name, sizeof(client[i].name), "client%u", i);
    for (unsigned step = 0; step < 60000; step++) {
        unsigned i = rnd(CLIENTS);
        if (client[i].at == client[i].length) {
            client[i].length = (size_t)snprintf(client[i].text, 300, "%u %u %0*u end\n", i, client[i].number,
                                                (int)rnd(150), 7);
            client[i].at = 0;
            client[i].number++;
        }
        size_t part = 1 + rnd((uint32_t)(client[i].length - client[i].at));
        long n = console_write(i, 5, client[i].name, client[i].text + client[i].at, part);
        CHECK(n >= 0 && n <= (long)part);
        client[i].at += (size_t)n;
        if (!rnd(50)) {
            snprintf(line, sizeof(line), "[root] %u end\n", root_sent);
            root_sent += root_puts(line);
        }
        drain(rnd(6));
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        if (client[i].at < client[i].length) {
            CHECK(console_write(i, 5, client[i].name, client[i].text + client[i].at,
                                client[i].length - client[i].at) > 0);
            client[i].number -= console_write(i, 5, client[i].name, "", 0) != 0;
        }
    CHECK(drain(10000000));
    for (char *at = out; at < out + length;) {
        char *end = memchr(at, '\n', (size_t)(out + length - at));
        unsigned i, j, number, seven;
        if (!CHECK(end && end[-1] == '\r'))
            break;
        end[-1] = '\0';
        if (sscanf(at, "[client%u] %u %u %u end", &i, &j, &number, &seven) == 4 && !strcmp(end - 5, " end")) {
            CHECK(i == j && i < CLIENTS && seven == 7 && number == client[i].seen);
            client[i].seen++;
            good++;
        } else if (CHECK(sscanf(at, "[root] %u end", &number) == 1)) {
            CHECK(number == root_seen);
            root_seen++;
        }
        at = end + 1;
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        CHECK(client[i].seen == client[i].number);
    CHECK(root_seen == root_sent && root_sent > 100 && good > 1000);
    ok_checks("%u lines of %u clients and %u of root, all whole and in order", good, CLIENTS, root_sent);
    length = 0;

    for (unsigned i = 0; i < CLIENTS; i++)
        console_write(i, 5, client[i].name, "before\n", 7);
    root_puts("[root] after\n");
    drain(3);
    console_write(4, 5, client[4].name, "behind\n", 7);
    drain(100000);
    out[length] = '\0';
    ok(strstr(out, "[root] after") > strstr(out, "[client19] before") &&
           strstr(out, "[root] after") > strstr(out, "[client3] before") && root_head == root_tail,
       "root's line comes behind what was written before it, and root sees that it is out");
    length = 0;
}

static void garbage(void)
{
    char text[5000], name[NOVA_NAME_MAX];

    memset(name, 'n', sizeof(name)); /* not ended */
    for (unsigned i = 0; i < 20000; i++) {
        unsigned n = rnd(NOVA_SESSIONS_MAX);
        for (unsigned k = 0; k < 64; k++)
            text[rnd(sizeof(text))] = (char)rnd(256);
        switch (rnd(8)) {
        case 0:
            console_opened(n, rnd(3), name);
            break;
        case 1:
            console_closed(n);
            break;
        case 2:
            console_reads(n, rnd(3), name, i % 2);
            console_read(n, text, rnd(100));
            break;
        case 3:
            if (console_accepts())
                console_typed((char)rnd(256));
            break;
        case 4:
            CHECK(console_terminal(n, rnd(3), name) == 0);
            break;
        case 5:
            console_typed('\035');
            console_typed("sxrhcbonp0123456789\035?"[rnd(21)]);
            console_command(n);
            break;
        default:
            CHECK(console_write(n, rnd(3), name, text, rnd(5000)) >= 0);
        }
        drain(rnd(3));
        if (!rnd(4))
            console_quiet();
        length = 0;
    }
    ok_checks("random calls");
}

int main(void)
{
    simple();
    terminals();
    halves();
    ends();
    long_line();
    load();
    garbage();
    return tap_done();
}
