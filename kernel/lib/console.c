/*
 * Console.
 *
 * The memory buffer is shared with user land, which advances the read index: whatever stands there is
 * read once and made to fit.
 *
 * SPDX-License-Identifier: MIT
 */

#include "lib/console.h"

#include "core/sm.h"
#include "nova/abi/hip.h"
#include "x86/asm.h"

#define COM1 0x3f8
#define LCR_8N1 0x03
#define LCR_DLAB 0x80
#define LSR_THRE 0x20
#define LSR_TEMT 0x40
#define SPIN_MAX 100000

static struct nova_mbuf *const mbuf = (struct nova_mbuf *)console_buffer;
static uint32_t mbuf_wr; /* ours; the one in the buffer is for the consumer */
static bool serial;
static bool panicking;
static struct spinlock console_lock;

struct sm console_sm;

static void wait_serial(uint8_t status)
{
    for (unsigned i = 0; i < SPIN_MAX && !(inb(COM1 + 5) & status); i++)
        cpu_relax();
}

static void put_serial(char c)
{
    wait_serial(LSR_THRE);
    outb(COM1, (uint8_t)c);
}

static void put_buffer(char c)
{
    uint32_t size = (uint32_t)((uintptr_t)console_buffer_end - (uintptr_t)console_buffer - sizeof(*mbuf));
    uint32_t next = mbuf_wr + 1 < size ? mbuf_wr + 1 : 0;

    mbuf->buffer[mbuf_wr] = c;
    mbuf_wr = next;
    if (READ_ONCE(mbuf->rd) == next) /* full: drop the oldest character */
        WRITE_ONCE(mbuf->rd, next + 1 < size ? next + 1 : 0);
    __atomic_store_n(&mbuf->wr, next, __ATOMIC_RELEASE);
}

static void put(char c)
{
    put_buffer(c);
    if (serial) {
        if (c == '\n')
            put_serial('\r');
        put_serial(c);
    }
}

void print_list(const char *text, va_list args)
{
    if (!panicking)
        lock(&console_lock);
    format(put, text, args);
    if (!panicking) {
        unlock(&console_lock);
        sm_up(&console_sm);
    }
}

void print(const char *text, ...)
{
    va_list args;

    va_start(args, text);
    print_list(text, args);
    va_end(args);
}

void console_init(void)
{
    /* Register and value: no interrupts; 115200 baud, 8N1; FIFO on and empty; DTR, RTS. */
    static const uint8_t setup[][2] = {{1, 0}, {3, LCR_DLAB}, {0, 1}, {1, 0}, {3, LCR_8N1}, {2, 7}, {4, 3}};

    sm_init(&console_sm, 0, -1);
    outb(COM1 + 7, 0x5a); /* a UART keeps what is written to its scratch register */
    if (inb(COM1 + 7) != 0x5a)
        return;
    for (unsigned i = 0; i < ARRAY_SIZE(setup); i++)
        outb(COM1 + setup[i][0], setup[i][1]);
    serial = true;
}

void console_serial_off(void)
{
    wait_serial(LSR_TEMT); /* the new owner may reset the FIFO */
    serial = false;
}

void console_panic(void)
{
    panicking = true;
    console_init();
}
