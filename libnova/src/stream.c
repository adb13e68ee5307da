/*
 * Byte stream in shared memory. The size is computed from what this side knows, never read from shared
 * memory.
 *
 * SPDX-License-Identifier: MIT
 */

#include <nova/error.h>
#include <nova/stream.h>
#include <nova/string.h>

uint32_t nova_stream_capacity(uint32_t bytes)
{
    return bytes < 256 ? 0 : 1U << (31 - __builtin_clz(bytes - (uint32_t)sizeof(struct nova_stream)));
}

long nova_stream_used(const struct nova_stream *stream, uint32_t bytes)
{
    uint32_t tail = __atomic_load_n(&stream->tail, __ATOMIC_ACQUIRE);
    uint32_t used = __atomic_load_n(&stream->head, __ATOMIC_ACQUIRE) - tail;

    return used > nova_stream_capacity(bytes) ? NOVA_ERR_PROTOCOL : (long)used;
}

/* Bytes from an index up to the end of the ring; the rest of a text is at its beginning. */
static uint32_t first_part(uint32_t size, uint32_t at, uint32_t length)
{
    return length < size - at ? length : size - at;
}

long nova_stream_put(struct nova_stream *stream, uint32_t bytes, const void *text, uint32_t length)
{
    uint32_t size = nova_stream_capacity(bytes), head = __atomic_load_n(&stream->head, __ATOMIC_RELAXED);
    uint32_t at = head & (size - 1), part = first_part(size, at, length);
    long used = nova_stream_used(stream, bytes);

    if (used < 0)
        return used;
    if (length > size - (uint32_t)used)
        return 0;
    memcpy(stream->data + at, text, part);
    memcpy(stream->data, (const uint8_t *)text + part, length - part);
    __atomic_store_n(&stream->head, head + length, __ATOMIC_RELEASE);
    return (long)length;
}

long nova_stream_get(struct nova_stream *stream, uint32_t bytes, void *text, uint32_t length)
{
    uint32_t size = nova_stream_capacity(bytes), tail = __atomic_load_n(&stream->tail, __ATOMIC_RELAXED);
    uint32_t at = tail & (size - 1), part;
    long used = nova_stream_used(stream, bytes);

    if (used < 0)
        return used;
    length = length < (uint32_t)used ? length : (uint32_t)used;
    part = first_part(size, at, length);
    memcpy(text, stream->data + at, part);
    memcpy((uint8_t *)text + part, stream->data, length - part);
    __atomic_store_n(&stream->tail, tail + length, __ATOMIC_RELEASE);
    return (long)length;
}
