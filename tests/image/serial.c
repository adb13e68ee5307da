/*
 * First serial port, polled: 115200 baud, 8N1. A missing port swallows the output, a stuck one
 * delays it but never for ever. Callers exclude each other (tap.c).
 *
 * SPDX-License-Identifier: MIT
 */

#include "serial.h"

#include <stdbool.h>

enum { REG_DATA, REG_IER, REG_FCR, REG_LCR, REG_MCR, REG_LSR };

#define LSR_THR_EMPTY 0x20

static bool present;

void serial_init(void)
{
    outb(SERIAL_PORT + REG_IER, 0);
    outb(SERIAL_PORT + REG_LCR, 0x80);
    outb(SERIAL_PORT + REG_DATA, 1);
    outb(SERIAL_PORT + REG_IER, 0);
    outb(SERIAL_PORT + REG_LCR, 0x03);
    outb(SERIAL_PORT + REG_FCR, 0x07);
    outb(SERIAL_PORT + REG_MCR, 0x03);
    present = inb(SERIAL_PORT + REG_LSR) != 0xff;
}

void serial_putc(char c)
{
    if (!present)
        return;
    if (c == '\n')
        serial_putc('\r');
    for (unsigned i = 0; i < 1000000 && !(inb(SERIAL_PORT + REG_LSR) & LSR_THR_EMPTY); i++)
        __builtin_ia32_pause();
    outb(SERIAL_PORT + REG_DATA, (uint8_t)c);
}
