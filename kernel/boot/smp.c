/*
 * Start of further CPUs: INIT to all, then a start-up interrupt to each, which begins in the low page
 * that ap_code (boot/start.S) was copied to. What stood in that page is put back.
 *
 * Intel SDM volume 3, 9.4.4.
 *
 * SPDX-License-Identifier: MIT
 */

#include "boot/boot.h"
#include "boot/paging.h"
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

#define INIT_WAIT_MS 10
#define START_WAIT_MS 1000

/* boot/start.S: the code to copy, and where it leads. */
extern char ap_code[], ap_code_end[];
extern void (*boot_next)(void);

static bool released;

static void ap_on_stack(struct cpu *cpu)
{
    descriptors_load(cpu);
    fpu_init(cpu);
    virt_enable(cpu);
    apic_enable();
    __atomic_store_n(&cpu->started, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&released, __ATOMIC_ACQUIRE)) {
        panic_check();
        cpu_relax();
    }
    schedule(cpu);
}

/* boot/start.S comes here with the boot page tables and stack: the one CPU that smp_start waits for. */
static void boot_ap(void)
{
    cpu_enable();
    write_cr3(phys_of(kernel_root));
    boot_switch(cpu_of(cpu_count), ap_on_stack);
}

/* Waits for the CPU to start; false if it does not within this time. */
static bool started_within(const struct cpu *cpu, uint64_t ms)
{
    uint64_t end = clock_now() + clock_ticks(ms);
    bool started;

    do {
        started = __atomic_load_n(&cpu->started, __ATOMIC_ACQUIRE);
        cpu_relax();
    } while (!started && clock_now() < end);
    return started;
}

void smp_start(void)
{
    static char saved[PAGE_SIZE];
    uint64_t page = boot_info.low_page, wait;
    uint32_t self = apic_id();
    char *low;

    if (!page)
        return;
    low = boot_low_page(page);
    memcpy(saved, low, PAGE_SIZE);
    memcpy(low, ap_code, (uintptr_t)ap_code_end - (uintptr_t)ap_code);
    boot_next = boot_ap;
    for (unsigned i = 0; i < acpi.cpus; i++)
        if (acpi.apic_id[i] != self)
            apic_ipi(acpi.apic_id[i], APIC_INIT);
    wait = clock_now() + clock_ticks(INIT_WAIT_MS);
    while (clock_now() < wait)
        cpu_relax();
    for (unsigned i = 0; i < acpi.cpus && cpu_count < CPU_MAX; i++) {
        if (acpi.apic_id[i] == self)
            continue;
        cpu_area_create(cpu_count, acpi.apic_id[i]);
        bool started = false;
        for (unsigned attempt = 0; attempt < 2 && !started; attempt++) {
            apic_ipi(acpi.apic_id[i], APIC_STARTUP + (uint8_t)(page >> PAGE_BITS));
            started = started_within(cpu_of(cpu_count), START_WAIT_MS);
        }
        if (!started) {
            print("CPU with APIC ID %u does not start\n", acpi.apic_id[i]);
            break; /* it might still come: its area must not be given to another one */
        }
        cpu_count++;
    }
    memcpy(low, saved, PAGE_SIZE);
}

void smp_release(void)
{
    __atomic_store_n(&released, true, __ATOMIC_RELEASE);
}
