/**
 * @file
 * Serial port COM1: a 16550A. Its other end is a back end of the VMM.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UART_PORT 0x3f8U

/** Both are called with the lock of the port held: they must not call the functions below, nor wait. */
struct uart_backend {
    /* Takes what the guest sends: how many of the bytes. If not all, uart_output_room() follows. */
    size_t (*output)(const uint8_t *bytes, size_t count);
    /* There is room again, after uart_input() has not taken everything. */
    void (*input_room)(void);
};

/** Once, before the machine runs; false: the ports are taken. The caller keeps `backend`. */
bool uart_init(const struct uart_backend *backend);

/** As after power-on. */
void uart_reset(void);

/** Characters for the guest: how many of them it took. Any thread. */
size_t uart_input(const uint8_t *bytes, size_t count);

/** The back end takes bytes again. Any thread. */
void uart_output_room(void);
