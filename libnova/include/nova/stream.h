/**
 * @file
 * Byte stream in shared memory: one producer, one consumer, neither needs to trust the other.
 *
 * Both indices count bytes since the beginning, modulo 2^32. Each side owns one of them and reads the other
 * one exactly once per operation; whatever it finds there, it stays within the buffer: an index that makes no
 * sense is #NOVA_ERR_PROTOCOL. Nobody waits here; ring a doorbell (nova/session.h) after putting something.
 * Memory that is all zero, as a fresh buffer is, holds an empty stream.
 *
 * Example: @code
 *   nova_stream_put(s, 4096, "hello\n", 6);         // producer
 *   long n = nova_stream_get(s, 4096, text, 100);   // consumer
 * @endcode
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdint.h>

/**
 * @addtogroup libnova_stream
 * @{
 */

/** The stream. `bytes`, in all functions, is the size of the memory it lies in, this header included. */
struct nova_stream {
    _Alignas(64) uint32_t head;  /**< Bytes ever put. Written by the producer. */
    uint32_t over;               /**< nova/pipe.h: 1: the producer puts no more. */
    uint32_t get_event;          /**< nova/pipe.h: the producer waits until the tail passes this. */
    _Alignas(64) uint32_t tail;  /**< Bytes ever taken. Written by the consumer. */
    uint32_t put_event;          /**< nova/pipe.h: the consumer waits until the head passes this. */
    _Alignas(64) uint8_t data[]; /**< Byte n is at n modulo the capacity. */
};

/** Bytes that a stream in `bytes` bytes of memory (256 to 2^31) can hold: a power of two. Pure. */
uint32_t nova_stream_capacity(uint32_t bytes);

/**
 * Puts all of a text or nothing, so that lines stay whole.
 *
 * One producer at a time. Returns `length`; 0 if there is no room; #NOVA_ERR_PROTOCOL if the consumer's index is wrong.
 */
long nova_stream_put(struct nova_stream *stream, uint32_t bytes, const void *text, uint32_t length);

/** Takes up to `length` bytes. One consumer at a time. Returns how many, or #NOVA_ERR_PROTOCOL. */
long nova_stream_get(struct nova_stream *stream, uint32_t bytes, void *text, uint32_t length);

/**
 * Bytes that wait for the consumer, or #NOVA_ERR_PROTOCOL. From either side; outdated as soon as it returns.
 */
long nova_stream_used(const struct nova_stream *stream, uint32_t bytes);

/** @} */
