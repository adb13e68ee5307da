/*
 * A guest that measures what its own exits cost, VMM included: lines for bench/run. The time counter counts instructions, of the
 * guest, the microhypervisor and the VMM.
 *
 * SPDX-License-Identifier: MIT
 */

#include "guest.h"

#define ROUNDS 1000U
#define NOTHING 0x5678 /* a port of no device */
#define LINE_STATUS 0x3fd
#define VECTOR 0x41
#define MSR_DEADLINE 0x6e0
#define TIMER_DEADLINE 0x40000
#define DELAY 200000U
#define PCI_COMMAND 4
#define PCI_BAR 0x10
#define PCI_STATUS_CAPABILITIES 0x34
#define VIRTIO_VENDOR 0x1af4
#define CAP_VENDOR 9
#define CFG_COMMON 1
#define COMMON_DEVICE_STATUS 20 /* virtio 1.2, 4.1.4.3 */

static volatile uint64_t handled;

static void figure(uint64_t value, const char *operation)
{
    tap_diag("bench %lu %s", value, operation);
}

/* Instructions per round, without those of the loop itself. */
#define MEASURE(operation, instruction, outputs, ...)                                                        \
    do {                                                                                                     \
        uint64_t start_ = rdtsc();                                                                           \
        for (unsigned i_ = 0; i_ < ROUNDS; i_++)                                                             \
            __asm__ volatile(instruction:outputs:__VA_ARGS__ : "rbx", "memory");                             \
        figure((rdtsc() - start_) / ROUNDS, operation);                                                      \
    } while (0)

static void on_timer(struct frame *frame)
{
    (void)frame;
    apic_write(APIC_EOI, 0);
    handled = rdtsc();
}

/* From the deadline to the end of the handler, which ends the interrupt by a write to the APIC; the guest computes meanwhile. */
static void timer(void)
{
    uint64_t sum = 0, most = 0;

    handle(VECTOR, on_timer);
    apic_write(APIC_TIMER, TIMER_DEADLINE | VECTOR);
    for (unsigned i = 0; i < 100; i++) {
        uint64_t deadline = rdtsc() + DELAY, late;

        handled = 0;
        try_wrmsr(MSR_DEADLINE, deadline);
        interrupts(true);
        while (!handled)
            __builtin_ia32_pause();
        interrupts(false);
        late = handled - deadline;
        sum += late;
        most = late > most ? late : most;
    }
    figure(sum / 100, "timer of the APIC: from expiry to the end of the guest's handler");
    figure(most, "timer of the APIC: the latest of 100");
}

/* The common configuration of the first virtio device; null: there is none. */
static volatile uint8_t *virtio(void)
{
    uint64_t ecam = pci_ecam();

    for (unsigned slot = 0; ecam && slot < 32; slot++) {
        volatile uint8_t *function = (volatile uint8_t *)(ecam + slot * 0x8000UL);

        if (*(volatile uint16_t *)function != VIRTIO_VENDOR)
            continue;
        *(volatile uint16_t *)(function + PCI_COMMAND) = 2; /* memory */
        for (unsigned at = function[PCI_STATUS_CAPABILITIES]; at; at = function[at + 1]) {
            volatile uint8_t *cap = function + at;
            const volatile uint32_t *bar = (const volatile uint32_t *)(function + PCI_BAR + 4 * cap[4]);

            if (cap[0] == CAP_VENDOR && cap[3] == CFG_COMMON)
                return (volatile uint8_t *)(uint64_t)((*bar & ~0xfU) + *(volatile uint32_t *)(cap + 8));
        }
    }
    return NULL;
}

void test(void)
{
    volatile uint8_t *common = virtio();
    uint64_t a = 0, c = 0, d = 0;

    if (!in_vm() || !common)
        tap_bail("no virtual machine with virtio");
    apic_set_x2(true);
    apic_enable();
    MEASURE("CPUID", "xor %%eax, %%eax; cpuid", OUTPUT("=a"(a), "=c"(c), "=d"(d)), "0"(0));
    MEASURE("CPUID, leaf d", "mov $0xd, %%eax; xor %%ecx, %%ecx; cpuid", OUTPUT("=a"(a), "=c"(c), "=d"(d)),
            "0"(0));
    MEASURE("unassigned port, read", "inl %%dx, %%eax", OUTPUT("=a"(a)), "d"(NOTHING));
    MEASURE("register of the serial port, read", "inb %%dx, %%al", OUTPUT("=a"(a)), "d"(LINE_STATUS));
    MEASURE("register of a virtio device, read", "movb (%[at]), %%al",
            OUTPUT("=a"(a)), [at] "r"(common + COMMON_DEVICE_STATUS));
    MEASURE("register of a virtio device, written", "movb %%al, (%[at])",
            , [at] "r"(common + COMMON_DEVICE_STATUS), "a"(0));
    MEASURE("APIC, end of interrupt", "wrmsr", , "a"(0), "c"(0x800 + APIC_EOI / 16), "d"(0));
    timer();
    tap_ok(true, "measured");
}
