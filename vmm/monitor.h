/**
 * @file
 * The monitor: commands of the user, from the escape key of the terminal (nova/log.h), answered in the log.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef VMM_MONITOR_H
#define VMM_MONITOR_H

#include <stdint.h>

/** One thread. */
void monitor_command(uint64_t command);

#endif
