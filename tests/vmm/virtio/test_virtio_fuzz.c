/*
 * Hostile drivers: all virtio devices, random writes to their registers and notifications from two vCPUs, rings and descriptors
 * with biased garbage that changes all the time, packets of sockets that are almost right; while back ends work on a thread of
 * their own. The devices keep to guest memory (the sanitizers look on), come to an end, and work again after a reset.
 *
 *   test_virtio_fuzz [OPERATIONS]     for each vCPU
 *
 * Sources: ram.c dev/bus.c dev/machine.c dev/msix.c dev/pci.c virtio/console.c virtio/echo.c virtio/pci.c virtio/queue.c
 * Sources: virtio/rng.c virtio/vsock.c ../libnova/src/format.c
 * Fakes: vmm/virtio/driver.c native/host/fake/sync.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "dev/bus.h"
#include "dev/pci.h"
#include "tap.h"
#include "virtio/console.h"
#include "virtio/driver.h"
#include "virtio/rng.h"
#include "virtio/virtio.h"
#include "virtio/vsock.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VCPUS 2U
#define OPERATIONS 60000U
#define DEVICES 3U
#define RINGS 0x1000UL /* of each queue: descriptors, avail at 0x800, used at 0xc00 */

static unsigned operations = OPERATIONS;
static unsigned running;                            /* atomic */
static unsigned long given, taken, randoms, broken; /* atomic */

static size_t output(const uint8_t *bytes, size_t count)
{
    unsigned sum = 0;

    for (size_t i = 0; i < count && i < 1000; i++)
        sum += __atomic_load_n(&bytes[i], __ATOMIC_RELAXED);
    __atomic_add_fetch(&given, count, __ATOMIC_RELAXED);
    return sum % 4 ? count : count / 2;
}

static void input_room(void)
{
}

static bool give_random(uint64_t *value)
{
    *value = __atomic_add_fetch(&randoms, 1, __ATOMIC_RELAXED);
    return *value % 1000;
}

static bool add(void)
{
    static const struct virtio_console_backend backend = {output, input_room};

    return virtio_console_init(&backend) && virtio_rng_init(give_random) && vsock_init(3) &&
           vsock_add(7, &vsock_echo, NULL);
}

static uint64_t bar_of(unsigned device)
{
    uint64_t value;

    bus_read(BUS_MMIO, PCI_ECAM + (device + 1) * 0x8000 + 0x10, 4, &value);
    return value;
}

static void put(unsigned device, unsigned offset, unsigned size, uint64_t value)
{
    bus_write(BUS_MMIO, bar_of(device) + offset, size, value);
}

static uint64_t get(unsigned device, unsigned offset, unsigned size)
{
    uint64_t value;

    bus_read(BUS_MMIO, bar_of(device) + offset, size, &value);
    return value;
}

static uint64_t rings_of(unsigned device, unsigned queue)
{
    return DRIVER_RINGS + (device * 3 + queue) * RINGS;
}

static void store(uint64_t address, uint64_t value)
{
    __atomic_store_n((uint64_t *)(driver_ram + address), value, __ATOMIC_RELAXED);
}

/* A buffer, mostly within memory and often with a packet in it. */
static uint64_t buffer(uint64_t *state)
{
    static const uint64_t some[] = {DRIVER_RAM - 8, DRIVER_RAM,  UINT64_MAX,
                                    0xc0000000,     0x100000000, DRIVER_RINGS};
    uint64_t random = tap_random(state), at = DRIVER_BUFFERS + random % 64 * 0x1000;

    if (random >> 56 == 0)
        return some[random % 6];
    store(at, 3);
    store(at + 8, random >> 40 & 15 ? 2 : tap_random(state));
    store(at + 16, (random >> 8 & 3) | (random >> 44 & 15 ? 7UL << 32 : tap_random(state) << 32));
    store(at + 24, (random >> 48 & 7 ? random >> 52 & 15 : tap_random(state) & 0xfff) | 1UL << 32 |
                       (random >> 16 & 7) << 48);
    store(at + 32, (random >> 20 & 3) | (random >> 50 & 3 ? 0xffffUL << 32 : tap_random(state) << 32));
    store(at + 40, tap_random(state));
    return at;
}

/* A descriptor, which is all right more often than not. */
static void descriptor(unsigned device, unsigned queue, unsigned index, uint64_t *state)
{
    uint64_t rings = rings_of(device, queue), random = tap_random(state), at = rings + index * 16;
    uint64_t length = random >> 8 & 63 ? 0x40 + (random >> 16 & 0xff) : tap_random(state) & UINT32_MAX;
    /* The sockets' rx, the console's rx and the rng's queue are written, the others read. */
    uint64_t flags = random >> 32 & 31 ? (queue == 1 ? 0 : VIRTQ_WRITE) : random >> 37 & 7;
    uint64_t next = random >> 40 & 15 ? (index + 1) % 32 : random >> 44 & 63;

    flags |= random >> 50 & 3 ? 0 : VIRTQ_NEXT;
    store(at, random >> 52 & 15 ? buffer(state) : rings + 0x200);
    store(at + 8, (flags & VIRTQ_INDIRECT ? length & 0x1f0 : length) | flags << 32 | next << 48);
}

static void descriptors(unsigned device, unsigned queue, unsigned count, uint64_t *state)
{
    while (count--)
        descriptor(device, queue, tap_random(state) % 32, state);
}

static void offer(unsigned device, unsigned queue, uint64_t *state)
{
    struct virtq_avail *avail = (struct virtq_avail *)(driver_ram + rings_of(device, queue) + 0x800);
    uint64_t random = tap_random(state);
    uint16_t index = __atomic_load_n(&avail->index, __ATOMIC_RELAXED);

    __atomic_store_n(&avail->ring[random % 33], (uint16_t)(random >> 16 & (random >> 30 & 63 ? 3 : 63)),
                     __ATOMIC_RELAXED);
    __atomic_store_n(&avail->index, (uint16_t)(index + (random >> 56 ? 1 : random >> 40)), __ATOMIC_SEQ_CST);
}

/* A proper start, up to DRIVER_OK; another vCPU may come between. */
static void start(unsigned device, uint64_t *state)
{
    put(device, STATUS, 1, 0);
    put(device, STATUS, 1, ACKNOWLEDGE | DRIVER);
    put(device, DRIVER_FEATURE_SELECT, 4, 1);
    put(device, DRIVER_FEATURE, 4, 1);
    put(device, DRIVER_FEATURE_SELECT, 4, 0);
    put(device, DRIVER_FEATURE, 4, tap_random(state) & (EVENT_INDEX | INDIRECT));
    put(device, STATUS, 1, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    for (unsigned queue = 0; queue < get(device, NUM_QUEUES, 2); queue++) {
        memset(driver_ram + rings_of(device, queue) + 0x800, 0, 0x800);
        descriptors(device, queue, 64, state);
        put(device, QUEUE_SELECT, 2, queue);
        put(device, QUEUE_SIZE, 2, 4U << tap_random(state) % 4);
        put(device, QUEUE_VECTOR, 2, queue);
        put(device, QUEUE_DESCRIPTOR, 8, rings_of(device, queue));
        put(device, QUEUE_DRIVER, 8, rings_of(device, queue) + 0x800);
        put(device, QUEUE_DEVICE, 8, rings_of(device, queue) + 0xc00);
        put(device, QUEUE_ENABLE, 2, 1);
    }
    put(device, STATUS, 1, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
}

static void *vcpu(void *argument)
{
    uint64_t state = (uintptr_t)argument + 41;

    for (unsigned i = 0; i < operations; i++) {
        uint64_t random = tap_random(&state);
        unsigned device = (unsigned)(random % DEVICES), queue = random >> 8 & 3;

        switch (random >> 16 & 15) {
        case 0:
            if (random >> 60 == 0 || get(device, STATUS, 1) & NEEDS_RESET)
                start(device, &state);
            break;
        case 1:
            put(device, (unsigned)(random >> 24) % 0x40, 1U << (random >> 40) % 4,
                tap_random(&state) | (random >> 62));
            break;
        case 2:
            put(device, (unsigned)(random >> 24) & 0x3fff, 1U << (random >> 40) % 4, tap_random(&state));
            get(device, (unsigned)(random >> 24) & 0x3fff, 1U << (random >> 42) % 4);
            break;
        case 3:
        case 4:
        case 5:
            descriptors(device, queue, 4, &state);
            break;
        case 6:
            broken += (get(device, STATUS, 1) & NEEDS_RESET) != 0;
            break;
        default:
            offer(device, queue, &state);
            put(device, VIRTIO_NOTIFY + queue * 4, 2, queue);
        }
    }
    __atomic_sub_fetch(&running, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void *host(void *argument)
{
    static const uint8_t text[5000] = "hello";

    (void)argument;
    while (__atomic_load_n(&running, __ATOMIC_SEQ_CST)) {
        __atomic_add_fetch(&taken, virtio_console_input(text, sizeof(text)), __ATOMIC_RELAXED);
        virtio_console_output_room();
        virtio_work();
        vsock_lock();
        for (unsigned i = 0; i < VSOCK_CONNECTIONS; i++) {
            vsock_ready(0x100 | i);
            vsock_consumed(0x500 | i, 100);
            vsock_reset(0x900 | i);
        }
        vsock_unlock();
        sched_yield();
    }
    return NULL;
}

static void fuzz(void)
{
    pthread_t threads[VCPUS], other;

    driver_errors();
    running = VCPUS;
    for (uintptr_t i = 0; i < VCPUS; i++)
        pthread_create(&threads[i], NULL, vcpu, (void *)i);
    pthread_create(&other, NULL, host, NULL);
    for (unsigned i = 0; i < VCPUS; i++)
        pthread_join(threads[i], NULL);
    pthread_join(other, NULL);
    /* All of them did something. */
    CHECK(given > 1000 && randoms > 1000 && broken > 10);
    ok_checks(
        "%u operations of each vCPU: %lu and %lu bytes of consoles, %lu random numbers, %u errors of the guest",
        operations, given, taken, randoms * 8, driver_errors());
}

static void test_afterwards(void)
{
    struct driver_queue queues[3];
    unsigned head;
    uint32_t written;

    virtio_reset();
    for (unsigned device = 0; device < DEVICES; device++)
        bus_write(BUS_MMIO, PCI_ECAM + (device + 1) * 0x8000 + 4, 2, 6);
    driver_select(1);
    driver_start(queues, 2, 8, ALL_FEATURES);
    driver_add(&queues[0], &(struct driver_part){DRIVER_BUFFERS, 16}, 0, 1, 0);
    CHECK(virtio_console_input((const uint8_t *)"abc", 3) == 3 && driver_take(&queues[0], &head, &written) &&
          written == 3);
    driver_select(2);
    driver_start(queues, 1, 8, ALL_FEATURES);
    driver_add(&queues[0], &(struct driver_part){DRIVER_BUFFERS, 16}, 0, 1, 0);
    driver_kick(&queues[0]);
    CHECK(driver_take(&queues[0], &head, &written));
    driver_select(3);
    driver_start(queues, 3, 8, ALL_FEATURES);
    memset(driver_ram + DRIVER_BUFFERS, 0, 44);
    memcpy(driver_ram + DRIVER_BUFFERS, (const uint64_t[]){3, 2, 9 | 7UL << 32, 1UL << 32 | 1UL << 48}, 32);
    driver_add(&queues[0], &(struct driver_part){DRIVER_BUFFERS + 4096, 4096}, 0, 1, 0);
    driver_add(&queues[1], &(struct driver_part){DRIVER_BUFFERS, 44}, 1, 0, 0);
    driver_kick(&queues[1]);
    CHECK(driver_take(&queues[0], &head, &written) && written == 44 &&
          driver_ram[DRIVER_BUFFERS + 4096 + 30] == 2);
    ok_checks("after a reset all of them work");
}

int main(int argc, char **argv)
{
    alarm(600);
    if (argc > 1)
        operations = (unsigned)strtoul(argv[1], NULL, 0);
    driver_machine(add);
    for (unsigned device = 0; device < DEVICES; device++)
        bus_write(BUS_MMIO, PCI_ECAM + (device + 1) * 0x8000 + 4, 2, 6);
    fuzz();
    test_afterwards();
    return tap_done();
}
