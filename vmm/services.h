/**
 * @file
 * Services of other domains, behind ports of virtio sockets.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>
#include <stdint.h>

/** A port leads to a service, by the name that the system file gives it (which is kept). Before the machine runs; false: no room. */
bool services_add(uint32_t port, const char *service);

/** Starts the thread that opens and closes sessions; after the first services_add(). An error. */
int services_start(void);

/** What that thread does when the bell has rung; when it is to be done again at the latest. For tests. */
uint64_t services_step(void);
