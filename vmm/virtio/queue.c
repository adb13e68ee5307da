/*
 * Split virtqueues.
 *
 * State: struct virtq; the rings are in guest memory.
 * Guest input checked: addresses and alignment of the rings (when they are enabled), distance of indices, heads, every
 * descriptor: its buffer lies in RAM as a whole, chains and indirect tables are no longer than the queue, no indirection
 * within indirection, readable before writable. The guest may change all of it meanwhile: nothing is read twice.
 * Locking: that of the device. The order towards the guest's CPUs:
 *   avail index (acquire) before the ring; used element before the used index (release);
 *   used index before used_event, avail_event before the avail index: a full barrier, by sequentially consistent accesses
 * Specification: virtio 1.2, 2.7.
 *
 * SPDX-License-Identifier: MIT
 */

#include "virtio/queue.h"

#include "dev/machine.h"
#include "ram.h"

#include <string.h>

_Static_assert(sizeof(struct virtq_descriptor) == 16 && sizeof(struct virtq_used_element) == 8,
               "2.7.5, 2.7.8");

static bool fail(struct virtq *queue, const char *why)
{
    queue->broken = true;
    machine_guest_error("virtio queue: %s", why);
    return false;
}

bool virtq_enable(struct virtq *queue)
{
    uint64_t size = queue->size;

    if (!size || size > VIRTQ_MAX || size & (size - 1) || queue->descriptor_address % 16 ||
        queue->avail_address % 2 || queue->used_address % 4)
        return false;
    /* With the event indices behind the rings. */
    queue->descriptor = ram_at(queue->descriptor_address, size * sizeof(struct virtq_descriptor));
    queue->avail = ram_at(queue->avail_address, sizeof(struct virtq_avail) + size * 2 + 2);
    queue->used =
        ram_at(queue->used_address, sizeof(struct virtq_used) + size * sizeof(struct virtq_used_element) + 2);
    queue->seen = queue->done = queue->told = 0;
    queue->broken = false;
    queue->enabled = queue->descriptor && queue->avail && queue->used;
    return queue->enabled;
}

/* A copy of a descriptor; its 16 bytes are read once. */
static struct virtq_descriptor load(const struct virtq_descriptor *from)
{
    struct virtq_descriptor to;

    to.address = __atomic_load_n(&from->address, __ATOMIC_RELAXED);
    to.length = __atomic_load_n(&from->length, __ATOMIC_RELAXED);
    to.flags = __atomic_load_n(&from->flags, __ATOMIC_RELAXED);
    to.next = __atomic_load_n(&from->next, __ATOMIC_RELAXED);
    return to;
}

/* Adds a buffer. */
static bool add(struct virtq *queue, struct virtq_chain *chain, const struct virtq_descriptor *descriptor)
{
    uint8_t *base = ram_at(descriptor->address, descriptor->length);

    if (chain->parts == queue->size)
        return fail(queue, "chain too long");
    if (!base)
        return fail(queue, "buffer outside of memory");
    if (descriptor->flags & VIRTQ_WRITE) {
        chain->writable += descriptor->length;
    } else if (chain->parts > chain->readable_parts) {
        return fail(queue, "readable buffer behind a writable one");
    } else {
        chain->readable += descriptor->length;
        chain->readable_parts++;
    }
    chain->part[chain->parts++] = (struct virtq_part){base, descriptor->length};
    return true;
}

/* Follows a chain in a table from one of its descriptors. */
static bool collect(struct virtq *queue, struct virtq_chain *chain, const struct virtq_descriptor *table,
                    unsigned entries, unsigned first, bool nested)
{
    struct virtq_descriptor descriptor = {.next = (uint16_t)first, .flags = VIRTQ_NEXT};

    while (descriptor.flags & VIRTQ_NEXT) {
        if (descriptor.next >= entries)
            return fail(queue, "descriptor outside of the table");
        descriptor = load(&table[descriptor.next]);
        if (descriptor.flags & VIRTQ_INDIRECT) {
            const struct virtq_descriptor *inner = ram_at(descriptor.address, descriptor.length);

            if (nested || !queue->indirect || descriptor.flags & VIRTQ_NEXT ||
                descriptor.length % sizeof(*inner) || descriptor.length / sizeof(*inner) > queue->size ||
                !descriptor.length || !inner)
                return fail(queue, "indirect table");
            return collect(queue, chain, inner, descriptor.length / (unsigned)sizeof(*inner), 0, true);
        }
        if (!add(queue, chain, &descriptor))
            return false;
    }
    return true;
}

bool virtq_pop(struct virtq *queue, struct virtq_chain *chain)
{
    uint16_t index, head;

    if (!queue->enabled || queue->broken)
        return false;
    index = __atomic_load_n(&queue->avail->index, __ATOMIC_ACQUIRE);
    if (index == queue->seen)
        return false;
    if ((uint16_t)(index - queue->seen) > queue->size)
        return fail(queue, "avail index");
    head = __atomic_load_n(&queue->avail->ring[queue->seen % queue->size], __ATOMIC_RELAXED);
    chain->head = head;
    chain->parts = chain->readable_parts = 0;
    chain->readable = chain->writable = 0;
    if (!collect(queue, chain, queue->descriptor, queue->size, head, false))
        return false;
    queue->seen++;
    return true;
}

void virtq_unpop(struct virtq *queue)
{
    queue->seen--;
}

bool virtq_rearm(struct virtq *queue)
{
    if (!queue->enabled || queue->broken)
        return false;
    if (queue->event_index)
        __atomic_store_n((uint16_t *)&queue->used->ring[queue->size], queue->seen, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&queue->avail->index, __ATOMIC_SEQ_CST) != queue->seen;
}

uint8_t *virtq_at(const struct virtq_chain *chain, bool writable, uint64_t offset, size_t *bytes)
{
    unsigned end = writable ? chain->parts : chain->readable_parts;

    for (unsigned i = writable ? chain->readable_parts : 0; i < end; i++) {
        if (offset < chain->part[i].bytes) {
            *bytes = chain->part[i].bytes - offset;
            return chain->part[i].base + offset;
        }
        offset -= chain->part[i].bytes;
    }
    *bytes = 0;
    return NULL;
}

size_t virtq_copy_from(const struct virtq_chain *chain, uint64_t offset, void *to, size_t bytes)
{
    const uint8_t *from;
    size_t done = 0, run;

    while (done < bytes && (from = virtq_at(chain, false, offset + done, &run))) {
        run = run < bytes - done ? run : bytes - done;
        memcpy((uint8_t *)to + done, from, run);
        done += run;
    }
    return done;
}

size_t virtq_copy_to(const struct virtq_chain *chain, uint64_t offset, const void *from, size_t bytes)
{
    uint8_t *to;
    size_t done = 0, run;

    while (done < bytes && (to = virtq_at(chain, true, offset + done, &run))) {
        run = run < bytes - done ? run : bytes - done;
        memcpy(to, (const uint8_t *)from + done, run);
        done += run;
    }
    return done;
}

void virtq_push(struct virtq *queue, uint16_t head, uint32_t written)
{
    struct virtq_used_element *element = &queue->used->ring[queue->done % queue->size];

    __atomic_store_n(&element->head, head, __ATOMIC_RELAXED);
    __atomic_store_n(&element->written, written, __ATOMIC_RELAXED);
    /* Sequentially consistent for virtq_wants_interrupt(). */
    __atomic_store_n(&queue->used->index, ++queue->done, __ATOMIC_SEQ_CST);
}

bool virtq_wants_interrupt(struct virtq *queue)
{
    uint16_t added = (uint16_t)(queue->done - queue->told), event;

    queue->told = queue->done;
    if (!added)
        return false;
    if (!queue->event_index)
        return !(__atomic_load_n(&queue->avail->flags, __ATOMIC_SEQ_CST) & VIRTQ_NO_INTERRUPT);
    /* Whether the event lies in what was added (2.7.10). */
    event = __atomic_load_n(&queue->avail->ring[queue->size], __ATOMIC_SEQ_CST);
    return (uint16_t)(queue->done - event - 1) < added;
}
