/*
 * Output through the first serial port.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdint.h>

#define SERIAL_PORT 0x3f8 /* eight ports, order 3 */

static inline void outb(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* The calling PD must own the eight ports from SERIAL_PORT. */
void serial_init(void);
void serial_putc(char c);
