/*
 * Serial port: a 16550A with FIFOs of 16 bytes, at COM1. Time does not pass in it: what the back end takes has been sent,
 * characters below the trigger level count as a character time-out at once.
 *
 *   causes of the interrupt, highest first              ends with
 *   receiver line status   overrun (loopback only)      reading LSR
 *   received data          FIFO at its trigger level,   reading RBR
 *     or time-out            or characters in it
 *   transmitter empty      sent, or IER switched on     reading IIR if it says so, writing THR
 *   modem status           lines changed (loopback)     reading MSR
 *
 * State: registers and two FIFOs, all under one lock.
 * Guest input checked: any register and value; the bus makes bytes of wider accesses. FIFOs cannot run over.
 * Locking: its lock, then the IOAPIC's. Any thread.
 * Specification: National Semiconductor PC16550D data sheet, 8.0. OUT2 gates the interrupt, as in PCs.
 *
 * SPDX-License-Identifier: MIT
 */

#include "dev/uart.h"

#include "dev/bus.h"
#include "dev/irq.h"

#include <nova/sync.h>

#define FIFO 16U

enum { DATA = 0, IER = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCRATCH = 7, PORTS = 8 };

#define IER_RECEIVED 1U
#define IER_SENT 2U
#define IER_LINE 4U
#define IER_MODEM 8U
#define IIR_NONE 1U
#define IIR_MODEM 0U
#define IIR_SENT 2U
#define IIR_RECEIVED 4U
#define IIR_LINE 6U
#define IIR_TIMEOUT 12U
#define IIR_FIFO 0xc0U
#define FCR_ENABLE 1U
#define FCR_CLEAR_RECEIVED 2U
#define FCR_CLEAR_SENT 4U
#define LCR_DIVISOR 0x80U
#define MCR_OUT2 8U
#define MCR_LOOP 0x10U
#define LSR_RECEIVED 1U
#define LSR_OVERRUN 2U
#define LSR_EMPTY 0x60U /* holding register, and shift register too */
#define MSR_RING 0x40U
#define MSR_CONNECTED 0xb0U /* CTS, DSR, DCD */
#define MSR_DELTAS 0xfU

struct fifo {
    uint8_t data[FIFO];
    unsigned head, count;
};

static struct {
    struct nova_mutex lock;
    const struct uart_backend *backend;
    struct fifo received, sent;
    uint8_t ier, fcr, lcr, mcr, msr, scratch, divisor[2];
    bool overrun, sent_pending, line;
    bool starved; /* the back end has more for us */
} uart;

static unsigned capacity(void)
{
    return uart.fcr & FCR_ENABLE ? FIFO : 1;
}

static void push(struct fifo *fifo, uint8_t byte)
{
    fifo->data[(fifo->head + fifo->count++) % FIFO] = byte;
}

static uint8_t pop(struct fifo *fifo)
{
    uint8_t byte = fifo->data[fifo->head];

    fifo->head = (fifo->head + 1) % FIFO;
    fifo->count--;
    return byte;
}

static unsigned cause(void)
{
    static const uint8_t levels[] = {1, 4, 8, 14};
    unsigned level = uart.fcr & FCR_ENABLE ? levels[uart.fcr >> 6] : 1;

    if (uart.ier & IER_LINE && uart.overrun)
        return IIR_LINE;
    if (uart.ier & IER_RECEIVED && uart.received.count)
        return uart.received.count >= level ? IIR_RECEIVED : IIR_TIMEOUT;
    if (uart.ier & IER_SENT && uart.sent_pending)
        return IIR_SENT;
    if (uart.ier & IER_MODEM && uart.msr & MSR_DELTAS)
        return IIR_MODEM;
    return IIR_NONE;
}

/* After every change: the interrupt line, and room for characters that wait. In loopback mode OUT2 is off outside. */
static void update(void)
{
    bool line = cause() != IIR_NONE && (uart.mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;

    if (line != uart.line) {
        uart.line = line;
        irq_set(IRQ_UART, line);
    }
    if (uart.starved && !(uart.mcr & MCR_LOOP) && uart.received.count < capacity()) {
        uart.starved = false;
        uart.backend->input_room();
    }
}

/* Gives to the back end what it takes. */
static void flush(void)
{
    bool was_empty = !uart.sent.count;

    while (uart.sent.count) {
        unsigned run = FIFO - uart.sent.head;
        unsigned count = run < uart.sent.count ? run : uart.sent.count;
        size_t taken = uart.backend->output(uart.sent.data + uart.sent.head, count);

        uart.sent.head = (uart.sent.head + (unsigned)taken) % FIFO;
        uart.sent.count -= (unsigned)taken;
        if (taken < count)
            break;
    }
    if (!was_empty && !uart.sent.count)
        uart.sent_pending = true;
}

static void send(uint8_t byte)
{
    uart.sent_pending = false;
    if (uart.mcr & MCR_LOOP) {
        if (uart.received.count < capacity())
            push(&uart.received, byte);
        else
            uart.overrun = true;
        uart.sent_pending = true;
    } else if (uart.sent.count < capacity()) {
        push(&uart.sent, byte);
        flush();
    }
}

static void set_fifo_control(uint8_t value)
{
    bool toggled = (value ^ uart.fcr) & FCR_ENABLE;

    if (toggled || value & FCR_CLEAR_RECEIVED)
        uart.received.count = 0;
    if ((toggled || value & FCR_CLEAR_SENT) && uart.sent.count) {
        uart.sent.count = 0;
        uart.sent_pending = true;
    }
    /* The other bits can be written with the first one only. */
    uart.fcr = value & FCR_ENABLE ? value & 0xc1 : 0;
}

static void set_modem_control(uint8_t value)
{
    uint8_t lines = MSR_CONNECTED, changed;

    uart.mcr = value & 0x1f;
    if (value & MCR_LOOP) {
        /* DTR, RTS, OUT1, OUT2 come back as DSR, CTS, RI, DCD. */
        lines = (uint8_t)((value & 1) << 5 | (value & 2) << 3 | (value & 0xc) << 4);
    }
    changed = (lines ^ uart.msr) & 0xf0;
    /* Of the ring indicator, only its end counts. */
    if (lines & MSR_RING)
        changed &= (uint8_t)~MSR_RING;
    uart.msr = (uint8_t)(lines | (uart.msr & MSR_DELTAS) | changed >> 4);
}

static uint8_t identify(void)
{
    unsigned found = cause();

    if (found == IIR_SENT)
        uart.sent_pending = false;
    return (uint8_t)(found | (uart.fcr & FCR_ENABLE ? IIR_FIFO : 0));
}

static uint8_t line_status(void)
{
    unsigned status = (uart.received.count ? LSR_RECEIVED : 0) | (uart.overrun ? LSR_OVERRUN : 0) |
                      (uart.sent.count ? 0 : LSR_EMPTY);

    uart.overrun = false;
    return (uint8_t)status;
}

static uint8_t modem_status(void)
{
    uint8_t status = uart.msr;

    uart.msr &= (uint8_t)~MSR_DELTAS;
    return status;
}

static uint8_t read_register(uint64_t reg)
{
    if (reg <= IER && uart.lcr & LCR_DIVISOR)
        return uart.divisor[reg];
    switch (reg) {
    case DATA:
        return uart.received.count ? pop(&uart.received) : 0;
    case IER:
        return uart.ier;
    case IIR:
        return identify();
    case LCR:
        return uart.lcr;
    case MCR:
        return uart.mcr;
    case LSR:
        return line_status();
    case MSR:
        return modem_status();
    default:
        return uart.scratch;
    }
}

static void write_register(uint64_t reg, uint8_t value)
{
    if (reg <= IER && uart.lcr & LCR_DIVISOR) {
        uart.divisor[reg] = value;
        return;
    }
    switch (reg) {
    case DATA:
        send(value);
        break;
    case IER:
        if (value & ~uart.ier & IER_SENT && !uart.sent.count)
            uart.sent_pending = true;
        uart.ier = value & 0xf;
        break;
    case FCR:
        set_fifo_control(value);
        break;
    case LCR:
        uart.lcr = value;
        break;
    case MCR:
        set_modem_control(value);
        break;
    case SCRATCH:
        uart.scratch = value;
        break;
    default: /* LSR and MSR are read-only */
        break;
    }
}

static uint64_t uart_read(void *device, uint64_t offset, unsigned size)
{
    uint64_t value;

    (void)device;
    (void)size;
    nova_mutex_lock(&uart.lock);
    value = read_register(offset);
    update();
    nova_mutex_unlock(&uart.lock);
    return value;
}

static void uart_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)device;
    (void)size;
    nova_mutex_lock(&uart.lock);
    write_register(offset, (uint8_t)value);
    update();
    nova_mutex_unlock(&uart.lock);
}

size_t uart_input(const uint8_t *bytes, size_t count)
{
    size_t taken = 0;

    nova_mutex_lock(&uart.lock);
    while (taken < count && !(uart.mcr & MCR_LOOP) && uart.received.count < capacity())
        push(&uart.received, bytes[taken++]);
    update();
    uart.starved = taken < count;
    nova_mutex_unlock(&uart.lock);
    return taken;
}

void uart_output_room(void)
{
    nova_mutex_lock(&uart.lock);
    flush();
    update();
    nova_mutex_unlock(&uart.lock);
}

void uart_reset(void)
{
    nova_mutex_lock(&uart.lock);
    uart.received.count = uart.sent.count = 0;
    uart.ier = uart.fcr = uart.lcr = uart.mcr = uart.scratch = 0;
    uart.msr = MSR_CONNECTED;
    uart.divisor[0] = 12; /* 9600 baud */
    uart.divisor[1] = 0;
    uart.overrun = uart.sent_pending = false;
    update();
    nova_mutex_unlock(&uart.lock);
}

bool uart_init(const struct uart_backend *backend)
{
    static const struct bus_range range = {.start = UART_PORT,
                                           .size = PORTS,
                                           .read = uart_read,
                                           .write = uart_write,
                                           .name = "uart",
                                           .width = 1};

    uart.backend = backend;
    uart_reset();
    return bus_add(BUS_PIO, &range);
}
