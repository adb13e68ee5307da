/*
 * What the files of cpu/ need besides what is tested: a LAPIC that notes, and errors of the guest that are counted. Included by
 * one file of a program, behind memory.h.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdarg.h>
#include <string.h>

#include "cpu/cpu.h"
#include "dev/machine.h"

struct vendor vendor;

static unsigned stub_errors, stub_eois;
static uint64_t stub_value;

void machine_guest_error(const char *format, ...)
{
    (void)format;
    stub_errors++;
}

bool lapic_read(struct lapic *lapic, unsigned reg, uint64_t now, uint64_t *value)
{
    (void)lapic;
    (void)now;
    *value = 0x1000 + reg;
    return reg != 0x3f;
}

bool lapic_write(struct lapic *lapic, unsigned reg, uint64_t now, uint64_t value)
{
    (void)lapic;
    (void)now;
    stub_value = value;
    return reg != 0x3f;
}

uint64_t lapic_tsc_deadline(const struct lapic *lapic)
{
    return lapic->deadline;
}

void lapic_set_tsc_deadline(struct lapic *lapic, uint64_t value)
{
    lapic->deadline = value;
}

bool lapic_set_base(struct lapic *lapic, uint64_t value)
{
    lapic->base = value;
    return !(value & 1);
}

/* The highest vector of IRR that is above all of ISR. */
int lapic_pending(const struct lapic *lapic)
{
    for (int i = 255; i >= 16; i--) {
        if (lapic->isr[i / 32] >> i % 32 & 1)
            return -1;
        if (lapic->irr[i / 32] >> i % 32 & 1)
            return i;
    }
    return -1;
}

void lapic_take(struct lapic *lapic, uint8_t vector)
{
    lapic->irr[vector / 32] &= ~(1U << vector % 32);
    lapic->isr[vector / 32] |= 1U << vector % 32;
}

void lapic_eoi(struct lapic *lapic)
{
    stub_eois++;
    memset(lapic->isr, 0, sizeof(lapic->isr));
}

bool lapic_is_level(const struct lapic *lapic, uint8_t vector)
{
    return lapic->tmr[vector / 32] >> vector % 32 & 1;
}
