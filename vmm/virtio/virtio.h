/**
 * @file
 * Virtio devices: what they give to the transport (pci.c), and what it does for them.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "dev/pci.h"
#include "virtio/queue.h"

#include <nova/sync.h>

#define VIRTIO_QUEUES 4U
#define VIRTIO_TURN 256U /**< chains of a queue that are served at once */

/** Offsets in BAR 0 of every device. A write to the notify page at 4 * queue is a notification. */
#define VIRTIO_COMMON 0x0000U
#define VIRTIO_ISR 0x1000U
#define VIRTIO_CONFIG 0x2000U
#define VIRTIO_NOTIFY 0x3000U
#define VIRTIO_BAR_SIZE 0x4000U

struct virtio_device {
    /* Filled in by the device. */
    const char *name;
    uint16_t type;        /**< virtio 1.2, 5 */
    uint32_t class;       /**< PCI class code, 24 bits */
    uint64_t features;    /**< of the device, without those of queues and transport */
    unsigned queues;
    uint16_t sizes[VIRTIO_QUEUES]; /**< largest sizes */
    const void *config;   /**< its configuration: constant */
    size_t config_size;
    /* With the lock held, and only between DRIVER_OK and reset. */
    void (*notify)(struct virtio_device *device, unsigned queue);
    /* With the lock held: forget everything that has to do with the guest's buffers. */
    void (*reset)(struct virtio_device *device);

    /* For the device: lock and queues. */
    struct nova_mutex lock;
    struct virtq queue[VIRTIO_QUEUES];
    struct virtq_chain chain; /**< of virtio_pop() */

    /* The rest belongs to the transport. */
    struct pci_device pci;
    struct virtio_device *next;
    uint8_t status, isr;
    uint32_t device_feature_select, driver_feature_select;
    uint64_t driver_features;
    uint16_t queue_select, config_vector, vector[VIRTIO_QUEUES];
    unsigned deferred; /**< queues whose turn was over */
};

/** Puts a device on the PCI bus; before the machine runs. False: no room. */
bool virtio_add(struct virtio_device *device);

/** All devices, at a reset of the machine. */
void virtio_reset(void);

/**
 * A guest that fills a queue as fast as it is served must not keep a handler for ever. So turns are limited, and the rest waits
 * for virtio_work(), in some thread that `wake` wakes: it is called with the lock of a device held, and must not wait. Before
 * the machine runs.
 */
void virtio_set_worker(void (*wake)(void));
void virtio_work(void);

/** The following with the lock held. */

/** Whether the driver runs and the queues may be used. */
bool virtio_is_live(const struct virtio_device *device);

/** Whether a feature was negotiated. */
bool virtio_has(const struct virtio_device *device, unsigned feature);

/** The next chain of a queue, in device->chain. A queue that turns out to be broken ends the device until the driver resets it. */
bool virtio_pop(struct virtio_device *device, unsigned queue);

/** What the driver has sent makes no sense: it has to reset the device. */
void virtio_fail(struct virtio_device *device, const char *why);

/** Gives the chain of virtio_pop() back. */
void virtio_push(struct virtio_device *device, unsigned queue, uint32_t written);

/** Interrupts after one or more chains, if the driver wants that. */
void virtio_interrupt(struct virtio_device *device, unsigned queue);

/** What `take` did not take: the chain stays where it is. */
#define VIRTIO_BLOCKED UINT32_MAX

/** Has each chain of a queue taken (which says how many bytes it has written), until there is none, or it blocks, or the turn is
 * over. */
void virtio_serve(struct virtio_device *device, unsigned queue, uint32_t (*take)(struct virtio_device *device));

/** Has the queue notified again, from virtio_work(). */
void virtio_defer(struct virtio_device *device, unsigned queue);
