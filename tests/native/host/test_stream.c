/*
 * Streams: random traffic around the wrap of the indices, and a hostile other side.
 *
 * Sources: libnova/src/stream.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "tap.h"

#include <nova/error.h>
#include <nova/stream.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed = 4711;

static uint32_t rnd(uint32_t n)
{
    return (uint32_t)(tap_random(&seed) % n);
}

static void traffic(uint32_t bytes)
{
    struct nova_stream *s = aligned_alloc(64, (bytes + 63) & ~63U);
    uint32_t size = nova_stream_capacity(bytes);
    unsigned char text[300], next_in = 0, next_out = 0;
    long used = 0;

    CHECK(size >= 64 && size + sizeof(*s) <= bytes && (size & (size - 1)) == 0);
    s->head = s->tail = UINT32_MAX - 1000; /* the indices wrap around */
    for (unsigned i = 0; i < 100000; i++) {
        uint32_t n = rnd(300);
        if (rnd(2)) {
            for (uint32_t k = 0; k < n; k++)
                text[k] = (unsigned char)(next_in + k);
            long put = nova_stream_put(s, bytes, text, n);
            CHECK(put == ((uint32_t)used + n <= size ? (long)n : 0));
            next_in = (unsigned char)(next_in + put);
            used += put;
        } else {
            long got = nova_stream_get(s, bytes, text, n);
            CHECK(got == ((long)n < used ? (long)n : used));
            for (long k = 0; k < got; k++)
                CHECK(text[k] == (unsigned char)(next_out + k));
            next_out = (unsigned char)(next_out + got);
            used -= got;
        }
        CHECK(nova_stream_used(s, bytes) == used);
    }
    free(s);
}

static void hostile(void)
{
    const uint32_t bytes = 1024;
    struct nova_stream *s = aligned_alloc(64, bytes);
    unsigned char text[2000];

    for (unsigned i = 0; i < 100000; i++) {
        uint32_t n = rnd(2000);
        s->head = rnd(3) ? rnd(2000) : (uint32_t)tap_random(&seed);
        s->tail = rnd(3) ? rnd(2000) : (uint32_t)tap_random(&seed);
        bool wrong = s->head - s->tail > 512;
        long got = nova_stream_get(s, bytes, text, n);
        CHECK(wrong ? got == NOVA_ERR_PROTOCOL : got >= 0 && got <= 512);
        memset(text, 1, sizeof(text));
        s->tail = rnd(3) ? rnd(2000) : (uint32_t)tap_random(&seed);
        wrong = s->head - s->tail > 512;
        long put = nova_stream_put(s, bytes, text, n);
        CHECK(wrong ? put == NOVA_ERR_PROTOCOL : put == 0 || put == (long)n);
        CHECK((nova_stream_used(s, bytes) < 0) == (s->head - s->tail > 512));
    }
    free(s);
}

int main(void)
{
    struct nova_stream *s = calloc(1, 4096);

    ok(nova_stream_capacity(4096) == 2048 && nova_stream_capacity(256) == 128 &&
           nova_stream_capacity(255) == 0,
       "sizes");
    ok(nova_stream_put(s, 4096, "x", 1) == 1 && nova_stream_used(s, 4096) == 1,
       "memory that is zero is an empty stream");
    ok(nova_stream_put(s, 255, "x", 1) == NOVA_ERR_PROTOCOL, "one without room takes nothing");
    free(s);
    traffic(256);
    traffic(1000);
    traffic(16384);
    ok_checks("random traffic");
    hostile();
    ok_checks("a hostile other side");
    return tap_done();
}
