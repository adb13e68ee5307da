/*
 * Start of root, and its main loop.
 *
 * Order: the spaces; the boot loader's information, read in place; the manifest; then memory for everything,
 * so that nothing can be missing later; threads; domains.
 *
 * SPDX-License-Identifier: MIT
 */

#include "boot.h"
#include "domain.h"
#include "events.h"
#include "log.h"
#include "system.h"

#include <cpuid.h>

#define LOW_MEMORY 0x100000UL
#define RESERVE_PAGES 1024UL /* of memory, and of kernel memory: for root */

static struct boot boot;
static struct memory ram;

_Noreturn void root_main(const struct nova_hip *page, uint64_t magic, uint64_t info);

/* What programs need is said here once: they could only die of it. */
static void check_cpu(void)
{
    uint32_t a, b = 0, c = 0, d;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_RDRND))
        panic("programs need random numbers of the CPU (RDRAND)");
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_FSGSBASE))
        panic("programs need instructions that this CPU does not have (FSGSBASE)");
}

/* The whole information, read in place: nothing of it is used once memory is given out. */
static void read_boot_info(uint64_t info)
{
    const uint8_t *p = map_physical(info & -PAGE_SIZE, BOOT_INFO_MAX + PAGE_SIZE, NOVA_MEM_R);
    uint32_t size;

    p += info % PAGE_SIZE;
    memcpy(&size, p, sizeof(size));
    if (size > BOOT_INFO_MAX || !boot_parse(p, size, &boot))
        panic("the boot information is broken, or too large");
}

/* Fills `memory` with what is free, `ram` with all there is. */
static void find_memory(void)
{
    struct range r;
    bool fits = true;

    for (unsigned i = 0; boot_memory(&boot, i, &r); i++)
        fits &= memory_add(&ram, r.start, r.end) && memory_add(&memory, r.start, r.end);
    fits &= memory_remove(&memory, 0, LOW_MEMORY) && memory_remove(&memory, hip->nova_start, hip->nova_end) &&
            memory_remove(&memory, hip->mbuf_start, hip->mbuf_end) &&
            memory_remove(&memory, hip->root_start, hip->root_end);
    for (unsigned i = 0; i < boot.modules; i++)
        fits &= memory_remove(&memory, boot.module[i].start, boot.module[i].end);
    if (!fits)
        panic("the memory map has too many pieces");
}

/* Maps a module. What is behind its end in its last page may be shown to a domain with it: it is cleared. */
static const void *map_module(const struct boot_module *m)
{
    uint64_t last = m->end & ~(PAGE_SIZE - 1), bytes = m->end - m->start;

    if (m->start % PAGE_SIZE)
        panic("a module is not page-aligned");
    if (m->end != last) {
        map_physical(last, PAGE_SIZE, NOVA_MEM_R | NOVA_MEM_W);
        memset(physical(m->end), 0, PAGE_SIZE - m->end % PAGE_SIZE);
    }
    return map_physical(m->start, bytes, NOVA_MEM_R);
}

/* The module with the command line `manifest`, and those behind it. */
static void read_manifest(void)
{
    uint64_t free = memory_free_pages(&memory);
    struct machine machine = {.cpus = cpu_count,
                              .pins = hip->int_pin,
                              .pages = free > RESERVE_PAGES ? free - RESERVE_PAGES : 0,
                              .kernel_pages = (hip->nova_end - hip->nova_start) / PAGE_SIZE - RESERVE_PAGES,
                              .physical_end = 1UL << 46,
                              .ram = &ram};
    const char *error;
    unsigned i = 0;

    while (i < boot.modules && strcmp(boot.module[i].cmdline, "manifest") != 0)
        i++;
    if (i == boot.modules)
        panic("there is no manifest");
    machine.modules = boot.modules - i - 1;
    machine.module = module = &boot.module[i + 1];
    for (unsigned n = 0; n < machine.modules; n++)
        map_module(&module[n]);
    error = manifest_check(map_module(&boot.module[i]), boot.module[i].end - boot.module[i].start, &machine,
                           &manifest);
    if (error) {
        log_root("manifest refused: %s", error);
        panic("no manifest to go by");
    }
}

void root_main(const struct nova_hip *page, uint64_t magic, uint64_t info)
{
    uint64_t next;

    system_init(page);
    if (magic != BOOT_MAGIC)
        panic("not booted by Multiboot2");
    check_cpu();
    read_boot_info(info);
    find_memory();
    read_manifest();
    clock_init();
    events_init();
    domains_init();
    for (;;) {
        next = domains_poll();
        lock();
        next = end_begun() ? end_poll() : next;
        unlock();
        nova_hc_ctrl_sm(SEL_WORK + hip->cpu_bsp, next, NOVA_SM_DOWN);
        serve_main();
    }
}
