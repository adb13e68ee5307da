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

static bool denied(const uint8_t *bitmap, uint64_t bit)
{
    return READ_ONCE(bitmap[bit / 8]) >> bit % 8 & 1;
}

static void deny(uint8_t *bitmap, uint64_t bit, bool yes)
{
    uint8_t mask = (uint8_t)(1U << bit % 8);

    if (yes)
        __atomic_fetch_or(&bitmap[bit / 8], mask, __ATOMIC_RELAXED);
    else
        __atomic_fetch_and(&bitmap[bit / 8], (uint8_t)~mask, __ATOMIC_RELAXED);
}

static bool grants_any(const struct space_pio *pio)
{
    const uint64_t *words = (const uint64_t *)(const void *)pio->bitmap;
    unsigned i = 0;

    while (i < PIO_SELECTORS / 64 && READ_ONCE(words[i]) == UINT64_MAX)
        i++;
    return i < PIO_SELECTORS / 64;
}

unsigned pio_delegate(struct space_pio *src, struct space_pio *dst, uint64_t base, unsigned ord, unsigned pmm)
{
    bool grant = pmm & NOVA_PIO_A, changed;

    lock(&dst->space.lock);
    for (uint64_t i = 0; i < 1UL << ord; i++)
        deny(dst->bitmap, base + i, !grant || denied(src->bitmap, base + i));
    grant = grants_any(dst);
    changed = grant != __atomic_exchange_n(&dst->granted, grant, __ATOMIC_SEQ_CST);
    unlock(&dst->space.lock);
    if (changed)
        switch_io_changed(dst);
    return NOVA_SUCCESS;
}

#define MSR_WINDOW 0x2000UL
#define MSR_HIGH 0xc0000000UL
#define MSR_WRITE_BIT (0x800 * 8)

/* The part of [start, end) that lies in the window of MSRs from `base` on, whose bits begin at `bit`. */
static void msr_window(struct space_msr *src, struct space_msr *dst, uint64_t start, uint64_t end,
                       uint64_t base, uint64_t bit, unsigned pmm)
{
    start = start > base ? start : base;
    end = min_u64(end, base + MSR_WINDOW);
    for (uint64_t msr = start; msr < end; msr++) {
        uint64_t read = bit + msr - base, write = read + MSR_WRITE_BIT;
        deny(dst->bitmap, read, !(pmm & NOVA_MSR_R) || denied(src->bitmap, read));
        deny(dst->bitmap, write, !(pmm & NOVA_MSR_W) || denied(src->bitmap, write));
    }
}

unsigned msr_delegate(struct space_msr *src, struct space_msr *dst, uint64_t base, unsigned ord, unsigned pmm)
{
    uint64_t end = base + (1UL << ord);

    /* Only these two windows exist; selectors outside of them are always null. */
    msr_window(src, dst, base, end, 0, 0, pmm);
    msr_window(src, dst, base, end, MSR_HIGH, 0x400 * 8, pmm);
    return NOVA_SUCCESS;
}

unsigned pio_create(struct space_pio *pio)
{
    pio->bitmap = pd_page_alloc(pio->space.object.pd, PIO_ORDER);
    if (!pio->bitmap)
        return NOVA_MEM_OBJ;
    memset(pio->bitmap, 0xff, PAGE_SIZE << PIO_ORDER);
    return NOVA_SUCCESS;
}

unsigned msr_create(struct space_msr *msr)
{
    msr->bitmap = pd_page_alloc(msr->space.object.pd, 0);
    if (!msr->bitmap)
        return NOVA_MEM_OBJ;
    memset(msr->bitmap, 0xff, PAGE_SIZE);
    return NOVA_SUCCESS;
}

void pio_destroy(struct space_pio *pio)
{
    pd_page_free(pio->space.object.pd, pio->bitmap, PIO_ORDER);
}

void msr_destroy(struct space_msr *msr)
{
    pd_page_free(msr->space.object.pd, msr->bitmap, 0);
}
