/**
 * @file
 * MSI-X of a PCI function, for pci.c; pci.h has what devices use.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "dev/pci.h"

#define MSIX_WRITABLE 0xc0000000U /**< of the first word of the capability */

/** The BAR of the table; its functions take the struct pci_device. */
extern const struct pci_bar msix_bar;

/** Adds the capability for the table in this BAR. */
bool msix_add(struct pci_device *device, unsigned bar);

/** Empties the table, with all entries masked. */
void msix_reset(struct pci_device *device);

/** The control word in the configuration space has been written. */
void msix_control_changed(struct pci_device *device);
