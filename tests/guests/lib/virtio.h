/*
 * Virtio devices of guest tests: modern ones on PCI, split queues, polled.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "guest.h"

#define VIRTIO_SIZE 64U /* of queues, at most */
#define VIRTIO_CONSOLE 3
#define VIRTIO_VSOCK 19

struct virtio_queue {
    struct {
        uint64_t address;
        uint32_t length;
        uint16_t flags, next;
    } descriptor[VIRTIO_SIZE] __attribute__((aligned(16)));
    volatile struct {
        uint16_t flags, index, ring[VIRTIO_SIZE], event;
    } avail;
    volatile struct {
        uint16_t flags, index;
        struct {
            uint32_t head, written;
        } ring[VIRTIO_SIZE];
        uint16_t event;
    } used __attribute__((aligned(4)));
    volatile uint16_t *bell;
    unsigned number;
    uint16_t seen;
};

/* Where a structure of a virtio device lies (Virtual I/O Device 1.2, 4.1.4), by its configuration space; 0: it has none. */
uint64_t virtio_structure(volatile uint8_t *config, unsigned type);

/* Resets the device of this type and starts it with so many queues, without features but VERSION_1. False: there is none. */
bool virtio_start(unsigned type, struct virtio_queue *queue, unsigned queues);

/* Its configuration. */
uint64_t virtio_config(unsigned type);

/* Offers descriptor `slot` (below VIRTIO_SIZE, not on offer already) as a chain of its own. */
void virtio_offer(struct virtio_queue *queue, unsigned slot, void *memory, uint32_t length, bool writable);

/* Tells the device. */
void virtio_kick(struct virtio_queue *queue);

/* Whether there are used ones. */
bool virtio_used(const struct virtio_queue *queue);

/* Takes a used one back; false: there is none. */
bool virtio_take(struct virtio_queue *queue, unsigned *slot, uint32_t *written);
