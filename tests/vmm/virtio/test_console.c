/*
 * Virtio console and entropy device: bytes in order through chains of all shapes, flow control in both directions, a driver
 * and a back end on two threads; requests for random numbers of all sizes.
 *
 * Sources: ram.c dev/bus.c dev/machine.c dev/msix.c dev/pci.c virtio/console.c virtio/pci.c virtio/queue.c virtio/rng.c
 * Sources: ../libnova/src/format.c
 * Fakes: vmm/virtio/driver.c native/host/fake/sync.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "tap.h"
#include "virtio/console.h"
#include "virtio/driver.h"
#include "virtio/rng.h"
#include "virtio/virtio.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

enum { RX, TX };

static struct driver_queue queues[2];
static uint64_t random_state = 21;

/* The back end of the console. */
static uint8_t out[1 << 20];
static size_t out_count, out_room; /* atomic */
static unsigned rooms;             /* atomic */

static size_t output(const uint8_t *bytes, size_t count)
{
    size_t room = __atomic_load_n(&out_room, __ATOMIC_SEQ_CST), taken = count < room ? count : room;

    memcpy(out + out_count, bytes, taken);
    __atomic_store_n(&out_count, out_count + taken, __ATOMIC_SEQ_CST);
    __atomic_sub_fetch(&out_room, taken, __ATOMIC_SEQ_CST);
    return taken;
}

static void input_room(void)
{
    __atomic_add_fetch(&rooms, 1, __ATOMIC_SEQ_CST);
}

static bool add_console(void)
{
    static const struct virtio_console_backend backend = {output, input_room};

    return virtio_console_init(&backend);
}

static uint8_t pattern(uint64_t i)
{
    return (uint8_t)(i * 7 + i / 251);
}

/* Splits [address, + bytes) into parts. */
static unsigned split(uint64_t address, uint32_t bytes, struct driver_part *part)
{
    unsigned count = 0;

    while (bytes) {
        uint32_t size = count == 5 ? bytes : 1 + (uint32_t)tap_random(&random_state) % bytes;

        part[count++] = (struct driver_part){address, size};
        address += size;
        bytes -= size;
    }
    return count;
}

static void test_transmit(void)
{
    struct driver_part part[8];
    uint64_t sent = 0, back = 0;
    uint32_t written;
    unsigned head;

    driver_start(queues, 2, 64, ALL_FEATURES);
    out_count = 0;
    for (unsigned round = 0; round < 2000; round++) {
        uint32_t bytes = 1 + (uint32_t)tap_random(&random_state) % 500;
        unsigned slot = round % 8, count;

        for (uint32_t i = 0; i < bytes; i++)
            driver_ram[DRIVER_BUFFERS + slot * 512 + i] = pattern(sent + i);
        sent += bytes;
        count = split(DRIVER_BUFFERS + slot * 512, bytes, part);
        out_room = tap_random(&random_state) % 600;
        driver_add(&queues[TX], part, count, 0, round % 2 ? 0x8000 + slot * 256 : 0);
        driver_kick(&queues[TX]);
        while (!driver_take(&queues[TX], &head, &written)) {
            __atomic_store_n(&out_room, 100, __ATOMIC_SEQ_CST);
            virtio_console_output_room();
        }
        CHECK(written == 0 && out_count == sent);
        back++;
    }
    CHECK(back == 2000);
    for (uint64_t i = 0; i < sent; i++)
        CHECK(out[i] == pattern(i));
    ok_checks("transmit: %lu bytes in order, a back end that takes a part at a time", (unsigned long)sent);
}

static void test_receive(void)
{
    uint64_t given = 0, got = 0;
    uint32_t written;
    unsigned head;

    driver_start(queues, 2, 16, ALL_FEATURES);
    rooms = 0;
    CHECK(virtio_console_input((const uint8_t *)"x", 1) == 0 && rooms == 0);
    for (unsigned round = 0; round < 3000; round++) {
        uint8_t bytes[200];
        size_t count = tap_random(&random_state) % sizeof(bytes), space = 0, taken;
        unsigned chains = (unsigned)tap_random(&random_state) % 4;
        struct driver_part part[8];

        for (unsigned i = 0; i < chains; i++) {
            uint32_t size = 1 + (uint32_t)tap_random(&random_state) % 64;
            unsigned parts = split(DRIVER_BUFFERS + i * 64, size, part);

            driver_add(&queues[RX], part, 0, parts, 0x8000 + i * 256);
            space += size;
        }
        driver_kick(&queues[RX]);
        for (size_t i = 0; i < count; i++)
            bytes[i] = pattern(given + i);
        taken = virtio_console_input(bytes, count);
        CHECK(taken == (count < space ? count : space));
        given += taken;
        for (unsigned i = 0; driver_take(&queues[RX], &head, &written); i++)
            for (uint32_t k = 0; k < written; k++)
                CHECK(driver_ram[DRIVER_BUFFERS + i * 64 + k] == pattern(got++));
        CHECK(got == given);
        /* What was not used is forgotten by starting again. */
        if (taken < space)
            driver_start(queues, 2, 16, ALL_FEATURES);
    }
    CHECK(driver_errors() == 0);
    ok_checks("receive: %lu bytes in order, in chains of all shapes", (unsigned long)got);
}

static void test_flow(void)
{
    struct driver_part one = {DRIVER_BUFFERS, 1}, none = {DRIVER_BUFFERS, 0};
    uint8_t bytes[200] = {0};
    uint32_t written;
    unsigned head;

    driver_start(queues, 2, 64, ALL_FEATURES);
    virtio_console_input(bytes, 0);
    rooms = 0;
    driver_add(&queues[RX], &one, 0, 1, 0);
    CHECK(driver_kick(&queues[RX]) && rooms == 0);
    CHECK(virtio_console_input(bytes, 2) == 1 && rooms == 0 && driver_interrupts(1) == 1);
    driver_add(&queues[RX], &one, 0, 1, 0);
    CHECK(driver_kick(&queues[RX]) && rooms == 1);
    driver_add(&queues[RX], &one, 0, 1, 0);
    driver_kick(&queues[RX]);
    CHECK(rooms == 1);
    /* Many tiny or empty buffers: the turn ends, and the back end is told to come again. */
    driver_start(queues, 2, 64, ALL_FEATURES);
    for (unsigned i = 0; i < 64; i++)
        driver_add(&queues[RX], i % 2 ? &one : &none, 0, 1, 0);
    rooms = 0;
    CHECK(virtio_console_input(bytes, sizeof(bytes)) == 32 && rooms == 1);
    for (unsigned i = 0; i < 64; i++)
        CHECK(driver_take(&queues[RX], &head, &written) && written == i % 2);
    /* Buffers of the wrong direction carry nothing. */
    driver_add(&queues[RX], &one, 1, 0, 0);
    CHECK(virtio_console_input(bytes, 1) == 0 && driver_take(&queues[RX], &head, &written) && written == 0);
    out_room = 100;
    out_count = 0;
    driver_add(&queues[TX], &one, 0, 1, 0);
    driver_kick(&queues[TX]);
    CHECK(driver_take(&queues[TX], &head, &written) && out_count == 0);
    ok_checks("flow control, tiny and wrong buffers");
}

/* Before DRIVER_OK and after a reset nothing moves. */
static void test_dead(void)
{
    driver_put(STATUS, 1, 0);
    CHECK(virtio_console_input((const uint8_t *)"abc", 3) == 0);
    virtio_console_output_room();
    CHECK(driver_negotiate(ALL_FEATURES));
    driver_queue(&queues[RX], RX, 8, ALL_FEATURES);
    driver_queue(&queues[TX], TX, 8, ALL_FEATURES);
    driver_add(&queues[RX], &(struct driver_part){DRIVER_BUFFERS, 16}, 0, 1, 0);
    CHECK(virtio_console_input((const uint8_t *)"abc", 3) == 0);
    driver_go();
    CHECK(virtio_console_input((const uint8_t *)"abc", 3) == 3);
    /* Only one queue set up: the other one is silent. */
    CHECK(driver_negotiate(ALL_FEATURES));
    driver_queue(&queues[TX], TX, 8, ALL_FEATURES);
    driver_go();
    driver_notify(RX);
    CHECK(virtio_console_input((const uint8_t *)"abc", 3) == 0 && driver_get(STATUS, 1) == 15);
    ok_checks("states in which there is nobody to talk to");
}

#define COUNT 200000U

static void *other_end(void *argument)
{
    uint64_t given = 0;

    (void)argument;
    while (given < COUNT || __atomic_load_n(&out_count, __ATOMIC_SEQ_CST) < COUNT) {
        uint8_t bytes[100];
        size_t count = COUNT - given < sizeof(bytes) ? COUNT - given : sizeof(bytes);

        for (size_t i = 0; i < count; i++)
            bytes[i] = pattern(given + i);
        given += virtio_console_input(bytes, count);
        __atomic_store_n(&out_room, 77, __ATOMIC_SEQ_CST);
        virtio_console_output_room();
        sched_yield();
    }
    return NULL;
}

/* Sends and receives with interrupts only: counters of driver_interrupts(). */
static void test_threads(void)
{
    uint64_t sent = 0, got = 0, acknowledged = 0;
    uint32_t written;
    unsigned head;
    pthread_t thread;

    driver_start(queues, 2, 8, ALL_FEATURES);
    out_count = 0;
    for (unsigned i = 0; i < 8; i++)
        driver_add(&queues[RX], &(struct driver_part){DRIVER_BUFFERS + i * 64, 64}, 0, 1, 0);
    driver_kick(&queues[RX]);
    pthread_create(&thread, NULL, other_end, NULL);
    while (got < COUNT || acknowledged < COUNT) {
        bool some = false;

        while (driver_take(&queues[RX], &head, &written)) {
            for (uint32_t k = 0; k < written; k++)
                CHECK(driver_ram[DRIVER_BUFFERS + head * 64 + k] == pattern(got++));
            driver_offer(&queues[RX], head);
            driver_kick(&queues[RX]);
            some = true;
        }
        while (driver_take(&queues[TX], &head, &written)) {
            acknowledged += 50;
            some = true;
        }
        while (sent < COUNT && sent - acknowledged < 400) {
            unsigned slot = sent / 50 % 8;

            for (unsigned i = 0; i < 50; i++)
                driver_ram[DRIVER_BUFFERS + 4096 + slot * 50 + i] = pattern(sent + i);
            driver_add(&queues[TX], &(struct driver_part){DRIVER_BUFFERS + 4096 + slot * 50, 50}, 1, 0, 0);
            driver_kick(&queues[TX]);
            sent += 50;
            some = true;
        }
        while (!some && !driver_interrupts(1) && !driver_interrupts(2) && acknowledged < COUNT)
            sched_yield();
    }
    pthread_join(thread, NULL);
    CHECK(got == COUNT && out_count == COUNT);
    for (unsigned i = 0; i < COUNT; i++)
        CHECK(out[i] == pattern(i));
    ok_checks("driver and back end on two threads: everything in order, no interrupt lost");
}

/* The source of the entropy device. */
static unsigned random_calls;
static bool random_ends;

static bool give_random(uint64_t *value)
{
    *value = 0x0101010101010101UL * (random_calls++ % 255 + 1);
    return !random_ends || random_calls % 100;
}

static void test_random(void)
{
    static const uint32_t sizes[] = {0, 1, 7, 8, 9, 4095, 65535, 65536, 65537, 0xa0000};
    uint32_t written;
    unsigned head;

    driver_start(queues, 1, 8, ALL_FEATURES);
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        uint32_t expected = sizes[i] < 65536 ? sizes[i] : 65536;

        memset(driver_ram + DRIVER_BUFFERS, 0, 0xa0000);
        driver_add(&queues[0], &(struct driver_part){DRIVER_BUFFERS, sizes[i]}, 0, 1, 0);
        driver_notify(0);
        CHECK(driver_take(&queues[0], &head, &written) && written == expected);
        for (uint32_t k = 0; k < 0xa0000; k++)
            CHECK((driver_ram[DRIVER_BUFFERS + k] != 0) == (k < expected));
    }
    random_ends = true;
    driver_add(&queues[0], &(struct driver_part){DRIVER_BUFFERS, 65536}, 0, 1, 0);
    driver_notify(0);
    CHECK(driver_take(&queues[0], &head, &written) && written < 800 && written % 8 == 0);
    driver_add(&queues[0], &(struct driver_part){DRIVER_BUFFERS, 64}, 1, 0, 0);
    driver_notify(0);
    CHECK(driver_take(&queues[0], &head, &written) && written == 0);
    ok_checks("random numbers: sizes up to 64 KiB, a source that fails");
}

int main(void)
{
    alarm(300); /* a lost interrupt would be waited for */
    driver_machine(add_console);
    test_transmit();
    test_receive();
    test_flow();
    test_dead();
    test_threads();
    CHECK(virtio_rng_init(give_random));
    driver_select(2);
    test_random();
    return tap_done();
}
