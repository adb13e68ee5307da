/*
 * Root's lines and, without a console domain, those of all domains.
 *
 * Lines go to the serial port COM1 as long as no console domain runs. Once one does they wait for it: it asks for
 * them (NOVA_PARENT_LOG_READ). What does not fit is dropped, counted, and reported when there is room again. Root never
 * waits for the console.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERIAL_PORT 0x3f8
#define LOG_TEXT_MAX 512

/* A line `[root] text`. */
void log_root(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A line, or several, of a domain; what is not printable is replaced. */
void log_domain(const char *name, const char *text, size_t size);

/* Writes to the serial port at once, whoever owns it. For panics. */
void log_direct(const char *text);

/* The console domain starts: from now on lines wait for it. */
void log_to_console(void);

/* It has ended: what waits, and all further lines, go to the serial port. */
void log_to_serial(void);

/* What to up when a line waits: a selector. */
void log_set_bell(uint64_t sel);

/*
 * Drops so many bytes of what waits, then copies what is next, up to NOVA_LOG_PIECE bytes, and says how many these are.
 * False if there were not so many to drop.
 */
bool log_take(uint64_t *bytes, char *text);

/* Whether nothing waits and the serial line is idle. */
bool log_idle(void);
