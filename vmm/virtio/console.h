/**
 * @file
 * Virtio console: one port, a stream of bytes in each direction.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Both are called with the lock of the device held: they must not call the functions below, nor wait. */
struct virtio_console_backend {
    /* Takes what the guest sends: how many of the bytes. If not all, virtio_console_output_room() follows. */
    size_t (*output)(const uint8_t *bytes, size_t count);
    /* There is room again, after virtio_console_input() has not taken everything. */
    void (*input_room)(void);
};

/** Once, before the machine runs; false: no room on the bus. The caller keeps `backend`. */
bool virtio_console_init(const struct virtio_console_backend *backend);

/** Bytes for the guest: how many of them it took. Any thread. */
size_t virtio_console_input(const uint8_t *bytes, size_t count);

/** The back end takes bytes again. Any thread. */
void virtio_console_output_room(void);
