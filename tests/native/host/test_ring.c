/*
 * Rings: both sides against each other, and each one against garbage.
 *
 * Sources: libnova/src/ring.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "tap.h"

#include <nova/error.h>
#include <nova/ring.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER 65536U

static uint64_t seed = 88172645463325252UL;

static uint32_t rnd(uint32_t n)
{
    return (uint32_t)(tap_random(&seed) % n);
}

struct pair {
    void *memory;
    struct nova_ring ring;
    struct nova_ring_slot *slot;
    struct nova_ring_driver driver;
    struct nova_ring_device device;
    unsigned size;
};

static void make(struct pair *p, unsigned size)
{
    p->size = size;
    p->memory = aligned_alloc(16, nova_ring_bytes(size));
    memset(p->memory, 0xa5, nova_ring_bytes(size));
    nova_ring_layout(&p->ring, p->memory, size);
    p->slot = malloc(size * sizeof(*p->slot));
    nova_ring_driver_init(&p->driver, &p->ring, p->slot);
    nova_ring_device_init(&p->device, &p->ring, BUFFER);
}

static void drop(struct pair *p)
{
    free(p->memory);
    free(p->slot);
}

/* The free list has as many entries as it says, each once. */
static bool consistent(const struct pair *p)
{
    bool seen[NOVA_RING_MAX] = {false};
    uint16_t at = p->driver.free;

    for (unsigned i = 0; i < p->driver.free_count; i++) {
        if (at >= p->size || seen[at])
            return false;
        seen[at] = true;
        at = p->slot[at].next;
    }
    return p->driver.free_count <= p->size;
}

static unsigned make_chain(struct nova_ring_piece *piece, unsigned max)
{
    unsigned n = 1 + rnd(max), writable = rnd(n + 1);

    for (unsigned i = 0; i < n; i++)
        piece[i] = (struct nova_ring_piece){rnd(BUFFER / 2), rnd(1000), i >= writable};
    return n;
}

/* Random traffic; the model is a queue of what was added. */
static void traffic(unsigned size)
{
    static struct {
        struct nova_ring_piece piece[16];
        unsigned n;
    } sent[65536];
    struct nova_ring_piece piece[16], got[16];
    unsigned added = 0, taken = 0, back = 0;
    uint16_t held[NOVA_RING_MAX];
    uint32_t held_number[NOVA_RING_MAX], length;
    unsigned held_count = 0;
    uint64_t token;
    struct pair p;

    make(&p, size);
    for (unsigned step = 0; step < 200000; step++) {
        switch (rnd(4)) {
        case 0:
            if (added < 65536) {
                unsigned n = make_chain(piece, size < 8 ? size : 8);
                int error = nova_ring_driver_add(&p.driver, piece, n, added);
                CHECK(!error || (error == NOVA_ERR_BUSY && p.driver.free_count < n));
                if (!error) {
                    memcpy(sent[added].piece, piece, sizeof(piece));
                    sent[added++].n = n;
                }
                nova_ring_driver_kick(&p.driver);
            }
            break;
        case 1: {
            int n = nova_ring_device_get(&p.device, &held[held_count], got, 16);
            CHECK(n >= 0 && (n > 0) == (taken < added));
            if (n > 0) {
                CHECK((unsigned)n == sent[taken].n);
                for (int i = 0; i < n; i++)
                    CHECK(got[i].address == sent[taken].piece[i].address &&
                          got[i].length == sent[taken].piece[i].length &&
                          !got[i].write == !sent[taken].piece[i].write);
                held_number[held_count++] = taken++;
            }
            break;
        }
        case 2:
            if (held_count) { /* in any order */
                unsigned i = rnd(held_count);
                nova_ring_device_put(&p.device, held[i], held_number[i] % 3 ? 0 : UINT32_MAX);
                nova_ring_device_signal(&p.device);
                held[i] = held[--held_count];
                held_number[i] = held_number[held_count];
            }
            break;
        default:
            if (nova_ring_driver_get(&p.driver, &token, &length) == 1) {
                uint32_t writable = 0;
                CHECK(token < taken);
                for (unsigned i = 0; i < sent[token].n; i++)
                    writable += sent[token].piece[i].write ? sent[token].piece[i].length : 0;
                CHECK(length == (token % 3 ? 0 : writable));
                back++;
            }
        }
        if (step % 64 == 0)
            CHECK(consistent(&p));
    }
    CHECK(back + held_count + (added - taken) + 1024 >= added);
    drop(&p);
}

/* One side writes garbage into everything that is shared, over and over. */
static void hostile(unsigned size, bool driver_is_hostile)
{
    struct nova_ring_piece piece[8], got[NOVA_RING_MAX];
    uint32_t length;
    uint64_t token;
    uint16_t head;
    struct pair p;

    for (unsigned round = 0; round < 400; round++) {
        unsigned out = 0;
        make(&p, size);
        for (unsigned step = 0; step < 200; step++) {
            for (unsigned i = rnd(8); i; i--)
                ((unsigned char *)p.memory)[rnd((uint32_t)nova_ring_bytes(size))] = (unsigned char)rnd(256);
            if (rnd(2))
                p.ring.avail->idx =
                    driver_is_hostile ? (uint16_t)(p.device.avail + rnd(size + 2)) : p.ring.avail->idx;
            if (rnd(2) && !driver_is_hostile)
                p.ring.used->idx = (uint16_t)(p.driver.used + rnd(size + 2));
            if (driver_is_hostile) {
                int n = nova_ring_device_get(&p.device, &head, got, 1 + rnd(size));
                bool was_broken = p.device.broken;
                CHECK(n >= NOVA_ERR_PROTOCOL && n <= (int)size && (n < 0) == was_broken);
                for (int i = 0; i < n; i++)
                    CHECK(got[i].address <= BUFFER && got[i].length <= BUFFER - got[i].address &&
                          (!i || got[i].write || !got[i - 1].write));
                if (n > 0) {
                    CHECK(head < size);
                    nova_ring_device_put(&p.device, head, 1);
                }
                nova_ring_device_signal(&p.device);
                nova_ring_device_sleep(&p.device);
            } else {
                int n = nova_ring_driver_get(&p.driver, &token, &length);
                CHECK(n == 0 || n == 1 || n == NOVA_ERR_PROTOCOL);
                if (n == 1) {
                    CHECK(token == 77 && length <= 8000 && out);
                    out--;
                }
                out += !nova_ring_driver_add(&p.driver, piece, make_chain(piece, size < 8 ? size : 8), 77);
                nova_ring_driver_kick(&p.driver);
                nova_ring_driver_sleep(&p.driver);
                CHECK(consistent(&p));
            }
        }
        drop(&p);
    }
}

static void special(void)
{
    struct nova_ring_piece piece[8] = {{.address = 1, .length = 2}}, got[8];
    struct nova_ring ring;
    uint16_t head;
    struct pair p;
    char odd[64];

    ok(!nova_ring_bytes(0) && !nova_ring_bytes(3) && !nova_ring_bytes(2048) && nova_ring_bytes(1024) &&
           nova_ring_layout(&ring, odd + 1, 4) == NOVA_ERR_INVAL,
       "sizes that are not possible");
    make(&p, 8);
    ok(nova_ring_driver_add(&p.driver, piece, 0, 0) == NOVA_ERR_INVAL &&
           nova_ring_driver_add(&p.driver, piece, 9, 0) == NOVA_ERR_BUSY,
       "chains of 0 and of 9 pieces");
    piece[0].write = 1;
    ok(nova_ring_driver_add(&p.driver, piece, 2, 0) == NOVA_ERR_INVAL,
       "a readable piece behind a writable one");
    piece[0] = piece[1] = (struct nova_ring_piece){0, UINT32_MAX, 1};
    ok(nova_ring_driver_add(&p.driver, piece, 2, 0) == NOVA_ERR_INVAL, "a chain of more than 4 GiB");
    piece[0] = (struct nova_ring_piece){1, 2, 0};
    nova_ring_driver_add(&p.driver, piece, 1, 0);
    nova_ring_driver_kick(&p.driver);
    p.ring.desc[0] = (struct nova_ring_desc){1, 1, NOVA_RING_NEXT, 0};
    ok(nova_ring_device_get(&p.device, &head, got, 8) == NOVA_ERR_PROTOCOL && p.device.broken, "a loop");
    p.ring.desc[0].flags = 0;
    ok(nova_ring_device_get(&p.device, &head, got, 8) == NOVA_ERR_PROTOCOL, "a broken ring stays broken");
    nova_ring_device_init(&p.device, &p.ring, BUFFER);
    p.ring.desc[0].flags = NOVA_RING_INDIRECT;
    ok(nova_ring_device_get(&p.device, &head, got, 8) == NOVA_ERR_PROTOCOL, "an indirect table");
    nova_ring_device_init(&p.device, &p.ring, BUFFER);
    p.ring.desc[0] = (struct nova_ring_desc){UINT64_MAX - 1, 4, 0, 0};
    ok(nova_ring_device_get(&p.device, &head, got, 8) == NOVA_ERR_PROTOCOL, "an address that wraps around");
    drop(&p);
}

/* Bells are rung exactly as often as needed: nobody sleeps for ever, with the two sides on two threads. */
static unsigned bells;
static uint32_t driver_bell, device_bell;

static void *device_thread(void *context)
{
    struct pair *p = context;
    struct nova_ring_piece piece[8];
    unsigned done = 0;
    uint16_t head;

    while (done < 20000) {
        if (nova_ring_device_get(&p->device, &head, piece, 8) > 0) {
            nova_ring_device_put(&p->device, head, 0);
            done++;
            if (nova_ring_device_signal(&p->device))
                __atomic_store_n(&driver_bell, 1, __ATOMIC_SEQ_CST);
        } else if (nova_ring_device_sleep(&p->device)) {
            while (!__atomic_exchange_n(&device_bell, 0, __ATOMIC_SEQ_CST))
                sched_yield();
        }
    }
    return NULL;
}

static void threads(void)
{
    struct nova_ring_piece piece = {0, 1, 0};
    unsigned sent = 0, back = 0;
    pthread_t thread;
    uint32_t length;
    uint64_t token;
    struct pair p;

    make(&p, 16);
    pthread_create(&thread, NULL, device_thread, &p);
    while (back < 20000) {
        if (sent < 20000 && !nova_ring_driver_add(&p.driver, &piece, 1, sent)) {
            sent++;
            if (nova_ring_driver_kick(&p.driver)) {
                bells++;
                __atomic_store_n(&device_bell, 1, __ATOMIC_SEQ_CST);
            }
        } else if (nova_ring_driver_get(&p.driver, &token, &length) == 1) {
            CHECK(token == back);
            back++;
        } else if (nova_ring_driver_sleep(&p.driver)) {
            while (!__atomic_exchange_n(&driver_bell, 0, __ATOMIC_SEQ_CST))
                sched_yield();
        }
    }
    pthread_join(thread, NULL);
    ok_checks("20000 buffers between two threads, %u bells", bells);
    drop(&p);
}

int main(void)
{
    special();
    for (unsigned size = 1; size <= 256; size *= 4) {
        traffic(size);
        ok_checks("random traffic, %u descriptors", size);
        hostile(size, true);
        ok_checks("a hostile driver, %u descriptors", size);
        hostile(size, false);
        ok_checks("a hostile device, %u descriptors", size);
    }
    threads();
    return tap_done();
}
