/**
 * @file
 * The monitor: commands of the user, from the escape key of the terminal (nova/log.h), answered in the log.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdint.h>

/** One thread. */
void monitor_command(uint64_t command);
