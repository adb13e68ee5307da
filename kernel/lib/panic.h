/*
 * The end: prints what is known on all consoles and stops the machine. It never resets it.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

struct frame;

_Noreturn void panic(const char *text, ...) __attribute__((format(printf, 1, 2)));

/* An exception in the kernel. */
_Noreturn void panic_frame(const struct frame *frame);

/* Does not return if another CPU has panicked. */
void panic_check(void);
