/*
 * The virtual machine monitor: makes the machine of what root has given, and runs it.
 *
 *   main thread       requests about the machine as a whole (cpu/machine.c)
 *   a handler and a   for each vCPU, on its CPU (cpu/vcpu.c, cpu/timer.c)
 *   timer thread
 *   console thread    serial port and monitor (console.c, monitor.c)
 *
 * Arguments are KEY=VALUE, as nova-image made them of the system file: doc/system-file.md.
 *
 * SPDX-License-Identifier: MIT
 */

#include "backend.h"
#include "console.h"
#include "cpu/access.h"
#include "cpu/cpu.h"
#include "cpu/cpuid.h"
#include "cpu/machine.h"
#include "cpu/time.h"
#include "dev/irq.h"
#include "dev/pci.h"
#include "dev/power.h"
#include "dev/rtc.h"
#include "ram.h"

#include <nova/error.h>
#include <nova/log.h>
#include <nova/mem.h>
#include <nova/program.h>
#include <nova/string.h>

static _Noreturn void fail(const char *what, int error)
{
    nova_print("%s: %s\n", what, nova_error_text(error));
    nova_exit(1);
}

static void check(const char *what, int error)
{
    if (error)
        fail(what, error);
}

static void host_cpuid(uint32_t leaf, uint32_t subleaf, struct cpuid *out)
{
    __asm__ volatile("cpuid"
                     : "=a"(out->eax), "=b"(out->ebx), "=c"(out->ecx), "=d"(out->edx)
                     : "a"(leaf), "c"(subleaf));
}

/* What the kernel lets programs enable, it switches for guests as well; 0: no XSAVE. */
static uint64_t host_xcr0(void)
{
    struct cpuid features;
    uint32_t low, high;

    host_cpuid(1, 0, &features);
    if (!(features.ecx >> 27 & 1)) /* OSXSAVE */
        return 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* VMX or SVM: the manufacturer tells. SVM tells lengths of instructions if it has next RIP. */
static void init_vendor(void)
{
    struct cpuid first, svm;

    host_cpuid(0, 0, &first);
    host_cpuid(0x8000000a, 0, &svm);
    vendor = first.ecx == 0x6c65746e ? vendor_vmx : vendor_svm; /* "ntel" of GenuineIntel */
    vendor.lengths |= vendor.svm && svm.edx & 8;
}

static uint64_t wall(void)
{
    return time_wall();
}

static void init_cpus(const struct nova_info *info)
{
    const struct cpuid_machine machine = {
        .vcpus = info->vcpus,
        .xcr0 = host_xcr0(),
        .tsc_khz = (uint32_t)(info->tsc_frequency / 1000),
        .apic_khz = (uint32_t)(LAPIC_TIMER_HZ / 1000),
        .host = host_cpuid,
    };

    init_vendor();
    cpuid_init(&machine);
    access_init();
    time_init(info->tsc_frequency, info->wall_offset);
    lapic_init_time(info->tsc_frequency);
}

/* The configuration space of PCI is memory that the guest may read; writes exit. */
static void map_ecam(void)
{
    for (unsigned i = 0; i < PCI_FUNCTIONS; i++)
        check("PCI configuration space",
              nova_vm_map(PCI_ECAM + i * NOVA_PAGE, pci_page(i), NOVA_PAGE, NOVA_MEM_R));
}

static void init_devices(const char *vsock)
{
    void *pages;

    check("PCI", nova_mem_alloc(PCI_SLOTS * NOVA_PAGE, &pages));
    if (!irq_init() || !rtc_init(wall) || !power_init() || !pci_init(pages))
        fail("devices", NOVA_ERR_BUSY);
    check("console", console_init());
    if (!backend_init(vsock))
        fail("virtio", NOVA_ERR_INVAL);
    map_ecam();
}

/* The n-th CPU of a set. */
static unsigned cpu_of(uint64_t cpus, unsigned n)
{
    while (n--)
        cpus &= cpus - 1;
    return (unsigned)__builtin_ctzl(cpus);
}

static const char *option(int argc, char **argv, const char *key, const char *otherwise)
{
    size_t length = strlen(key);

    for (int i = 1; i < argc; i++)
        if (!strncmp(argv[i], key, length) && argv[i][length] == '=')
            return argv[i] + length + 1;
    return otherwise;
}

int main(int argc, char **argv)
{
    const struct nova_info *info = nova_info();
    struct machine_config config = {
        .cmdline = option(argc, argv, "cmdline", ""),
        .stop_on_triple_fault = !strcmp(option(argc, argv, "on-triple-fault", "reset"), "stop"),
    };

    if (!info->vcpus || info->vcpus > VCPU_MAX)
        fail("virtual machine", NOVA_ERR_INVAL);
    ram_init((void *)info->guest_start, info->guest_size);
    init_cpus(info);
    init_devices(option(argc, argv, "vsock", NULL));
    vcpu_count = info->vcpus;
    for (unsigned i = 0; i < vcpu_count; i++)
        check("virtual CPU", vcpu_create(i, cpu_of(info->cpus, i)));
    machine_run(&config);
}
