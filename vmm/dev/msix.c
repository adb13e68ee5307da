/*
 * MSI-X: table and pending bits in a BAR of their own.
 *
 *   0x000  table: 16 bytes for each vector (address, upper address, data, control)
 *   0x800  pending bits
 *
 * State: table and pending bits in struct pci_device; whether it is enabled or masked as a whole is in the capability.
 * Guest input checked: any offset, size and value; messages are checked where they are sent.
 * Locking: the lock of the device's table, then none. Any thread.
 * Specification: PCI Local Bus 3.0, 6.8.2.
 *
 * SPDX-License-Identifier: MIT
 */

#include "dev/msix.h"

#include "dev/irq.h"
#include "dev/machine.h"

#include <string.h>

#define CAPABILITY 0x11
#define BAR_SIZE 0x1000U
#define PENDING 0x800U
#define ENABLED 0x80000000U
#define ALL_MASKED 0x40000000U
#define CONTROL_MASKED 1U

enum { ADDRESS, UPPER, DATA, CONTROL };

static uint32_t control(const struct pci_device *device)
{
    return __atomic_load_n(&device->config[device->msix_capability / 4], __ATOMIC_RELAXED);
}

/* Sends a pending vector unless it is masked. */
static void look(struct pci_device *device, unsigned vector)
{
    const uint32_t *entry = device->msix[vector].word;

    if (device->msix_pending >> vector & 1 && (control(device) & (ENABLED | ALL_MASKED)) == ENABLED &&
        !(entry[CONTROL] & CONTROL_MASKED)) {
        device->msix_pending &= ~(1U << vector);
        irq_message((uint64_t)entry[UPPER] << 32 | entry[ADDRESS], entry[DATA]);
    }
}

bool pci_msix_enabled(const struct pci_device *device)
{
    return device->msix_capability && control(device) & ENABLED;
}

void pci_interrupt(struct pci_device *device, unsigned vector)
{
    if (vector >= device->vectors)
        return;
    nova_mutex_lock(&device->lock);
    if (pci_msix_enabled(device)) {
        device->msix_pending |= 1U << vector;
        look(device, vector);
    }
    nova_mutex_unlock(&device->lock);
}

void msix_control_changed(struct pci_device *device)
{
    nova_mutex_lock(&device->lock);
    if (!pci_msix_enabled(device))
        device->msix_pending = 0;
    for (unsigned vector = 0; vector < device->vectors; vector++)
        look(device, vector);
    nova_mutex_unlock(&device->lock);
}

static uint64_t table_read(void *object, uint64_t offset, unsigned size)
{
    struct pci_device *device = object;
    uint32_t value = 0;

    (void)size;
    nova_mutex_lock(&device->lock);
    if (offset / 16 < device->vectors)
        value = device->msix[offset / 16].word[offset / 4 % 4];
    else if (offset / 4 == PENDING / 4)
        value = device->msix_pending;
    nova_mutex_unlock(&device->lock);
    return value >> offset % 4 * 8;
}

static void table_write(void *object, uint64_t offset, unsigned size, uint64_t value)
{
    static const uint32_t writable[] = {0xfffffffc, 0xffffffff, 0xffffffff, CONTROL_MASKED};
    struct pci_device *device = object;
    unsigned vector = (unsigned)(offset / 16), word = offset / 4 % 4;

    if (vector >= device->vectors || size != 4) {
        machine_guest_error("MSI-X: %s: write of %u bytes at %#lx", device->name, size,
                            (unsigned long)offset);
        return;
    }
    nova_mutex_lock(&device->lock);
    device->msix[vector].word[word] = (uint32_t)value & writable[word];
    look(device, vector);
    nova_mutex_unlock(&device->lock);
}

const struct pci_bar msix_bar = {BAR_SIZE, table_read, table_write};

void msix_reset(struct pci_device *device)
{
    nova_mutex_lock(&device->lock);
    memset(device->msix, 0, sizeof(device->msix));
    for (unsigned vector = 0; vector < device->vectors; vector++)
        device->msix[vector].word[CONTROL] = CONTROL_MASKED;
    device->msix_pending = 0;
    nova_mutex_unlock(&device->lock);
}

bool msix_add(struct pci_device *device, unsigned bar)
{
    uint32_t body[] = {(device->vectors - 1) << 16, bar, bar | PENDING};

    device->msix_capability = pci_add_capability(device, CAPABILITY, body, sizeof(body));
    return device->msix_capability;
}
