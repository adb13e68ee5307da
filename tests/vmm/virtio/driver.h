/*
 * A driver for virtio devices, in tests: it plays the guest, through the bus and in guest memory, in good and in bad manners.
 *
 * Guest memory is DRIVER_RAM bytes. Each queue has a page for its rings, from DRIVER_RINGS; buffers are the test's affair.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "virtio/queue.h"

#include <stdbool.h>
#include <stdint.h>

#define DRIVER_RAM 0x100000UL
#define DRIVER_RINGS 0x10000UL
#define DRIVER_BUFFERS 0x40000UL

/* The common configuration. */
enum {
    DEVICE_FEATURE_SELECT = 0x00,
    DEVICE_FEATURE = 0x04,
    DRIVER_FEATURE_SELECT = 0x08,
    DRIVER_FEATURE = 0x0c,
    CONFIG_VECTOR = 0x10,
    NUM_QUEUES = 0x12,
    STATUS = 0x14,
    QUEUE_SELECT = 0x16,
    QUEUE_SIZE = 0x18,
    QUEUE_VECTOR = 0x1a,
    QUEUE_ENABLE = 0x1c,
    QUEUE_NOTIFY_OFF = 0x1e,
    QUEUE_DESCRIPTOR = 0x20,
    QUEUE_DRIVER = 0x28,
    QUEUE_DEVICE = 0x30
};

enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, NEEDS_RESET = 0x40, FAILED = 0x80 };

#define VERSION_1 (1UL << 32)
#define EVENT_INDEX (1UL << 29)
#define INDIRECT (1UL << 28)
#define ALL_FEATURES (VERSION_1 | EVENT_INDEX | INDIRECT)

/* A buffer of a chain. */
struct driver_part {
    uint64_t address;
    uint32_t bytes;
};

struct driver_queue {
    unsigned size, queue;
    uint64_t base; /* of its rings */
    uint16_t next; /* descriptor */
    uint16_t added, kicked, seen;
    bool event_index;
};

extern uint8_t *driver_ram;

/* Interrupts of vector `queue + 1` since the last call; 0: of the configuration. */
unsigned driver_interrupts(unsigned vector);

/* Memory, PCI bus, and the device in slot 1, which `add` puts there. */
void driver_machine(bool (*add)(void));

/* The following functions are for the device in this slot from now on. */
void driver_select(unsigned slot);

/* Registers of the device. */
uint64_t driver_get(unsigned offset, unsigned size);
void driver_put(unsigned offset, unsigned size, uint64_t value);

uint64_t driver_offered(void);

/* From reset to FEATURES_OK with these features, with MSI-X on; false: the device did not take them. */
bool driver_negotiate(uint64_t features);

/* Where the rings of a queue are; then it is enabled. */
void driver_queue(struct driver_queue *queue, unsigned number, unsigned size, uint64_t features);

/* DRIVER_OK. */
void driver_go(void);

/* Everything: `queues` queues of one size. */
void driver_start(struct driver_queue *queues, unsigned count, unsigned size, uint64_t features);

struct virtq_descriptor *driver_descriptor(const struct driver_queue *queue, unsigned index);
struct virtq_avail *driver_avail(const struct driver_queue *queue);
struct virtq_used *driver_used_ring(const struct driver_queue *queue);

/* Offers a chain: first `out` buffers to be read, then `in` to be written; indirect if `table` is its address. Its head. */
unsigned driver_add(struct driver_queue *queue, const struct driver_part *part, unsigned out, unsigned in,
                    uint64_t table);

/* Offers this head. */
void driver_offer(struct driver_queue *queue, unsigned head);

/* Notifies if the device wants to know; whether it did. */
bool driver_kick(struct driver_queue *queue);
void driver_notify(unsigned queue);

/* Takes a used chain; false: none. With the event index, asks for an interrupt of the next one. */
bool driver_take(struct driver_queue *queue, unsigned *head, uint32_t *written);

/* Errors of the guest since the last call. */
unsigned driver_errors(void);
