/*
 * Port I/O and MSR spaces: a delegation gives what the source has and the mask leaves, for exactly the
 * selectors named, whatever the order; MSRs outside of the windows never get a bit. All this with the bitmaps
 * of VMX and of SVM, for every port and MSR; and the NOVA MSR space permits what the specification says.
 *
 * Sources: core/space_bitmap.c mem/pool.c virt/msr.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/space.h"
#include "core/switch.h"
#include "nova/abi/cap.h"
#include "nova/abi/hypercall.h"
#include "nova/abi/hip.h"
#include "tap.h"
#include "virt/virt.h"

#include <stdlib.h>
#include <string.h>

#define PAGES 64UL
#define MSRS_MAX 0x6000U
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
static uint8_t pio_model[2][PIO_SELECTORS], msr_model[2][MSRS_MAX];
static struct space_bitmap pio[2];
static struct space_bitmap msr[2];

static const struct virt_ops svm = {.feature = NOVA_FEATURE_SVM}, vmx = {.feature = NOVA_FEATURE_VMX};
const struct virt_ops *virt;
static bool is_svm;
static unsigned msrs; /* that have a bit */

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

/* The nth MSR that has a bit. */
static uint64_t msr_number(unsigned n)
{
    return n < 0x2000 ? n : n < 0x4000 ? 0xc0000000UL + n - 0x2000 : 0xc0010000UL + n - 0x4000;
}

/*
 * Where the bits of the nth one are. VMX (Intel SDM volume 3, 25.6.9): byte offsets 0 read low, 0x400 read high, 0x800
 * write low, 0xc00 write high. SVM (AMD64 manual volume 2, 15.11): from 0, 0x800 and 0x1000 on, four MSRs in a
 * byte, read before write.
 */
static void msr_place(unsigned n, unsigned *byte, unsigned *bit, bool write)
{
    if (is_svm) {
        *byte = n / 0x2000 * 0x800 + n % 0x2000 / 4;
        *bit = n % 4 * 2 + (write ? 1 : 0);
    } else {
        *byte = (write ? 0x800U : 0) + (n < 0x2000 ? 0 : 0x400U) + n % 0x2000 / 8;
        *bit = n % 8;
    }
}

static unsigned msr_perms(const uint8_t *bitmap, unsigned n)
{
    unsigned perms = 0;

    for (unsigned write = 0; write < 2; write++) {
        unsigned byte, bit;
        msr_place(n, &byte, &bit, write == 1);
        if (!(bitmap[byte] >> bit & 1)) {
            perms |= write ? NOVA_MSR_W : NOVA_MSR_R;
        }
    }
    return perms;
}

static bool msr_equal(unsigned space)
{
    for (unsigned n = 0; n < msrs; n++) {
        unsigned perms = msr_perms(msr[space].bitmap, n);
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
    for (unsigned n = 0; n < msrs; n++) {
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
        CHECK(bitmap_create(&pio[i].space) == NOVA_SUCCESS && bitmap_create(&msr[i].space) == NOVA_SUCCESS);
        CHECK(pio_equal(i) && msr_equal(i)); /* nothing is allowed */
        CHECK(phys_of(pio[i].bitmap) % (2 * PAGE_SIZE) == 0 && phys_of(msr[i].bitmap) % PAGE_SIZE == 0);
        /* What SVM reads behind the last port denies, too. */
        CHECK(!is_svm || (pio[i].bitmap[0x2000] == 0xff && pio[i].bitmap[0x2fff] == 0xff));
    }
    CHECK(pd.account.used == (is_svm ? 10 : 6));
}

static void destroy(void)
{
    for (unsigned i = 0; i < 2; i++) {
        bitmap_destroy(&pio[i].space);
        bitmap_destroy(&msr[i].space);
    }
    CHECK(pd.account.used == 0 && pool_free() == pool_size());
}

static void test_memory(void)
{
    create();
    destroy();
    pd.account.limit = is_svm ? 2 : 1;
    CHECK(bitmap_create(&pio[0].space) == NOVA_MEM_OBJ && bitmap_create(&msr[0].space) == NOVA_SUCCESS);
    CHECK(bitmap_create(&msr[1].space) == NOVA_MEM_OBJ && pd.account.used == (is_svm ? 2 : 1));
    bitmap_destroy(&msr[0].space);
    CHECK(pd.account.used == 0);
    pd.account.limit = PAGES;
    ok_checks("spaces begin without any permission, and cost %s", is_svm ? "3 pages and 2" : "2 pages and 1");
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
    for (unsigned n = 0; n < msrs; n++) {
        uint8_t perms = (uint8_t)(tap_random(&random_state) & 3);
        msr_model[space][n] = perms;
        for (unsigned write = 0; write < 2; write++) {
            unsigned byte, bit;
            msr_place(n, &byte, &bit, write == 1);
            msr[space].bitmap[byte] &= (uint8_t) ~(1U << bit);
            msr[space].bitmap[byte] |= (uint8_t)((perms >> write & 1 ? 0U : 1U) << bit);
        }
    }
}

static void test_each_msr(void)
{
    create();
    for (unsigned pmm = 0; pmm < 4; pmm++) {
        fill_msr(0);
        CHECK(msr_equal(0));
        for (unsigned n = 0; n < msrs; n++) {
            CHECK(bitmap_delegate(&msr[0], &msr[1], msr_number(n), 0, pmm) == NOVA_SUCCESS);
            msr_model[1][n] = (uint8_t)(msr_model[0][n] & pmm);
            if (n % 97 == 0) {
                CHECK(msr_equal(1));
            }
        }
        CHECK(msr_equal(0) && msr_equal(1));
    }
    ok_checks("each MSR of all windows by itself");

    static const uint64_t outside[] = {0x2000,     0x4000,     0x10000,    0x40000000, 0xbfffe000, 0xbfffffff,
                                       0xc0002000, 0xc0004000, 0xc0012000, 0xdfffffff, 0xfffffffe, 0xffffffff};
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
        uint64_t r = tap_random(&random_state), base = (r >> 32 & 0xc0013fff) >> ord << ord;
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

/* Specification, 8.2.3, and doc/abi-conformance.md: EFER and PAT not with SVM, CSTAR only with it. */
static unsigned allowed(uint64_t number)
{
    switch (number) {
    case 0x174 ... 0x176:
    case 0xc0000100 ... 0xc0000102:
        return NOVA_MSR_R | NOVA_MSR_W;
    case 0x277:
    case 0xc0000080:
        return is_svm ? 0 : NOVA_MSR_R | NOVA_MSR_W;
    case 0xc0000083:
        return is_svm ? NOVA_MSR_R | NOVA_MSR_W : 0;
    case 0x49:
    case 0x10b:
        return NOVA_MSR_W;
    case 0x10:
    case 0x17:
    case 0x8b ... 0x8f:
    case 0xcf:
    case 0xe7:
    case 0xe8:
    case 0xfe:
    case 0x10a:
    case 0x123:
    case 0x195:
    case 0x198:
    case 0x19c:
    case 0x1b1:
    case 0x500:
    case 0xda0:
    case 0xc0000081:
    case 0xc0000082:
    case 0xc0000084:
    case 0xc0000103:
        return NOVA_MSR_R;
    default:
        return 0;
    }
}

static void test_allowed(void)
{
    create();
    msr_allow(&msr[0]);
    for (unsigned n = 0; n < msrs; n++) {
        CHECK(msr_perms(msr[0].bitmap, n) == allowed(msr_number(n)));
    }
    ok_checks("the NOVA MSR space permits what the specification says");
    for (unsigned ord = 0; ord < 2; ord++) {
        CHECK(bitmap_delegate(&msr[0], &msr[1], 0, 31, 3) == NOVA_SUCCESS);
        CHECK(bitmap_delegate(&msr[0], &msr[1], 1UL << 31, 31, 3) == NOVA_SUCCESS);
    }
    for (unsigned n = 0; n < msrs; n++) {
        CHECK(msr_perms(msr[1].bitmap, n) == allowed(msr_number(n)));
    }
    destroy();
    ok_checks("and so does one that everything is delegated to");
}

static void test_all(const struct virt_ops *kind, const struct bitmap_layout *layout)
{
    virt = kind;
    is_svm = kind == &svm;
    msrs = is_svm ? 0x6000 : 0x4000;
    bitmap_layout = *layout;
    printf("# %s\n", is_svm ? "SVM" : kind ? "VMX" : "no virtualization");
    test_memory();
    test_pio();
    test_each_msr();
    test_msr_ranges();
    test_allowed();
}

int main(void)
{
    void *memory = aligned_alloc(PAGE_SIZE, PAGES * PAGE_SIZE);
    const struct bitmap_layout layout = bitmap_layout;

    if (!memory) {
        abort();
    }
    kernel_delta = (uint64_t)(uintptr_t)memory - 0x1000000;
    pool_init(memory, PAGES * PAGE_SIZE);
    test_all(0, &layout);
    test_all(&vmx, &layout);
    test_all(&svm, &bitmap_layout_svm);
    free(memory);
    return tap_done();
}
