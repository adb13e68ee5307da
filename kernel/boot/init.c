/*
 * From the first C code to the first user code.
 *
 * SPDX-License-Identifier: MIT
 */

#include "boot/boot.h"
#include "boot/paging.h"
#include "core/interrupt.h"
#include "lib/console.h"
#include "lib/panic.h"
#include "lib/string.h"
#include "virt/virt.h"
#include "x86/acpi.h"
#include "x86/apic.h"
#include "x86/clock.h"
#include "x86/cpu.h"
#include "x86/device.h"
#include "x86/fpu.h"

uint64_t kernel_delta;

extern uint64_t boot_root[512]; /* boot/start.S */
extern char image_start[], pool_start[], image_end[];

/* On the stack of the first CPU. */
static void boot_on_stack(struct cpu *cpu)
{
    descriptors_init();
    descriptors_load(cpu);
    fpu_init(cpu);
    virt_enable(cpu);
    acpi_parse(hip->acpi_rsdp);
    apic_init();
    apic_enable();
    cpu->apic_id = apic_id();
    ioapic_init();
    clock_init();
    print("TSC runs at %lu kHz\n", clock_frequency / 1000);

    cpu->started = true;
    cpu_count = 1;
    smp_start();
    print("%u CPUs\n", cpu_count);

    nova_spaces_init();
    interrupt_init();
    hip_init();
    root_create();
    print("%lu of %lu KiB of kernel memory left for the root PD\n", pool_free() * 4, pool_size() * 4);
    boot_window_close();
    memset(boot_root, 0, sizeof(boot_root)); /* no CPU uses it any more */
    console_serial_off();
    smp_release();
    schedule(cpu);
}

/* boot/start.S comes here with the boot page tables. `delta` is how far the loader has shifted the image. */
_Noreturn void boot_bsp(uint32_t magic, uint32_t info, uint64_t delta)
{
    kernel_delta = KERNEL_BASE - delta;
    console_init();
    print("NOVA SDK microhypervisor, image at %#lx to %#lx\n", phys_of(image_start), phys_of(image_end));
    cpu_features();
    paging_init();
    cpu_enable();
    write_cr3(phys_of(kernel_root));
    ptab_host.leaf_levels = ptab_npt.leaf_levels = cpu_has_1g ? 3 : 2;
    virt_init();
    if (!multiboot_parse(magic, info))
        panic("no usable Multiboot2 information");
    pool_init(pool_start, (uintptr_t)image_end - (uintptr_t)pool_start);
    cpu_area_create(0, 0);
    boot_switch(cpu_of(0), boot_on_stack);
}
