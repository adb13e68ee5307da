/*
 * Crash records: lines of the log that tools and people read.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef ROOT_CRASH_H
#define ROOT_CRASH_H

#include "domain.h"

/* Writes the record of a thread's exception. Main thread only. */
void crash_report(const struct domain *d, unsigned cpu, unsigned exception,
                  const struct nova_arch_state *state);

/* The build id of the domain's image in hexadecimal digits, or "-". The text holds 65 bytes. */
const char *build_id(const struct domain *d, char *text);

#endif
