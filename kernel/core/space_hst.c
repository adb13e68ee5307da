/*
 * Memory spaces: page tables of user land and of guests, and the NOVA host space, which stands for physical memory.
 *
 * Kernel memory never appears in a delegation: the NOVA host space does not contain it, and pages of it that are
 * mapped for users (UTCB, HIP) count as holes.
 *
 * SPDX-License-Identifier: MIT
 */

#include "mem/tlb.h"
#include "virt/virt.h"
#include "x86/cpu.h"

/* Guarded physical memory (hst_protect): page numbers, in no order. */
static struct {
    uint64_t start, end;
} guarded[64];
static unsigned guarded_count;

extern char image_start[], image_end[];

void hst_protect(uint64_t start, uint64_t end)
{
    unsigned i = 0;

    start >>= PAGE_BITS;
    end = (end + PAGE_SIZE - 1) >> PAGE_BITS;
    while (i < guarded_count && (end < guarded[i].start || start > guarded[i].end))
        i++;
    if (i == ARRAY_SIZE(guarded)) /* full: protect the gap to the last one, too */
        i--;
    else if (i == guarded_count) /* touches none */
        guarded[guarded_count++].start = start;
    guarded[i].start = min_u64(guarded[i].start, start);
    guarded[i].end = guarded[i].end > end ? guarded[i].end : end;
}

/* The largest naturally aligned block that contains a page and lies within [start, end). */
static struct ptab_range block_within(uint64_t page, uint64_t start, uint64_t end)
{
    struct ptab_range r = {.page = page};

    while (r.order < 63) {
        uint64_t size = 2UL << r.order, base = page & ~(size - 1);
        if (base < start || base + size > end)
            break;
        r.order++;
        r.page = base;
    }
    return r;
}

/* The mapping or hole of the NOVA host space around a physical page. */
static struct ptab_range physical_lookup(uint64_t page, uint32_t mad)
{
    uint64_t start = 0, end = BIT(cpu_phys_bits - PAGE_BITS);
    struct ptab_range r;

    for (unsigned i = 0; i < guarded_count; i++)
        if (page < guarded[i].start)
            end = min_u64(end, guarded[i].start);
        else if (page < guarded[i].end)
            return block_within(page, guarded[i].start, guarded[i].end);
        else if (start < guarded[i].end)
            start = guarded[i].end;
    r = block_within(page, start, end);
    r.frame = r.page;
    r.perm = NOVA_MEM_R | NOVA_MEM_W | NOVA_MEM_XU | NOVA_MEM_XS;
    r.cache = mad & 7;
    return r;
}

/* Frames of the kernel: in a user's space, a UTCB or the HIP. */
static inline bool is_kernel(uint64_t frame)
{
    return frame >= phys_of(image_start) >> PAGE_BITS && frame < phys_of(image_end) >> PAGE_BITS;
}

static inline struct ptab_range lookup(struct space_hst *hst, uint64_t page, uint32_t mad)
{
    struct ptab_range r;

    if (hst->physical)
        return physical_lookup(page, mad);
    lock(&hst->mem.space.lock);
    r = ptab_lookup(&hst->mem.ptab, page);
    unlock(&hst->mem.space.lock);
    if (is_kernel(r.frame))
        r.perm = 0;
    if (r.perm & NOVA_MEM_XU) /* the tables do not tell XU from XS */
        r.perm |= NOVA_MEM_XS;
    return r;
}

/* What a series of updates leaves to be done. */
struct change {
    bool flush;
    struct page_list stale;
};

static inline bool update(struct space_mem *mem, struct ptab_range range, struct change *change)
{
    bool ok;

    /* SYSRET to the end of the user's half would fault in the kernel: nothing can execute there. */
    if (range.page + (1UL << range.order) == HST_SELECTORS && mem->space.object.type == OBJECT_HST)
        range.perm &= ~(unsigned)(NOVA_MEM_XU | NOVA_MEM_XS);
    lock(&mem->space.lock);
    mem->ptab.stale = change->stale;
    ok = ptab_update(&mem->ptab, range, &change->flush);
    change->stale = mem->ptab.stale;
    mem->ptab.stale = (struct page_list){0};
    unlock(&mem->space.lock);
    return ok;
}

/* Makes the change seen by all CPUs, then lets go of the tables that are not needed any more. */
static void finish(struct space_mem *mem, struct change *change)
{
    if (change->flush) {
        tlb_shootdown(mem);
        if (change->stale.first)
            ptab_release(&mem->ptab, &change->stale);
    }
}

unsigned hst_delegate(struct space_hst *src, struct space_mem *dst, uint64_t ssb, uint64_t dsb, unsigned ord,
                      unsigned pmm, uint32_t mad)
{
    uint64_t end = ssb + (1UL << ord);
    struct change change = {0};
    bool ok = true;

    pmm &= NOVA_MEM_R | NOVA_MEM_W | NOVA_MEM_XU | NOVA_MEM_XS;
    for (uint64_t page = ssb; ok && page < end;) {
        struct ptab_range r = {.page = ssb, .order = ord};
        if (pmm) {
            r = lookup(src, page, mad);
            r.frame += page - r.page;
            r.order = (unsigned)min_u64(r.order, ord);
            if (page & ((1UL << r.order) - 1)) /* the source has just changed */
                r.order = bit_lowest(page);
            r.perm &= pmm;
        }
        r.page = dsb + (page - ssb);
        ok = update(dst, r, &change);
        page += 1UL << r.order;
    }
    finish(dst, &change);
    return ok ? NOVA_SUCCESS : NOVA_MEM_CAP;
}

bool hst_map_kernel(struct space_hst *hst, uint64_t page, const void *kernel_page, unsigned perm)
{
    struct ptab_range range = {.page = page, .frame = phys_of(kernel_page) >> PAGE_BITS, .perm = perm};
    struct change change = {0};
    bool ok = update(&hst->mem, range, &change);

    finish(&hst->mem, &change);
    return ok;
}

void hst_unmap_kernel(struct space_hst *hst, uint64_t page, const void *kernel_page)
{
    struct change change = {0};

    lock(&hst->mem.space.lock);
    if (ptab_lookup(&hst->mem.ptab, page).frame == phys_of(kernel_page) >> PAGE_BITS)
        ptab_update(&hst->mem.ptab, (struct ptab_range){.page = page}, &change.flush);
    unlock(&hst->mem.space.lock);
    finish(&hst->mem, &change);
}

extern uint64_t kernel_root[512];

static unsigned create(struct space_mem *mem, uint64_t selectors, const struct ptab_format *format)
{
    struct account *account = &mem->space.object.pd->account;

    mem->space.selectors = selectors;
    mem->ptab = (struct ptab){.format = format, .account = account, .root = page_alloc(account, 0)};
    return mem->ptab.root ? NOVA_SUCCESS : NOVA_MEM_OBJ;
}

unsigned hst_create(struct space *space)
{
    struct space_hst *hst = (struct space_hst *)space;
    unsigned status = create(&hst->mem, HST_SELECTORS, &ptab_host);

    if (status == NOVA_SUCCESS) {
        hst->mem.ptab.root[511] = kernel_root[511];
        hst->root = phys_of(hst->mem.ptab.root);
    }
    return status;
}

unsigned gst_create(struct space *space)
{
    struct space_gst *gst = (struct space_gst *)space;

    gst->generation = 1;
    return create(&gst->mem, GST_SELECTORS, virt->format);
}

void mem_destroy(struct space *space)
{
    ptab_destroy(&((struct space_mem *)space)->ptab);
}
