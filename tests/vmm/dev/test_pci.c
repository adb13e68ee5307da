/*
 * PCI: the configuration space of each function bit by bit, BAR sizing, decoding, capabilities; MSI-X: table, masks, pending
 * bits, delivery on unmasking, and vectors sent from threads while the guest masks.
 *
 * Sources: ram.c dev/bus.c dev/machine.c dev/msix.c dev/pci.c ../libnova/src/format.c
 * Fakes: native/host/fake/sync.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "dev/irq.h"
#include "dev/machine.h"
#include "dev/pci.h"
#include "ram.h"
#include "tap.h"

#include <nova/log.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

static _Alignas(4096) uint8_t pci_memory[PCI_SLOTS * 4096];

#define SLOT(n) (PCI_ECAM + (n)*0x8000UL)
#define COMMAND 4U
#define BAR(n) (0x10U + (n)*4)

/* Messages that were sent. */
static struct {
    uint64_t address;
    uint32_t data;
    unsigned count; /* atomic */
} sent;

void irq_message(uint64_t address, uint32_t data)
{
    sent.address = address;
    sent.data = data;
    __atomic_add_fetch(&sent.count, 1, __ATOMIC_SEQ_CST);
}

void nova_print(const char *format, ...)
{
    (void)format;
}

/* A device whose registers are what was written there. */
static uint8_t registers[2][0x4000];

static uint64_t device_read(void *device, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, (uint8_t *)device + offset, size);
    return value;
}

static void device_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    CHECK(size <= 4 && offset % size == 0);
    memcpy((uint8_t *)device + offset, &value, size);
}

static struct pci_device first = {
    .name = "first",
    .device = registers[0],
    .vendor = 0x1af4,
    .id = 0x1041,
    .subsystem_vendor = 0x1234,
    .subsystem = 0x5678,
    .class_revision = 0x02000001,
    .bar = {{0x4000, device_read, device_write}, {0, NULL, NULL}, {0x1000, device_read, device_write}},
    .vectors = 3};
static struct pci_device second = {.name = "second",
                                   .device = registers[1],
                                   .vendor = 0x1af4,
                                   .id = 0x1044,
                                   .class_revision = 0x00ff0001,
                                   .bar = {{0x2000, device_read, device_write}}};

static uint64_t get(uint64_t address, unsigned size)
{
    uint64_t value;

    CHECK(bus_read(BUS_MMIO, address, size, &value));
    return value;
}

static void put(uint64_t address, unsigned size, uint64_t value)
{
    CHECK(bus_write(BUS_MMIO, address, size, value));
}

static uint64_t bar_address(unsigned slot, unsigned bar)
{
    return get(SLOT(slot) + BAR(bar), 4);
}

static void test_layout(void)
{
    const uint32_t *page = pci_page(8), *absent = pci_page(0);

    for (unsigned function = 0; function < PCI_FUNCTIONS; function++) {
        bool there = function == 8 || function == 16;
        const uint32_t *its = pci_page(function);

        CHECK((its != absent) == there && (uintptr_t)its % 4096 == 0);
        for (unsigned offset = 0; offset < 4096; offset += 4) {
            CHECK(get(PCI_ECAM + function * 4096 + offset, 4) == its[offset / 4]);
            CHECK(there || its[offset / 4] == UINT32_MAX);
        }
    }
    CHECK(page[0] == 0x10411af4 && page[1] == 0x00100000 && page[2] == 0x02000001 && page[11] == 0x56781234);
    CHECK(page[13] == 0x40 && page[15] == 0 && page[12] == 0 && page[64] == 0 && page[3] == 0);
    /* BARs: apart, aligned, in the window; MSI-X has the first free one. */
    CHECK(bar_address(1, 0) % 0x4000 == 0 && bar_address(1, 1) % 0x1000 == 0 &&
          bar_address(1, 2) % 0x1000 == 0);
    CHECK(bar_address(1, 0) >= PCI_WINDOW && bar_address(2, 0) + 0x2000 <= PCI_WINDOW + PCI_WINDOW_SIZE);
    CHECK(bar_address(1, 3) == 0 && bar_address(1, 5) == 0 && bar_address(2, 1) == 0);
    CHECK(page[16] == (0x11 | 0x4c << 8 | 2 << 16) && page[17] == 1 && page[18] == 0x801);
    ok_checks("pages: header, absent functions, BARs in place, MSI-X capability");
}

static void test_capabilities(void)
{
    const uint8_t *page = pci_page(8);
    uint8_t body[20], big[256] = {0};
    unsigned count = 1;

    for (unsigned at = page[0x34]; at; at = page[at + 1])
        CHECK(at >= 0x40 && at % 4 == 0 && count++ < 10);
    CHECK(count == 3 && page[0x4c] == 9 && page[0x4d] == 0 && page[0x4e] == 18 && page[0x5d] == 0xcc);
    memset(body, 0xdd, sizeof(body));
    CHECK(pci_add_capability(&second, 9, body, 19) == 0x40 && pci_add_capability(&second, 9, body, 1) == 0);
    CHECK(pci_add_capability(&second, 9, big, 256) == 0 && pci_add_capability(&second, 9, big, 172) == 0x54);
    CHECK(pci_add_capability(&second, 9, big, 2) == 0);
    page = pci_page(16);
    CHECK(page[0x34] == 0x40 && page[0x41] == 0x54 && page[0x55] == 0 && page[0x42] == 0xdd);
    ok_checks("capabilities: a chain that ends, within the space");
}

/* Every bit of the space, by accesses of every size: only those that may change do. */
static void test_bits(void)
{
    static uint32_t before[1024];
    const uint32_t *page = pci_page(8);

    memcpy(before, page, sizeof(before));
    for (unsigned offset = 0; offset < 4096; offset++) {
        for (unsigned size = 1; size <= 8 && offset + size <= 4096; size *= 2) {
            for (unsigned ones = 0; ones < 2; ones++) {
                bool in_bars = offset + size > 0x10 && offset < 0x28;

                put(SLOT(1) + offset, size, ones ? UINT64_MAX : 0);
                for (unsigned i = 0; i < 1024 && !in_bars; i++) {
                    uint32_t change = i == 1              ? 0x546
                                      : i == 3 || i == 15 ? 0xff
                                      : i == 16           ? 0xc0000000
                                                          : 0,
                             mask = 0;

                    for (unsigned byte = 0; byte < 4; byte++) {
                        unsigned at = i * 4 + byte;

                        mask |= at >= offset && at < offset + size ? 0xffU << byte * 8 : 0;
                    }
                    if (mask || page[i] != before[i])
                        CHECK(page[i] == ((before[i] & ~(change & mask)) | (ones ? change & mask : 0)));
                    before[i] = page[i];
                }
                if (in_bars) {
                    pci_reset();
                    memcpy(before, page, sizeof(before));
                }
            }
        }
    }
    pci_reset();
    CHECK(page[1] == 0x00100000 && page[3] == 0 && page[15] == 0 && page[16] >> 24 == 0);
    for (unsigned function = 0; function < 256; function++) {
        if (function != 8 && function != 16) {
            put(PCI_ECAM + function * 4096 + 4, 4, 0xffffffff);
            put(PCI_ECAM + function * 4096 + 0x10, 4, 0);
            CHECK(get(PCI_ECAM + function * 4096 + 4, 4) == UINT32_MAX &&
                  get(PCI_ECAM + function * 4096 + 16, 4) == UINT32_MAX);
        }
    }
    ok_checks("configuration space: writable bits by accesses of 1 to 8 bytes, absent functions");
}

static void test_sizing(void)
{
    static const uint32_t sizes[6] = {0x4000, 0x1000, 0x1000, 0, 0, 0};
    uint64_t errors = machine_guest_errors();

    for (unsigned bar = 0; bar < 6; bar++) {
        uint64_t at = SLOT(1) + BAR(bar), address = get(at, 4), mask = sizes[bar] ? (uint32_t)-sizes[bar] : 0;

        put(at, 4, UINT32_MAX);
        CHECK(get(at, 4) == mask);
        put(at, 4, address);
        CHECK(get(at, 4) == address);
        put(at, 4, 0xfffffff0);
        CHECK(get(at, 4) == mask);
        put(at, 2, 0);
        CHECK(get(at, 4) == address);
        for (unsigned byte = 0; byte < 4; byte++)
            put(at + byte, 1, 0xff);
        CHECK(get(at, 4) == mask);
        CHECK(machine_guest_errors() == errors);
        put(at, 4, 0xc0000000);
        CHECK(get(at, 4) == address && machine_guest_errors() == errors + (mask != 0));
        errors = machine_guest_errors();
    }
    put(SLOT(1) + BAR(0), 8, UINT64_MAX);
    CHECK(get(SLOT(1) + BAR(0), 8) == 0xfffff000ffffc000);
    put(SLOT(1) + BAR(0), 8, 0);
    put(SLOT(1) + 0x30, 4, UINT32_MAX);
    CHECK(get(SLOT(1) + 0x30, 4) == 0);
    ok_checks("BARs: sizing by any access, no moving");
}

static void test_decoding(void)
{
    uint64_t at = bar_address(1, 0), other = bar_address(2, 0), table = bar_address(1, 1);

    pci_reset();
    put(at + 8, 4, 0x11223344);
    CHECK(get(at + 8, 4) == UINT32_MAX && registers[0][8] == 0 && get(table, 4) == UINT32_MAX);
    put(SLOT(1) + COMMAND, 1, 2);
    CHECK(get(at + 8, 4) == 0 && get(table, 4) == 0);
    put(at + 8, 8, 0x1122334455667788);
    CHECK(get(at + 8, 8) == 0x1122334455667788 && get(at + 9, 2) == 0x6677 && registers[0][15] == 0x11);
    CHECK(get(bar_address(1, 2) + 8, 4) == 0x55667788);
    CHECK(get(other, 4) == UINT32_MAX);
    put(SLOT(2) + COMMAND, 2, 2);
    CHECK(get(other, 4) == 0);
    put(SLOT(1) + COMMAND, 2, 4);
    CHECK(get(at + 8, 4) == UINT32_MAX);
    ok_checks("decoding: only with memory space enabled, each function on its own");
}

#define TABLE_CONTROL(v) (table + (v)*16 + 12)
#define MSIX (SLOT(1) + 0x42)

static void test_msix(void)
{
    uint64_t table = bar_address(1, 1), pba = table + 0x800;

    pci_reset();
    put(SLOT(1) + COMMAND, 2, 6);
    CHECK(!pci_msix_enabled(&first));
    for (unsigned v = 0; v < 3; v++) {
        CHECK(get(TABLE_CONTROL(v), 4) == 1 && get(table + v * 16, 8) == 0);
        put(table + v * 16, 8, 0x1fee00003 + v * 0x1000);
        put(table + v * 16 + 8, 8, 0xffffffff00004050 + v);
        CHECK(get(table + v * 16, 8) == 0x1fee00000U + v * 0x1000 &&
              get(table + v * 16 + 8, 8) == 0x100004050U + v);
    }
    sent.count = 0;
    pci_interrupt(&first, 0);
    CHECK(get(pba, 8) == 0 && !sent.count);
    put(MSIX, 2, 0x8000);
    CHECK(pci_msix_enabled(&first));
    pci_interrupt(&first, 0);
    pci_interrupt(&first, 0);
    pci_interrupt(&first, 2);
    CHECK(get(pba, 8) == 5 && get(pba, 1) == 5 && !sent.count);
    put(TABLE_CONTROL(0), 4, 0);
    CHECK(sent.count == 1 && sent.address == 0x1fee00000 && sent.data == 0x4050 && get(pba, 8) == 4);
    pci_interrupt(&first, 0);
    CHECK(sent.count == 2 && get(pba, 8) == 4);
    /* All masked; unmasked; not pending any more. */
    put(MSIX, 2, 0xc000);
    put(TABLE_CONTROL(2), 4, 0);
    pci_interrupt(&first, 0);
    CHECK(sent.count == 2 && get(pba, 8) == 5);
    put(MSIX, 2, 0x8000);
    CHECK(sent.count == 4 && sent.data == 0x4052 && get(pba, 8) == 0);
    /* Disabled: nothing is kept. */
    put(TABLE_CONTROL(2), 4, 1);
    pci_interrupt(&first, 2);
    put(MSIX, 2, 0);
    put(MSIX, 2, 0x8000);
    CHECK(get(pba, 8) == 0);
    put(TABLE_CONTROL(2), 4, 0);
    CHECK(sent.count == 4);
    pci_interrupt(&first, 3);
    pci_interrupt(&first, UINT32_MAX);
    pci_interrupt(&second, 0);
    CHECK(sent.count == 4);
    /* Beyond the table, the pending bits, and parts of words: no effect. */
    put(table + 48, 4, 0);
    put(pba, 4, UINT32_MAX);
    put(table, 2, 0x1234);
    put(table + 0xff8, 8, UINT64_MAX);
    CHECK(get(table + 48, 4) == 0 && get(pba, 4) == 0 && get(table, 4) == 0xfee00000 &&
          get(table + 0xff8, 8) == 0);
    put(TABLE_CONTROL(2), 4, 1);
    pci_interrupt(&first, 2);
    CHECK(get(pba, 4) == 4);
    pci_reset();
    put(SLOT(1) + COMMAND, 2, 6);
    CHECK(get(pba, 4) == 0 && get(TABLE_CONTROL(0), 4) == 1 && get(table, 4) == 0 &&
          !pci_msix_enabled(&first));
    ok_checks("MSI-X: table, masks, pending bits, delivery when unmasked, disabling");
}

/* Each interrupt is delivered or stays pending: after the last unmasking as many as ever needed have come. */
static unsigned stop; /* atomic */

static void *send_interrupts(void *argument)
{
    (void)argument;
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        unsigned before = __atomic_load_n(&sent.count, __ATOMIC_SEQ_CST);

        pci_interrupt(&first, 1);
        while (__atomic_load_n(&sent.count, __ATOMIC_SEQ_CST) == before &&
               !__atomic_load_n(&stop, __ATOMIC_SEQ_CST))
            sched_yield();
    }
    return NULL;
}

static void test_masking_race(void)
{
    uint64_t table = bar_address(1, 1);
    unsigned seen = 0;
    pthread_t thread;

    put(TABLE_CONTROL(1), 4, 0);
    put(MSIX, 2, 0x8000);
    sent.count = 0;
    pthread_create(&thread, NULL, send_interrupts, NULL);
    for (unsigned i = 0; i < 20000; i++) {
        put(TABLE_CONTROL(1), 4, 1);
        put(MSIX, 2, 0xc000);
        put(TABLE_CONTROL(1), 4, 0);
        put(MSIX, 2, 0x8000);
        /* Unmasked now: what the thread waits for must come. */
        while (i % 16 == 0 && __atomic_load_n(&sent.count, __ATOMIC_SEQ_CST) == seen)
            sched_yield();
        seen = __atomic_load_n(&sent.count, __ATOMIC_SEQ_CST);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    CHECK(sent.count > 0);
    ok_checks("MSI-X: no interrupt is lost while the guest masks and unmasks");
}

static void test_full(void)
{
    static struct pci_device more[8], big = {.bar = {{PCI_WINDOW_SIZE, device_read, device_write}}};
    static struct pci_device odd = {.bar = {{0x1800, device_read, device_write}}},
                             many = {.vectors = PCI_VECTORS + 1};
    unsigned added = 0;

    CHECK(!pci_add(&big) && !pci_add(&odd) && !pci_add(&many));
    for (unsigned i = 0; i < 8; i++)
        added += pci_add(&more[i]);
    CHECK(added == PCI_SLOTS - 3);
    ok_checks("no room: slots, addresses, vectors");
}

int main(void)
{
    uint8_t body[18];

    alarm(300); /* a lost interrupt would be waited for */
    ram_init(NULL, 0);
    memset(body, 0xcc, sizeof(body));
    body[2] = sizeof(body);
    CHECK(pci_init(pci_memory) && pci_add(&first) && pci_add(&second));
    CHECK(pci_add_capability(&first, 9, body, sizeof(body)) == 0x4c);
    CHECK(pci_page(8) == (void *)first.config);
    test_layout();
    test_capabilities();
    test_bits();
    test_sizing();
    test_decoding();
    test_msix();
    test_masking_race();
    test_full();
    return tap_done();
}
