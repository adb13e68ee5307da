/*
 * wire: the encodings of SSH (RFC 4251, 5), and the frames of the agent protocol around them.
 *
 * Pure functions on memory that nobody else writes to. A reader never leaves its bytes: what is not there is read as
 * nothing, and `bad` says so in the end. A writer never leaves its own: `full` says so.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_MAX 16384U /* bytes of a message, without its length */
#define REPLY_MAX 4096U    /* bytes of a reply, with it */

/* Bytes inside of a message, or of something else that stays. */
struct bytes {
    const uint8_t *at;
    size_t size;
};

struct reader {
    const uint8_t *at;
    size_t left;
    bool bad;
};

struct writer {
    uint8_t *at;
    size_t size, used;
    bool full;
};

uint8_t read_u8(struct reader *r);
uint32_t read_u32(struct reader *r);
struct bytes read_string(struct reader *r);
struct bytes read_raw(struct reader *r, size_t size);
/* Everything was there, and nothing is left. */
bool read_all(const struct reader *r);

void write_u8(struct writer *w, uint8_t value);
void write_u32(struct writer *w, uint32_t value);
void write_raw(struct writer *w, const void *from, size_t size);
void write_string(struct writer *w, const void *from, size_t size);

bool same_bytes(struct bytes a, const void *b, size_t size);
bool same_text(struct bytes a, const char *text);

/* Copies what can be shown of bytes: printable ASCII but quotes; `?' for others; ... if there are more. */
void show_bytes(struct bytes from, char *to, size_t size);

/* A message as it comes in, piece by piece: its length first, then the rest. */
struct frame {
    uint8_t bytes[4 + MESSAGE_MAX];
    size_t have;
};

/* How many bytes are to be put at bytes[have] next; 0: the message is complete; -1: its length is not permitted. */
long frame_wants(const struct frame *f);
