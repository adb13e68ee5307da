/*
 * What the watchdog and its clients agree on: a call with one word, any number, says that the client is
 * alive.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef WATCHDOG_H
#define WATCHDOG_H

#include <nova/time.h>

#define WATCHDOG_LIMIT (2 * NOVA_S) /* so long may be between two signs of life */

#endif
