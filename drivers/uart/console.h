/*
 * The console, without the hardware: what clients write becomes whole lines with their names in front; what
 * is typed goes to one of them.
 *
 * Each client has a ring. Lines are taken from the rings in turn, so a client that floods its own ring delays
 * the others by one line at most, and none of its text is lost: it is told how much was taken, and its bell
 * rings when there is room again. Root is asked for its lines; each of them appears behind all that clients had
 * written before it was noticed.
 *
 * What clients ask for (up to console_command()) may be called by any thread; the rest belongs to one.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONSOLE_RING 4096U /* bytes of a client's ring */
#define CONSOLE_FIFO 16U   /* most characters at a time */
#define CONSOLE_PIECE 64U  /* most characters of root at a time */

/*
 * A client writes; `memory` is asked for the ring of a place that has none yet. Returns bytes taken, or an
 * error.
 */
long console_write(unsigned client, uint32_t generation, const char *name, const void *text, size_t length);

/*
 * A client wants input, which is not to be shown if it is secret; then it reads: bytes, 0 if there are none for it yet,
 * NOVA_ERR_ABSENT at the end of input.
 */
void console_reads(unsigned client, uint32_t generation, const char *name, bool secret);
long console_read(unsigned client, char *text, size_t size);

/* A client becomes a terminal (nova/log.h). An error, or 0. */
long console_terminal(unsigned client, uint32_t generation, const char *name);

/* The command that was given to a terminal last, or 0; told once. */
char console_command(unsigned client);

/* A client is there; it is gone. */
void console_opened(unsigned client, uint32_t generation, const char *name);
void console_closed(unsigned client);

/* The next characters for the line, at most CONSOLE_FIFO. When it is called again those of the last time are on their way. */
size_t console_next(char *out);

/*
 * Whether the line of the terminal that has the keyboard has been interrupted by others; if there is nothing more for a
 * while console_quiet() has it shown again.
 */
bool console_interrupted(void);
void console_quiet(void);

/* A character was typed. */
void console_typed(char c);

/* Whether there is room for typed characters. */
bool console_accepts(void);

/*
 * Given by whoever uses this: memory of CONSOLE_RING bytes or NULL; a client's bell; the next characters of root, at most
 * CONSOLE_PIECE; those of the last time, `sent`, are on their way.
 */
void *console_memory(void);
void console_ring(unsigned client);
size_t console_root(char *text, size_t sent);
