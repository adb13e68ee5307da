/*
 * Port I/O and MSR spaces: bitmaps in which a 1 denies, as the hardware wants them.
 *
 * Updates set or clear single bits atomically, so that another space can be read without its lock.
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/switch.h"
#include "lib/string.h"

struct bitmap_layout bitmap_layout = {2, 1, 2, 0x2000, 1, 0x4000}; /* as VMX wants it */
const struct bitmap_layout bitmap_layout_svm = {3, 2, 3, 0x4000, 2, 1};

static void set_bit(uint8_t *bitmap, uint64_t bit, bool permit)
{
    uint8_t mask = (uint8_t)(1U << bit % 8);

    if (permit)
        __atomic_fetch_and(&bitmap[bit / 8], (uint8_t)~mask, __ATOMIC_RELAXED);
    else
        __atomic_fetch_or(&bitmap[bit / 8], mask, __ATOMIC_RELAXED);
}

/* Permits what `src` permits, or nothing. */
static void copy_bit(struct space_bitmap *src, struct space_bitmap *dst, uint64_t bit, bool permit)
{
    set_bit(dst->bitmap, bit, permit && !(READ_ONCE(src->bitmap[bit / 8]) >> bit % 8 & 1));
}

static void pio_delegate(struct space_bitmap *src, struct space_bitmap *dst, uint64_t base, unsigned ord,
                         bool permit)
{
    const uint64_t *words = (const uint64_t *)(const void *)dst->bitmap;
    bool granted = false, changed;

    lock(&dst->space.lock);
    for (uint64_t port = base; port < base + BIT(ord); port++)
        copy_bit(src, dst, port, permit);
    for (unsigned i = 0; i < PIO_SELECTORS / 64 && !granted; i++)
        granted = words[i] != UINT64_MAX;
    changed = granted != __atomic_exchange_n(&dst->granted, granted, __ATOMIC_SEQ_CST);
    unlock(&dst->space.lock);
    if (changed)
        switch_io_changed(dst);
}

static const uint32_t msr_base[] = {0, 0xc0000000, 0xc0010000};

/* The bit for reading an MSR of a window. */
static uint64_t msr_bit(unsigned window, uint64_t msr)
{
    return (uint64_t)window * bitmap_layout.window + (msr - msr_base[window]) * bitmap_layout.msr;
}

void bitmap_permit_msr(struct space_bitmap *space, uint32_t number, unsigned perms)
{
    for (unsigned w = 0; w < bitmap_layout.windows; w++)
        if (number - msr_base[w] < MSR_WINDOW) {
            set_bit(space->bitmap, msr_bit(w, number), perms & NOVA_MSR_R);
            set_bit(space->bitmap, msr_bit(w, number) + bitmap_layout.write, perms & NOVA_MSR_W);
        }
}

/* Only the MSRs of the windows exist; selectors outside of them are always null. */
static void msr_delegate(struct space_bitmap *src, struct space_bitmap *dst, uint64_t base, unsigned ord,
                         unsigned pmm)
{
    for (unsigned w = 0; w < bitmap_layout.windows; w++) {
        uint64_t msr = base > msr_base[w] ? base : msr_base[w];
        uint64_t end = min_u64(base + BIT(ord), msr_base[w] + MSR_WINDOW);
        for (; msr < end; msr++) {
            copy_bit(src, dst, msr_bit(w, msr), pmm & NOVA_MSR_R);
            copy_bit(src, dst, msr_bit(w, msr) + bitmap_layout.write, pmm & NOVA_MSR_W);
        }
    }
}

unsigned bitmap_delegate(struct space_bitmap *src, struct space_bitmap *dst, uint64_t base, unsigned ord,
                         unsigned pmm)
{
    if (dst->space.object.type == OBJECT_PIO)
        pio_delegate(src, dst, base, ord, pmm & NOVA_PIO_A);
    else
        msr_delegate(src, dst, base, ord, pmm);
    return NOVA_SUCCESS;
}

static unsigned pages_of(const struct space *space)
{
    return space->object.type == OBJECT_PIO ? bitmap_layout.pio_pages : bitmap_layout.msr_pages;
}

/* Three pages are a block of four without the last one. */
unsigned bitmap_create(struct space *space)
{
    struct account *account = &space->object.pd->account;
    unsigned pages = pages_of(space);
    uint8_t *bitmap = page_alloc(account, pages - 1);

    if (!bitmap)
        return NOVA_MEM_OBJ;
    if (pages == 3)
        page_free(account, bitmap + 3 * PAGE_SIZE, 0);
    memset(bitmap, 0xff, pages * PAGE_SIZE);
    space->selectors = space->object.type == OBJECT_PIO ? PIO_SELECTORS : MSR_SELECTORS;
    ((struct space_bitmap *)space)->bitmap = bitmap;
    return NOVA_SUCCESS;
}

void bitmap_destroy(struct space *space)
{
    struct account *account = &space->object.pd->account;
    uint8_t *bitmap = ((struct space_bitmap *)space)->bitmap;
    unsigned pages = pages_of(space);

    if (pages == 3)
        page_free(account, bitmap + 2 * PAGE_SIZE, 0);
    page_free(account, bitmap, pages == 1 ? 0 : 1);
}
