/*
 * Serial port: every cause of its interrupt and what ends it, trigger levels, loopback, flow control in both directions, and a
 * driver with interrupts against a back end on another thread: all characters arrive in order.
 *
 * Sources: ram.c dev/bus.c dev/uart.c
 * Fakes: native/host/fake/sync.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "dev/bus.h"
#include "dev/irq.h"
#include "dev/uart.h"
#include "tap.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCRATCH };
enum { RECEIVED = 1, SENT = 2, LINE = 4, MODEM = 8, FCR = IIR };

#define OUT2 8
#define LOOP 0x10U

/* The pin, and the back end. */
static bool line; /* atomic */
static uint8_t out[1 << 17];
static size_t out_count, out_room;
static unsigned rooms; /* atomic */

void irq_set(unsigned pin, bool level)
{
    CHECK(pin == IRQ_UART);
    __atomic_store_n(&line, level, __ATOMIC_SEQ_CST);
}

static size_t output(const uint8_t *bytes, size_t count)
{
    size_t taken = 0;

    while (taken < count && out_room) {
        out[out_count++ % sizeof(out)] = bytes[taken++];
        out_room--;
    }
    return taken;
}

static void input_room(void)
{
    __atomic_add_fetch(&rooms, 1, __ATOMIC_SEQ_CST);
}

static const struct uart_backend backend = {output, input_room};

static uint8_t in8(unsigned reg)
{
    uint64_t value;

    CHECK(bus_read(BUS_PIO, UART_PORT + reg, 1, &value) && value <= 0xff);
    return (uint8_t)value;
}

static void out8(unsigned reg, unsigned value)
{
    CHECK(bus_write(BUS_PIO, UART_PORT + reg, 1, value));
}

static void fresh(unsigned ier, unsigned fcr)
{
    uart_reset();
    out_count = rooms = 0;
    out_room = SIZE_MAX;
    out8(FCR, fcr);
    out8(MCR, OUT2);
    out8(IER, ier);
}

static size_t type(const char *text)
{
    return uart_input((const uint8_t *)text, strlen(text));
}

static void test_registers(void)
{
    uint64_t value;

    CHECK(in8(IER) == 0 && in8(IIR) == 1 && in8(LCR) == 0 && in8(MCR) == 0 && in8(LSR) == 0x60 &&
          in8(MSR) == 0xb0);
    for (unsigned i = 0; i < 256; i++) {
        out8(SCRATCH, i);
        out8(LCR, i & 0x7f);
        out8(IER, i);
        out8(MCR, i & ~LOOP & 0xff);
        CHECK(in8(SCRATCH) == i && in8(LCR) == (i & 0x7f) && in8(IER) == (i & 0xf) && in8(MCR) == (i & 0xf));
        out8(LCR, 0x80 | i);
        out8(0, i);
        out8(1, 255 - i);
        CHECK(in8(0) == i && in8(1) == 255 - i);
        out8(LCR, 3);
        CHECK(in8(IER) == (i & 0xf));
        out8(LSR, i);
        out8(MSR, i);
        CHECK(in8(LSR) == 0x60 && in8(MSR) == 0xb0);
    }
    /* A wide access is one of each byte; one that leaves the ports is none. */
    out8(LCR, 0x80);
    CHECK(bus_write(BUS_PIO, UART_PORT, 2, 0xabcd) && in8(0) == 0xcd && in8(1) == 0xab);
    CHECK(bus_read(BUS_PIO, UART_PORT, 4, &value) && (value & 0xff00ffff) == 0x8000abcd);
    CHECK(!bus_read(BUS_PIO, UART_PORT + 5, 4, &value) && value == UINT32_MAX);
    ok_checks("registers and divisor latch");
}

static void test_fifo_control(void)
{
    fresh(0, 0);
    CHECK(in8(IIR) == 1);
    out8(FCR, 0xc7);
    CHECK(in8(IIR) == 0xc1 && type("abc") == 3 && in8(LSR) == 0x61);
    out8(FCR, 1); /* stays on: keeps what is there */
    CHECK(in8(DATA) == 'a');
    out8(FCR, 2); /* switches off and empties */
    CHECK(in8(IIR) == 1 && in8(LSR) == 0x60);
    CHECK(type("xyz") == 1 && in8(DATA) == 'x');
    out8(FCR, 1);
    CHECK(type("0123456789abcdefgh") == 16);
    out8(FCR, 3);
    CHECK(in8(LSR) == 0x60 && in8(DATA) == 0);
    ok_checks("FIFO control: on, off, clear");
}

static void test_received(void)
{
    static const unsigned levels[] = {1, 4, 8, 14};

    for (unsigned l = 0; l < 4; l++) {
        fresh(RECEIVED, 1 | l << 6);
        for (unsigned n = 1; n <= 16; n++)
            CHECK(type("x") == 1 && line && in8(IIR) == (n >= levels[l] ? 0xc4 : 0xcc));
        CHECK(type("y") == 0);
        for (unsigned n = 16; n > 0; n--)
            CHECK(line && in8(IIR) == (n >= levels[l] ? 0xc4 : 0xcc) && in8(LSR) == 0x61 && in8(DATA) == 'x');
        CHECK(!line && in8(IIR) == 0xc1 && in8(LSR) == 0x60);
    }
    fresh(RECEIVED, 0);
    CHECK(type("q") == 1 && line && in8(IIR) == 4 && in8(DATA) == 'q' && !line);
    fresh(0, 1);
    CHECK(type("q") == 1 && !line && in8(IIR) == 0xc1);
    out8(IER, RECEIVED);
    CHECK(line);
    out8(MCR, 0);
    CHECK(!line && in8(IIR) == 0xc4);
    out8(MCR, OUT2);
    CHECK(line);
    uart_reset();
    CHECK(!line && in8(LSR) == 0x60);
    ok_checks("received data: trigger levels, time-out, without FIFO, enabled late, gated by OUT2");
}

static void test_sent(void)
{
    for (unsigned fcr = 0; fcr < 2; fcr++) {
        uint8_t none = fcr ? 0xc1 : 1;

        fresh(0, fcr);
        out8(DATA, 'a');
        CHECK(out_count == 1 && out[0] == 'a' && !line && in8(IIR) == none);
        out8(IER, SENT);
        CHECK(line && in8(IIR) == (none ^ 3) && !line && in8(IIR) == none);
        /* Written again without a change: nothing. Off and on: again. */
        out8(IER, SENT);
        CHECK(!line);
        out8(IER, 0);
        out8(IER, SENT);
        CHECK(line);
        out8(IER, 0);
        CHECK(!line);
        out8(IER, SENT);
        CHECK(line && in8(IIR) == (none ^ 3));
        out8(DATA, 'b');
        CHECK(line && in8(LSR) == 0x60 && in8(IIR) == (none ^ 3));
        /* Writing ends the old one; while it waits there is none. */
        out8(IER, 0);
        out8(IER, SENT);
        out_room = 0;
        out8(DATA, 'c');
        CHECK(!line && in8(LSR) == 0 && in8(IIR) == none);
        out_room = 1;
        uart_output_room();
        CHECK(line && in8(LSR) == 0x60 && out_count == 3 && out[2] == 'c');
    }
    ok_checks("transmitter empty: by sending, by IER, ended by IIR or THR");
}

static void test_send_fifo(void)
{
    fresh(SENT, 1);
    in8(IIR);
    out_room = 0;
    for (unsigned i = 0; i < 20; i++)
        out8(DATA, 'a' + i);
    CHECK(in8(LSR) == 0 && !line && out_count == 0);
    out_room = 7;
    uart_output_room();
    CHECK(out_count == 7 && in8(LSR) == 0 && !line);
    out8(DATA, 'z');
    out_room = 100;
    uart_output_room();
    /* The 17th to 20th were lost. */
    CHECK(out_count == 17 && !memcmp(out, "abcdefghijklmnopz", 17) && in8(LSR) == 0x60 && line);
    in8(IIR);
    out_room = 0;
    out8(DATA, 'x');
    out8(FCR, 1); /* clears nothing */
    CHECK(in8(LSR) == 0 && !line);
    out8(FCR, 5);
    CHECK(line && in8(LSR) == 0x60);
    out_room = 100;
    uart_output_room();
    CHECK(out_count == 17);
    out_room = 0;
    fresh(SENT, 0);
    out_room = 0;
    out8(DATA, '1');
    out8(DATA, '2');
    out_room = 9;
    uart_output_room();
    CHECK(out_count == 1 && out[0] == '1');
    ok_checks("a slow back end: 16 characters or 1 wait, the status says so");
}

static void test_loopback(void)
{
    fresh(RECEIVED | SENT | LINE | MODEM, 1);
    in8(IIR);
    /* Modem lines come back: CTS, DSR, DCD were on. */
    out8(MCR, LOOP);
    CHECK(!line && in8(IIR) == 0xc0 && in8(MSR) == 0x0b && in8(MSR) == 0 && in8(IIR) == 0xc1);
    for (unsigned lines = 0; lines < 16; lines++) {
        uint8_t expected =
            (uint8_t)((lines & 1) << 5 | (lines & 2) << 3 | (lines & 4) << 4 | (lines & 8) << 4);

        out8(MCR, LOOP | lines);
        CHECK((in8(MSR) & 0xf0) == expected);
    }
    /* The ring indicator: its end only. */
    out8(MCR, LOOP);
    in8(MSR);
    out8(MCR, LOOP | 4);
    CHECK(in8(MSR) == 0x40);
    out8(MCR, LOOP);
    CHECK(in8(MSR) == 0x04);
    /* Characters come back; the 17th runs over. */
    CHECK(type("x") == 0);
    for (unsigned i = 0; i < 16; i++)
        out8(DATA, i);
    CHECK(out_count == 0 && in8(IIR) == 0xc4 && in8(LSR) == 0x61);
    out8(DATA, 16);
    CHECK(in8(IIR) == 0xc6 && in8(LSR) == 0x63 && in8(LSR) == 0x61 && in8(IIR) == 0xc4 && !line);
    for (unsigned i = 0; i < 16; i++)
        CHECK(in8(DATA) == i);
    CHECK(in8(IIR) == 0xc2 && in8(IIR) == 0xc1);
    /* Outside again: what waited is asked for. */
    CHECK(rooms == 0);
    out8(MCR, OUT2);
    CHECK(rooms == 1 && type("x") == 1 && line);
    ok_checks("loopback: lines, characters, overrun, priorities, nothing gets out");
}

static void test_room(void)
{
    fresh(0, 1);
    CHECK(type("0123456789abcdef") == 16 && rooms == 0);
    in8(DATA);
    CHECK(rooms == 0 && type("gh") == 1);
    in8(DATA);
    in8(DATA);
    CHECK(rooms == 1 && type("h") == 1);
    CHECK(type("ijk") == 1 && rooms == 1);
    out8(FCR, 3);
    CHECK(rooms == 2);
    ok_checks("flow control: the back end hears of room once, when it waits for it");
}

/* A driver that sends and receives with interrupts, and a back end on another thread. */
#define COUNT 20000U

static uint8_t pattern(unsigned i)
{
    return (uint8_t)(i * 7 + i / 251);
}

static void *other_end(void *argument)
{
    unsigned sent = 0;

    (void)argument;
    while (sent < COUNT) {
        uint8_t chunk[40];
        unsigned size = 1 + sent % 37;

        size = size < COUNT - sent ? size : COUNT - sent;
        for (unsigned i = 0; i < size; i++)
            chunk[i] = pattern(sent + i);
        sent += (unsigned)uart_input(chunk, size);
        uart_output_room();
        sched_yield();
    }
    return NULL;
}

static void test_driver(void)
{
    unsigned received = 0, sent = 0;
    pthread_t thread;

    fresh(RECEIVED | SENT, 0x81);
    pthread_create(&thread, NULL, other_end, NULL);
    while (received < COUNT || sent < COUNT) {
        while (!__atomic_load_n(&line, __ATOMIC_SEQ_CST))
            sched_yield();
        switch (in8(IIR) & 0xf) {
        case 4:
        case 12:
            while (in8(LSR) & 1) {
                CHECK(in8(DATA) == pattern(received));
                received++;
            }
            break;
        case 2:
            for (unsigned i = 0; i < 16 && sent < COUNT; i++)
                out8(DATA, pattern(sent++));
            break;
        default:
            break;
        }
    }
    pthread_join(thread, NULL);
    CHECK(received == COUNT && out_count == COUNT);
    for (unsigned i = 0; i < COUNT; i++)
        CHECK(out[i] == pattern(i));
    ok_checks("a driver with interrupts gets and sends all characters in order");
}

int main(void)
{
    alarm(300); /* a lost interrupt would be waited for */
    CHECK(uart_init(&backend) && !uart_init(&backend));
    test_registers();
    test_fifo_control();
    test_received();
    test_sent();
    test_send_fifo();
    test_loopback();
    test_room();
    test_driver();
    return tap_done();
}
