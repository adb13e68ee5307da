/*
 * Port I/O and MSR spaces: a delegation gives what the source has and the mask leaves, for exactly the
 * selectors named, whatever the order; MSRs outside of the two windows never get a bit.
 *
 * Sources: core/space_bitmap.c mem/pool.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/space.h"
#include "core/switch.h"
#include "nova/abi/cap.h"
#include "nova/abi/hypercall.h"
#include "tap.h"

#include <stdlib.h>
#include <string.h>

#define PAGES 64UL
#define MSRS 0x4000U /* in both windows */
#define ROUNDS 3000

uint64_t kernel_delta;

static const struct space_bitmap *changed;
static unsigned changes;

void switch_io_changed(const struct space_bitmap *pio)
{
    changed = pio;
    changes++;
}

static uint64_t random_state = 1;
static struct pd pd = {.account.limit = PAGES};

/* One byte a selector: permissions. */
static uint8_t pio_model[2][PIO_SELECTORS], msr_model[2][MSRS];
static struct space_bitmap pio[2];
static struct space_bitmap msr[2];

static bool bit_set(const uint8_t *bitmap, uint64_t bit)
{
    return bitmap[bit / 8] >> bit % 8 & 1;
}

static bool pio_equal(unsigned space)
{
    for (uint64_t port = 0; port < PIO_SELECTORS; port++) {
        if (bit_set(pio[space].bitmap, port) == pio_model[space][port]) {
            printf("# space %u, port %#lx\n", space, port);
            return false;
        }
    }
    return true;
}

/* The nth MSR that there is. */
static uint64_t msr_number(unsigned n)
{
    return n < 0x2000 ? n : 0xc0000000UL + n - 0x2000;
}

/* Intel SDM volume 3, 25.6.9: byte offsets 0 read low, 0x400 read high, 0x800 write low, 0xc00 write high. */
static bool msr_equal(unsigned space)
{
    for (unsigned n = 0; n < MSRS; n++) {
        const uint8_t *read = msr[space].bitmap + (n < 0x2000 ? 0 : 0x400), *write = read + 0x800;
        unsigned perms =
            (bit_set(read, n % 0x2000) ? 0U : NOVA_MSR_R) | (bit_set(write, n % 0x2000) ? 0U : NOVA_MSR_W);
        if (perms != msr_model[space][n]) {
            printf("# space %u, MSR %#lx: %u\n", space, msr_number(n), perms);
            return false;
        }
    }
    return true;
}

static void pio_step(unsigned src, unsigned dst, uint64_t base, unsigned ord, unsigned pmm)
{
    bool granted = pio[dst].granted, other = pio[!dst].granted;

    CHECK(bitmap_delegate(&pio[src], &pio[dst], base, ord, pmm) == NOVA_SUCCESS);
    for (uint64_t port = base; port < base + BIT(ord); port++) {
        pio_model[dst][port] = pmm & NOVA_PIO_A && pio_model[src][port];
    }
    CHECK(pio[dst].granted == (memchr(pio_model[dst], 1, PIO_SELECTORS) != NULL) &&
          pio[!dst].granted == other);
    CHECK(changes == (granted != pio[dst].granted) && (!changes || changed == &pio[dst]));
    changes = 0;
}

static void msr_step(unsigned src, unsigned dst, uint64_t base, unsigned ord, unsigned pmm)
{
    CHECK(bitmap_delegate(&msr[src], &msr[dst], base, ord, pmm) == NOVA_SUCCESS);
    for (unsigned n = 0; n < MSRS; n++) {
        if (msr_number(n) >= base && msr_number(n) < base + BIT(ord)) {
            msr_model[dst][n] = msr_model[src][n] & pmm & (NOVA_MSR_R | NOVA_MSR_W);
        }
    }
}

static void create(void)
{
    memset(pio_model, 0, sizeof(pio_model));
    memset(msr_model, 0, sizeof(msr_model));
    for (unsigned i = 0; i < 2; i++) {
        pio[i] = (struct space_bitmap){.space.object = {.type = OBJECT_PIO, .pd = &pd}};
        msr[i] = (struct space_bitmap){.space.object = {.type = OBJECT_MSR, .pd = &pd}};
        CHECK(bitmap_create(&pio[i]) == NOVA_SUCCESS && bitmap_create(&msr[i]) == NOVA_SUCCESS);
        CHECK(pio_equal(i) && msr_equal(i)); /* nothing is allowed */
        CHECK(phys_of(pio[i].bitmap) % (2 * PAGE_SIZE) == 0);
    }
    CHECK(pd.account.used == 6);
}

static void destroy(void)
{
    for (unsigned i = 0; i < 2; i++) {
        bitmap_destroy(&pio[i]);
        bitmap_destroy(&msr[i]);
    }
    CHECK(pd.account.used == 0 && pool_free() == pool_size());
}

static void test_memory(void)
{
    create();
    destroy();
    pd.account.limit = 1;
    CHECK(bitmap_create(&pio[0]) == NOVA_MEM_OBJ && bitmap_create(&msr[0]) == NOVA_SUCCESS);
    CHECK(bitmap_create(&msr[1]) == NOVA_MEM_OBJ && pd.account.used == 1);
    bitmap_destroy(&msr[0]);
    CHECK(pd.account.used == 0);
    pd.account.limit = PAGES;
    ok_checks("spaces begin without any permission, and cost 2 pages and 1");
}

/* Sources as varied as a boot leaves them: some ports denied here and there. */
static void fill_pio(unsigned space)
{
    memset(pio[space].bitmap, 0, PIO_SELECTORS / 8);
    memset(pio_model[space], 1, PIO_SELECTORS);
    for (unsigned i = 0; i < 3000; i++) {
        uint64_t port = tap_random(&random_state) % PIO_SELECTORS;
        pio[space].bitmap[port / 8] |= (uint8_t)(1U << port % 8);
        pio_model[space][port] = 0;
    }
}

static void test_pio(void)
{
    create();
    CHECK(!pio[0].granted && !pio[1].granted);
    pio_step(0, 1, 0, 16, 0x1e);
    CHECK(!pio[1].granted && pio_equal(1));
    /* CPUs are told when the first port comes and the last one goes. */
    for (uint64_t port = 0; port < PIO_SELECTORS; port += 61) {
        fill_pio(0);
        pio[0].bitmap[port / 8] = 0;
        memset(&pio_model[0][port & ~7UL], 1, 8);
        pio_step(0, 1, port, 0, NOVA_PIO_A);
        CHECK(pio[1].granted && pio_equal(1));
        pio_step(0, 1, port, 0, 0);
        CHECK(!pio[1].granted && pio_equal(1));
    }
    fill_pio(0);
    for (unsigned ord = 0; ord <= 16; ord++) {
        for (unsigned pmm = 0; pmm < 32; pmm++) {
            uint64_t last = (PIO_SELECTORS >> ord) - 1;
            pio_step(0, 1, (tap_random(&random_state) & last) << ord, ord, pmm | NOVA_PIO_A);
            pio_step(0, 1, last << ord, ord, pmm);
        }
        CHECK(pio_equal(0) && pio_equal(1));
    }
    ok_checks("ports: each order with each permission mask");

    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned ord = (unsigned)(tap_random(&random_state) % 17);
        uint64_t r = tap_random(&random_state);
        if (round % 50 == 0) {
            fill_pio(0);
        }
        pio_step(r & 1, r >> 1 & 1, r >> 32 & (PIO_SELECTORS - 1) & ~(BIT(ord) - 1), ord, r >> 8 & 31);
        CHECK(pio_equal(r >> 1 & 1));
    }
    CHECK(pio_equal(0) && pio_equal(1));
    destroy();
    ok_checks("ports: %u random delegations, both ways and within one space", ROUNDS);
}

static void fill_msr(unsigned space)
{
    for (unsigned n = 0; n < MSRS; n++) {
        uint8_t perms = (uint8_t)(tap_random(&random_state) & 3);
        uint8_t *read = msr[space].bitmap + (n < 0x2000 ? 0 : 0x400) + n % 0x2000 / 8, *write = read + 0x800;
        uint8_t bit = (uint8_t)(1U << n % 8);
        msr_model[space][n] = perms;
        *read = (uint8_t)(perms & NOVA_MSR_R ? *read & ~bit : *read | bit);
        *write = (uint8_t)(perms & NOVA_MSR_W ? *write & ~bit : *write | bit);
    }
}

static void test_each_msr(void)
{
    create();
    for (unsigned pmm = 0; pmm < 4; pmm++) {
        fill_msr(0);
        CHECK(msr_equal(0));
        for (unsigned n = 0; n < MSRS; n++) {
            CHECK(bitmap_delegate(&msr[0], &msr[1], msr_number(n), 0, pmm) == NOVA_SUCCESS);
            msr_model[1][n] = (uint8_t)(msr_model[0][n] & pmm);
            if (n % 97 == 0) {
                CHECK(msr_equal(1));
            }
        }
        CHECK(msr_equal(0) && msr_equal(1));
    }
    ok_checks("each MSR of both windows by itself");

    static const uint64_t outside[] = {0x2000,     0x4000,     0x10000,    0x40000000, 0xbfffe000, 0xbfffffff,
                                       0xc0002000, 0xc0004000, 0xdfffffff, 0xfffffffe, 0xffffffff};
    fill_msr(0);
    for (unsigned i = 0; i < ARRAY_SIZE(outside); i++) {
        for (unsigned ord = 0; ord < 32 && !(outside[i] & (BIT(ord) - 1)); ord++) {
            msr_step(0, 1, outside[i], ord, i % 4);
            CHECK(msr_equal(1));
        }
    }
    CHECK(msr_equal(0));
    ok_checks("selectors around and far from the windows");
}

static void test_msr_ranges(void)
{
    for (unsigned ord = 0; ord < 32; ord++) {
        for (unsigned pmm = 0; pmm < 32; pmm++) {
            uint64_t last = (1UL << 32 >> ord) - 1;
            fill_msr(0);
            msr_step(0, 1, (0xc0000000 >> ord) << ord, ord, pmm);
            msr_step(0, 1, 0, ord, pmm ^ 1);
            msr_step(0, 1, last << ord, ord, pmm);
            msr_step(0, 1, (tap_random(&random_state) & last) << ord, ord, pmm);
            CHECK(msr_equal(1));
        }
    }
    ok_checks("MSRs: each order with each permission mask, 2^31 included");

    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned ord = (unsigned)(tap_random(&random_state) % 32);
        uint64_t r = tap_random(&random_state), base = (r >> 32 & 0xc0003fff) >> ord << ord;
        if (round % 50 == 0) {
            fill_msr(0);
        }
        msr_step(r & 1, r >> 1 & 1, base, ord, r >> 8 & 31);
        CHECK(msr_equal(r >> 1 & 1));
    }
    CHECK(msr_equal(0) && msr_equal(1));
    destroy();
    ok_checks("MSRs: %u random delegations, both ways and within one space", ROUNDS);
}

int main(void)
{
    void *memory = aligned_alloc(PAGE_SIZE, PAGES * PAGE_SIZE);

    if (!memory) {
        abort();
    }
    kernel_delta = (uint64_t)(uintptr_t)memory - 0x1000000;
    pool_init(memory, PAGES * PAGE_SIZE);
    test_memory();
    test_pio();
    test_each_msr();
    test_msr_ranges();
    free(memory);
    return tap_done();
}
