/**
 * @file
 * Virtio entropy device.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>
#include <stdint.h>

/** Once, before the machine runs; false: no room on the bus. `random` gives 64 random bits; false: none now. Any thread, it must
 * not wait. */
bool virtio_rng_init(bool (*random)(uint64_t *value));
