/*
 * Console: formatted text to the memory buffer that the interface defines (C.1) and, while booting and in a
 * panic, to the serial port COM1. Any CPU may print at any time; the lines of several CPUs do not mix.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdarg.h>

/* Calls put for each character. Formats: %s %c %u %x %p %%, with l and ll, '#', a width and leading zeros. */
void format(void (*put)(char c), const char *text, va_list args);

void print(const char *text, ...) __attribute__((format(printf, 1, 2)));
void print_list(const char *text, va_list args);

/* Finds out whether there is a COM1, and programs it for 115200 baud, 8N1. */
void console_init(void);

/* Switches the serial port off, which belongs to user land when the root PD runs, or on again, without the lock: panic. */
void console_serial_off(void);
void console_panic(void);

/* The memory buffer (kernel.ld), and the semaphore that is upped after each line. */
extern char console_buffer[], console_buffer_end[];
struct sm;
extern struct sm console_sm;
