/*
 * console: the user, who is asked, and who types. One question is open at a time; it has a number, and only an answer
 * with this number counts: what was typed for another one does not.
 *
 * The thread that asks is not the one that reads what is typed.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>
#include <stdint.h>

enum verdict {
    UNDECIDED,
    GRANTED,
    REFUSED,
    NOBODY /* there is nobody who could answer */
};

/* Starts to read what is typed. An answer rings the bell. Whether it worked. */
bool console_start(uint64_t bell);

/* Asks. */
void console_ask(const char *question);

/* What the user says to the question. */
enum verdict console_verdict(void);

/* The question is no longer open. */
void console_close(void);

/* Shows the public keys. */
void console_keys(void);
