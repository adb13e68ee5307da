/*
 * Start of further CPUs: INIT to all, then a start-up interrupt to each, which begins in the low page
 * that boot/ap.S was copied to. What stood in that page is put back.
 *
 * Intel SDM volume 3, 9.4.4.
 *
 * SPDX-License-Identifier: MIT
 */

#include "boot/smp.h"

#include "boot/multiboot.h"
#include "boot/paging.h"
#include "core/cpu.h"
#include "lib/console.h"
#include "lib/panic.h"
#include "lib/string.h"
#include "x86/acpi.h"
#include "x86/apic.h"
#include "x86/asm.h"
#include "x86/clock.h"
#include "x86/cpu.h"
#include "x86/descriptors.h"
#include "x86/fpu.h"

#define INIT_WAIT_MS 10
#define START_WAIT_MS 200

extern char ap_code[], ap_code_end[], ap_boot_root[], ap_kernel_root[], ap_stack[];
extern uint64_t boot_root[512];
static bool released;

/* Of a symbol in the code that is copied. */
static uintptr_t offset_of(const char *symbol)
{
    return (uintptr_t)symbol - (uintptr_t)ap_code;
}

static void wait_ms(uint64_t ms)
{
    uint64_t end = clock_now() + clock_ticks(ms);

    while (clock_now() < end)
        cpu_relax();
}

/* boot/ap.S comes here on the CPU's own stack. */
_Noreturn void boot_ap(struct cpu *cpu);
_Noreturn void boot_ap(struct cpu *cpu)
{
    cpu_enable();
    descriptors_load(cpu);
    fpu_init(cpu);
    apic_enable();
    __atomic_store_n(&cpu->started, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&released, __ATOMIC_ACQUIRE)) {
        panic_check();
        cpu_relax();
    }
    schedule(cpu);
}

static bool start(unsigned id, uint32_t apic, uint64_t page)
{
    struct cpu *cpu = cpu_of(id);

    for (unsigned attempt = 0; attempt < 2; attempt++) {
        uint64_t end = clock_now() + clock_ticks(START_WAIT_MS);
        apic_send_startup(apic, (uint8_t)(page >> PAGE_BITS));
        while (clock_now() < end) {
            if (__atomic_load_n(&cpu->started, __ATOMIC_ACQUIRE))
                return true;
            cpu_relax();
        }
    }
    return false;
}

void smp_start(void)
{
    static char saved[PAGE_SIZE];
    uint64_t page = multiboot_low_page();
    uint32_t self = apic_id();
    char *low;

    if (!page)
        return;
    low = paging_low(page);
    memcpy(saved, low, PAGE_SIZE);
    memcpy(low, ap_code, offset_of(ap_code_end));
    *(uint64_t *)(low + offset_of(ap_boot_root)) = phys_of(boot_root);
    *(uint64_t *)(low + offset_of(ap_kernel_root)) = phys_of(kernel_root);
    for (unsigned i = 0; i < acpi.cpus; i++)
        if (acpi.apic_id[i] != self)
            apic_send_init(acpi.apic_id[i]);
    wait_ms(INIT_WAIT_MS);
    for (unsigned i = 0; i < acpi.cpus && cpu_count < CPU_MAX; i++) {
        if (acpi.apic_id[i] == self)
            continue;
        cpu_area_create(cpu_count, acpi.apic_id[i]);
        *(uint64_t *)(low + offset_of(ap_stack)) = (uintptr_t)cpu_of(cpu_count);
        if (!start(cpu_count, acpi.apic_id[i], page)) {
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
