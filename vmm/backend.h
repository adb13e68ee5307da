/**
 * @file
 * What is behind the virtio devices, but for the console (console.h).
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>

/** Puts the devices on the bus. `vsock` is the value of that option, null without one. False: it is wrong, or no room. */
bool backend_init(const char *vsock);
