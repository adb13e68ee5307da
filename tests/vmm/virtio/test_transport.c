/*
 * Virtio over PCI: capabilities, every field of the common configuration in every width, the state machine of the status with
 * all sequences of bits, when queues can be set up, reset, vectors, turns.
 *
 * Sources: ram.c dev/bus.c dev/machine.c dev/msix.c dev/pci.c virtio/pci.c virtio/queue.c ../libnova/src/format.c
 * Fakes: vmm/virtio/driver.c native/host/fake/sync.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "dev/pci.h"
#include "ram.h"
#include "tap.h"
#include "virtio/driver.h"
#include "virtio/virtio.h"

#include <string.h>

static const uint8_t config[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
static unsigned notified[3], resets, wakes;
static bool blocks, refills;
static struct driver_queue queues[3];

static uint32_t take(struct virtio_device *device)
{
    if (blocks)
        return VIRTIO_BLOCKED;
    if (refills) /* as if another CPU did it at the same time */
        driver_offer(&queues[0], device->chain.head);
    return 7;
}

static void notify(struct virtio_device *device, unsigned queue)
{
    notified[queue]++;
    virtio_serve(device, queue, take);
}

static void on_reset(struct virtio_device *device)
{
    (void)device;
    resets++;
}

static void wake(void)
{
    wakes++;
}

static struct virtio_device device = {.name = "test",
                                      .type = 42,
                                      .class = 0x078000,
                                      .features = 0x5,
                                      .queues = 3,
                                      .sizes = {128, 8, 16},
                                      .config = config,
                                      .config_size = sizeof(config),
                                      .notify = notify,
                                      .reset = on_reset};

static bool add(void)
{
    virtio_set_worker(wake);
    return virtio_add(&device);
}

static void test_capabilities(void)
{
    static const uint32_t expected[5][4] = {
        {0}, {1, 0, 0x0000, 0x38}, {2, 0, 0x3000, 12}, {3, 0, 0x1000, 1}, {4, 0, 0x2000, 10}};
    const uint8_t *page = pci_page(8);
    unsigned seen = 0;

    CHECK(page[0] == 0xf4 && page[1] == 0x1a && page[2] == 0x6a && page[3] == 0x10 && page[8] == 1 &&
          page[11] == 7);
    CHECK(page[0x2e] >= 0x40);
    for (unsigned at = page[0x34]; at; at = page[at + 1]) {
        uint32_t where[2];

        if (page[at] != 9)
            continue;
        memcpy(where, page + at + 8, 8);
        CHECK(page[at + 3] >= 1 && page[at + 3] <= 4 && page[at + 4] == 0);
        CHECK(page[at + 2] == (page[at + 3] == 2 ? 20 : 16) && where[0] % 4096 == 0);
        CHECK(where[0] == expected[page[at + 3]][2] && where[1] == expected[page[at + 3]][3]);
        CHECK(page[at + 3] != 2 || page[at + 16] == 4);
        seen |= 1U << page[at + 3];
    }
    CHECK(seen == 0x1e);
    CHECK(driver_get(QUEUE_SIZE, 2) == 128 && driver_get(CONFIG_VECTOR, 2) == 0xffff &&
          !driver_get(STATUS, 1));
    ok_checks("capabilities: four structures in BAR 0");
}

static void test_fields(void)
{
    static const struct {
        unsigned offset, size;
        uint64_t value;
    } field[] = {{0x00, 4, 0},      {0x04, 4, 0x30000005}, {0x08, 4, 1},      {0x0c, 4, 1},
                 {0x10, 2, 0},      {0x12, 2, 3},          {0x14, 1, 11},     {0x15, 1, 0},
                 {0x16, 2, 1},      {0x18, 2, 8},          {0x1a, 2, 0xffff}, {0x1c, 2, 0},
                 {0x1e, 2, 1},      {0x20, 4, 0x5670},     {0x24, 4, 0x1234}, {0x28, 4, 0x5672},
                 {0x2c, 4, 0x1234}, {0x30, 4, 0x5674},     {0x34, 4, 0x1234}};

    CHECK(driver_offered() == (ALL_FEATURES | 5) && driver_negotiate(ALL_FEATURES | 1));
    driver_put(QUEUE_SELECT, 2, 1);
    driver_put(QUEUE_DESCRIPTOR, 8, 0x123400005670);
    driver_put(QUEUE_DRIVER, 8, 0x123400005672);
    driver_put(QUEUE_DEVICE, 8, 0x123400005674);
    /* Each field has its own width, the others see nothing. The bus makes parts of what is misaligned. */
    for (unsigned offset = 0; offset < 0x40; offset++) {
        for (unsigned size = 1; size <= 4; size *= 2) {
            uint64_t expected = 0;

            for (unsigned i = 0; i < sizeof(field) / sizeof(*field); i++)
                if (field[i].offset == offset && field[i].size == size)
                    expected = field[i].value;
            CHECK(offset % size || driver_get(offset, size) == expected);
        }
    }
    CHECK(driver_get(QUEUE_DESCRIPTOR, 8) == 0x123400005670 && driver_get(DEVICE_FEATURE, 8) == 0x130000005);
    for (unsigned select = 0; select < 5; select++) {
        driver_put(DEVICE_FEATURE_SELECT, 4, select);
        driver_put(DRIVER_FEATURE_SELECT, 4, select);
        CHECK(driver_get(DEVICE_FEATURE, 4) == (select == 0 ? 0x30000005 : select == 1));
        CHECK(driver_get(DRIVER_FEATURE, 4) == (select == 0 ? 0x30000001 : select == 1));
    }
    /* Queues that do not exist. */
    for (unsigned queue = 3; queue < 0x10000; queue += 0x7ff) {
        driver_put(QUEUE_SELECT, 2, queue);
        driver_errors();
        CHECK(driver_get(QUEUE_SIZE, 2) == 0 && driver_get(QUEUE_ENABLE, 2) == 0 &&
              driver_get(QUEUE_VECTOR, 2) == 0xffff);
        driver_put(QUEUE_VECTOR, 2, 0);
        driver_put(QUEUE_SIZE, 2, 8);
        driver_put(QUEUE_ENABLE, 2, 1);
        driver_put(QUEUE_DESCRIPTOR, 4, 0x1000);
        CHECK(driver_errors() == 4 && driver_get(QUEUE_DESCRIPTOR, 4) == 0 &&
              driver_get(QUEUE_VECTOR, 2) == 0xffff);
    }
    /* The configuration: read-only, in all widths, and its end. */
    for (unsigned offset = 0; offset < 16; offset++) {
        driver_put(VIRTIO_CONFIG + offset, 1, 0xff);
        CHECK(driver_get(VIRTIO_CONFIG + offset, 1) == (offset < 10 ? offset + 1 : 0));
    }
    CHECK(driver_get(VIRTIO_CONFIG, 8) == 0x0807060504030201 && driver_get(VIRTIO_CONFIG + 8, 2) == 0x0a09);
    CHECK(driver_get(VIRTIO_CONFIG + 8, 4) == 0 && driver_get(VIRTIO_CONFIG + 0xffc, 4) == 0);
    /* Read-only fields and gaps. */
    driver_errors();
    for (unsigned offset = 0x38; offset < 0x3000; offset += 4) {
        driver_put(offset, 4, UINT32_MAX);
        CHECK(driver_get(offset, 4) == 0 || offset >= VIRTIO_CONFIG);
    }
    driver_put(NUM_QUEUES, 2, 7);
    driver_put(0x15, 1, 7);
    driver_put(QUEUE_NOTIFY_OFF, 2, 7);
    driver_put(DEVICE_FEATURE, 4, 7);
    CHECK(driver_errors() == (0x3000 - 0x38) / 4 + 4 && driver_get(NUM_QUEUES, 2) == 3);
    ok_checks("common configuration: fields, widths, queues that do not exist");
}

/* All sequences of three writes of interesting values, against the rules. */
static void test_status(void)
{
    static const uint8_t value[] = {0, 1, 3, 11, 15, 7, 8, 12, 0x83, 0x8f, 0x40, 0x4b, 0x10, 0xff};
    unsigned count = sizeof(value), oks = 0;

    for (unsigned code = 0; code < count * count * count * 2; code++) {
        uint8_t expected = 0;
        bool good = code & 1; /* features */

        driver_put(STATUS, 1, 0);
        driver_put(DRIVER_FEATURE_SELECT, 4, 1);
        driver_put(DRIVER_FEATURE, 4, good);
        for (unsigned i = 0, rest = code / 2; i < 3; i++, rest /= count) {
            uint8_t v = value[rest % count];

            driver_put(STATUS, 1, v);
            if (v == 0) {
                expected = 0;
                good = false;
            } else if (!(expected & ~v) && !(v & ~expected & 0x70)) {
                v |= expected;
                expected = (uint8_t)(v & ~((good || expected & 8) ? 0 : 8));
                expected &= (uint8_t) ~(expected & 8 ? 0 : 4);
            }
            CHECK(driver_get(STATUS, 1) == expected);
        }
        oks += expected == 15;
    }
    CHECK(oks > 10);
    /* Features: what was not offered, and too late. */
    for (unsigned bit = 0; bit < 64; bit++)
        CHECK(driver_negotiate(VERSION_1 | 1UL << bit) == ((ALL_FEATURES | 5) >> bit & 1));
    CHECK(!driver_negotiate(5) && driver_negotiate(ALL_FEATURES));
    driver_errors();
    driver_put(DRIVER_FEATURE_SELECT, 4, 0);
    driver_put(DRIVER_FEATURE, 4, 5);
    CHECK(driver_errors() == 1 && driver_get(DRIVER_FEATURE, 4) == (ALL_FEATURES & UINT32_MAX));
    ok_checks("status: only the ways that the manual knows; features");
}

/* Queues are set up between FEATURES_OK and DRIVER_OK, once. */
static void test_setup(void)
{
    static const uint8_t other[] = {0, 1, 3, 15, 0x4b};

    for (unsigned i = 0; i < sizeof(other); i++) {
        CHECK(driver_negotiate(ALL_FEATURES));
        if (other[i] == 15) {
            driver_go();
        } else if (other[i] == 0x4b) {
            driver_put(QUEUE_SELECT, 2, 2);
            driver_put(QUEUE_DESCRIPTOR, 4, 8);
            driver_put(QUEUE_ENABLE, 2, 1);
        } else {
            driver_put(STATUS, 1, 0);
            driver_put(STATUS, 1, other[i]);
        }
        CHECK(driver_get(STATUS, 1) == other[i]);
        driver_put(QUEUE_SELECT, 2, 1);
        driver_errors();
        driver_put(QUEUE_SIZE, 2, 4);
        driver_put(QUEUE_DESCRIPTOR, 4, 0x1000);
        driver_put(QUEUE_ENABLE, 2, 1);
        CHECK(driver_errors() == 3 && driver_get(QUEUE_SIZE, 2) == 8 && !driver_get(QUEUE_ENABLE, 2));
        CHECK(driver_get(QUEUE_DESCRIPTOR, 4) == 0);
    }
    CHECK(driver_negotiate(ALL_FEATURES));
    driver_put(QUEUE_SELECT, 2, 2);
    for (unsigned size = 0; size < 40; size++) {
        driver_put(QUEUE_SIZE, 2, 16);
        driver_put(QUEUE_SIZE, 2, size);
        CHECK(driver_get(QUEUE_SIZE, 2) == (size == 1 || size == 2 || size == 4 || size == 8 ? size : 16));
    }
    driver_queue(&queues[2], 2, 4, ALL_FEATURES);
    CHECK(driver_get(QUEUE_ENABLE, 2) == 1 && driver_get(STATUS, 1) == 11);
    driver_errors();
    driver_put(QUEUE_ENABLE, 2, 0);
    driver_put(QUEUE_SIZE, 2, 8);
    driver_put(QUEUE_DEVICE, 4, 0);
    CHECK(driver_errors() == 3 && driver_get(QUEUE_ENABLE, 2) == 1 && driver_get(QUEUE_SIZE, 2) == 4);
    ok_checks("queues: set up in the right state only, checked, not changed later");
}

static void test_vectors(void)
{
    CHECK(driver_negotiate(ALL_FEATURES));
    for (unsigned vector = 0; vector < 0x10000; vector += vector < 8 ? 1 : 0x555) {
        driver_put(CONFIG_VECTOR, 2, vector);
        CHECK(driver_get(CONFIG_VECTOR, 2) == (vector < 4 ? vector : 0xffff));
        driver_put(QUEUE_SELECT, 2, 1);
        driver_put(QUEUE_VECTOR, 2, vector);
        CHECK(driver_get(QUEUE_VECTOR, 2) == (vector < 4 ? vector : 0xffff));
    }
    ok_checks("vectors that do not exist are none");
}

static void test_running(void)
{
    struct driver_part part = {DRIVER_BUFFERS, 16};
    unsigned head, before = resets;
    uint32_t written;

    driver_start(queues, 3, 8, ALL_FEATURES);
    CHECK(resets == before + 1);
    /* A chain of each queue comes back; its interrupt has its own vector. */
    for (unsigned q = 0; q < 3; q++) {
        unsigned mine = driver_add(&queues[q], &part, 0, 1, 0);

        notified[q] = 0;
        CHECK(driver_kick(&queues[q]) && notified[q] == 1 && driver_take(&queues[q], &head, &written));
        CHECK(head == mine && written == 7 && driver_interrupts(q + 1) == 1 &&
              !driver_take(&queues[q], &head, &written));
    }
    CHECK(driver_get(VIRTIO_ISR, 1) == 1 && driver_get(VIRTIO_ISR, 1) == 0);
    /* No vector, no interrupt. */
    driver_put(QUEUE_SELECT, 2, 0);
    driver_put(QUEUE_VECTOR, 2, 0xffff);
    driver_add(&queues[0], &part, 0, 1, 0);
    CHECK(driver_kick(&queues[0]) && driver_take(&queues[0], &head, &written) && !driver_interrupts(1));
    /* Notifications of other widths and of queues that do not exist. */
    memset(notified, 0, sizeof(notified));
    driver_put(VIRTIO_NOTIFY, 4, 0);
    driver_put(VIRTIO_NOTIFY + 6, 2, 0);
    driver_put(VIRTIO_NOTIFY + 8, 1, 0);
    CHECK(notified[0] == 1 && notified[1] == 1 && notified[2] == 1);
    driver_put(VIRTIO_NOTIFY + 12, 2, 0);
    driver_put(VIRTIO_NOTIFY + 0xffe, 2, 0);
    /* Blocked chains stay. */
    blocks = true;
    driver_add(&queues[1], &part, 0, 1, 0);
    CHECK(driver_kick(&queues[1]) && !driver_take(&queues[1], &head, &written));
    blocks = false;
    driver_notify(1);
    CHECK(driver_take(&queues[1], &head, &written) && written == 7);
    /* A broken queue: an interrupt of the configuration, nothing any more, until a reset. */
    driver_interrupts(0);
    driver_offer(&queues[2], 99);
    driver_notify(2);
    CHECK(driver_get(STATUS, 1) == (15 | NEEDS_RESET) && driver_interrupts(0) == 1 &&
          driver_get(VIRTIO_ISR, 1) == 3);
    memset(notified, 0, sizeof(notified));
    driver_add(&queues[0], &part, 0, 1, 0);
    driver_notify(0);
    CHECK(!notified[0] && !driver_take(&queues[0], &head, &written));
    driver_put(STATUS, 1, 15 | NEEDS_RESET | FAILED);
    CHECK(driver_get(STATUS, 1) == (15 | NEEDS_RESET | FAILED));
    before = resets;
    driver_put(STATUS, 1, 0);
    CHECK(resets == before + 1 && driver_get(STATUS, 1) == 0);
    driver_start(queues, 3, 8, VERSION_1);
    driver_add(&queues[0], &part, 0, 1, 0);
    driver_notify(0);
    CHECK(driver_take(&queues[0], &head, &written));
    /* Indirect tables, if they were negotiated. */
    for (unsigned indirect = 0; indirect < 2; indirect++) {
        driver_start(queues, 3, 8, VERSION_1 | (indirect ? INDIRECT : 0));
        driver_add(&queues[0], &part, 0, 1, 0x8000);
        driver_notify(0);
        CHECK(driver_take(&queues[0], &head, &written) == indirect);
        CHECK((driver_get(STATUS, 1) & NEEDS_RESET) == (indirect ? 0 : NEEDS_RESET));
    }
    /* The machine's reset. */
    virtio_reset();
    CHECK(driver_get(STATUS, 1) == 0 && driver_get(QUEUE_SELECT, 2) == 0 && driver_get(QUEUE_SIZE, 2) == 128);
    CHECK(driver_get(QUEUE_DESCRIPTOR, 8) == 0 && driver_get(CONFIG_VECTOR, 2) == 0xffff &&
          !driver_get(QUEUE_ENABLE, 2));
    ok_checks("queues that work, that block, that break; resets");
}

/* Somebody who fills the queue as fast as it is served: the turn ends, the rest is done by the worker. */
static void test_turns(void)
{
    struct driver_part part = {DRIVER_BUFFERS, 16};
    unsigned head, count = 0;
    uint32_t written;

    driver_start(queues, 3, 8, ALL_FEATURES);
    refills = true;
    wakes = 0;
    driver_add(&queues[0], &part, 0, 1, 0);
    driver_kick(&queues[0]);
    CHECK(wakes == 1 && queues[0].added == VIRTIO_TURN + 1 && driver_interrupts(1) == 1);
    notified[0] = notified[1] = 0;
    virtio_work();
    CHECK(wakes == 2 && queues[0].added == 2 * VIRTIO_TURN + 1 && notified[0] == 1 && !notified[1]);
    refills = false;
    virtio_work();
    CHECK(wakes == 2);
    while (driver_take(&queues[0], &head, &written))
        count++;
    CHECK(count == 2 * VIRTIO_TURN + 1);
    virtio_work();
    CHECK(wakes == 2 && driver_get(STATUS, 1) == 15);
    /* A reset forgets it. */
    refills = true;
    driver_add(&queues[0], &part, 0, 1, 0);
    driver_notify(0);
    refills = false;
    notified[0] = 0;
    driver_put(STATUS, 1, 0);
    virtio_work();
    CHECK(notified[0] == 0);
    ok_checks("turns: a queue that never ends is served piecemeal");
}

int main(void)
{
    driver_machine(add);
    test_capabilities();
    test_fields();
    test_status();
    test_setup();
    test_vectors();
    test_running();
    test_turns();
    return tap_done();
}
