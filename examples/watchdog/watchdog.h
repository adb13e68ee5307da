/*
 * What the watchdog and its clients agree on: a call with one word, any number, says that the client is
 * alive.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <nova/time.h>

#define WATCHDOG_LIMIT (2 * NOVA_S) /* so long may be between two signs of life */
