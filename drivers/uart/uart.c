/*
 * Console server: a 16550 at COM1 (ports 0x3f8 to 0x3ff, interrupt 4), the service `log` for all other
 * domains.
 *
 *   handlers, one per CPU  -->  console.c  <-->  main thread  <-->  UART
 *                                                    ^
 *                                  interrupt thread --+ bell
 *
 * Handlers only copy. The main thread does everything with the hardware; it is woken by the bell of the
 * service: clients that have written, sessions that come and go, root that has something to say, and the
 * interrupt thread, which only passes interrupts on.
 *
 * SPDX-License-Identifier: MIT
 */

#include "console.h"

#include <nova/error.h>
#include <nova/hypercall.h>
#include <nova/log.h>
#include <nova/mem.h>
#include <nova/program.h>
#include <nova/session.h>
#include <nova/string.h>
#include <nova/sync.h>
#include <nova/thread.h>

#define PORT 0x3f8
#define WRITE_MAX 4000U
#define QUIET (20 * NOVA_MS)
#define HANDLER_STACK 8192 /* there may be 64, one for each CPU */
#define BUSY NOVA_MS       /* what it works at a time at most */

_Static_assert(CONSOLE_PIECE == NOVA_LOG_PIECE, "a piece of root's text");

/* Registers of the 16550 and their bits. */
enum {
    DATA = 0,
    INTERRUPT_ENABLE = 1, /* received 1, transmitter empty 2 */
    INTERRUPT_ID = 2,     /* 1: none */
    FIFO_CONTROL = 2,     /* on 1, clear 6, interrupt at 8 characters 0x80 */
    LINE_CONTROL = 3,     /* 8 bits 3, divisor 0x80 */
    MODEM_CONTROL = 4,    /* DTR 1, RTS 2, OUT2 (lets interrupts through) 8 */
    LINE_STATUS = 5       /* received 1, transmitter empty 0x20 */
};

static struct nova_server server;

static void out8(unsigned reg, unsigned value)
{
    __asm__ volatile("outb %b0, %w1" : : "a"(value), "d"(PORT + reg));
}

static unsigned in8(unsigned reg)
{
    uint8_t value;

    __asm__ volatile("inb %w1, %0" : "=a"(value) : "d"(PORT + reg));
    return value;
}

void *console_memory(void)
{
    void *memory;

    return nova_mem_alloc(CONSOLE_RING, &memory) ? NULL : memory;
}

void console_ring(unsigned client)
{
    nova_server_ring(client); /* PEER: the client is gone, and the bell says so */
}

size_t console_root(char *text, size_t sent)
{
    uint64_t word[2 + CONSOLE_PIECE / 8] = {NOVA_PARENT_LOG_READ, sent};

    if (nova_parent_call(word, 2, 2 + CONSOLE_PIECE / 8))
        return 0;
    memcpy(text, word + 2, CONSOLE_PIECE);
    return word[1];
}

/* A call of a client, on any CPU. The message is the handler's own copy. Root says who may read. */
static unsigned serve(void *context, unsigned session, uint64_t *word, unsigned words)
{
    const struct nova_session_state *state = nova_server_client(session);
    uint64_t op = word[0], size = words > 1 ? word[1] : 0;
    bool may_read = state->flags & NOVA_DOMAIN_CONSOLE;
    bool read = op == NOVA_LOG_READ || op == NOVA_LOG_READ_SECRET;
    long result = NOVA_ERR_PROTOCOL;

    (void)context;
    if (op == NOVA_LOG_WRITE && size && size <= WRITE_MAX && words >= 2 + (size + 7) / 8) {
        result = console_write(session, state->generation, state->peer, word + 2, size);
    } else if ((read && words == 2 && size) ||
               ((op == NOVA_LOG_TERMINAL || op == NOVA_LOG_COMMAND) && words == 1)) {
        if (!may_read) {
            result = NOVA_ERR_DENIED;
        } else if (read) {
            console_reads(session, state->generation, state->peer, op == NOVA_LOG_READ_SECRET);
            result = console_read(session, (char *)(word + 2), size < WRITE_MAX ? size : WRITE_MAX);
        } else {
            result = op == NOVA_LOG_TERMINAL ? console_terminal(session, state->generation, state->peer)
                                             : console_command(session);
        }
    }
    nova_sm_up(server.bell);
    word[0] = result < 0 ? (uint64_t)result : 0;
    word[1] = result < 0 ? 0 : (uint64_t)result;
    return read ? 2 + (unsigned)((word[1] + 7) / 8) : 2;
}

static void pass_interrupts(void *context)
{
    uint64_t address, data;

    (void)context;
    if (nova_hc_assign_int(NOVA_SEL_INTERRUPT, nova_thread_cpu(), 0, 0, &address, &data) != NOVA_SUCCESS)
        nova_exit(2);
    out8(INTERRUPT_ENABLE, 3);
    nova_sm_up(server.bell);
    while (!nova_sm_drain(NOVA_SEL_INTERRUPT, NOVA_NEVER))
        nova_sm_up(server.bell);
    nova_exit(3);
}

static void set_up(void)
{
    out8(INTERRUPT_ENABLE, 0);
    out8(LINE_CONTROL, 0x80);
    out8(DATA, 1); /* 115200 bits per second */
    out8(INTERRUPT_ENABLE, 0);
    out8(LINE_CONTROL, 3);
    out8(FIFO_CONTROL, 0x87);
    out8(MODEM_CONTROL, 0xb);
}

/* Sessions come and go. */
static void look_at_sessions(void)
{
    enum nova_server_event event;
    unsigned n;

    while ((event = nova_server_next(&server, &n)) != NOVA_SERVER_NOTHING)
        if (event == NOVA_SERVER_OPENED)
            console_opened(n, nova_server_client(n)->generation, nova_server_client(n)->peer);
        else
            console_closed(n);
}

static void receive(void)
{
    static unsigned enabled = 3;
    unsigned wanted;

    while (console_accepts() && in8(LINE_STATUS) & 1)
        console_typed((char)in8(DATA));
    /* Without room the characters stay where they are, and must not keep the interrupt line busy. */
    wanted = console_accepts() ? 3 : 2;
    if (wanted != enabled)
        out8(INTERRUPT_ENABLE, wanted);
    enabled = wanted;
}

static bool transmit(void)
{
    char out[CONSOLE_FIFO];
    size_t n;

    if (!(in8(LINE_STATUS) & 0x20))
        return false;
    n = console_next(out);
    for (size_t i = 0; i < n; i++)
        out8(DATA, (unsigned char)out[i]);
    return n != 0;
}

/*
 * A serial line is slow, but that of an emulator takes everything at once, and clients can always have more. So that there is no
 * CPU that the console has for itself, it rests as long as it has worked. Gives when the work goes on.
 */
static uint64_t rest(uint64_t begin)
{
    uint64_t now = nova_now();

    if (now - begin < BUSY)
        return begin;
    nova_sleep_until(now + (now - begin));
    return nova_now();
}

int nova_main(int argc, char **argv)
{
    struct nova_thread *thread;
    uint64_t begin;
    int error;

    (void)argc;
    (void)argv;
    set_up();
    error =
        nova_server_start(&server, serve, NULL, &(struct nova_server_options){.stack_size = HANDLER_STACK});
    if (!error)
        error = nova_thread_create(&thread, pass_interrupts, NULL, NULL);
    while (!error) {
        begin = nova_now();
        look_at_sessions();
        do {
            receive();
            while (transmit())
                begin = rest(begin);
        } while (!(in8(INTERRUPT_ID) & 1)); /* edge-triggered: until no interrupt is pending */
        error = nova_server_wait(&server, console_interrupted() ? nova_now() + QUIET : NOVA_NEVER);
        if (error == NOVA_ERR_TIMEOUT) {
            console_quiet();
            error = NOVA_OK;
        }
    }
    return 1;
}
