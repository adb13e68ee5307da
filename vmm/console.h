/*
 * The other end of the guest's serial port: a terminal of the console server (nova/log.h).
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>

/** Puts the port on the bus and starts a thread; once, before the machine runs. Returns 0 or an error of libnova. */
int console_init(void);

/** Brings to the terminal what the guest has written. Main thread, at the end. */
void console_flush(void);
