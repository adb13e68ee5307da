/*
 * Virtio over PCI, modern devices only: four structures in BAR 0, MSI-X for the configuration and each queue.
 *
 *   status:  0 --> ACKNOWLEDGE, DRIVER --> FEATURES_OK --> DRIVER_OK      bits are only ever added;
 *            features      may be chosen  | queues set up  | queues work   0 is a reset, and complete when written
 *                                                          +--> NEEDS_RESET by a driver that writes nonsense
 *
 * State: struct virtio_device.
 * Guest input checked: fields by offset and exact width; features that were not offered; sizes and addresses of queues;
 * queues and vectors that do not exist; the order of all this. What is not allowed has no effect and is counted.
 * Locking: the lock of the device, then that of its MSI-X table. Any thread.
 * Specification: virtio 1.2, 2.1, 2.2, 3.1, 4.1. Without VIRTIO_PCI_CAP_PCI_CFG (4.1.4.9): its registers would need an exit
 * for reads of the configuration space. Without INTx: the driver must use MSI-X or poll.
 *
 * SPDX-License-Identifier: MIT
 */

#include "virtio/virtio.h"

#include "dev/machine.h"

#include <string.h>

#define VENDOR 0x1af4
#define FIRST_ID 0x1040
#define SUBSYSTEM 0x40
#define NO_VECTOR 0xffff
#define CAPABILITY_VENDOR 9

#define FEATURE_INDIRECT 28
#define FEATURE_EVENT_INDEX 29
#define FEATURE_VERSION_1 32
#define TRANSPORT_FEATURES (1UL << FEATURE_INDIRECT | 1UL << FEATURE_EVENT_INDEX | 1UL << FEATURE_VERSION_1)

enum { STATUS_FEATURES_OK = 8, STATUS_DRIVER_OK = 4, STATUS_NEEDS_RESET = 0x40, STATUS_BY_DRIVER = 0x8f };
enum { ISR_QUEUE = 1, ISR_CONFIG = 2 };
enum { TYPE_COMMON = 1, TYPE_NOTIFY = 2, TYPE_ISR = 3, TYPE_CONFIG = 4 };

/* The common configuration (4.1.4.3): offset and width in one number. */
#define FIELD(offset, size) ((offset) << 4 | (size))
enum {
    DEVICE_FEATURE_SELECT = FIELD(0x00, 4),
    DEVICE_FEATURE = FIELD(0x04, 4),
    DRIVER_FEATURE_SELECT = FIELD(0x08, 4),
    DRIVER_FEATURE = FIELD(0x0c, 4),
    CONFIG_VECTOR = FIELD(0x10, 2),
    NUM_QUEUES = FIELD(0x12, 2),
    STATUS = FIELD(0x14, 1),
    GENERATION = FIELD(0x15, 1),
    QUEUE_SELECT = FIELD(0x16, 2),
    QUEUE_SIZE = FIELD(0x18, 2),
    QUEUE_VECTOR = FIELD(0x1a, 2),
    QUEUE_ENABLE = FIELD(0x1c, 2),
    QUEUE_NOTIFY_OFF = FIELD(0x1e, 2),
    QUEUE_DESCRIPTOR = FIELD(0x20, 4),
    QUEUE_DRIVER = FIELD(0x28, 4),
    QUEUE_DEVICE = FIELD(0x30, 4),
    COMMON_SIZE = 0x38,
    UPPER_HALF = FIELD(4, 0)
};

static struct virtio_device *devices;
static void (*wake_worker)(void);

static uint64_t offered(const struct virtio_device *device)
{
    return device->features | TRANSPORT_FEATURES;
}

bool virtio_has(const struct virtio_device *device, unsigned feature)
{
    return device->driver_features >> feature & 1;
}

bool virtio_is_live(const struct virtio_device *device)
{
    return (device->status & (STATUS_DRIVER_OK | STATUS_NEEDS_RESET)) == STATUS_DRIVER_OK;
}

static void interrupt(struct virtio_device *device, uint8_t cause, uint16_t vector)
{
    device->isr |= cause;
    if (vector != NO_VECTOR)
        pci_interrupt(&device->pci, vector);
}

static void needs_reset(struct virtio_device *device)
{
    bool live = virtio_is_live(device);

    device->status |= STATUS_NEEDS_RESET;
    if (live)
        interrupt(device, ISR_CONFIG, device->config_vector);
}

void virtio_fail(struct virtio_device *device, const char *why)
{
    machine_guest_error("virtio %s: %s", device->name, why);
    needs_reset(device);
}

bool virtio_pop(struct virtio_device *device, unsigned queue)
{
    if (!virtio_is_live(device))
        return false;
    if (virtq_pop(&device->queue[queue], &device->chain))
        return true;
    if (device->queue[queue].broken)
        needs_reset(device);
    return false;
}

void virtio_push(struct virtio_device *device, unsigned queue, uint32_t written)
{
    virtq_push(&device->queue[queue], device->chain.head, written);
}

void virtio_interrupt(struct virtio_device *device, unsigned queue)
{
    if (device->queue[queue].enabled && virtq_wants_interrupt(&device->queue[queue]))
        interrupt(device, ISR_QUEUE, device->vector[queue]);
}

void virtio_set_worker(void (*wake)(void))
{
    wake_worker = wake;
}

void virtio_defer(struct virtio_device *device, unsigned queue)
{
    device->deferred |= 1U << queue;
    if (wake_worker)
        wake_worker();
}

void virtio_work(void)
{
    for (struct virtio_device *device = devices; device; device = device->next) {
        nova_mutex_lock(&device->lock);
        unsigned queues = device->deferred;

        device->deferred = 0;
        for (unsigned i = 0; i < device->queues; i++)
            if (queues >> i & 1 && virtio_is_live(device))
                device->notify(device, i);
        nova_mutex_unlock(&device->lock);
    }
}

void virtio_serve(struct virtio_device *device, unsigned queue,
                  uint32_t (*take)(struct virtio_device *device))
{
    unsigned turn = 0;

    while (turn < VIRTIO_TURN) {
        uint32_t written;

        if (!virtio_pop(device, queue)) {
            if (!virtio_is_live(device) || !virtq_rearm(&device->queue[queue]))
                break;
            turn++;
            continue;
        }
        written = take(device);
        if (written == VIRTIO_BLOCKED) {
            virtq_unpop(&device->queue[queue]);
            break;
        }
        virtio_push(device, queue, written);
        turn++;
    }
    if (turn == VIRTIO_TURN)
        virtio_defer(device, queue);
    virtio_interrupt(device, queue);
}

static void reset(struct virtio_device *device)
{
    device->reset(device);
    device->deferred = 0;
    memset(device->queue, 0, sizeof(device->queue));
    for (unsigned i = 0; i < VIRTIO_QUEUES; i++) {
        device->queue[i].size = device->sizes[i];
        device->vector[i] = NO_VECTOR;
    }
    device->config_vector = NO_VECTOR;
    device->status = device->isr = 0;
    device->device_feature_select = device->driver_feature_select = device->queue_select = 0;
    device->driver_features = 0;
}

void virtio_reset(void)
{
    for (struct virtio_device *device = devices; device; device = device->next) {
        nova_mutex_lock(&device->lock);
        reset(device);
        nova_mutex_unlock(&device->lock);
    }
}

/* What a write that is not allowed comes to. */
static void refuse(const struct virtio_device *device, unsigned field, uint64_t value)
{
    machine_guest_error("virtio %s: write of %#lx to offset %#x, %u bytes, status %#x", device->name,
                        (unsigned long)value, field >> 4, field & 15, device->status);
}

static void set_status(struct virtio_device *device, uint8_t value)
{
    uint8_t added = value & (uint8_t)~device->status;

    if (!value) {
        reset(device);
        return;
    }
    if (device->status & STATUS_BY_DRIVER & ~value || added & ~STATUS_BY_DRIVER) {
        refuse(device, STATUS, value);
        return;
    }
    if (added & STATUS_FEATURES_OK &&
        (device->driver_features & ~offered(device) || !virtio_has(device, FEATURE_VERSION_1)))
        added &= (uint8_t)~STATUS_FEATURES_OK; /* the driver sees that by reading it back */
    device->status |= added & (uint8_t)~STATUS_DRIVER_OK;
    if (added & STATUS_DRIVER_OK && device->status & STATUS_FEATURES_OK)
        device->status |= STATUS_DRIVER_OK;
    else if (added & STATUS_DRIVER_OK)
        refuse(device, STATUS, value);
}

/* Halves of 64-bit values are chosen by a selector; there is nothing beyond the second one. */
static uint32_t half(uint64_t value, uint32_t select)
{
    return select < 2 ? (uint32_t)(value >> select * 32) : 0;
}

static void set_half(uint64_t *value, unsigned upper, uint32_t half_value)
{
    *value = (*value & (uint64_t)UINT32_MAX << (upper ? 0 : 32)) | (uint64_t)half_value << (upper ? 32 : 0);
}

static struct virtq *selected(struct virtio_device *device)
{
    return device->queue_select < device->queues ? &device->queue[device->queue_select] : NULL;
}

static uint64_t read_queue(struct virtio_device *device, unsigned field)
{
    const struct virtq *queue = selected(device);

    if (!queue)
        return field == QUEUE_VECTOR ? NO_VECTOR : 0;
    switch (field) {
    case QUEUE_SIZE:
        return queue->size;
    case QUEUE_VECTOR:
        return device->vector[device->queue_select];
    case QUEUE_ENABLE:
        return queue->enabled;
    case QUEUE_NOTIFY_OFF:
        return device->queue_select;
    case QUEUE_DESCRIPTOR:
    case QUEUE_DESCRIPTOR + UPPER_HALF:
        return half(queue->descriptor_address, field != QUEUE_DESCRIPTOR);
    case QUEUE_DRIVER:
    case QUEUE_DRIVER + UPPER_HALF:
        return half(queue->avail_address, field != QUEUE_DRIVER);
    case QUEUE_DEVICE:
    case QUEUE_DEVICE + UPPER_HALF:
        return half(queue->used_address, field != QUEUE_DEVICE);
    default:
        return 0;
    }
}

static uint64_t read_common(struct virtio_device *device, unsigned field)
{
    switch (field) {
    case DEVICE_FEATURE_SELECT:
        return device->device_feature_select;
    case DEVICE_FEATURE:
        return half(offered(device), device->device_feature_select);
    case DRIVER_FEATURE_SELECT:
        return device->driver_feature_select;
    case DRIVER_FEATURE:
        return half(device->driver_features, device->driver_feature_select);
    case CONFIG_VECTOR:
        return device->config_vector;
    case NUM_QUEUES:
        return device->queues;
    case STATUS:
        return device->status;
    case GENERATION:
        return 0; /* the configuration never changes */
    case QUEUE_SELECT:
        return device->queue_select;
    default:
        return read_queue(device, field);
    }
}

static uint16_t valid_vector(const struct virtio_device *device, uint64_t vector)
{
    return vector < device->pci.vectors ? (uint16_t)vector : NO_VECTOR;
}

static void enable(struct virtio_device *device, struct virtq *queue)
{
    queue->event_index = virtio_has(device, FEATURE_EVENT_INDEX);
    queue->indirect = virtio_has(device, FEATURE_INDIRECT);
    if (!virtq_enable(queue))
        virtio_fail(device, "addresses or size of a queue");
}

static void write_queue(struct virtio_device *device, unsigned field, uint64_t value)
{
    struct virtq *queue = selected(device);

    if (queue && field == QUEUE_VECTOR) {
        device->vector[device->queue_select] = valid_vector(device, value);
        return;
    }
    if (!queue || queue->enabled ||
        (device->status & (STATUS_FEATURES_OK | STATUS_DRIVER_OK | STATUS_NEEDS_RESET)) !=
            STATUS_FEATURES_OK) {
        refuse(device, field, value);
        return;
    }
    switch (field) {
    case QUEUE_SIZE:
        if (value && value <= device->sizes[device->queue_select] && !(value & (value - 1)))
            queue->size = (uint16_t)value;
        else
            refuse(device, field, value);
        break;
    case QUEUE_ENABLE:
        if (value == 1)
            enable(device, queue);
        else
            refuse(device, field, value);
        break;
    case QUEUE_DESCRIPTOR:
    case QUEUE_DESCRIPTOR + UPPER_HALF:
        set_half(&queue->descriptor_address, field != QUEUE_DESCRIPTOR, (uint32_t)value);
        break;
    case QUEUE_DRIVER:
    case QUEUE_DRIVER + UPPER_HALF:
        set_half(&queue->avail_address, field != QUEUE_DRIVER, (uint32_t)value);
        break;
    case QUEUE_DEVICE:
    case QUEUE_DEVICE + UPPER_HALF:
        set_half(&queue->used_address, field != QUEUE_DEVICE, (uint32_t)value);
        break;
    default:
        refuse(device, field, value);
    }
}

static void write_common(struct virtio_device *device, unsigned field, uint64_t value)
{
    switch (field) {
    case DEVICE_FEATURE_SELECT:
        device->device_feature_select = (uint32_t)value;
        break;
    case DRIVER_FEATURE_SELECT:
        device->driver_feature_select = (uint32_t)value;
        break;
    case DRIVER_FEATURE:
        if (device->status & STATUS_FEATURES_OK || device->driver_feature_select > 1)
            refuse(device, field, value);
        else
            set_half(&device->driver_features, device->driver_feature_select, (uint32_t)value);
        break;
    case CONFIG_VECTOR:
        device->config_vector = valid_vector(device, value);
        break;
    case STATUS:
        set_status(device, (uint8_t)value);
        break;
    case QUEUE_SELECT:
        device->queue_select = (uint16_t)value;
        break;
    default:
        write_queue(device, field, value);
    }
}

static uint64_t read_config(const struct virtio_device *device, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    if (offset + size <= device->config_size)
        memcpy(&value, (const uint8_t *)device->config + offset, size);
    return value;
}

static uint64_t bar_read(void *object, uint64_t offset, unsigned size)
{
    struct virtio_device *device = object;
    uint64_t value = 0;

    nova_mutex_lock(&device->lock);
    if (offset < COMMON_SIZE) {
        value = read_common(device, FIELD((unsigned)offset, size));
    } else if (offset == VIRTIO_ISR) {
        value = device->isr;
        device->isr = 0;
    } else if (offset >= VIRTIO_CONFIG && offset < VIRTIO_NOTIFY) {
        value = read_config(device, offset - VIRTIO_CONFIG, size);
    }
    nova_mutex_unlock(&device->lock);
    return value;
}

static void bar_write(void *object, uint64_t offset, unsigned size, uint64_t value)
{
    struct virtio_device *device = object;
    uint64_t queue = (offset - VIRTIO_NOTIFY) / 4;

    nova_mutex_lock(&device->lock);
    if (offset >= VIRTIO_NOTIFY && queue < device->queues) {
        if (virtio_is_live(device))
            device->notify(device, (unsigned)queue);
    } else if (offset < COMMON_SIZE) {
        write_common(device, FIELD((unsigned)offset, size), value);
    } else {
        refuse(device, FIELD((unsigned)offset, size), value);
    }
    nova_mutex_unlock(&device->lock);
}

/* Where a structure is (4.1.4); the last word is for the notifications only. */
static bool add_capability(struct virtio_device *device, unsigned type, uint32_t offset, uint32_t size)
{
    unsigned length = type == TYPE_NOTIFY ? 20 : 16;
    uint32_t body[] = {type << 24 | length << 16, 0, offset, size, 4};

    return pci_add_capability(&device->pci, CAPABILITY_VENDOR, body, length);
}

bool virtio_add(struct virtio_device *device)
{
    device->pci = (struct pci_device){.name = device->name,
                                      .device = device,
                                      .vendor = VENDOR,
                                      .id = (uint16_t)(FIRST_ID + device->type),
                                      .subsystem_vendor = VENDOR,
                                      .subsystem = SUBSYSTEM,
                                      .class_revision = device->class << 8 | 1,
                                      .bar = {{VIRTIO_BAR_SIZE, bar_read, bar_write}},
                                      .vectors = device->queues + 1};
    if (device->queues > VIRTIO_QUEUES || !pci_add(&device->pci))
        return false;
    reset(device);
    device->next = devices;
    devices = device;
    return add_capability(device, TYPE_COMMON, VIRTIO_COMMON, COMMON_SIZE) &&
           add_capability(device, TYPE_NOTIFY, VIRTIO_NOTIFY, device->queues * 4) &&
           add_capability(device, TYPE_ISR, VIRTIO_ISR, 1) &&
           (!device->config_size ||
            add_capability(device, TYPE_CONFIG, VIRTIO_CONFIG, (uint32_t)device->config_size));
}
