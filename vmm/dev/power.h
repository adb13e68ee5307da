/**
 * @file
 * Power and reset of the machine: ports of hardware-reduced ACPI (acpi/acpi.h), and the power button.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>

/** Once, before the machine runs; false: the ports are taken. There is no state to reset. */
bool power_init(void);

/** Tells the guest that the button was pressed. Any thread. */
void power_button(void);
