/*
 * Split virtqueues: chains against what the driver put in, every kind of nonsense, indices that wrap, event index by its
 * definition; two threads that tell each other only what they must; memory that changes while it is read.
 *
 * Sources: ram.c dev/machine.c virtio/queue.c ../libnova/src/format.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "dev/machine.h"
#include "ram.h"
#include "tap.h"
#include "virtio/queue.h"

#include <nova/log.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RAM 0x100000UL
#define DESCRIPTORS 0x1000UL
#define AVAIL 0x3000UL
#define USED 0x4000UL
#define TABLE 0x8000UL

static uint8_t *ram;
static struct virtq queue;
static struct virtq_chain chain;
static struct virtq_descriptor *descriptor;
static struct virtq_avail *avail;
static struct virtq_used *used;
static uint64_t random_state = 13;

void nova_print(const char *format, ...)
{
    (void)format;
}

static uint64_t next(void)
{
    return tap_random(&random_state);
}

static void fresh(uint16_t size, bool event_index, bool indirect)
{
    memset(ram, 0, RAM);
    queue = (struct virtq){.size = size,
                           .descriptor_address = DESCRIPTORS,
                           .avail_address = AVAIL,
                           .used_address = USED,
                           .event_index = event_index,
                           .indirect = indirect};
    CHECK(virtq_enable(&queue));
}

static void set(struct virtq_descriptor *to, uint64_t address, uint32_t length, unsigned flags,
                unsigned follower)
{
    *to = (struct virtq_descriptor){address, length, (uint16_t)flags, (uint16_t)follower};
}

static void offer(unsigned head)
{
    avail->ring[avail->index % queue.size] = (uint16_t)head;
    __atomic_store_n(&avail->index, (uint16_t)(avail->index + 1), __ATOMIC_RELEASE);
}

static void test_enable(void)
{
    static const uint64_t bad[] = {RAM, RAM - 16, UINT64_MAX - 15, 0xfffffff0, 1UL << 63};

    for (unsigned size = 0; size <= 300; size++) {
        queue = (struct virtq){
            .size = (uint16_t)size, .descriptor_address = 0, .avail_address = 0x4000, .used_address = 0x8000};
        CHECK(virtq_enable(&queue) == (size == 1 || size == 2 || size == 4 || size == 8 || size == 16 ||
                                       size == 32 || size == 64 || size == 128));
    }
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned k = 0; k < 5; k++) {
            uint64_t at[3] = {0, 0x4000, 0x8000};

            at[i] = bad[k];
            queue = (struct virtq){
                .size = 128, .descriptor_address = at[0], .avail_address = at[1], .used_address = at[2]};
            CHECK(!virtq_enable(&queue) && !queue.enabled && !virtq_pop(&queue, &chain) &&
                  !virtq_rearm(&queue));
        }
        for (unsigned offset = 0; offset < 32; offset++) {
            uint64_t at[3] = {0, 0x4000, 0x8000};

            at[i] += offset;
            queue = (struct virtq){
                .size = 8, .descriptor_address = at[0], .avail_address = at[1], .used_address = at[2]};
            CHECK(virtq_enable(&queue) == (offset % (i == 0 ? 16 : i == 1 ? 2 : 4) == 0));
        }
    }
    /* The last byte of the event indices is still in memory. */
    queue = (struct virtq){
        .size = 8, .descriptor_address = RAM - 128, .avail_address = RAM - 22, .used_address = RAM - 72};
    CHECK(virtq_enable(&queue));
    queue.avail_address += 2;
    CHECK(!virtq_enable(&queue));
    queue.avail_address -= 2;
    queue.used_address += 4;
    CHECK(!virtq_enable(&queue));
    ok_checks("enabling: sizes, alignment and bounds of all three rings");
}

/* A random chain; what it consists of. */
static unsigned make_chain(unsigned head, struct virtq_part *part, unsigned *readable)
{
    unsigned count = 1 + (unsigned)next() % queue.size, out = (unsigned)next() % (count + 1);
    unsigned direct = queue.indirect && next() % 2 ? (unsigned)next() % count : count;
    struct virtq_descriptor *inner = (struct virtq_descriptor *)(ram + TABLE);

    for (unsigned i = 0; i < count; i++) {
        uint32_t bytes = (uint32_t)(next() % 5000);
        uint64_t address = 0x10000 + next() % (RAM - 0x10000 - bytes);
        unsigned flags = (i >= out ? VIRTQ_WRITE : 0) | (i + 1 < count ? VIRTQ_NEXT : 0),
                 here = (head + i) % queue.size;

        part[i] = (struct virtq_part){ram + address, bytes};
        if (i < direct)
            set(&descriptor[here], address, bytes, flags, (here + 1) % queue.size);
        else
            set(&inner[i - direct], address, bytes, flags, i - direct + 1);
        if (i == direct) {
            set(&descriptor[here], TABLE, (count - direct) * 16, VIRTQ_INDIRECT | (next() & VIRTQ_WRITE),
                (unsigned)next());
        }
    }
    *readable = out;
    return count;
}

static void test_chains(void)
{
    static struct virtq_part part[VIRTQ_MAX];

    for (unsigned i = 0; i < 100000; i++) {
        unsigned head, count, readable;
        uint64_t sum[2] = {0, 0};

        if (i % 10000 == 0)
            fresh((uint16_t)(1 << i / 10000 % 8), next() & 1, next() & 1);
        head = (unsigned)next() % queue.size;
        count = make_chain(head, part, &readable);
        CHECK(!virtq_pop(&queue, &chain) && !virtq_rearm(&queue));
        offer(head);
        CHECK(virtq_rearm(&queue) && virtq_pop(&queue, &chain));
        CHECK(chain.head == head && chain.parts == count && chain.readable_parts == readable);
        for (unsigned k = 0; k < count && k < chain.parts; k++) {
            CHECK(chain.part[k].base == part[k].base && chain.part[k].bytes == part[k].bytes);
            sum[k >= readable] += part[k].bytes;
        }
        CHECK(chain.readable == sum[0] && chain.writable == sum[1]);
        if (next() % 8 == 0) {
            virtq_unpop(&queue);
            CHECK(virtq_pop(&queue, &chain) && chain.head == head);
        }
        virtq_push(&queue, (uint16_t)head, i);
        CHECK(used->index == (uint16_t)(i % 10000 + 1));
        CHECK(used->ring[i % 10000 % queue.size].head == head &&
              used->ring[i % 10000 % queue.size].written == i);
    }
    ok_checks("chains: direct and indirect, of all lengths, are what the driver made");
}

static void test_copies(void)
{
    static uint8_t flat[8192], copy[8192];
    static struct virtq_part part[VIRTQ_MAX];

    for (unsigned round = 0; round < 2000; round++) {
        unsigned readable, count;
        uint64_t offset, total;
        size_t bytes = (size_t)(next() % sizeof(flat)), expected;

        fresh(8, false, true);
        for (uint64_t i = 0x10000; i < RAM; i++) {
            ram[i] = (uint8_t)(i * 31 >> 3);
            i += round % 16 ? 4096 : 0;
        }
        count = make_chain(0, part, &readable);
        offer(0);
        CHECK(virtq_pop(&queue, &chain) && chain.parts == count);
        offset = next() % 3000;
        total = 0;
        for (unsigned i = 0; i < readable; i++) {
            for (uint32_t k = 0; k < part[i].bytes && total < offset + bytes; k++, total++)
                if (total >= offset)
                    flat[total - offset] = part[i].base[k];
        }
        expected = total > offset ? total - offset : 0;
        CHECK(virtq_copy_from(&chain, offset, copy, bytes) == expected && !memcmp(flat, copy, expected));
        expected = chain.writable > offset ? chain.writable - offset : 0;
        CHECK(virtq_copy_to(&chain, offset, flat, bytes) == (expected < bytes ? expected : bytes));
        CHECK(virtq_at(&chain, true, chain.writable, &bytes) == NULL && bytes == 0);
        CHECK(virtq_at(&chain, false, UINT64_MAX, &bytes) == NULL && bytes == 0);
    }
    ok_checks("copies to and from chains: offsets, parts, ends");
}

/* The queue must be broken by this, and stay so. */
static void breaks(const char *what)
{
    uint64_t errors = machine_guest_errors();

    if (!CHECK(!virtq_pop(&queue, &chain) && queue.broken && machine_guest_errors() == errors + 1))
        printf("# %s\n", what);
    set(&descriptor[0], 0x10000, 10, 0, 0);
    CHECK(!virtq_pop(&queue, &chain) && !virtq_rearm(&queue) && used->index == 0);
}

static void test_nonsense(void)
{
    struct virtq_descriptor *inner = (struct virtq_descriptor *)(ram + TABLE);

    for (unsigned indirect = 0; indirect < 2; indirect++) {
        fresh(8, false, indirect);
        avail->index = 9;
        breaks("avail index too far");
        fresh(8, false, indirect);
        avail->index = 0xffff;
        breaks("avail index behind");
        for (unsigned head = 8; head < 0x10000; head += head < 20 ? 1 : 0x1555) {
            fresh(8, false, indirect);
            offer(head);
            breaks("head");
        }
        fresh(8, false, indirect);
        set(&descriptor[0], 0x10000, 10, VIRTQ_NEXT, 8);
        offer(0);
        breaks("next");
        fresh(8, false, indirect);
        set(&descriptor[0], 0x10000, 10, VIRTQ_NEXT, 0);
        offer(0);
        breaks("loop of one");
        fresh(8, false, indirect);
        for (unsigned i = 0; i < 8; i++)
            set(&descriptor[i], 0x10000, 10, VIRTQ_NEXT, (i + 1) % 8);
        offer(3);
        breaks("loop of all");
        fresh(8, false, indirect);
        set(&descriptor[0], 0x10000, 10, VIRTQ_NEXT | VIRTQ_WRITE, 1);
        set(&descriptor[1], 0x10000, 10, 0, 0);
        offer(0);
        breaks("readable behind writable");
        fresh(8, false, indirect);
        set(&descriptor[0], RAM - 9, 10, 0, 0);
        offer(0);
        breaks("beyond memory");
        fresh(8, false, indirect);
        set(&descriptor[0], UINT64_MAX - 4, 10, VIRTQ_WRITE, 0);
        offer(0);
        breaks("wraps");
        fresh(8, false, indirect);
        set(&descriptor[0], 0, UINT32_MAX, 0, 0);
        offer(0);
        breaks("too long");
    }
    fresh(8, false, false);
    set(&descriptor[0], TABLE, 16, VIRTQ_INDIRECT, 0);
    set(inner, 0x10000, 10, 0, 0);
    offer(0);
    breaks("indirect, not negotiated");
    for (unsigned i = 0; i < 6; i++) {
        static const struct virtq_descriptor bad[] = {{TABLE, 16, VIRTQ_INDIRECT | VIRTQ_NEXT, 1},
                                                      {TABLE, 0, VIRTQ_INDIRECT, 0},
                                                      {TABLE, 24, VIRTQ_INDIRECT, 0},
                                                      {TABLE, 9 * 16, VIRTQ_INDIRECT, 0},
                                                      {RAM - 8, 16, VIRTQ_INDIRECT, 0},
                                                      {TABLE, 0xfffffff0, VIRTQ_INDIRECT, 0}};

        fresh(8, false, true);
        set(inner, 0x10000, 10, 0, 0);
        descriptor[0] = bad[i];
        offer(0);
        breaks("indirect table");
    }
    fresh(8, false, true);
    set(&descriptor[0], TABLE, 32, VIRTQ_INDIRECT, 0);
    set(inner, 0x10000, 10, VIRTQ_NEXT, 2);
    offer(0);
    breaks("next in an indirect table");
    fresh(8, false, true);
    set(&descriptor[0], TABLE, 32, VIRTQ_INDIRECT, 0);
    set(inner, TABLE, 16, VIRTQ_INDIRECT, 0);
    offer(0);
    breaks("indirect in indirect");
    /* As long as the queue is fine, one more is not: a direct one and a full table. */
    fresh(8, false, true);
    set(&descriptor[0], 0x10000, 1, VIRTQ_NEXT, 1);
    set(&descriptor[1], TABLE, 8 * 16, VIRTQ_INDIRECT, 0);
    for (unsigned i = 0; i < 8; i++)
        set(&inner[i], 0x10000, 1, i < 7 ? VIRTQ_NEXT : 0, i + 1);
    offer(0);
    breaks("chain longer than the queue");
    fresh(8, false, true);
    set(&descriptor[0], TABLE, 8 * 16, VIRTQ_INDIRECT, 0);
    for (unsigned i = 0; i < 8; i++)
        set(&inner[i], 0x10000, 1, i < 7 ? VIRTQ_NEXT : 0, i + 1);
    offer(0);
    CHECK(virtq_pop(&queue, &chain) && chain.parts == 8);
    ok_checks("nonsense breaks the queue, and nothing is given back");
}

/* 2.7.10: an interrupt if the used index passes used_event. By the definition, for all distances around the wrap. */
static void test_event_index(void)
{
    for (unsigned start = 0xfff0; start < 0x10010; start += 3) {
        for (unsigned added = 0; added <= 8; added++) {
            for (unsigned distance = 0; distance < 24; distance++) {
                uint16_t event = (uint16_t)(start + distance - 8);
                bool passes = false;

                fresh(8, true, false);
                queue.done = queue.told = (uint16_t)start;
                avail->ring[8] = event;
                for (unsigned i = 0; i < added; i++) {
                    passes |= (uint16_t)(start + i) == event;
                    virtq_push(&queue, 0, 0);
                }
                CHECK(virtq_wants_interrupt(&queue) == passes);
                CHECK(!virtq_wants_interrupt(&queue));
            }
        }
    }
    fresh(8, false, false);
    avail->ring[8] = 0x1234;
    virtq_push(&queue, 0, 0);
    CHECK(virtq_wants_interrupt(&queue) && !virtq_wants_interrupt(&queue));
    avail->flags = VIRTQ_NO_INTERRUPT;
    virtq_push(&queue, 0, 0);
    CHECK(!virtq_wants_interrupt(&queue));
    /* What the driver is asked for. */
    fresh(8, true, false);
    queue.seen = avail->index = 0xffff;
    CHECK(!virtq_rearm(&queue) && *(uint16_t *)&used->ring[8] == 0xffff);
    fresh(8, false, false);
    CHECK(!virtq_rearm(&queue) && *(uint16_t *)&used->ring[8] == 0);
    ok_checks("event index and flags: an interrupt when the driver asked for it, once");
}

/* A driver and a device on two threads, with doorbells that count: each waits only when it has armed the other one. */
#define COUNT 300000U

static struct {
    unsigned to_device, to_driver; /* atomic */
} bell;

static void wait_for(unsigned *count)
{
    while (!__atomic_exchange_n(count, 0, __ATOMIC_SEQ_CST))
        sched_yield();
}

static void *device(void *argument)
{
    static struct virtq_chain mine;
    unsigned done = 0;

    (void)argument;
    while (done < COUNT) {
        while (virtq_pop(&queue, &mine)) {
            virtq_push(&queue, mine.head, done++);
            if (done % 3 == 0 && virtq_wants_interrupt(&queue))
                __atomic_add_fetch(&bell.to_driver, 1, __ATOMIC_SEQ_CST);
        }
        if (virtq_wants_interrupt(&queue))
            __atomic_add_fetch(&bell.to_driver, 1, __ATOMIC_SEQ_CST);
        if (!virtq_rearm(&queue) && done < COUNT)
            wait_for(&bell.to_device);
    }
    return NULL;
}

static void test_threads(void)
{
    uint16_t added = 0, seen = 0, told = 0;
    unsigned sent = 0, taken = 0, notified = 0;
    pthread_t thread;

    fresh(16, true, false);
    for (unsigned i = 0; i < 16; i++)
        set(&descriptor[i], 0x10000 + i, 1, VIRTQ_WRITE, 0);
    pthread_create(&thread, NULL, device, NULL);
    while (taken < COUNT) {
        uint16_t event;
        unsigned burst = 1 + (unsigned)next() % 16;

        while (sent < COUNT && sent - taken < 16 && burst--) {
            __atomic_store_n(&avail->ring[added % 16], (uint16_t)(added % 16), __ATOMIC_RELAXED);
            __atomic_store_n(&avail->index, ++added, __ATOMIC_SEQ_CST);
            sent++;
        }
        event = __atomic_load_n((uint16_t *)&used->ring[16], __ATOMIC_SEQ_CST);
        if ((uint16_t)(added - event - 1) < (uint16_t)(added - told)) {
            __atomic_add_fetch(&bell.to_device, 1, __ATOMIC_SEQ_CST);
            notified++;
        }
        told = added;
        while (__atomic_load_n(&used->index, __ATOMIC_ACQUIRE) != seen) {
            CHECK(used->ring[seen % 16].written == taken);
            seen++;
            taken++;
        }
        if (taken == COUNT || (sent < COUNT && sent - taken < 16))
            continue;
        __atomic_store_n(&avail->ring[16], seen, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&used->index, __ATOMIC_SEQ_CST) == seen)
            wait_for(&bell.to_driver);
    }
    pthread_join(thread, NULL);
    CHECK(taken == COUNT && notified > 0 && notified <= COUNT);
    ok_checks("driver and device on two threads: no notification is lost");
}

/* Memory that changes under the device's hands: whatever comes out lies within memory. */
static bool stop; /* atomic */

static void *scribble(void *argument)
{
    uint64_t state = 77;

    (void)argument;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        uint64_t random = tap_random(&state);
        uint64_t *word = (uint64_t *)(ram + (random & 1 ? DESCRIPTORS : TABLE)) + (random >> 8) % 64;
        static const uint64_t some[] = {0x10000, RAM - 8, RAM, UINT64_MAX, TABLE};
        uint64_t flags = (random >> 16 & 7) << 32 | ((random >> 20 & 15) << 48) | ((random >> 30 & 15) * 16);

        __atomic_store_n(word, random & 2 ? flags : some[(random >> 40) % 5], __ATOMIC_RELAXED);
    }
    return NULL;
}

static void test_changing_memory(void)
{
    unsigned good = 0, bad = 0;
    pthread_t thread;

    fresh(16, true, true);
    pthread_create(&thread, NULL, scribble, NULL);
    for (unsigned i = 0; i < 300000; i++) {
        offer((unsigned)next() % 17);
        if (virtq_pop(&queue, &chain)) {
            uint64_t sum = 0;

            good++;
            CHECK(chain.parts <= 16 && chain.readable_parts <= chain.parts);
            for (unsigned k = 0; k < chain.parts; k++) {
                CHECK(chain.part[k].base >= ram && chain.part[k].base + chain.part[k].bytes <= ram + RAM);
                sum += chain.part[k].bytes;
            }
            CHECK(sum == chain.readable + chain.writable);
        } else {
            bad++;
            CHECK(queue.broken);
            avail->index = 0;
            CHECK(virtq_enable(&queue));
        }
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    CHECK(good > 1000 && bad > 1000);
    ok_checks("rings that change meanwhile: %u chains, %u broken queues, all within memory", good, bad);
}

int main(void)
{
    alarm(300); /* a lost notification would be waited for */
    ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ram == MAP_FAILED)
        return 1;
    ram_init(ram, RAM);
    descriptor = (struct virtq_descriptor *)(ram + DESCRIPTORS);
    avail = (struct virtq_avail *)(ram + AVAIL);
    used = (struct virtq_used *)(ram + USED);
    test_enable();
    test_chains();
    test_copies();
    test_nonsense();
    test_event_index();
    test_threads();
    test_changing_memory();
    return tap_done();
}
