/*
 * PCI: one root bus with ECAM, endpoints with memory BARs and MSI-X (PCI Local Bus 3.0, PCI Express Base 3.0: 7.2).
 *
 * The configuration space of each function is a page that the guest reads without an exit; what it writes comes to
 * pci_config_write() and changes the page by a mask. BARs are placed by the VMM and do not move: a write sizes them.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef VMM_DEV_PCI_H
#define VMM_DEV_PCI_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCI_ECAM 0xe0000000UL      /* one bus: 256 pages */
#define PCI_ECAM_SIZE 0x100000UL
#define PCI_WINDOW 0xe1000000UL    /* BARs */
#define PCI_WINDOW_SIZE 0x1000000UL
#define PCI_SLOTS 32
#define PCI_VECTORS 16 /* MSI-X vectors of a function */

struct pci_device;

/* A memory BAR; accesses as in dev/bus.h. */
struct pci_bar {
    uint32_t size; /* power of two, at least a page; 0: none */
    uint64_t (*read)(void *device, uint64_t offset, unsigned size);
    void (*write)(void *device, uint64_t offset, unsigned size, uint64_t value);
};

struct pci_device {
    /* Filled in by the device. */
    const char *name;
    void *device; /* for the functions of the BARs */
    uint16_t vendor, id, subsystem_vendor, subsystem;
    uint32_t class_revision; /* register 8 */
    struct pci_bar bar[6];
    unsigned vectors; /* MSI-X vectors, up to PCI_VECTORS; the table is in a BAR of its own that pci.c serves */
    /* The rest belongs to pci.c. */
    unsigned slot;
    uint8_t *config; /* the page that the guest sees */
    uint8_t capability_end;
    uint64_t bar_address[6];
    pthread_mutex_t lock; /* MSI-X */
    struct {
        uint64_t address;
        uint32_t data, control;
    } msix[PCI_VECTORS];
    uint32_t msix_pending;
};

/*
 * `pages` are 256 zeroed pages of the VMM for the ECAM window, which main maps read-only into the guest. Once, before devices
 * are added. Absent functions read as all ones.
 */
bool pci_init(void *pages);

/* Adds a function on the next slot, with its BARs in place. False: no room. */
bool pci_add(struct pci_device *device);

/* Adds a vendor capability of `size` bytes (its header included, which is filled in): offset in the space, 0: no room. Before the
 * machine runs. */
unsigned pci_add_capability(struct pci_device *device, uint8_t id, const void *body, size_t size);

/* Sends an MSI-X vector, or keeps it pending while it is masked. Any thread. */
void pci_interrupt(struct pci_device *device, unsigned vector);

/* Whether MSI-X is enabled: a device without it has no interrupt. */
bool pci_msix_enabled(const struct pci_device *device);

#endif
