/*
 * A small machine for tests of the emulation: RAM pages, device pages that keep what is written to them,
 * ports.
 *
 * Checks the promises of the emulation to devices: natural alignment, sizes, no access across pages.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "emu/emu.h"
#include "tap.h"

#include <string.h>

#define PAGE 4096U
#define GUEST_RAM_PAGES 64
#define GUEST_DEVICE_PAGES 16
#define GUEST_DEVICE 0xe0000000UL /* guest-physical address of the device pages */

static struct guest {
    uint8_t ram[GUEST_RAM_PAGES * PAGE] __attribute__((aligned(4096)));
    uint8_t device[GUEST_DEVICE_PAGES * PAGE];
    unsigned reads, writes; /* accesses to devices */
    uint64_t last_gpa, last_value;
    unsigned last_bytes;
    unsigned ins, outs; /* accesses to ports */
    uint16_t last_port;
    void (*on_ram)(uint64_t gpa); /* interferes */
} guest;

static inline void *guest_ram(void *context, uint64_t gpa, uint64_t bytes)
{
    CHECK(context == &guest);
    CHECK(bytes && gpa % PAGE + bytes <= PAGE);
    if (gpa >= sizeof(guest.ram) || bytes > sizeof(guest.ram) - gpa)
        return NULL;
    if (guest.on_ram)
        guest.on_ram(gpa);
    return guest.ram + gpa;
}

static inline void guest_check(uint64_t gpa, unsigned bytes)
{
    CHECK(bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8);
    CHECK(gpa % bytes == 0);
    guest.last_gpa = gpa;
    guest.last_bytes = bytes;
}

static inline uint8_t *guest_device(uint64_t gpa)
{
    return gpa >= GUEST_DEVICE && gpa < GUEST_DEVICE + sizeof(guest.device)
               ? guest.device + (gpa - GUEST_DEVICE)
               : NULL;
}

static inline void guest_mmio_read(void *context, uint64_t gpa, unsigned bytes, uint64_t *value)
{
    const uint8_t *from = guest_device(gpa);

    CHECK(context == &guest);
    guest_check(gpa, bytes);
    guest.reads++;
    *value = UINT64_MAX; /* what is above the access must not matter */
    if (from)
        memcpy(value, from, bytes);
}

static inline void guest_mmio_write(void *context, uint64_t gpa, unsigned bytes, uint64_t value)
{
    uint8_t *to = guest_device(gpa);

    CHECK(context == &guest);
    guest_check(gpa, bytes);
    CHECK(bytes == 8 || value >> 8 * bytes == 0);
    guest.writes++;
    guest.last_value = value;
    if (to)
        memcpy(to, &value, bytes);
}

static inline void guest_port_in(void *context, uint16_t port, unsigned bytes, uint64_t *value)
{
    CHECK(context == &guest);
    CHECK(bytes == 1 || bytes == 2 || bytes == 4);
    guest.ins++;
    guest.last_port = port;
    guest.last_bytes = bytes;
    *value = 0x1122334455667700 + guest.ins;
}

static inline void guest_port_out(void *context, uint16_t port, unsigned bytes, uint64_t value)
{
    CHECK(context == &guest);
    CHECK(bytes == 1 || bytes == 2 || bytes == 4);
    CHECK(value >> 8 * bytes == 0);
    guest.outs++;
    guest.last_port = port;
    guest.last_bytes = bytes;
    guest.last_value = value;
}

static struct emu_ops guest_ops = {.ram = guest_ram,
                                   .mmio_read = guest_mmio_read,
                                   .mmio_write = guest_mmio_write,
                                   .port_in = guest_port_in,
                                   .port_out = guest_port_out,
                                   .physical_bits = 40,
                                   .pages_1g = true};

static inline void guest_put(uint64_t gpa, uint64_t entry)
{
    memcpy(guest.ram + gpa, &entry, 8);
}
