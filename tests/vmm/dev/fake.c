/*
 * Fakes for tests of devices.
 *
 * SPDX-License-Identifier: MIT
 */

#include "dev/fake.h"

#include "dev/machine.h"

#include <nova/log.h>
#include <string.h>

unsigned vcpu_count;
unsigned fake_sipi[VCPU_MAX];
unsigned fake_power_offs, fake_resets, fake_lines;

static struct lapic lapics[VCPU_MAX];
static unsigned asked[VCPU_MAX];

void fake_vcpus(unsigned count, bool enable)
{
    vcpu_count = count;
    memset(lapics, 0, sizeof(lapics));
    memset(asked, 0, sizeof(asked));
    memset(fake_sipi, 0, sizeof(fake_sipi));
    fake_power_offs = fake_resets = fake_lines = 0;
    for (unsigned i = 0; i < count; i++) {
        lapic_reset(&lapics[i], i, false);
        if (enable)
            lapic_write(&lapics[i], 0xf, 0, 0x1ff);
    }
    fake_errors();
}

struct lapic *vcpu_lapic(unsigned number)
{
    return &lapics[number];
}

void vcpu_ask(unsigned number, unsigned requests)
{
    __atomic_fetch_or(&asked[number], requests, __ATOMIC_RELAXED);
}

void vcpu_sipi(unsigned number, uint8_t vector)
{
    vcpu_ask(number, VCPU_SIPI);
    __atomic_store_n(&fake_sipi[number], vector, __ATOMIC_RELAXED);
}

unsigned fake_asked(unsigned number)
{
    return __atomic_exchange_n(&asked[number], 0, __ATOMIC_RELAXED);
}

void machine_power_off(void)
{
    __atomic_fetch_add(&fake_power_offs, 1, __ATOMIC_RELAXED);
}

void machine_reset(void)
{
    __atomic_fetch_add(&fake_resets, 1, __ATOMIC_RELAXED);
}

void nova_print(const char *format, ...)
{
    (void)format;
    __atomic_fetch_add(&fake_lines, 1, __ATOMIC_RELAXED);
}

unsigned fake_errors(void)
{
    static uint64_t seen;
    uint64_t old = seen;

    seen = machine_guest_errors();
    return (unsigned)(seen - old);
}

bool fake_requested(int number, uint8_t vector)
{
    bool found = false;

    for (unsigned i = 0; i < vcpu_count; i++) {
        uint32_t *word = &lapics[i].irr[vector / 32], bit = 1U << vector % 32;

        if ((number < 0 || i == (unsigned)number) && *word & bit) {
            *word &= ~bit;
            found = true;
        }
    }
    return found;
}

bool fake_quiet(void)
{
    for (unsigned i = 0; i < vcpu_count; i++) {
        for (unsigned k = 0; k < 8; k++)
            if (lapics[i].irr[k])
                return false;
    }
    return true;
}
