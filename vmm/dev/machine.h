/**
 * @file
 * What the guest can do to the machine as a whole, and what the monitor can do to the guest. Any thread.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>
#include <stdint.h>

/** The guest asks for it, by ACPI or the reset register. They return; the vCPUs stop soon. */
void machine_power_off(void);
void machine_reset(void);

/** The power button is pressed: the GED raises its interrupt, see power_button(). */
void machine_power_button(void);

/** Counted, and reported once in a while: an error of the guest that has no other effect. `format` is a literal, which names
 * the kind of error. */
void machine_guest_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** How many there were. */
uint64_t machine_guest_errors(void);
