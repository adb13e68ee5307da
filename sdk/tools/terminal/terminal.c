/*
 * nova-terminal: between the serial port of an emulated machine and the user of nova-run. Not for direct use.
 *
 *   serial port --> strip escapes --> lines --> log file
 *                                      |  \---> crash records --> nova-symbolize --> shown
 *                                      \------> what matters  --------------------> shown
 *   typed text --> when the console is there --> serial port
 *
 * Ends when root says how the system ended, when the microhypervisor stops, or with the serial port. A line
 * that is not complete is shown after a moment: it is a prompt.
 *
 * SPDX-License-Identifier: MIT
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROMPT_MS 100   /* after this time without more of it a line is a prompt */
#define CONSOLE_MS 1000 /* after this time a console that says nothing is there all the same */
#define LINE_MAX_BYTES (1U << 20)

/* Commands of the console, see drivers/uart: input is at its end; it is not to be shown. */
static const char no_more[] = "\035\004", no_echo[] = "\035e";

enum mode { LINES, TAP, RAW };

struct text {
    char *data;
    size_t size, room;
};

static struct {
    enum mode mode;
    const char *domain;  /* TAP: whose lines */
    const char *console; /* name of the console domain, or empty */
    char **symbolizer;   /* command */
    int serial, port;    /* from and to the machine; port -1: nothing can be typed */
    FILE *log;
    bool started;          /* the boot loader is done */
    bool talking;          /* root is there */
    bool starting, typing; /* the console: has been started; takes input */
    int console_ms;        /* since the console has been started, while nothing comes */
    bool ended;            /* nothing more matters */
    struct text line;      /* so far */
    size_t shown;          /* of the line */
    struct text record;    /* crash record */
    char typed[512];
    size_t typed_size;
    bool at_end; /* of what is typed */
    int escape;  /* position in an escape sequence */
} t;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "nova-run: %s: %s\n", what, strerror(errno));
    exit(125);
}

static void append(struct text *text, const char *data, size_t size)
{
    if (!text->data || text->room - text->size < size) {
        size_t room = 2 * (text->room + size) + 1;
        char *larger = realloc(text->data, room);

        if (!larger)
            die("memory");
        text->data = larger;
        text->room = room;
    }
    memcpy(text->data + text->size, data, size);
    text->size += size;
}

/* For the console; there is room. */
static void type(const char *text)
{
    memcpy(t.typed + t.typed_size, text, strlen(text));
    t.typed_size += strlen(text);
}

static bool begins(const char *line, const char *with)
{
    return !strncmp(line, with, strlen(with));
}

static bool ends(const char *line, const char *with)
{
    size_t length = strlen(line), tail = strlen(with);

    return length >= tail && !strcmp(line + length - tail, with);
}

/* A line for the user. */
static void show(const char *line)
{
    size_t length = t.domain ? strlen(t.domain) : 0;

    if (t.mode == TAP && line[0] == '[' && !strncmp(line + 1, t.domain, length) && line[length + 1] == ']')
        printf("%s\n", line + length + 2 + (line[length + 2] == ' '));
    else if (t.mode == TAP)
        printf("# %s\n", line);
    else
        printf("%s\n", line + t.shown);
}

/* Writes all to a pipe that is as large as needed: a record is far below what a pipe holds. */
static int record_pipe(void)
{
    int ends_of[2];

    if (pipe(ends_of) || write(ends_of[1], t.record.data, t.record.size) != (ssize_t)t.record.size)
        die("pipe");
    close(ends_of[1]);
    return ends_of[0];
}

/* Shows a crash record as nova-symbolize has it; as it is if that fails. */
static void show_record(void)
{
    struct text out = {0};
    char buffer[4096];
    int in, back[2], status;
    ssize_t bytes;
    pid_t child = -1;

    if (!t.record.size)
        return;
    fflush(stdout);
    in = record_pipe();
    if (pipe(back) || (child = fork()) < 0)
        die("nova-symbolize");
    if (!child) {
        dup2(in, 0);
        dup2(back[1], 1);
        close(back[0]);
        execv(t.symbolizer[0], t.symbolizer);
        _exit(127);
    }
    close(in);
    close(back[1]);
    while ((bytes = read(back[0], buffer, sizeof(buffer))) > 0)
        append(&out, buffer, (size_t)bytes);
    close(back[0]);
    if (waitpid(child, &status, 0) != child || status) {
        out.size = 0;
        append(&out, t.record.data, t.record.size);
    }
    append(&out, "", 1);
    t.shown = 0;
    for (char *line = strtok(out.data, "\n"); line; line = strtok(NULL, "\n"))
        show(line);
    free(out.data);
    t.record.size = 0;
}

/* What a new console must know. */
static void greet(void)
{
    t.typing = false;
    t.console_ms = 0;
    t.typed_size = 0;
    if (!isatty(0))
        type(no_echo);
    if (t.at_end)
        type(no_more);
}

/* Lines that nova-symbolize makes text of: crash records, and where blocks were allocated (sdk/posix/asan.c). */
static bool is_record(const char *line)
{
    return begins(line, "[root] crash ") ||
           (line[0] == '[' && strstr(line, "] asan: ") && strstr(line, ", build="));
}

/* A line of a machine that is up. */
static void take_line(char *line)
{
    static const char end[] = "[root] end status=", start[] = "[root] start ";

    if (t.starting || !*t.console)
        t.typing = true;
    if (begins(line, start) && begins(line + strlen(start), t.console) &&
        line[strlen(start) + strlen(t.console)] == ' ') {
        if (t.starting)
            greet(); /* once more */
        t.starting = true;
    }
    if (is_record(line) && t.mode != RAW && t.record.size < 32768 && strlen(line) < 4096) {
        append(&t.record, line, strlen(line));
        append(&t.record, "\n", 1);
        return;
    }
    show_record();
    if (begins(line, end) || begins(line, "panic: stopped"))
        t.ended = true;
    if (t.mode == RAW)
        show(line);
    else if (t.talking && !begins(line, start) && !begins(line, end) &&
             !(begins(line, "[root] exit ") && ends(line, " status=0")))
        show(line);
}

static void line_ends(void)
{
    char *line;

    append(&t.line, "", 1);
    line = t.line.data;
    if (ends(line, "nova: handing over")) {
        t.started = true;
    } else if (t.started && strcmp(line, "WARNING: no console will be available to OS")) { /* GRUB on UEFI */
        fprintf(t.log, "%s\n", line);
        t.talking |= line[0] == '[';
        take_line(line);
    }
    t.line.size = t.shown = 0;
}

/* Escape sequences of the boot loader are ESC [ parameters letter, and ESC ( letter. */
static bool in_escape(char c)
{
    if (c == '\033')
        t.escape = 1;
    else if (t.escape == 1)
        t.escape = c == '[' ? 2 : c == '(' || c == ')' ? 3 : -1;
    else if (t.escape == 2)
        t.escape = strchr("0123456789;?=", c) ? 2 : -1;
    else if (t.escape == 3)
        t.escape = -1;
    else
        return false;
    if (t.escape == -1)
        t.escape = 0;
    return true;
}

static void take_bytes(const char *bytes, size_t count)
{
    for (size_t i = 0; i < count && !t.ended; i++) {
        char c = bytes[i];

        if (!c || c == '\r' || in_escape(c))
            continue;
        if (c == '\n' || t.line.size == LINE_MAX_BYTES)
            line_ends();
        if (c != '\n')
            append(&t.line, &c, 1);
    }
}

/* What is there of a line that does not go on: what somebody types comes behind it. */
static void show_prompt(void)
{
    bool hidden =
        t.line.size && t.line.data[0] == '[' && t.line.size >= 6 && !memcmp(t.line.data, "[root]", 6);

    if (!t.talking || t.mode == TAP || !t.line.size || hidden)
        return;
    show_record();
    fwrite(t.line.data + t.shown, 1, t.line.size - t.shown, stdout);
    t.shown = t.line.size;
    t.typing |= t.starting;
}

/* Waits for the machine or the user. False at the end of the machine. */
static bool serve(void)
{
    struct pollfd p[3] = {{t.serial, POLLIN, 0},
                          {t.typing && t.port >= 0 && !t.typed_size && !t.at_end ? 0 : -1, POLLIN, 0},
                          {t.typing && t.typed_size ? t.port : -1, POLLOUT, 0}};
    char buffer[65536];
    ssize_t bytes;
    int ready = poll(p, 3, t.starting && !t.typing ? PROMPT_MS : t.line.size > t.shown ? PROMPT_MS : -1);

    if (ready < 0)
        return errno == EINTR;
    if (!ready) {
        show_prompt();
        t.console_ms += PROMPT_MS;
        t.typing |= t.starting && t.console_ms >= CONSOLE_MS;
    }
    if (p[0].revents) {
        bytes = read(t.serial, buffer, sizeof(buffer));
        if (bytes <= 0)
            return bytes < 0 && (errno == EINTR || errno == EAGAIN);
        take_bytes(buffer, (size_t)bytes);
    }
    if (p[1].revents) {
        bytes = read(0, t.typed, sizeof(t.typed));
        t.typed_size = bytes > 0 ? (size_t)bytes : 0;
        if (!bytes || (bytes < 0 && errno != EINTR)) {
            t.typed_size = 0;
            type(no_more);
            t.at_end = true;
        }
    }
    if (p[2].revents) {
        bytes = write(t.port, t.typed, t.typed_size);
        if (bytes > 0) {
            t.typed_size -= (size_t)bytes;
            memmove(t.typed, t.typed + bytes, t.typed_size);
        } else if (errno != EAGAIN && errno != EINTR) {
            t.port = -1;
            t.typed_size = 0;
        }
    }
    return fflush(stdout) == 0;
}

static void read_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"serial", required_argument, NULL, 's'},
        {"port", required_argument, NULL, 'p'},
        {"log", required_argument, NULL, 'l'},
        {"console", required_argument, NULL, 'c'},
        {"tap", required_argument, NULL, 't'},
        {"raw", no_argument, NULL, 'r'},
        {NULL, 0, NULL, 0},
    };
    const char *serial = "", *port = NULL, *log = "";
    int code;

    t.console = "";
    while ((code = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (code) {
        case 's':
            serial = optarg;
            break;
        case 'p':
            port = optarg;
            break;
        case 'l':
            log = optarg;
            break;
        case 'c':
            t.console = optarg;
            break;
        case 't':
            t.mode = TAP;
            t.domain = optarg;
            break;
        case 'r':
            t.mode = RAW;
            break;
        default:
            exit(125);
        }
    }
    t.symbolizer = argv + optind;
    t.log = fopen(log, "w");
    if (!*t.symbolizer || !t.log)
        die(log);
    t.serial = open(serial, O_RDONLY);
    if (t.serial < 0)
        die(serial);
    t.port = port ? open(port, O_WRONLY | O_NONBLOCK) : -1;
    if (port && t.port < 0)
        die(port);
    greet();
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    read_options(argc, argv);
    while (!t.ended && serve()) {
    }
    if (t.line.size && !t.ended)
        line_ends();
    show_record();
    fflush(stdout);
    fclose(t.log);
    return 0;
}
