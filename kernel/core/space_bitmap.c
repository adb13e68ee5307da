/*
 * Port I/O and MSR spaces: bitmaps in which a 1 denies, as the hardware wants them.
 *
 * Updates set or clear single bits atomically, so that another space can be read without its lock.
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/space.h"
#include "core/switch.h"
#include "lib/string.h"
#include "nova/abi/cap.h"
#include "nova/abi/hypercall.h"

/* Permits what `src` permits from a bit on, or nothing. */
static void update(struct space_bitmap *src, struct space_bitmap *dst, uint64_t bit, uint64_t count,
                   bool permit)
{
    for (uint64_t end = bit + count; bit < end; bit++) {
        uint8_t mask = (uint8_t)(1U << bit % 8);
        if (permit && !(READ_ONCE(src->bitmap[bit / 8]) & mask))
            __atomic_fetch_and(&dst->bitmap[bit / 8], (uint8_t)~mask, __ATOMIC_RELAXED);
        else
            __atomic_fetch_or(&dst->bitmap[bit / 8], mask, __ATOMIC_RELAXED);
    }
}

static void pio_delegate(struct space_bitmap *src, struct space_bitmap *dst, uint64_t base, unsigned ord,
                         bool permit)
{
    const uint64_t *words = (const uint64_t *)(const void *)dst->bitmap;
    bool granted = false, changed;

    lock(&dst->space.lock);
    update(src, dst, base, BIT(ord), permit);
    for (unsigned i = 0; i < PIO_SELECTORS / 64 && !granted; i++)
        granted = words[i] != UINT64_MAX;
    changed = granted != __atomic_exchange_n(&dst->granted, granted, __ATOMIC_SEQ_CST);
    unlock(&dst->space.lock);
    if (changed)
        switch_io_changed(dst);
}

#define MSR_WINDOW 0x2000UL
#define MSR_HIGH 0xc0000000UL
#define MSR_WRITE_BIT (0x800 * 8)

/* The part of [start, end) that lies in the window of MSRs from `base` on, whose bits begin at `bit`. */
static void msr_window(struct space_bitmap *src, struct space_bitmap *dst, uint64_t start, uint64_t end,
                       uint64_t base, uint64_t bit, unsigned pmm)
{
    start = start > base ? start : base;
    end = min_u64(end, base + MSR_WINDOW);
    if (start < end) {
        update(src, dst, bit + start - base, end - start, pmm & NOVA_MSR_R);
        update(src, dst, bit + start - base + MSR_WRITE_BIT, end - start, pmm & NOVA_MSR_W);
    }
}

unsigned bitmap_delegate(struct space_bitmap *src, struct space_bitmap *dst, uint64_t base, unsigned ord,
                         unsigned pmm)
{
    if (dst->space.object.type == OBJECT_PIO) {
        pio_delegate(src, dst, base, ord, pmm & NOVA_PIO_A);
    } else { /* only these two windows exist; selectors outside of them are always null */
        msr_window(src, dst, base, base + BIT(ord), 0, 0, pmm);
        msr_window(src, dst, base, base + BIT(ord), MSR_HIGH, 0x400 * 8, pmm);
    }
    return NOVA_SUCCESS;
}

static unsigned order_of(const struct space_bitmap *space)
{
    return space->space.object.type == OBJECT_PIO ? PIO_ORDER : 0;
}

unsigned bitmap_create(struct space_bitmap *space)
{
    space->space.selectors = space->space.object.type == OBJECT_PIO ? PIO_SELECTORS : MSR_SELECTORS;
    space->bitmap = page_alloc(&space->space.object.pd->account, order_of(space));
    if (!space->bitmap)
        return NOVA_MEM_OBJ;
    memset(space->bitmap, 0xff, PAGE_SIZE << order_of(space));
    return NOVA_SUCCESS;
}

void bitmap_destroy(struct space_bitmap *space)
{
    page_free(&space->space.object.pd->account, space->bitmap, order_of(space));
}
