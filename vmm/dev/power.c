/*
 * Power: sleep control and status, reset register, power button.
 *
 * State: none.
 * Guest input checked: any port and value; only the values that the ACPI tables announce do something.
 * Locking: none. Any thread.
 * Specification: ACPI 6.4, 4.8.3.6 (reset), 4.8.3.7 (sleep), 4.8.2.2.1.2 and 5.6.9 (button by GED: an edge of its pin, there
 * is nothing to acknowledge).
 *
 * SPDX-License-Identifier: MIT
 */

#include "dev/power.h"

#include "acpi/acpi.h"
#include "dev/bus.h"
#include "dev/irq.h"
#include "dev/machine.h"

#define PORTS 8

/* Everything here is write-only; the sleep status says "has not slept". */
static uint64_t power_read(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    (void)offset;
    (void)size;
    return 0;
}

static void power_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)device;
    (void)size;
    if (offset == ACPI_SLEEP_CONTROL - ACPI_SLEEP_CONTROL && value == (ACPI_S5 << 2 | ACPI_SLEEP_ENABLE)) {
        machine_power_off();
    } else if (offset == ACPI_RESET - ACPI_SLEEP_CONTROL && value == ACPI_RESET_VALUE) {
        machine_reset();
    } else if (offset != ACPI_SLEEP_STATUS - ACPI_SLEEP_CONTROL) {
        machine_guest_error("power: write of %#lx to register %lu", (unsigned long)value,
                            (unsigned long)offset);
    }
}

void power_button(void)
{
    irq_set(IRQ_GED, true);
    irq_set(IRQ_GED, false);
}

bool power_init(void)
{
    static const struct bus_range range = {.start = ACPI_SLEEP_CONTROL,
                                           .size = PORTS,
                                           .read = power_read,
                                           .write = power_write,
                                           .name = "power",
                                           .width = 1};

    return bus_add(BUS_PIO, &range);
}
