/*
 * Capabilities and memory of root.
 *
 * SPDX-License-Identifier: MIT
 */

#include "system.h"

#include "log.h"

const struct nova_hip *hip;
unsigned cpu_count;
struct manifest manifest;
struct boot_module *module;
struct memory memory;
uint64_t sel_obj, sel_pd;

void system_init(const struct nova_hip *page)
{
    uint64_t nova, last = page->sel_num;

    hip = page;
    cpu_count = page->cpu_num < NOVA_CPUS_MAX ? page->cpu_num : NOVA_CPUS_MAX;
    sel_obj = last - NOVA_ROOT_SEL_OBJ;
    sel_pd = last - NOVA_ROOT_SEL_PD;
    nova = last - NOVA_ROOT_SEL_NOVA_OBJ;
    nova_hc_ctrl_pd(nova, sel_obj, last - NOVA_SEL_NOVA_HST, SEL_NOVA_HST, 0, NOVA_PERM_ALL, 0);
    nova_hc_ctrl_pd(nova, sel_obj, last - NOVA_SEL_NOVA_PIO, SEL_NOVA_PIO, 0, NOVA_PERM_ALL, 0);
    nova_hc_ctrl_pd(nova, sel_obj, last - NOVA_SEL_NOVA_MSR, SEL_NOVA_MSR, 0, NOVA_PERM_ALL, 0);
    nova_hc_ctrl_pd(nova, sel_obj, last - NOVA_SEL_ROOT_HST, SEL_HST, 0, NOVA_PERM_ALL, 0);
    nova_hc_ctrl_pd(nova, sel_obj, last - NOVA_SEL_ROOT_PIO, SEL_PIO, 0, NOVA_PERM_ALL, 0);
    nova_hc_ctrl_pd(SEL_NOVA_PIO, SEL_PIO, SERIAL_PORT, SERIAL_PORT, 3, NOVA_PIO_A, 0);
    nova_hc_ctrl_pd(SEL_NOVA_PIO, SEL_PIO, CLOCK_PORT, CLOCK_PORT, 1, NOVA_PIO_A, 0);
}

unsigned delegate(uint64_t src, uint64_t dst, uint64_t from, uint64_t to, uint64_t count, unsigned max_order,
                  unsigned perm, uint32_t mad)
{
    unsigned status = NOVA_SUCCESS;

    while (count && !status) {
        uint64_t largest = 1UL << (63 - __builtin_clzl(count));
        unsigned order = (unsigned)__builtin_ctzl(from | to | largest | 1UL << max_order);
        status = nova_hc_ctrl_pd(src, dst, from, to, order, perm, mad);
        from += 1UL << order;
        to += 1UL << order;
        count -= 1UL << order;
    }
    return status;
}

void revoke(uint64_t space, uint64_t first, uint64_t count)
{
    delegate(space, space, first, first, count, BUFFER_ORDER, 0, 0);
}

void take(uint64_t obj, uint64_t from, uint64_t to, unsigned perm)
{
    nova_hc_ctrl_pd(obj, sel_obj, from, to, 0, perm, 0);
}

unsigned hand_over(uint64_t from, uint64_t obj, uint64_t to, unsigned perm)
{
    unsigned status = give(from, obj, to, perm);

    drop(from);
    return status;
}

void *map_physical(uint64_t start, uint64_t bytes, unsigned perm)
{
    uint64_t page = start / PAGE_SIZE, pages = (bytes + PAGE_SIZE - 1) / PAGE_SIZE;

    if (delegate(SEL_NOVA_HST, SEL_HST, page, (PHYSICAL_BASE + start) / PAGE_SIZE, pages, 31, perm,
                 NOVA_MAD_WB) != NOVA_SUCCESS)
        panic("no memory for page tables");
    return physical(start);
}

uint64_t pages_alloc(uint64_t pages)
{
    uint64_t start = memory_alloc(&memory, pages);

    if (!start)
        panic("no memory in one piece");
    return start;
}

void *root_alloc(uint64_t bytes)
{
    uint64_t pages = (bytes + PAGE_SIZE - 1) / PAGE_SIZE;

    return memset(map_physical(pages_alloc(pages), bytes, NOVA_MEM_R | NOVA_MEM_W), 0, pages * PAGE_SIZE);
}

void panic(const char *what)
{
    log_direct("[root] panic: ");
    log_direct(what);
    log_direct("\n[root] end status=125\n");
    nova_hc_ctrl_hw(5, NOVA_HW_SLEEP);
    for (;;)
        nova_hc_ctrl_sm(SEL_WORK + hip->cpu_bsp, deadline_ms(1000000), NOVA_SM_DOWN);
}
