/*
 * Start-up of threads.c; everything else it offers is in system.h.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

/* One handler EC per CPU, with portals for all events of threads on that CPU. */
void threads_init(void);
