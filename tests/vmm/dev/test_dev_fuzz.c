/*
 * Random accesses to all ports, registers in memory, configuration spaces and LAPICs, of all sizes and alignments, from several
 * vCPUs at the same time, while threads of the host raise interrupts, type, and press the button. Values are biased to bits
 * that mean something. The devices must keep their bounds (the sanitizers look on) and still work afterwards.
 *
 *   test_dev_fuzz [OPERATIONS]     for each vCPU; with -fsanitize=thread this is the test for data races
 *
 * Sources: ram.c dev/bus.c dev/ioapic.c dev/irq.c dev/lapic.c dev/lapic_timer.c dev/machine.c dev/msix.c dev/pci.c
 * Sources: dev/power.c dev/rtc.c dev/uart.c ../libnova/src/format.c
 * Fakes: vmm/dev/fake.c native/host/fake/sync.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "dev/bus.h"
#include "dev/fake.h"
#include "dev/irq.h"
#include "dev/machine.h"
#include "dev/pci.h"
#include "dev/power.h"
#include "dev/rtc.h"
#include "dev/uart.h"
#include "ram.h"
#include "tap.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

static _Alignas(4096) uint8_t pci_memory[PCI_SLOTS * 4096];

#define VCPUS 4U
#define OPERATIONS 50000U

static unsigned operations = OPERATIONS;
static unsigned running;      /* atomic: vCPUs */
static unsigned long done[5]; /* atomic: operations by kind */
static uint32_t cell[0x1000]; /* atomic: registers of the PCI device */

static uint64_t device_read(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    (void)size;
    return __atomic_load_n(&cell[offset / 4], __ATOMIC_RELAXED);
}

static struct pci_device device;

static void device_write(void *object, uint64_t offset, unsigned size, uint64_t value)
{
    (void)object;
    (void)size;
    __atomic_store_n(&cell[offset / 4], (uint32_t)value, __ATOMIC_RELAXED);
    pci_interrupt(&device, (unsigned)value % 8);
}

static uint64_t wall(void)
{
    static uint64_t time;

    return __atomic_add_fetch(&time, 1234567, __ATOMIC_RELAXED) * 1000;
}

static size_t output(const uint8_t *bytes, size_t count)
{
    return bytes[0] % 3 ? count : 0;
}

static void input_room(void)
{
}

static uint64_t value_of(uint64_t *state)
{
    static const uint64_t some[] = {0,         1,          0x7fffffff, 0x80000000, UINT32_MAX,
                                    1UL << 63, UINT64_MAX, 0xfee00000, 0x4051};
    uint64_t random = tap_random(state);

    switch (random >> 60) {
    case 0:
    case 1:
    case 2:
        return some[random % 9];
    case 3:
    case 4:
    case 5:
        return 1UL << random % 64;
    case 6:
    case 7:
    case 8:
        return random & 0xff;
    default:
        return tap_random(state);
    }
}

/* An address at or near something. */
static uint64_t place_of(uint64_t *state)
{
    static const uint64_t pages[] = {IRQ_IOAPIC,          IRQ_IOAPIC + 0x10,   IRQ_IOAPIC + 0x40,
                                     PCI_ECAM + 0x8000,   PCI_ECAM + 0x8000,   PCI_ECAM + 0xff000,
                                     PCI_WINDOW,          PCI_WINDOW + 0x4000, PCI_WINDOW + 0x4000,
                                     PCI_WINDOW + 0x4800, 0xdffffff8,          0x100000000};
    uint64_t random = tap_random(state), near = random >> 8 & 0x7f;

    return pages[random % 12] + (random & 0x10000 ? near : near / 4 * 4);
}

static uint64_t port_of(uint64_t *state)
{
    static const uint64_t ports[] = {UART_PORT, UART_PORT, RTC_PORT, 0x600, 0xfffe};
    uint64_t random = tap_random(state);

    return random % 16 ? ports[random % 5] + (random >> 8) % 9 - (random >> 16 & 1) : random >> 8 & 0xffff;
}

static void access(enum bus bus, uint64_t address, uint64_t *state)
{
    static const unsigned sizes[] = {1, 2, 4, 4, 4, 8, 8, 3};
    uint64_t random = tap_random(state), value = value_of(state);
    unsigned size = sizes[random % 8];

    if (random & 0x100)
        bus_write(bus, address, size, value);
    else if (bus_read(bus, address, size, &value))
        CHECK(size == 8 || value >> size * 8 == 0);
}

static void touch_lapic(struct lapic *lapic, uint64_t *state, uint64_t now)
{
    uint64_t random = tap_random(state), value = value_of(state);
    int vector;

    switch (random % 8) {
    case 0:
        lapic_set_base(lapic, value & 1 ? value : (lapic->base ^ (value & 0xd00)));
        break;
    case 1:
        lapic_set_tsc_deadline(lapic, value);
        break;
    case 2:
        lapic_timer(lapic, now);
        break;
    case 3:
        if (lapic->base & LAPIC_BASE_X2APIC) {
            lapic_read(lapic, (unsigned)(random >> 8) % 0x48, now, &value);
            break;
        }
        lapic_mmio_read(lapic, random >> 8 & 0xfff, 1U << (random >> 20) % 4, now);
        break;
    case 4:
    case 5:
        if (lapic->base & LAPIC_BASE_X2APIC) {
            lapic_write(lapic, (unsigned)(random >> 8) % 0x48, now, value);
            break;
        }
        lapic_mmio_write(lapic, random & 0x10000 ? random >> 8 & 0xfff : random >> 8 & 0x3f0, 4, now, value);
        break;
    case 6:
        lapic_set_cr8(lapic, value);
        break;
    default:
        vector = lapic_pending(lapic);
        CHECK(vector == -1 || (vector >= 16 && vector < 256));
        if (vector >= 0)
            lapic_take(lapic, (uint8_t)vector);
    }
}

static void *vcpu(void *argument)
{
    unsigned number = (unsigned)(uintptr_t)argument;
    uint64_t state = number + 17, now = 0;

    for (unsigned i = 0; i < operations; i++) {
        unsigned kind = (unsigned)(tap_random(&state) % 5);

        now += value_of(&state) & 0xffffff;
        switch (kind) {
        case 0:
            access(BUS_PIO, port_of(&state), &state);
            break;
        case 1:
        case 2:
            access(BUS_MMIO, place_of(&state), &state);
            break;
        case 3:
            irq_message(tap_random(&state) & 1 ? 0xfee00000 | (value_of(&state) & 0xfffff) : value_of(&state),
                        (uint32_t)value_of(&state));
            break;
        default:
            touch_lapic(vcpu_lapic(number), &state, now);
        }
        __atomic_fetch_add(&done[kind], 1, __ATOMIC_RELAXED);
        /* INIT and reset are carried out by the vCPU. */
        if (fake_asked(number) & VCPU_INIT && i % 16 == 0)
            lapic_reset(vcpu_lapic(number), number, true);
    }
    __atomic_sub_fetch(&running, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/* Back ends and the main thread. */
static void *host(void *argument)
{
    uint64_t state = 99;

    (void)argument;
    while (__atomic_load_n(&running, __ATOMIC_SEQ_CST)) {
        uint64_t random = tap_random(&state);

        switch (random % 8) {
        case 0:
            CHECK(uart_input((const uint8_t *)"hello, guest: this is longer than a FIFO", random >> 8 & 31) <=
                  16);
            break;
        case 1:
            uart_output_room();
            break;
        case 2:
            power_button();
            break;
        case 3:
            pci_interrupt(&device, (unsigned)(random >> 8) & 15);
            break;
        case 4:
            irq_set((unsigned)(random >> 8) % IRQ_PINS, random >> 20 & 1);
            break;
        default:
            sched_yield();
        }
        if (random >> 50 == 0) {
            uart_reset();
            rtc_reset();
            pci_reset();
            irq_reset();
        }
    }
    return NULL;
}

static void fuzz(void)
{
    pthread_t threads[VCPUS], other;
    uint64_t errors = machine_guest_errors();
    unsigned long sum = 0;

    fake_vcpus(VCPUS, true);
    running = VCPUS;
    for (uintptr_t i = 0; i < VCPUS; i++)
        pthread_create(&threads[i], NULL, vcpu, (void *)i);
    pthread_create(&other, NULL, host, NULL);
    for (unsigned i = 0; i < VCPUS; i++)
        pthread_join(threads[i], NULL);
    pthread_join(other, NULL);
    for (unsigned i = 0; i < 5; i++) {
        CHECK(done[i] > operations / 8);
        sum += done[i];
    }
    CHECK(sum == (unsigned long)VCPUS * operations && machine_guest_errors() > errors && fake_lines < 1000);
    ok_checks("%lu random accesses from %u vCPUs, %u guest errors in %u lines", sum, VCPUS, fake_errors(),
              fake_lines);
}

/* After a reset everything works as it should. */
static void test_afterwards(void)
{
    uint64_t value, table;

    uart_reset();
    rtc_reset();
    pci_reset();
    irq_set(IRQ_UART, false);
    irq_reset();
    fake_vcpus(VCPUS, true);
    bus_write(BUS_MMIO, IRQ_IOAPIC, 4, 0x10 + IRQ_UART * 2);
    bus_write(BUS_MMIO, IRQ_IOAPIC + 0x10, 4, 0x34);
    bus_write(BUS_PIO, UART_PORT + 4, 1, 8);
    bus_write(BUS_PIO, UART_PORT + 1, 1, 1);
    CHECK(uart_input((const uint8_t *)"x", 1) == 1 && fake_requested(0, 0x34) && fake_quiet());
    CHECK(bus_read(BUS_PIO, UART_PORT, 1, &value) && value == 'x');
    table = PCI_WINDOW + 0x4000;
    bus_write(BUS_MMIO, PCI_ECAM + 0x8004, 2, 6);
    CHECK(bus_read(BUS_MMIO, PCI_ECAM + 0x8014, 4, &value) && value == table);
    bus_write(BUS_MMIO, table, 8, 0xfee02000);
    bus_write(BUS_MMIO, table + 8, 8, 0x4077);
    bus_write(BUS_MMIO, PCI_ECAM + 0x8042, 2, 0x8000);
    pci_interrupt(&device, 0);
    CHECK(fake_requested(2, 0x77) && fake_quiet());
    CHECK(bus_write(BUS_PIO, RTC_PORT, 1, 8) && bus_read(BUS_PIO, RTC_PORT + 1, 1, &value));
    CHECK((value & 15) + value / 16 * 10 <= 12 && value > 0);
    ok_checks("after a reset UART, IOAPIC, MSI-X and clock work");
}

int main(int argc, char **argv)
{
    static const struct uart_backend backend = {output, input_room};

    if (argc > 1)
        operations = (unsigned)strtoul(argv[1], NULL, 0);
    ram_init(NULL, 0);
    device =
        (struct pci_device){.name = "device", .bar = {{0x4000, device_read, device_write}}, .vectors = 8};
    CHECK(pci_init(pci_memory) && irq_init() && uart_init(&backend) && rtc_init(wall) && power_init() &&
          pci_add(&device));
    lapic_init_time(2625000000);
    fuzz();
    test_afterwards();
    return tap_done();
}
