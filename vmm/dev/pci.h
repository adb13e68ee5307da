/**
 * @file
 * PCI: one root bus with ECAM, endpoints with memory BARs and MSI-X (PCI Local Bus 3.0, PCI Express Base 3.0: 7.2).
 *
 * The configuration space of each function is a page that the guest reads without an exit; what it writes comes to
 * pci_config_write() and changes the page by a mask. BARs are placed by the VMM and do not move: a write sizes them.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "dev/bus.h"

#include <nova/sync.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCI_ECAM 0xe0000000UL      /**< one bus: 256 pages */
#define PCI_ECAM_SIZE 0x100000UL
#define PCI_WINDOW 0xe1000000UL    /**< BARs */
#define PCI_WINDOW_SIZE 0x1000000UL
#define PCI_FUNCTIONS 256U         /**< pages of the ECAM */
#define PCI_SLOTS 9U               /**< 1 to 8 can be used */
#define PCI_BARS 6U
#define PCI_VECTORS 16 /**< MSI-X vectors of a function */

struct pci_device;

/** A memory BAR; accesses as in dev/bus.h, of at most 4 bytes. */
struct pci_bar {
    uint32_t size; /**< power of two, at least a page; 0: none */
    uint64_t (*read)(void *device, uint64_t offset, unsigned size);
    void (*write)(void *device, uint64_t offset, unsigned size, uint64_t value);
};

struct pci_device {
    /* Filled in by the device. */
    const char *name;
    void *device; /**< for the functions of the BARs */
    uint16_t vendor, id, subsystem_vendor, subsystem;
    uint32_t class_revision; /**< register 8 */
    struct pci_bar bar[PCI_BARS];
    unsigned vectors; /**< MSI-X vectors, up to PCI_VECTORS; the table is in a BAR of its own that pci.c serves */
    /* The rest belongs to pci.c. */
    unsigned slot;
    uint32_t *config; /**< the page that the guest sees */
    unsigned last_capability, capability_end;
    struct pci_window {
        struct pci_device *owner;
        void *device; /**< for the functions of the BAR */
        struct bus_range range;
        uint32_t written; /**< what the guest wrote last */
    } window[PCI_BARS];
    unsigned msix_capability; /**< its offset */
    struct nova_mutex lock;   /**< MSI-X table */
    struct {
        uint32_t word[4]; /**< address, upper address, data, control */
    } msix[PCI_VECTORS];
    uint32_t msix_pending;
};

/** Puts the ECAM window on the bus. Once, before devices are added; false: no room. `memory` is PCI_SLOTS zeroed pages of the
 * domain's pool: only that can be mapped into the guest. */
bool pci_init(void *memory);

/**
 * The page of configuration space of a function (8 * device + function), which main maps into the guest, read-only, at
 * PCI_ECAM + 4096 * function. All absent functions have the same page of ones.
 */
const void *pci_page(unsigned function);

/** All functions as after power-on: not decoding, MSI-X off. The devices themselves reset what they have. */
void pci_reset(void);

/** Adds a function on the next slot, with its BARs in place. False: no room. */
bool pci_add(struct pci_device *device);

/** Adds a read-only capability of `size` bytes (its header of 2 bytes included, which is filled in): offset in the space, 0: no
 * room. Before the machine runs. */
unsigned pci_add_capability(struct pci_device *device, uint8_t id, const void *body, size_t size);

/** Sends an MSI-X vector, or keeps it pending while it is masked. Any thread. */
void pci_interrupt(struct pci_device *device, unsigned vector);

/** Whether MSI-X is enabled: a device without it has no interrupt. */
bool pci_msix_enabled(const struct pci_device *device);
