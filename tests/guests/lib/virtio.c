/*
 * A driver for virtio devices, as far as tests need one.
 *
 * SPDX-License-Identifier: MIT
 */

#include "virtio.h"

#define FUNCTIONS 256U /* of bus 0 */
#define VENDOR 0x1af4
#define FIRST_ID 0x1040

enum { TYPE_COMMON = 1, TYPE_NOTIFY, TYPE_ISR, TYPE_CONFIG };

/* The common configuration (4.1.4.3). */
struct common {
    uint32_t device_feature_select, device_feature, driver_feature_select, driver_feature;
    uint16_t config_vector, queues;
    uint8_t status, generation;
    uint16_t select, size, vector, enable, bell;
    uint64_t descriptor, driver, device;
} __attribute__((packed, aligned(4)));

uint64_t virtio_structure(volatile uint8_t *config, unsigned type)
{
    for (unsigned at = config[0x34], n = 0; at >= 0x40 && n < 16; at = config[at + 1], n++)
        if (config[at] == 9 && config[at + 3] == type && config[at + 4] < 6)
            return (*(volatile uint32_t *)(config + 0x10 + 4 * config[at + 4]) & ~0xfUL) +
                   *(volatile uint32_t *)(config + at + 8);
    return 0;
}

static volatile uint8_t *find(unsigned type)
{
    uint64_t ecam = pci_ecam();

    for (unsigned i = 0; ecam && i < FUNCTIONS; i++) {
        volatile uint8_t *config = (volatile uint8_t *)(ecam + i * 0x1000UL);

        if (*(volatile uint32_t *)config == (VENDOR | (FIRST_ID + type) << 16))
            return config;
    }
    return NULL;
}

uint64_t virtio_config(unsigned type)
{
    return *(volatile uint64_t *)virtio_structure(find(type), TYPE_CONFIG);
}

/* Registers take 32 bits at a time. */
static void set_address(volatile uint64_t *at, const volatile void *address)
{
    ((volatile uint32_t *)at)[0] = (uint32_t)(uint64_t)address;
    ((volatile uint32_t *)at)[1] = (uint32_t)((uint64_t)address >> 32);
}

bool virtio_start(unsigned type, struct virtio_queue *queue, unsigned queues)
{
    volatile uint8_t *config = find(type);
    volatile struct common *common;
    uint64_t bells;

    if (!config)
        return false;
    *(volatile uint16_t *)(config + 4) = 6; /* memory, bus master */
    common = (volatile struct common *)virtio_structure(config, TYPE_COMMON);
    bells = virtio_structure(config, TYPE_NOTIFY);
    common->status = 0;
    common->status = 3;
    common->driver_feature_select = 1;
    common->driver_feature = 1; /* VIRTIO_F_VERSION_1 */
    common->status = 0xb;
    for (unsigned i = 0; i < queues; i++) {
        struct virtio_queue *q = &queue[i];

        q->avail.flags = 1; /* no interrupts */
        q->avail.index = q->used.index = q->seen = 0;
        q->number = i;
        common->select = (uint16_t)i;
        common->size = VIRTIO_SIZE;
        set_address((volatile uint64_t *)((uint64_t)common + 0x20), q->descriptor);
        set_address((volatile uint64_t *)((uint64_t)common + 0x28), &q->avail);
        set_address((volatile uint64_t *)((uint64_t)common + 0x30), &q->used);
        q->bell = (volatile uint16_t *)(bells + 4UL * common->bell);
        common->enable = 1;
    }
    common->status = 0xf;
    return true;
}

void virtio_offer(struct virtio_queue *queue, unsigned slot, void *memory, uint32_t length, bool writable)
{
    queue->descriptor[slot].address = (uint64_t)memory;
    queue->descriptor[slot].length = length;
    queue->descriptor[slot].flags = writable ? 2 : 0;
    queue->avail.ring[queue->avail.index % VIRTIO_SIZE] = (uint16_t)slot;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    queue->avail.index++;
}

void virtio_kick(struct virtio_queue *queue)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    *queue->bell = (uint16_t)queue->number;
}

bool virtio_used(const struct virtio_queue *queue)
{
    return queue->used.index != queue->seen;
}

bool virtio_take(struct virtio_queue *queue, unsigned *slot, uint32_t *written)
{
    if (!virtio_used(queue))
        return false;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    *slot = queue->used.ring[queue->seen % VIRTIO_SIZE].head;
    *written = queue->used.ring[queue->seen % VIRTIO_SIZE].written;
    queue->seen++;
    return true;
}
