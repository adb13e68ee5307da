/*
 * A driver for tests of virtio devices.
 *
 * SPDX-License-Identifier: MIT
 */

#include "virtio/driver.h"

#include "dev/bus.h"
#include "dev/irq.h"
#include "dev/machine.h"
#include "dev/pci.h"
#include "ram.h"
#include "virtio/virtio.h"

#include <nova/log.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static _Alignas(4096) uint8_t pci_memory[PCI_SLOTS * 4096];

uint8_t *driver_ram;

static unsigned interrupts[16]; /* atomic */
static uint64_t config, bar;

void irq_message(uint64_t address, uint32_t data)
{
    if (address == 0xfee00000 && data < 16)
        __atomic_add_fetch(&interrupts[data], 1, __ATOMIC_SEQ_CST);
}

void nova_print(const char *format, ...)
{
    (void)format;
}

unsigned driver_interrupts(unsigned vector)
{
    return __atomic_exchange_n(&interrupts[vector], 0, __ATOMIC_SEQ_CST);
}

unsigned driver_errors(void)
{
    static uint64_t seen;
    uint64_t old = seen;

    seen = machine_guest_errors();
    return (unsigned)(seen - old);
}

static uint64_t read_at(uint64_t address, unsigned size)
{
    uint64_t value;

    if (!bus_read(BUS_MMIO, address, size, &value))
        abort();
    return value;
}

static void write_at(uint64_t address, unsigned size, uint64_t value)
{
    if (!bus_write(BUS_MMIO, address, size, value))
        abort();
}

void driver_select(unsigned slot)
{
    config = PCI_ECAM + slot * 0x8000;
    bar = read_at(config + 0x10, 4);
    write_at(config + 4, 2, 6);
}

/* Memory ends where there is nothing, so that the sanitizer sees what goes beyond. */
void driver_machine(bool (*add)(void))
{
    driver_ram = mmap(NULL, DRIVER_RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (driver_ram == MAP_FAILED)
        abort();
    ram_init(driver_ram, DRIVER_RAM);
    if (!pci_init(pci_memory) || !add())
        abort();
    driver_select(1);
}

uint64_t driver_get(unsigned offset, unsigned size)
{
    return read_at(bar + offset, size);
}

void driver_put(unsigned offset, unsigned size, uint64_t value)
{
    write_at(bar + offset, size, value);
}

uint64_t driver_offered(void)
{
    uint64_t low;

    driver_put(DEVICE_FEATURE_SELECT, 4, 0);
    low = driver_get(DEVICE_FEATURE, 4);
    driver_put(DEVICE_FEATURE_SELECT, 4, 1);
    return low | driver_get(DEVICE_FEATURE, 4) << 32;
}

/* MSI-X has the BAR behind the first one, and the first capability. Each vector sends its number. */
static void set_vectors(void)
{
    uint64_t table = read_at(config + 0x14, 4);

    write_at(config + 0x42, 2, 0x8000);
    for (unsigned i = 0; i <= driver_get(NUM_QUEUES, 2); i++) {
        write_at(table + i * 16, 8, 0xfee00000);
        write_at(table + i * 16 + 8, 8, i);
    }
    driver_put(CONFIG_VECTOR, 2, 0);
}

bool driver_negotiate(uint64_t features)
{
    driver_put(STATUS, 1, 0);
    driver_put(STATUS, 1, ACKNOWLEDGE);
    driver_put(STATUS, 1, ACKNOWLEDGE | DRIVER);
    for (unsigned i = 0; i < 2; i++) {
        driver_put(DRIVER_FEATURE_SELECT, 4, i);
        driver_put(DRIVER_FEATURE, 4, features >> i * 32 & UINT32_MAX);
    }
    driver_put(STATUS, 1, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    set_vectors();
    return driver_get(STATUS, 1) & FEATURES_OK;
}

static uint64_t avail_at(const struct driver_queue *queue)
{
    return queue->base + queue->size * sizeof(struct virtq_descriptor);
}

static uint64_t used_at(const struct driver_queue *queue)
{
    return (avail_at(queue) + sizeof(struct virtq_avail) + queue->size * 2 + 2 + 3) & ~3UL;
}

struct virtq_descriptor *driver_descriptor(const struct driver_queue *queue, unsigned index)
{
    return (struct virtq_descriptor *)(driver_ram + queue->base) + index;
}

struct virtq_avail *driver_avail(const struct driver_queue *queue)
{
    return (struct virtq_avail *)(driver_ram + avail_at(queue));
}

struct virtq_used *driver_used_ring(const struct driver_queue *queue)
{
    return (struct virtq_used *)(driver_ram + used_at(queue));
}

void driver_queue(struct driver_queue *queue, unsigned number, unsigned size, uint64_t features)
{
    *queue = (struct driver_queue){.size = size,
                                   .queue = number,
                                   .base = DRIVER_RINGS + number * 0x2000,
                                   .event_index = features & EVENT_INDEX};
    memset(driver_ram + queue->base, 0, 0x2000);
    driver_put(QUEUE_SELECT, 2, number);
    driver_put(QUEUE_SIZE, 2, size);
    driver_put(QUEUE_VECTOR, 2, number + 1);
    driver_put(QUEUE_DESCRIPTOR, 8, queue->base);
    driver_put(QUEUE_DRIVER, 8, avail_at(queue));
    driver_put(QUEUE_DEVICE, 8, used_at(queue));
    driver_put(QUEUE_ENABLE, 2, 1);
}

void driver_go(void)
{
    driver_put(STATUS, 1, driver_get(STATUS, 1) | DRIVER_OK);
}

void driver_start(struct driver_queue *queues, unsigned count, unsigned size, uint64_t features)
{
    if (!driver_negotiate(features))
        abort();
    for (unsigned i = 0; i < count; i++)
        driver_queue(&queues[i], i, size, features);
    driver_go();
    for (unsigned i = 0; i < 16; i++)
        driver_interrupts(i);
}

void driver_offer(struct driver_queue *queue, unsigned head)
{
    struct virtq_avail *avail = driver_avail(queue);

    __atomic_store_n(&avail->ring[queue->added % queue->size], (uint16_t)head, __ATOMIC_RELAXED);
    __atomic_store_n(&avail->index, ++queue->added, __ATOMIC_SEQ_CST);
}

static void store(struct virtq_descriptor *to, const struct driver_part *part, unsigned flags, unsigned next)
{
    __atomic_store_n(&to->address, part->address, __ATOMIC_RELAXED);
    __atomic_store_n(&to->length, part->bytes, __ATOMIC_RELAXED);
    __atomic_store_n(&to->flags, (uint16_t)flags, __ATOMIC_RELAXED);
    __atomic_store_n(&to->next, (uint16_t)next, __ATOMIC_RELAXED);
}

unsigned driver_add(struct driver_queue *queue, const struct driver_part *part, unsigned out, unsigned in,
                    uint64_t table)
{
    struct virtq_descriptor *inner = (struct virtq_descriptor *)(driver_ram + table);
    unsigned head = queue->next;

    for (unsigned i = 0; i < out + in; i++) {
        unsigned flags = (i < out ? 0 : VIRTQ_WRITE) | (i + 1 < out + in ? VIRTQ_NEXT : 0);
        unsigned next = table ? i + 1 : (queue->next + 1U) % queue->size;

        if (table) {
            store(&inner[i], &part[i], flags, next);
        } else {
            store(driver_descriptor(queue, queue->next), &part[i], flags, next);
            queue->next = (uint16_t)next;
        }
    }
    if (table) {
        struct driver_part all = {table, (out + in) * (uint32_t)sizeof(*inner)};

        store(driver_descriptor(queue, head), &all, VIRTQ_INDIRECT, 0);
        queue->next = (uint16_t)((head + 1) % queue->size);
    }
    driver_offer(queue, head);
    return head;
}

void driver_notify(unsigned queue)
{
    driver_put(VIRTIO_NOTIFY + queue * 4, 2, queue);
}

bool driver_kick(struct driver_queue *queue)
{
    uint16_t old = queue->kicked, event;

    queue->kicked = queue->added;
    event = __atomic_load_n((uint16_t *)&driver_used_ring(queue)->ring[queue->size], __ATOMIC_SEQ_CST);
    if (queue->event_index && (uint16_t)(queue->added - event - 1) >= (uint16_t)(queue->added - old))
        return false;
    driver_notify(queue->queue);
    return true;
}

bool driver_take(struct driver_queue *queue, unsigned *head, uint32_t *written)
{
    struct virtq_used *used = driver_used_ring(queue);
    struct virtq_used_element *element = &used->ring[queue->seen % queue->size];
    uint16_t *event = &driver_avail(queue)->ring[queue->size];

    if (__atomic_load_n(&used->index, __ATOMIC_ACQUIRE) == queue->seen) {
        __atomic_store_n(event, queue->seen, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&used->index, __ATOMIC_SEQ_CST) == queue->seen)
            return false;
    }
    *head = __atomic_load_n(&element->head, __ATOMIC_RELAXED);
    *written = __atomic_load_n(&element->written, __ATOMIC_RELAXED);
    queue->seen++;
    return true;
}
