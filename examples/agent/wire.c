/*
 * wire: see wire.h.
 *
 * SPDX-License-Identifier: MIT
 */

#include "wire.h"

#include <string.h>

struct bytes read_raw(struct reader *r, size_t size)
{
    struct bytes bytes = {r->at, size};

    if (r->bad || size > r->left) {
        r->bad = true;
        return (struct bytes){r->at, 0};
    }
    r->at += size;
    r->left -= size;
    return bytes;
}

uint8_t read_u8(struct reader *r)
{
    struct bytes b = read_raw(r, 1);

    return b.size ? *b.at : 0;
}

uint32_t read_u32(struct reader *r)
{
    struct bytes b = read_raw(r, 4);

    return b.size ? (uint32_t)b.at[0] << 24 | (uint32_t)b.at[1] << 16 | (uint32_t)b.at[2] << 8 | b.at[3] : 0;
}

struct bytes read_string(struct reader *r)
{
    uint32_t size = read_u32(r);

    return read_raw(r, size);
}

bool read_all(const struct reader *r)
{
    return !r->bad && !r->left;
}

void write_raw(struct writer *w, const void *from, size_t size)
{
    w->full |= size > w->size - w->used;
    if (w->full || !size)
        return;
    memcpy(w->at + w->used, from, size);
    w->used += size;
}

void write_u8(struct writer *w, uint8_t value)
{
    write_raw(w, &value, 1);
}

void write_u32(struct writer *w, uint32_t value)
{
    uint8_t b[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};

    write_raw(w, b, 4);
}

void write_string(struct writer *w, const void *from, size_t size)
{
    write_u32(w, (uint32_t)size);
    write_raw(w, from, size);
}

bool same_bytes(struct bytes a, const void *b, size_t size)
{
    return a.size == size && !memcmp(a.at, b, size);
}

bool same_text(struct bytes a, const char *text)
{
    return same_bytes(a, text, strlen(text));
}

void show_bytes(struct bytes from, char *to, size_t size)
{
    size_t n = from.size < size ? from.size : size - 1;

    for (size_t i = 0; i < n; i++) {
        uint8_t c = from.at[i];
        to[i] = c >= ' ' && c < 0x7f && c != '"' ? (char)c : '?';
    }
    if (n < from.size && n >= 3)
        memcpy(to + n - 3, "...", 3);
    to[n] = 0;
}

long frame_wants(const struct frame *f)
{
    struct reader r = {f->bytes, 4, false};
    uint32_t size = read_u32(&r);

    if (f->have < 4)
        return (long)(4 - f->have);
    if (!size || size > MESSAGE_MAX)
        return -1;
    return (long)(4 + size - f->have);
}
