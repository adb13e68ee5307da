/*
 * ctrl_pd with host spaces: what a mapping allows, that revocation takes effect at once, large
 * orders, parts of large mappings, pages that belong to the microhypervisor (specification 4.1.3,
 * 5.4.1, 6.1.3.2).
 *
 * SPDX-License-Identifier: MIT
 */

#include "fault.h"
#include "system.h"
#include "tap.h"

#define RW (NOVA_MEM_R | NOVA_MEM_W)
#define MEGA (512 * PAGE_SIZE)

static uint8_t page[2][4096] __attribute__((aligned(4096)));

static unsigned map(uint64_t src_va, uint64_t dst_va, unsigned order, unsigned mask)
{
    return ctrl_pd(sys.root.hst, sys.root.hst, src_va / PAGE_SIZE, dst_va / PAGE_SIZE, order, mask, 0);
}

static unsigned map_frames(uint64_t phys, uint64_t va, unsigned order, unsigned mask)
{
    return ctrl_pd(sys.nova_hst, sys.root.hst, phys / PAGE_SIZE, va / PAGE_SIZE, order, mask, NOVA_MAD_WB);
}

static volatile uint64_t *at(uint64_t va)
{
    return (volatile uint64_t *)va;
}

/* -- One page -- */

static void permissions(void)
{
    uint64_t frame = phys_alloc(0), full = va_alloc(PAGE_SIZE, PAGE_SIZE),
             va = va_alloc(PAGE_SIZE, PAGE_SIZE);

    must(map_frames(frame, full, 0, NOVA_PERM_ALL), "mapping a page");
    *(volatile uint16_t *)full = TRY_EXEC_CODE;

    for (unsigned mask = 0; mask < 16; mask++) {
        bool exec = mask & (NOVA_MEM_XU | NOVA_MEM_XS), write = mask & NOVA_MEM_W;
        unsigned status = map(full, va, 0, mask);
        bool right = (try_store(va) == NO_FAULT) == write && (try_exec(va) == NO_FAULT) == exec;

        if (mask & NOVA_MEM_R || !mask)
            right = right && (try_load(va) == NO_FAULT) == (mask != 0);
        tap_ok(status == NOVA_SUCCESS && right, "permissions %s%s%s%s", mask & NOVA_MEM_R ? "R" : "-",
               write ? "W" : "-", mask & NOVA_MEM_XU ? "U" : "-", mask & NOVA_MEM_XS ? "S" : "-");
    }

    uint64_t third = va_alloc(PAGE_SIZE, PAGE_SIZE);

    map(full, va, 0, NOVA_MEM_R);
    map(va, third, 0, NOVA_PERM_ALL);
    tap_is(try_store(third), VECTOR_PF, "a permission that the source lacks is not delegated");
    tap_is(try_exec(third), VECTOR_PF, "neither is another");
    tap_is(try_load(third), NO_FAULT, "what it has is");
    map(third, third, 0, 0);
    map(full, full, 0, NOVA_MEM_R);
    tap_is(try_store(full), VECTOR_PF, "permissions can be reduced in place");
}

static void contents(void)
{
    uint64_t va = va_alloc(PAGE_SIZE, PAGE_SIZE), hole = va_alloc(PAGE_SIZE, PAGE_SIZE);

    *at((uint64_t)page[0]) = 111;
    *at((uint64_t)page[1]) = 222;
    map((uint64_t)page[0], va, 0, RW);
    tap_is(*at(va), 111, "a delegated page shows its contents");
    *at(va + 8) = 333;
    tap_is(*at((uint64_t)page[0] + 8), 333, "and is shared");
    map((uint64_t)page[1], va, 0, RW);
    tap_is(*at(va), 222, "another page replaces it at once");
    map((uint64_t)page[1], va, 0, NOVA_MEM_R);
    tap_is(try_store(va), VECTOR_PF, "less permission has effect at once");
    map((uint64_t)page[1], va, 0, RW);
    tap_is(try_store(va), NO_FAULT, "more permission has effect at once");
    map(hole, va, 0, RW);
    tap_is(try_load(va), VECTOR_PF, "an empty source revokes at once");
    map((uint64_t)page[1], va, 0, RW);
    *at(va) = 444;
    map((uint64_t)page[1], va, 0, 0);
    tap_is(try_load(va), VECTOR_PF, "an empty mask revokes at once");
    tap_is(*at((uint64_t)page[1]), 444, "the source keeps page and contents");
}

/* -- Ranges of pages, small and large -- */

/* Stores its number in each page of a mapping, through another mapping of the same frames. */
static unsigned check_pages(uint64_t through, uint64_t va, unsigned count)
{
    unsigned wrong = 0;

    for (unsigned i = 0; i < count; i++)
        *at(through + i * PAGE_SIZE) = 0x1000000UL + i;
    for (unsigned i = 0; i < count; i++)
        wrong += try_load(va + i * PAGE_SIZE) != NO_FAULT || *at(va + i * PAGE_SIZE) != 0x1000000UL + i;
    return wrong;
}

static void orders(void)
{
    for (unsigned order = 0; order <= 12; order++) {
        unsigned n = 1U << order, wrong = 0;
        uint64_t frames = phys_alloc(order), size = n * PAGE_SIZE;
        uint64_t one = va_alloc(size, size < MEGA ? MEGA : size), two = va_alloc(3 * size, size) + size;

        if (!frames) {
            tap_skip("not enough memory", "order %u", order);
            continue;
        }
        wrong += map_frames(frames, one, order, RW) != NOVA_SUCCESS;
        wrong += map(one, two, order, RW) != NOVA_SUCCESS;
        wrong += check_pages(one, two, n);
        wrong += try_load(two - 8) == NO_FAULT;
        wrong += try_load(two + size) == NO_FAULT;
        wrong += map(one, two, order, 0) != NOVA_SUCCESS;
        for (unsigned i = 0; i < n; i++)
            wrong += try_load(two + i * PAGE_SIZE) == NO_FAULT;
        wrong += try_load(one + size - 8) != NO_FAULT;
        tap_is(wrong, 0, "order %u: mapped, used, revoked, and only that range", order);
        map(one, one, order, 0);
    }
}

/* A mapping of 4 MiB in two orders of 2 MiB, of which parts change. */
static void parts(void)
{
    uint64_t frames = phys_alloc(10), one = va_alloc(2 * MEGA, 2 * MEGA), two = va_alloc(2 * MEGA, 2 * MEGA);
    unsigned wrong = 0;

    must(map_frames(frames, one, 10, RW), "mapping 4 MiB");
    must(map(one, two, 10, RW), "mapping 4 MiB again");
    tap_is(check_pages(one, two, 1024), 0, "4 MiB mapped twice");

    map(two, two + 100 * PAGE_SIZE, 0, 0);
    for (unsigned i = 0; i < 1024; i++)
        wrong += (try_load(two + i * PAGE_SIZE) == NO_FAULT) != (i != 100);
    tap_is(wrong, 0, "one page of it revoked: all others stay");
    map(two + 200 * PAGE_SIZE, two + 200 * PAGE_SIZE, 3, NOVA_MEM_R);
    for (unsigned i = 0; i < 1024; i++)
        wrong += i != 100 && (try_store(two + i * PAGE_SIZE) == NO_FAULT) == (i >= 200 && i < 208);
    tap_is(wrong, 0, "eight pages made read-only: all others stay writable");
    map(one + 5 * PAGE_SIZE, two + 100 * PAGE_SIZE, 0, RW);
    map(one + 6 * PAGE_SIZE, two + 6 * PAGE_SIZE, 0, RW);
    tap_is(*at(two + 100 * PAGE_SIZE), 0x1000000UL + 5, "another page in the gap");
    tap_is(*at(two + 101 * PAGE_SIZE), 0x1000000UL + 101, "its neighbour keeps its contents");

    uint64_t small = va_alloc(16 * PAGE_SIZE, 16 * PAGE_SIZE);

    map(one + 512 * PAGE_SIZE + 48 * PAGE_SIZE, small, 4, RW);
    for (unsigned i = 0; i < 16; i++)
        wrong += *at(small + i * PAGE_SIZE) != 0x1000000UL + 512 + 48 + i;
    tap_is(wrong, 0, "16 pages from the middle of a large mapping");
    map(one, two, 10, RW);
    tap_is(check_pages(one, two, 1024), 0, "4 MiB over what was left of it");
    map(one, one, 9, 0);
    for (unsigned i = 0; i < 1024; i++)
        wrong += (try_load(one + i * PAGE_SIZE) == NO_FAULT) != (i >= 512);
    tap_is(wrong, 0, "half of it revoked");
    map(two, two, 10, 0);
    for (unsigned i = 0; i < 1024; i++)
        wrong += try_load(two + i * PAGE_SIZE) == NO_FAULT;
    tap_is(wrong, 0, "all of it revoked");
}

/* Frames whose alignment does not fit that of their addresses, mapped page by page. */
static void misaligned(void)
{
    uint64_t frames = phys_alloc(9), through = va_alloc(MEGA, MEGA),
             va = va_alloc(2 * MEGA, MEGA) + 7 * PAGE_SIZE;

    must(map_frames(frames, through, 9, RW), "mapping 2 MiB");
    must(ctrl_range(sys.root.hst, sys.root.hst, through / PAGE_SIZE, va / PAGE_SIZE, 512, RW, 0),
         "mapping 2 MiB");
    tap_is(check_pages(through, va, 512), 0, "2 MiB at an odd address");
}

/* The first gigabyte of physical memory: memory, devices, holes, and the microhypervisor. */
static void gigabyte(const struct nova_hip *hip)
{
    uint64_t va = va_alloc(1UL << 30, 1UL << 30);
    uint64_t start = tsc();

    tap_is(map_frames(0, va, 18, NOVA_MEM_R), NOVA_SUCCESS, "a gigabyte of physical memory at once");
    tap_ok(!__builtin_memcmp((void *)(va + hip->root_start), "\177ELF", 4), "it contains this image");
    if (hip->nova_end <= 1UL << 30) {
        tap_is(try_load(va + hip->nova_start), VECTOR_PF, "but not the kernel: first page");
        tap_is(try_load(va + hip->nova_end - 1), VECTOR_PF, "but not the kernel: last page");
    } else {
        tap_skip("the kernel is above 1 GiB", "but not the kernel");
    }
    tap_is(map_frames(0, va, 18, 0), NOVA_SUCCESS, "revoked at once");
    tap_is(try_load(va + hip->root_start), VECTOR_PF, "and gone");
    tap_ok(tsc() - start < ticks(2000000), "in good time (%lu us)",
           (tsc() - start) * 1000000 / hip->stc_frequency);
}

/* Large orders where nothing is. */
static void emptiness(void)
{
    uint64_t start = tsc();
    struct pd pd;

    pd_create(&pd);
    tap_is(ctrl_pd(pd.hst, pd.hst, 0, 1UL << 31, 31, NOVA_PERM_ALL, 0), NOVA_SUCCESS,
           "2^31 pages of nothing");
    tap_is(ctrl_pd(pd.hst, pd.hst, 1UL << 31, 0, 31, 0, 0), NOVA_SUCCESS, "2^31 pages of nothing revoked");
    tap_ok(tsc() - start < ticks(2000000), "in good time (%lu us)",
           (tsc() - start) * 1000000 / sys.hip->stc_frequency);
}

/* -- Memory attributes -- */

static void attributes(void)
{
    uint64_t frame = phys_alloc(0), va = va_alloc(PAGE_SIZE, PAGE_SIZE);
    unsigned wrong = 0;

    for (uint32_t ca = 0; ca < 8; ca++) {
        unsigned status = ctrl_pd(sys.nova_hst, sys.root.hst, frame / PAGE_SIZE, va / PAGE_SIZE, 0, RW, ca);

        tap_is(status, ca <= NOVA_MAD_WP ? NOVA_SUCCESS : NOVA_BAD_PAR, "cacheability %u", ca);
        if (ca > NOVA_MAD_WP)
            continue;
        *at(va) = 5 + ca;
        wrong += *at(va) != 5 + ca;
    }
    tap_is(wrong, 0, "memory works with each of them");
    if (sys.hip->key_max < 0x7fff)
        tap_is(ctrl_pd(sys.nova_hst, sys.root.hst, frame / PAGE_SIZE, va / PAGE_SIZE, 0, RW,
                       (sys.hip->key_max + 1U) << 3),
               NOVA_BAD_PAR, "key identifier above the maximum");
    tap_is(ctrl_pd(sys.root.hst, sys.root.hst, (uint64_t)page / PAGE_SIZE, va / PAGE_SIZE, 0, RW, UINT32_MAX),
           NOVA_SUCCESS, "ignored if the source is not the NOVA host space");
    tap_is(try_store(va), NO_FAULT, "and the memory works");
}

/* -- Pages of the microhypervisor -- */

static void kernel_pages(const struct nova_hip *hip)
{
    uint64_t va = va_alloc(PAGE_SIZE, PAGE_SIZE), utcb = (uint64_t)thread_self()->utcb;

    tap_is(map((uint64_t)hip, va, 0, NOVA_PERM_ALL), NOVA_SUCCESS, "delegating the HIP");
    tap_is(try_load(va), VECTOR_PF, "has no effect");
    tap_is(map(utcb, va, 0, NOVA_PERM_ALL), NOVA_SUCCESS, "delegating a UTCB");
    tap_is(try_load(va), VECTOR_PF, "has no effect");
    map((uint64_t)page, va, 0, RW);
    map((uint64_t)hip, va, 0, NOVA_PERM_ALL);
    tap_is(try_load(va), VECTOR_PF, "but revokes what was at the destination");

    uint64_t pair = va_alloc(2 * PAGE_SIZE, 2 * PAGE_SIZE);

    map((uint64_t)page & ~PAGE_SIZE, pair, 0, RW);
    tap_is(map(utcb & ~(2 * PAGE_SIZE - 1), pair, 1, NOVA_PERM_ALL), NOVA_SUCCESS,
           "UTCB and neighbour in one range");
    tap_is(try_load(pair), VECTOR_PF, "has no effect");
    tap_is(try_load(pair + PAGE_SIZE), VECTOR_PF, "neither there");
}

/* Frames beyond what the CPU can address: refused, or nothing is there. */
static void beyond_memory(void)
{
    uint32_t eax = 0x80000008, ebx, ecx, edx;
    uint64_t va = va_alloc(PAGE_SIZE, PAGE_SIZE);

    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));
    for (unsigned bits = eax & 0xff; bits < 53; bits++) {
        unsigned status = map_frames(1UL << bits, va, 0, NOVA_MEM_R);

        tap_ok(status == NOVA_BAD_PAR || (status == NOVA_SUCCESS && try_load(va) == VECTOR_PF &&
                                          !(thread_self()->fault_error & PF_PRESENT)),
               "no frame at 2^%u (status %u)", bits, status);
        if (bits < 50)
            bits = 50;
    }
}

/* -- Another PD -- */

static uint32_t on_child(uint64_t pid, uint32_t mtd);

PORTAL_ENTRY(child_entry, on_child);

static uint32_t on_child(uint64_t pid, uint32_t mtd)
{
    uint64_t *word = thread_self()->utcb->word;

    (void)pid;
    (void)mtd;
    word[1] = try_store(word[0]);
    word[0] = try_load(word[0]) == NO_FAULT ? *at(word[0]) : 0xdead;
    return NOVA_MTD_WORDS(2);
}

static uint64_t ask(uint64_t portal, uint64_t va)
{
    uint32_t mtd = 0;

    thread_self()->utcb->word[0] = va;
    must(ipc_call(portal, &mtd, 0), "ipc_call");
    return thread_self()->utcb->word[0];
}

static void child(void)
{
    const uint64_t va = 0x123456789000;
    struct pd pd;

    pd_create(&pd);
    pd_share_image(&pd);

    uint64_t portal =
        portal_create(thread_create(&pd, sys.bsp, STANDARD_EVENTS(sys.bsp), 0), child_entry, 0, 0);
    uint64_t *word = thread_self()->utcb->word;

    *at((uint64_t)page) = 42;
    tap_is(ask(portal, va), 0xdead, "child: nothing there");
    must(ctrl_pd(sys.root.hst, pd.hst, (uint64_t)page / PAGE_SIZE, va / PAGE_SIZE, 0, NOVA_MEM_R, 0),
         "ctrl_pd");
    tap_is(ask(portal, va), 42, "child: reads a delegated page");
    tap_is(word[1], VECTOR_PF, "child: cannot write without permission");
    must(ctrl_pd(sys.root.hst, pd.hst, (uint64_t)page / PAGE_SIZE, va / PAGE_SIZE, 0, RW, 0), "ctrl_pd");
    ask(portal, va);
    tap_is(word[1], NO_FAULT, "child: writes with it");
    must(ctrl_pd(pd.hst, pd.hst, va / PAGE_SIZE, va / PAGE_SIZE, 0, 0, 0), "ctrl_pd");
    tap_is(ask(portal, va), 0xdead, "child: not when it was revoked");
    tap_is(*at((uint64_t)page), 42, "the parent still has it");
    tap_is(ask(portal, (uint64_t)sys.hip), 0xdead, "child: no HIP");
    tap_is(ask(portal, (uint64_t)thread_self()->utcb), 0xdead, "child: no UTCB of another");
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    (void)magic;
    (void)mbi;
    permissions();
    contents();
    orders();
    parts();
    misaligned();
    gigabyte(hip);
    emptiness();
    attributes();
    kernel_pages(hip);
    beyond_memory();
    child();
}
