/*
 * PCI: configuration space and BARs.
 *
 *   guest reads ------------------------> page of the function (no exit)
 *   guest writes --> bus --> masks -----> page, by whole words, so that readers never see a half
 *   BAR accesses --> bus --> decode? ---> functions of the device
 *
 * State: pages of the functions, what was last written to BARs, where the next BAR goes.
 * Guest input checked: any offset, size and value; only bits that may change do. A BAR shows its size after ones were
 * written to it, otherwise where it is: it does not move.
 * Locking: one lock for writes to all configuration spaces, then that of the MSI-X table. Any thread.
 * Specification: PCI Local Bus 3.0, 6.1-6.2.5, 6.7; PCI Express Base 3.0, 7.2.2 (ECAM). No INTx, no I/O BARs, no extended
 * capabilities.
 *
 * SPDX-License-Identifier: MIT
 */

#include "dev/pci.h"

#include "dev/machine.h"
#include "dev/msix.h"

#include <string.h>

/* Words of the header. */
enum {
    ID = 0,
    COMMAND = 1,
    CLASS = 2,
    HEADER = 3,
    BAR0 = 4,
    SUBSYSTEM = 11,
    CAPABILITIES = 13,
    INTERRUPT = 15
};

#define PAGE 4096U
#define WORDS (PAGE / 4)
#define COMMAND_MEMORY 2U
#define COMMAND_WRITABLE 0x546U /* memory, bus master, parity, SERR, INTx off */
#define STATUS_CAPABILITIES 0x100000U
#define CACHE_LINE 0xffU
#define INTERRUPT_LINE 0xffU
#define FIRST_CAPABILITY 0x40U
#define END_OF_CAPABILITIES 0x100U
#define BAR_FLAGS 0xfU

/* Page 0 is for functions that are not there. */
static uint32_t (*pages)[WORDS]; /* PCI_SLOTS of them */

static struct {
    struct nova_mutex lock;
    struct pci_device *device[PCI_SLOTS];
    unsigned slots;  /* used ones, and 0 */
    uint64_t window; /* where free addresses begin */
} pci;

static void put(struct pci_device *device, unsigned word, uint32_t value)
{
    __atomic_store_n(&device->config[word], value, __ATOMIC_RELAXED);
}

const void *pci_page(unsigned function)
{
    unsigned slot = function / 8;

    return pages[function % 8 == 0 && slot < PCI_SLOTS && pci.device[slot] ? slot : 0];
}

static uint32_t writable(const struct pci_device *device, unsigned word)
{
    switch (word) {
    case COMMAND:
        return COMMAND_WRITABLE;
    case HEADER:
        return CACHE_LINE;
    case INTERRUPT:
        return INTERRUPT_LINE;
    default:
        return device->msix_capability && word == device->msix_capability / 4 ? MSIX_WRITABLE : 0;
    }
}

static void write_bar(struct pci_device *device, unsigned index, uint32_t value, uint32_t mask)
{
    struct pci_window *window = &device->window[index];
    uint32_t address = (uint32_t)window->range.start, size = device->bar[index].size;

    window->written = (window->written & ~mask) | (value & mask);
    if (!size)
        return;
    if ((window->written | BAR_FLAGS) == UINT32_MAX)
        address = -size;
    else if (mask == UINT32_MAX && (value & ~BAR_FLAGS) != address)
        machine_guest_error("PCI: %s: BAR %u stays at %#x, not %#x", device->name, index, address, value);
    put(device, BAR0 + index, address);
}

static void write_word(struct pci_device *device, unsigned word, uint32_t value, uint32_t mask)
{
    if (word >= BAR0 && word < BAR0 + PCI_BARS) {
        write_bar(device, word - BAR0, value, mask);
        return;
    }
    mask &= writable(device, word);
    if (mask)
        put(device, word, (device->config[word] & ~mask) | (value & mask));
    if (mask & MSIX_WRITABLE)
        msix_control_changed(device);
}

static uint64_t config_read(void *device, uint64_t offset, unsigned size)
{
    const uint32_t *page = pci_page((unsigned)(offset / PAGE));

    (void)device;
    (void)size;
    return __atomic_load_n(&page[offset % PAGE / 4], __ATOMIC_RELAXED) >> offset % 4 * 8;
}

static void config_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    unsigned slot = (unsigned)(offset / PAGE / 8), shift = offset % 4 * 8;
    uint32_t mask = (size < 4 ? (1U << size * 8) - 1 : UINT32_MAX) << shift;

    (void)device;
    if (offset / PAGE % 8 || slot >= PCI_SLOTS || !pci.device[slot])
        return;
    nova_mutex_lock(&pci.lock);
    write_word(pci.device[slot], offset % PAGE / 4, (uint32_t)value << shift, mask);
    nova_mutex_unlock(&pci.lock);
}

static bool decodes(const struct pci_device *device)
{
    return __atomic_load_n(&device->config[COMMAND], __ATOMIC_RELAXED) & COMMAND_MEMORY;
}

static uint64_t window_read(void *object, uint64_t offset, unsigned size)
{
    struct pci_window *window = object;
    struct pci_device *owner = window->owner;

    return decodes(owner) ? owner->bar[window - owner->window].read(window->device, offset, size)
                          : UINT64_MAX;
}

static void window_write(void *object, uint64_t offset, unsigned size, uint64_t value)
{
    struct pci_window *window = object;
    struct pci_device *owner = window->owner;

    if (decodes(owner))
        owner->bar[window - owner->window].write(window->device, offset, size, value);
}

/* Finds addresses for a BAR, and puts it on the bus. */
static bool place(struct pci_device *device, unsigned index, void *object)
{
    struct pci_window *window = &device->window[index];
    uint64_t size = device->bar[index].size, start = (pci.window + size - 1) & -size;

    if (size < PAGE || size & (size - 1) || start + size > PCI_WINDOW + PCI_WINDOW_SIZE)
        return false;
    pci.window = start + size;
    window->owner = device;
    window->device = object;
    window->range = (struct bus_range){.start = start,
                                       .size = size,
                                       .read = window_read,
                                       .write = window_write,
                                       .device = window,
                                       .name = device->name,
                                       .width = 4};
    return bus_add(BUS_MMIO, &window->range);
}

static bool place_all(struct pci_device *device)
{
    unsigned free_bar = PCI_BARS;

    for (unsigned i = PCI_BARS; i-- > 0;)
        if (!device->bar[i].size)
            free_bar = i;
        else if (!place(device, i, device->device))
            return false;
    if (!device->vectors)
        return true;
    if (device->vectors > PCI_VECTORS || free_bar == PCI_BARS)
        return false;
    device->bar[free_bar] = msix_bar;
    return place(device, free_bar, device) && msix_add(device, free_bar);
}

/* What a reset brings back. */
static void reset(struct pci_device *device)
{
    put(device, COMMAND, STATUS_CAPABILITIES);
    put(device, HEADER, 0);
    put(device, INTERRUPT, 0);
    for (unsigned i = 0; i < PCI_BARS; i++) {
        device->window[i].written = 0;
        put(device, BAR0 + i, (uint32_t)device->window[i].range.start);
    }
    if (device->vectors) {
        uint32_t control = device->config[device->msix_capability / 4] & ~MSIX_WRITABLE;

        put(device, device->msix_capability / 4, control);
        msix_reset(device);
    }
}

void pci_reset(void)
{
    nova_mutex_lock(&pci.lock);
    for (unsigned slot = 1; slot < pci.slots; slot++)
        reset(pci.device[slot]);
    nova_mutex_unlock(&pci.lock);
}

bool pci_add(struct pci_device *device)
{
    if (pci.slots == PCI_SLOTS)
        return false;
    device->slot = pci.slots;
    device->config = pages[device->slot];
    device->capability_end = FIRST_CAPABILITY;
    device->config[ID] = device->vendor | (uint32_t)device->id << 16;
    device->config[CLASS] = device->class_revision;
    device->config[SUBSYSTEM] = device->subsystem_vendor | (uint32_t)device->subsystem << 16;
    if (!place_all(device))
        return false;
    reset(device);
    pci.device[pci.slots++] = device;
    return true;
}

unsigned pci_add_capability(struct pci_device *device, uint8_t id, const void *body, size_t size)
{
    unsigned offset = device->capability_end;
    uint8_t *config = (uint8_t *)device->config;

    if (size < 2 || size > END_OF_CAPABILITIES - offset)
        return 0;
    memcpy(config + offset, body, size);
    config[offset] = id;
    config[offset + 1] = 0;
    config[device->last_capability ? device->last_capability + 1 : CAPABILITIES * 4] = (uint8_t)offset;
    device->last_capability = offset;
    device->capability_end = offset + (((unsigned)size + 3) & ~3U);
    return offset;
}

bool pci_init(void *memory)
{
    static const struct bus_range range = {.start = PCI_ECAM,
                                           .size = PCI_ECAM_SIZE,
                                           .read = config_read,
                                           .write = config_write,
                                           .name = "ecam",
                                           .width = 4};

    pages = memory;
    memset(pages[0], 0xff, PAGE);
    pci.slots = 1;
    pci.window = PCI_WINDOW;
    return bus_add(BUS_MMIO, &range);
}
