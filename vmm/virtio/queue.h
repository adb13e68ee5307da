/**
 * @file
 * Split virtqueues, seen from the device (virtio 1.2, 2.7): chains of buffers that the guest offers, and their return.
 *
 * Everything in the rings is read once, into private memory, and checked there. After the first nonsense the queue is broken
 * until it is reset. The lock of the device protects it.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VIRTQ_MAX 128U /**< descriptors of a queue, and of a chain */

/** Layout in guest memory. */
struct virtq_descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};

enum { VIRTQ_NEXT = 1, VIRTQ_WRITE = 2, VIRTQ_INDIRECT = 4 };
enum { VIRTQ_NO_INTERRUPT = 1 };

struct virtq_avail {
    uint16_t flags, index, ring[]; /**< and behind them used_event */
};

struct virtq_used {
    uint16_t flags, index;
    struct virtq_used_element {
        uint32_t head, written;
    } ring[]; /**< and behind them avail_event */
};

struct virtq {
    /* By the driver. */
    uint16_t size;
    uint64_t descriptor_address, avail_address, used_address;
    bool event_index, indirect; /**< negotiated */
    /* While it is enabled. */
    bool enabled, broken;
    const struct virtq_descriptor *descriptor;
    const struct virtq_avail *avail;
    struct virtq_used *used;
    uint16_t seen, done, told; /**< avail index; used index, and what it was when the driver was last asked about */
};

/** The buffers of a chain: first those to be read, then those to be written. */
struct virtq_chain {
    uint16_t head;
    unsigned parts, readable_parts;
    uint64_t readable, writable; /**< bytes */
    struct virtq_part {
        uint8_t *base;
        uint32_t bytes;
    } part[VIRTQ_MAX];
};

/** Begins to use the rings; false: size or addresses are wrong. */
bool virtq_enable(struct virtq *queue);

/** The next chain. False: there is none, or the queue is broken. */
bool virtq_pop(struct virtq *queue, struct virtq_chain *chain);

/** Puts the last chain back, as if it had not been popped. */
void virtq_unpop(struct virtq *queue);

/** Asks for a notification of the next chain. True: there is one already. */
bool virtq_rearm(struct virtq *queue);

/** Where the byte at `offset` of the readable or writable part of a chain is, and how many follow there; null behind the end. */
uint8_t *virtq_at(const struct virtq_chain *chain, bool writable, uint64_t offset, size_t *bytes);

/** Copies between a chain and memory: as many bytes as there are. */
size_t virtq_copy_from(const struct virtq_chain *chain, uint64_t offset, void *to, size_t bytes);
size_t virtq_copy_to(const struct virtq_chain *chain, uint64_t offset, const void *from, size_t bytes);

/** Gives a chain back, `written` bytes of which have been written from its start. */
void virtq_push(struct virtq *queue, uint16_t head, uint32_t written);

/** After one or more chains: whether the driver wants an interrupt. */
bool virtq_wants_interrupt(struct virtq *queue);
