/*
 * Start of a root image: capabilities, command line, virtual and physical memory.
 *
 * Order: NOVA spaces first (everything is delegated from them), then the serial port, then the boot
 * loader's information, which is read through a mapping of its physical pages.
 *
 * SPDX-License-Identifier: MIT
 */

#include "system.h"

#include "multiboot.h"
#include "serial.h"
#include "tap.h"
#include "thread.h"

struct system sys;

static uint64_t next_sel = SEL_FREE;
static uint64_t free_sel[512]; /* single selectors that were given back */
static unsigned free_count;
static uint64_t next_va = MAP_WINDOW;
static struct memory_range pool;

void must(unsigned status, const char *what)
{
    if (status != NOVA_SUCCESS)
        tap_bail("%s failed: status %u", what, status);
}

uint64_t sel_alloc(unsigned count, unsigned align)
{
    uint64_t sel = (next_sel + align - 1) / align * align;

    if (count == 1 && align == 1 && free_count)
        return free_sel[--free_count];
    if (sel + count > sys.hip->sel_num - 0x100)
        tap_bail("out of selectors");
    next_sel = sel + count;
    return sel;
}

void sel_free(uint64_t sel)
{
    if (free_count < sizeof(free_sel) / sizeof(*free_sel))
        free_sel[free_count++] = sel;
}

void sleep_us(uint64_t us)
{
    ctrl_sm(sys.never, tsc() + ticks(us), NOVA_SM_DOWN);
}

bool spin_until(const volatile uint32_t *word, uint32_t value, uint64_t ms)
{
    uint64_t end = tsc() + ticks(ms * 1000);

    while (*word < value)
        if (tsc() > end)
            return false;
        else
            __builtin_ia32_pause();
    return true;
}

/* Largest order at which both start and the count allow one step. */
static unsigned fitting_order(uint64_t a, uint64_t b, uint64_t count)
{
    unsigned order = 0;

    while (order < 31 && !((a | b) & (1UL << order)) && 2UL << order <= count)
        order++;
    return order;
}

unsigned ctrl_range(uint64_t src, uint64_t dst, uint64_t ssb, uint64_t dsb, uint64_t count, unsigned pmm,
                    uint32_t mad)
{
    while (count) {
        unsigned order = fitting_order(ssb, dsb, count);
        unsigned status = ctrl_pd(src, dst, ssb, dsb, order, pmm, mad);

        if (status != NOVA_SUCCESS)
            return status;
        ssb += 1UL << order;
        dsb += 1UL << order;
        count -= 1UL << order;
    }
    return NOVA_SUCCESS;
}

uint64_t va_alloc(uint64_t bytes, uint64_t align)
{
    uint64_t va = (next_va + align - 1) & ~(align - 1);

    next_va = (va + bytes + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
    return va;
}

void *map_phys(uint64_t phys, uint64_t bytes, unsigned pmm, uint32_t mad)
{
    uint64_t first = phys / PAGE_SIZE;
    uint64_t pages = (phys + bytes + PAGE_SIZE - 1) / PAGE_SIZE - first;
    uint64_t va = va_alloc(pages * PAGE_SIZE, PAGE_SIZE);

    must(ctrl_range(sys.nova_hst, sys.root.hst, first, va / PAGE_SIZE, pages, pmm, mad),
         "mapping physical memory");
    return (void *)(va + phys % PAGE_SIZE);
}

uint64_t phys_alloc(unsigned order)
{
    uint64_t size = PAGE_SIZE << order;
    uint64_t phys = (pool.start + size - 1) & ~(size - 1);

    if (phys + size > pool.end || phys + size < phys)
        return 0;
    pool.start = phys + size;
    return phys;
}

void *page_alloc(unsigned pages)
{
    uint64_t va = va_alloc(pages * PAGE_SIZE, PAGE_SIZE);

    for (unsigned i = 0; i < pages; i++) {
        uint64_t phys = phys_alloc(0);

        if (!phys)
            tap_bail("out of physical memory");
        must(ctrl_pd(sys.nova_hst, sys.root.hst, phys / PAGE_SIZE, va / PAGE_SIZE + i, 0,
                     NOVA_MEM_R | NOVA_MEM_W, NOVA_MAD_WB),
             "mapping a page");
    }
    __builtin_memset((void *)va, 0, pages * PAGE_SIZE);
    return (void *)va;
}

uint64_t option(const char *name, uint64_t fallback)
{
    size_t length = __builtin_strlen(name);
    uint64_t value = 0;

    for (const char *p = sys.cmdline; *p; p++) {
        if ((p != sys.cmdline && p[-1] != ' ') || __builtin_memcmp(p, name, length) || p[length] != '=')
            continue;
        for (p += length + 1; *p >= '0' && *p <= '9'; p++)
            value = value * 10 + (uint64_t)(*p - '0');
        return value;
    }
    return fallback;
}

void power_off(void)
{
    const unsigned reset = 0, soft_off = 5;

    ctrl_hw(option("reset", 0) ? reset : soft_off, NOVA_HW_SLEEP);
    for (;;)
        sm_down(sys.never);
}

/* The eight capabilities below the top of the NOVA object space (6.1.3.1), into the root object space. */
static void take_nova_spaces(uint64_t sel_num)
{
    uint64_t base = sel_alloc(8, 8) + 8;

    sys.nova_obj = sel_num - NOVA_ROOT_SEL_NOVA_OBJ;
    sys.root.obj = sel_num - NOVA_ROOT_SEL_OBJ;
    sys.root.pd = sel_num - NOVA_ROOT_SEL_PD;
    sys.ec = sel_num - NOVA_ROOT_SEL_EC;
    sys.sc = sel_num - NOVA_ROOT_SEL_SC;

    ctrl_pd(sys.nova_obj, sys.root.obj, sel_num - 8, base - 8, 3, NOVA_PERM_ALL, 0);
    sys.console = base - NOVA_SEL_CONSOLE;
    sys.nova_hst = base - NOVA_SEL_NOVA_HST;
    sys.nova_pio = base - NOVA_SEL_NOVA_PIO;
    sys.nova_msr = base - NOVA_SEL_NOVA_MSR;
    sys.root.hst = base - NOVA_SEL_ROOT_HST;
    sys.root.pio = base - NOVA_SEL_ROOT_PIO;
}

void image_start(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    sys.hip = hip;
    sys.cpus = hip->cpu_num < CPU_MAX ? hip->cpu_num : CPU_MAX;
    sys.bsp = hip->cpu_bsp;
    take_nova_spaces(hip->sel_num);

    ctrl_pd(sys.nova_pio, sys.root.pio, SERIAL_PORT, SERIAL_PORT, 3, NOVA_PIO_A, 0);
    serial_init();

    sys.never = SEL();
    must(create_sm(sys.never, sys.root.pd, 0), "create_sm");
    multiboot_parse(magic, mbi, &sys.cmdline, &pool);
    threads_init();

    image_main(hip, magic, mbi);
    tap_done();
}
