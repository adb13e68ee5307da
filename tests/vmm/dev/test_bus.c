/*
 * Guest memory: bounds of ram_at() around every edge, against the definition of the map. Bus: every address of small maps
 * against a linear search, ranges that are refused, accesses in parts.
 *
 * Sources: ram.c dev/bus.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "dev/bus.h"
#include "ram.h"
#include "tap.h"

#include <string.h>

#define GIB 0x40000000UL

/* The map, byte by byte: offset into the memory, or -1. */
static int64_t offset_of(uint64_t size, uint64_t gpa)
{
    uint64_t offset = gpa < 4 * GIB ? gpa : gpa - GIB;

    return (gpa < 3 * GIB || gpa >= 4 * GIB) && offset < size ? (int64_t)offset : -1;
}

static void check_ram(uint64_t size, uint64_t gpa, uint64_t bytes)
{
    uint8_t *base = (uint8_t *)0x100000000000;
    uint64_t last = gpa + (bytes ? bytes - 1 : 0);
    int64_t first_offset = offset_of(size, gpa), last_offset = offset_of(size, last);
    bool good = last >= gpa && first_offset >= 0 && last_offset >= 0 && (gpa < 3 * GIB) == (last < 3 * GIB);

    CHECK(ram_at(gpa, bytes) == (good ? base + first_offset : NULL));
}

static void test_ram(void)
{
    static const uint64_t sizes[] = {2 << 20,        GIB,     3 * GIB - 4096, 3 * GIB,
                                     3 * GIB + 4096, 5 * GIB, 512 * GIB};
    static const uint64_t lengths[] = {0,    1,   2,       8,       4095,           4096,
                                       4097, GIB, 3 * GIB, 4 * GIB, UINT64_MAX - 1, UINT64_MAX};

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        uint64_t size = sizes[i];
        uint64_t edges[] = {0, 2 << 20, GIB, size, 3 * GIB, 4 * GIB, size + GIB, 1UL << 52, 1UL << 63};

        ram_init((void *)0x100000000000, size);
        CHECK(ram_size() == size && ram_low_end() == (size < 3 * GIB ? size : 3 * GIB));
        CHECK(ram_high_end() == (size > 3 * GIB ? size + GIB : 4 * GIB));
        for (unsigned k = 0; k < sizeof(edges) / sizeof(*edges); k++) {
            for (unsigned n = 0; n < sizeof(lengths) / sizeof(*lengths); n++) {
                for (uint64_t d = 0; d <= 16; d++) {
                    check_ram(size, edges[k] - 8 + d, lengths[n]);
                    check_ram(size, edges[k] - lengths[n] - 8 + d, lengths[n]);
                }
            }
        }
    }
    ok_checks("guest memory: bounds at the end, at 3 GiB, at 4 GiB, and where addresses wrap");
}

/* A device that notes the parts it sees. */
static struct {
    unsigned count, size[8];
    uint64_t offset[8], value[8];
} seen;

static uint64_t note_read(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    seen.offset[seen.count] = offset;
    seen.size[seen.count++] = size;
    /* Bytes are their offset; what is beyond the size must not matter. */
    return 0x0706050403020100 + offset * 0x0101010101010101;
}

static void note_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)device;
    seen.offset[seen.count] = offset;
    seen.value[seen.count] = value;
    seen.size[seen.count++] = size;
}

static void test_parts(void)
{
    static const unsigned sizes[] = {1, 2, 4, 8};
    static struct bus_range range[4];

    for (unsigned w = 0; w < 4; w++) {
        uint64_t start = 0xd0000000 + w * 0x1000;

        range[w] = (struct bus_range){.start = start,
                                      .size = 32,
                                      .read = note_read,
                                      .write = note_write,
                                      .width = w == 3 ? 0 : sizes[w]};
        CHECK(bus_add(BUS_MMIO, &range[w]));
        for (uint64_t offset = 0; offset < 32; offset++) {
            for (unsigned s = 0; s < 4; s++) {
                uint64_t value, expected = 0, done = 0,
                                mask = sizes[s] == 8 ? UINT64_MAX : (1UL << sizes[s] * 8) - 1;

                memset(&seen, 0, sizeof(seen));
                for (unsigned i = 0; i < sizes[s]; i++)
                    expected |= (offset + i) << i * 8;
                if (offset + sizes[s] > 32) {
                    CHECK(!bus_read(BUS_MMIO, start + offset, sizes[s], &value) && value == mask &&
                          !seen.count);
                    CHECK(!bus_write(BUS_MMIO, start + offset, sizes[s], 0) && !seen.count);
                    continue;
                }
                CHECK(bus_read(BUS_MMIO, start + offset, sizes[s], &value) && value == expected);
                for (unsigned i = 0; i < seen.count; i++) {
                    CHECK(seen.offset[i] == offset + done && seen.size[i] <= sizes[w]);
                    CHECK(seen.offset[i] % seen.size[i] == 0);
                    done += seen.size[i];
                }
                CHECK(done == sizes[s]);
                CHECK(seen.count == 1 || offset % sizes[s] || sizes[s] > sizes[w]);
                memset(&seen, 0, sizeof(seen));
                CHECK(bus_write(BUS_MMIO, start + offset, sizes[s], 0x1122334455667788));
                done = 0;
                for (unsigned i = 0; i < seen.count; i++) {
                    uint64_t bits = seen.size[i] == 8 ? UINT64_MAX : (1UL << seen.size[i] * 8) - 1;

                    CHECK(seen.value[i] == (0x1122334455667788UL >> done * 8 & bits));
                    done += seen.size[i];
                }
                CHECK(done == sizes[s]);
            }
        }
    }
    ok_checks("bus: accesses in aligned parts of at most the width, whole ranges only");
}

static void test_sizes(void)
{
    static const unsigned sizes[] = {0, 3, 5, 6, 7, 9, 16, 64, 0x80000000, UINT32_MAX};
    uint64_t value, misses = bus_misses(BUS_MMIO);

    seen.count = 0;
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        CHECK(!bus_read(BUS_MMIO, 0xd0000000, sizes[i], &value));
        CHECK(!bus_write(BUS_MMIO, 0xd0000000, sizes[i], 0));
    }
    CHECK(!seen.count && bus_misses(BUS_MMIO) == misses + 2 * sizeof(sizes) / sizeof(*sizes));
    ok_checks("bus: other sizes are refused and counted");
}

static bool overlaps(uint64_t start, uint64_t size, uint64_t start2, uint64_t size2)
{
    return start < start2 + size2 && start2 < start + size;
}

/* Random ranges of ports in any order, then every port. */
static void test_search(void)
{
    static struct bus_range range[200];
    const struct bus_range *taken[200];
    uint64_t state = 7;
    unsigned count = 0;

    for (unsigned i = 0; i < 200; i++) {
        bool expected = count < 64;

        range[i] = (struct bus_range){.start = tap_random(&state) % 0x10080,
                                      .size = tap_random(&state) % 600,
                                      .read = note_read,
                                      .write = note_write};
        expected &= range[i].size && range[i].start + range[i].size <= 0x10000;
        for (unsigned k = 0; k < count; k++)
            expected &= !overlaps(range[i].start, range[i].size, taken[k]->start, taken[k]->size);
        CHECK(bus_add(BUS_PIO, &range[i]) == expected);
        if (expected)
            taken[count++] = &range[i];
    }
    CHECK(count > 30);
    for (uint64_t port = 0; port < 0x10000; port++) {
        const struct bus_range *found = NULL;
        uint64_t value;

        for (unsigned k = 0; k < count; k++)
            found = overlaps(port, 1, taken[k]->start, taken[k]->size) ? taken[k] : found;
        seen.count = 0;
        CHECK(bus_read(BUS_PIO, port, 1, &value) == (found != NULL));
        CHECK(found ? seen.count == 1 && seen.offset[0] == port - found->start
                    : value == 0xff && !seen.count);
    }
    ok_checks("bus: %u of 200 random ranges fit, every port finds its own", count);
}

static void test_refused(void)
{
    static struct bus_range bad[] = {
        {.start = 3 * GIB - 4096, .size = 8192},    /* RAM below */
        {.start = 4 * GIB - 4096, .size = 8192},    /* RAM above */
        {.start = 5 * GIB, .size = 4096},           /* in RAM */
        {.start = 3 * GIB - 4096, .size = 8 * GIB}, /* around all of it */
        {.start = UINT64_MAX - 4095, .size = 8192}, /* wraps */
        {.start = 0xd0000000 + 31, .size = 1},      /* taken */
        {.start = 0xd0000000 - 1, .size = 2},       {.start = 0xe0000000, .size = 0},
    };
    static struct bus_range good[] = {{.start = 3 * GIB, .size = 4096},
                                      {.start = 4 * GIB - 4096, .size = 4096},
                                      {.start = 6 * GIB, .size = 4096},
                                      {.start = 0xd0000020, .size = 1}, /* right behind another one */
                                      {.start = 0xd0000021, .size = 1}};

    for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        CHECK(!bus_add(BUS_MMIO, &bad[i]));
    for (unsigned i = 0; i < sizeof(good) / sizeof(*good); i++) {
        CHECK(bus_add(BUS_MMIO, &good[i]));
        CHECK(!bus_add(BUS_MMIO, &good[i]));
    }
    ok_checks("bus: overlap, RAM, wrapping and empty ranges are refused");
}

int main(void)
{
    test_ram();
    ram_init((void *)0x100000000000, 5 * GIB);
    test_parts();
    test_sizes();
    test_search();
    test_refused();
    return tap_done();
}
