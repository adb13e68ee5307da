/*
 * IOAPIC: registers, edges and levels, remote IRR with EOI by LAPIC and by register, and races: devices on several threads
 * against a vCPU that takes and ends interrupts; no level may be lost.
 *
 * Sources: ram.c dev/bus.c dev/ioapic.c dev/irq.c dev/lapic.c dev/lapic_timer.c dev/machine.c ../libnova/src/format.c
 * Fakes: vmm/dev/fake.c native/host/fake/sync.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "dev/bus.h"
#include "dev/fake.h"
#include "dev/irq.h"
#include "ram.h"
#include "tap.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#define LEVEL 0x8000U
#define MASKED 0x10000U
#define REMOTE_IRR 0x4000U
#define LOGICAL 0x800U

static uint64_t random_state = 9;

static void write_at(uint64_t offset, uint32_t value)
{
    CHECK(bus_write(BUS_MMIO, IRQ_IOAPIC + offset, 4, value));
}

static uint32_t read_at(uint64_t offset)
{
    uint64_t value;

    CHECK(bus_read(BUS_MMIO, IRQ_IOAPIC + offset, 4, &value));
    return (uint32_t)value;
}

static uint32_t get(unsigned index)
{
    write_at(0, index);
    CHECK(read_at(0) == index);
    return read_at(0x10);
}

static void put(unsigned index, uint32_t value)
{
    write_at(0, index);
    write_at(0x10, value);
}

static void entry(unsigned pin, uint32_t low, unsigned destination)
{
    put(0x10 + pin * 2, MASKED);
    put(0x11 + pin * 2, destination << 24);
    put(0x10 + pin * 2, low);
}

static bool remote_irr(unsigned pin)
{
    return get(0x10 + pin * 2) & REMOTE_IRR;
}

static void fresh(unsigned vcpus)
{
    fake_vcpus(vcpus, true);
    for (unsigned pin = 0; pin < IRQ_PINS; pin++)
        irq_set(pin, false);
    irq_reset();
}

static void test_registers(void)
{
    fresh(1);
    CHECK(get(1) == 0x00170020 && get(0) == 0 && get(2) == 0);
    put(0, UINT32_MAX);
    CHECK(get(0) == 0x0f000000 && get(2) == 0x0f000000);
    put(1, 0);
    put(2, 0);
    CHECK(get(1) == 0x00170020 && get(2) == 0x0f000000);
    for (unsigned index = 3; index < 256; index++) {
        bool exists = index >= 0x10 && index < 0x40, high = index & 1;

        CHECK(get(index) == (exists && !high ? MASKED : 0));
        put(index, UINT32_MAX);
        CHECK(get(index) == (!exists ? 0 : high ? 0xff000000 : 0x1afff));
        put(index, 0x10000);
        CHECK(get(index) == (exists && !high ? MASKED : 0));
    }
    /* Only whole registers, only where they are. */
    write_at(0, 0x10);
    for (unsigned offset = 0; offset < 0x1000; offset++) {
        uint64_t value;

        for (unsigned size = 1; size <= 8 && offset + size <= 0x1000; size *= 2) {
            bool covers = offset <= 0x10 && offset + size > 0x10;

            CHECK(bus_read(BUS_MMIO, IRQ_IOAPIC + offset, size, &value));
            CHECK((value & ((1UL << (8 * size - 1)) - 1)) == 0 || offset <= 0x12);
            if (!covers && offset != 0)
                CHECK(bus_write(BUS_MMIO, IRQ_IOAPIC + offset, size, UINT64_MAX));
        }
        if (offset <= 8)
            write_at(0, 0x10);
        CHECK(read_at(0x10) == MASKED);
    }
    ok_checks("registers: existing bits, indices and offsets only");
}

static void test_edges(void)
{
    fresh(2);
    for (unsigned pin = 0; pin < IRQ_PINS; pin++) {
        entry(pin, 0x30 + pin, 1);
        irq_set(pin, true);
        CHECK(fake_requested(1, (uint8_t)(0x30 + pin)) && fake_asked(1) == VCPU_INTERRUPT &&
              !remote_irr(pin));
        CHECK(!lapic_is_level(vcpu_lapic(1), (uint8_t)(0x30 + pin)));
        irq_set(pin, true);
        irq_set(pin, false);
        CHECK(fake_quiet());
        /* On a masked pin it is lost. */
        entry(pin, MASKED | (0x30 + pin), 1);
        irq_set(pin, true);
        entry(pin, 0x30 + pin, 1);
        CHECK(fake_quiet());
        irq_set(pin, false);
        irq_set(pin, true);
        CHECK(fake_requested(1, (uint8_t)(0x30 + pin)) && fake_quiet());
    }
    CHECK(!fake_asked(0));
    ok_checks("edges: once each, lost while masked");
}

static void end_of_interrupt(unsigned vcpu, uint8_t vector, bool by_register)
{
    lapic_take(vcpu_lapic(vcpu), vector);
    if (by_register)
        write_at(0x40, vector);
    else
        lapic_eoi(vcpu_lapic(vcpu));
}

static void test_levels(void)
{
    for (unsigned by_register = 0; by_register < 2; by_register++) {
        struct lapic *lapic;

        fresh(1);
        lapic = vcpu_lapic(0);
        lapic_write(lapic, 0xf, 0, by_register ? 0x11ff : 0x1ff);
        entry(9, LEVEL | 0x59, 0);
        irq_set(9, true);
        CHECK(lapic_pending(lapic) == 0x59 && remote_irr(9) && lapic_is_level(lapic, 0x59));
        /* Still asserted at the EOI: again. */
        end_of_interrupt(0, 0x59, by_register);
        lapic->isr[2] = 0;
        CHECK(lapic_pending(lapic) == 0x59 && remote_irr(9));
        lapic_take(lapic, 0x59);
        irq_set(9, false);
        CHECK(!remote_irr(9));
        write_at(0x40, 0x59);
        lapic_eoi(lapic);
        CHECK(fake_quiet());
        /* Deasserted and asserted again before the EOI: comes through. */
        irq_set(9, true);
        CHECK(lapic_pending(lapic) == 0x59);
        lapic_take(lapic, 0x59);
        irq_set(9, false);
        irq_set(9, true);
        CHECK(fake_requested(0, 0x59));
        lapic_eoi(lapic);
        write_at(0x40, 0x59);
        irq_set(9, false);
        fake_requested(0, 0x59);
        /* Asserted while masked: comes when it is unmasked. */
        entry(9, LEVEL | MASKED | 0x59, 0);
        irq_set(9, true);
        CHECK(fake_quiet());
        entry(9, LEVEL | 0x59, 0);
        CHECK(fake_requested(0, 0x59) && remote_irr(9));
        /* No second one while remote IRR is set; an edge entry clears it. */
        put(0x10 + 18, LEVEL | 0x59);
        CHECK(fake_quiet());
        put(0x10 + 18, MASKED);
        put(0x10 + 18, LEVEL | 0x59);
        CHECK(fake_requested(0, 0x59));
        /* EOIs of other vectors do nothing. */
        for (unsigned vector = 0; vector < 256; vector++) {
            if (vector != 0x59) {
                irq_eoi((uint8_t)vector);
                write_at(0x40, vector);
            }
        }
        CHECK(remote_irr(9) && fake_quiet());
    }
    ok_checks("levels: remote IRR, EOI by LAPIC and by register, unmasking, deassertion");
}

/* Pins with the same vector, and a destination that takes nothing. */
static void test_corners(void)
{
    fresh(2);
    entry(5, LEVEL | 0x60, 0);
    entry(6, LEVEL | 0x60, 0);
    irq_set(5, true);
    irq_set(6, true);
    CHECK(remote_irr(5) && remote_irr(6) && fake_requested(0, 0x60));
    irq_set(5, false);
    irq_eoi(0x60);
    CHECK(!remote_irr(5) && remote_irr(6) && fake_requested(0, 0x60));
    entry(7, LEVEL | 0x61, 7);
    irq_set(7, true);
    CHECK(!remote_irr(7) && fake_quiet());
    put(0x11 + 14, 1 << 24);
    CHECK(remote_irr(7) && fake_requested(1, 0x61));
    lapic_write(vcpu_lapic(1), 0xf, 0, 0xff);
    entry(8, LEVEL | 0x62, 1);
    irq_set(8, true);
    CHECK(!remote_irr(8) && fake_quiet());
    /* Everybody; logical; NMI; no such mode. */
    fresh(3);
    entry(1, 0x71, 0xff);
    irq_set(1, true);
    CHECK(fake_requested(0, 0x71) && fake_requested(1, 0x71) && fake_requested(2, 0x71));
    lapic_write(vcpu_lapic(2), 0xd, 0, 0x04000000);
    entry(2, LOGICAL | 0x72, 4);
    irq_set(2, true);
    CHECK(fake_requested(2, 0x72) && fake_quiet());
    fake_asked(1);
    entry(3, 0x400 | LEVEL, 1);
    irq_set(3, true);
    CHECK(fake_asked(1) == VCPU_NMI && !remote_irr(3));
    fake_errors();
    entry(4, 0x700, 1);
    irq_set(4, true);
    CHECK(fake_quiet() && fake_errors() == 1);
    ok_checks("shared vectors, absent and disabled destinations, other delivery modes");
}

/* Two devices raise levels until the vCPU has served them; edges come as well. The vCPU must see each. */
#define ROUNDS 20000U

static struct {
    unsigned raised, served; /* atomic */
} device[2];

static unsigned running; /* atomic */

static void *raise_levels(void *argument)
{
    unsigned number = (unsigned)(uintptr_t)argument;

    for (unsigned i = 1; i <= ROUNDS; i++) {
        __atomic_store_n(&device[number].raised, i, __ATOMIC_SEQ_CST);
        irq_set(20 + number, true);
        while (__atomic_load_n(&device[number].served, __ATOMIC_SEQ_CST) != i)
            sched_yield();
    }
    __atomic_sub_fetch(&running, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void *raise_edges(void *argument)
{
    (void)argument;
    for (unsigned i = 0; i < ROUNDS; i++) {
        irq_set(4, i & 1);
        irq_message(0xfee00000, 0x4000 | (0x40 + i % 64));
    }
    __atomic_sub_fetch(&running, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/* What a guest does: takes what is pending, serves both devices that share vector 0x90, ends the interrupt. */
static unsigned long serve(struct lapic *lapic)
{
    int vector = lapic_pending(lapic);

    if (vector < 0)
        return 0;
    lapic_take(lapic, (uint8_t)vector);
    for (unsigned i = 0; vector == 0x90 && i < 2; i++) {
        unsigned raised = __atomic_load_n(&device[i].raised, __ATOMIC_SEQ_CST);

        if (raised != __atomic_load_n(&device[i].served, __ATOMIC_SEQ_CST)) {
            irq_set(20 + i, false);
            __atomic_store_n(&device[i].served, raised, __ATOMIC_SEQ_CST);
        }
    }
    lapic_eoi(lapic);
    return 1;
}

static void test_races(void)
{
    pthread_t threads[3];
    unsigned long served = 0;

    fresh(1);
    running = 3;
    entry(20, LEVEL | 0x90, 0);
    entry(21, LEVEL | 0x90, 0);
    entry(4, 0x34, 0);
    pthread_create(&threads[0], NULL, raise_levels, (void *)0);
    pthread_create(&threads[1], NULL, raise_levels, (void *)1);
    pthread_create(&threads[2], NULL, raise_edges, NULL);
    while (__atomic_load_n(&running, __ATOMIC_SEQ_CST)) {
        if (!serve(vcpu_lapic(0))) {
            sched_yield();
        } else if (++served % 64 == 0 && tap_random(&random_state) % 4 == 0) {
            /* The guest masks a pin for a moment. */
            put(0x10 + 40, LEVEL | MASKED | 0x90);
            put(0x10 + 40, LEVEL | 0x90);
        }
    }
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    while (serve(vcpu_lapic(0)))
        served++;
    CHECK(device[0].served == ROUNDS && device[1].served == ROUNDS && served >= ROUNDS && fake_quiet());
    CHECK(!remote_irr(20) && !remote_irr(21));
    ok_checks("races: 2 devices with levels, 1 with edges and messages: nothing is lost");
}

int main(void)
{
    alarm(300); /* a lost interrupt would be waited for */
    ram_init(NULL, 0);
    CHECK(irq_init());
    test_registers();
    test_edges();
    test_levels();
    test_corners();
    test_races();
    return tap_done();
}
