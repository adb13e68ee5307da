/*
 * Split virtqueues. The layout, the side that offers buffers (driver), the side that uses them (device).
 *
 * Which descriptors belong to which chain the driver keeps in private memory only; the device cannot change
 * it. The device reads everything from the driver once and checks it; after the first nonsense the ring is
 * broken for good.
 *
 * SPDX-License-Identifier: MIT
 */

#include <nova/error.h>
#include <nova/ring.h>
#include <nova/string.h>

#define ALIGN(n) (((n) + 15) & ~(size_t)15)

/* With the event index behind it. */
static size_t avail_bytes(unsigned size)
{
    return sizeof(struct nova_ring_avail) + (size + 1) * sizeof(uint16_t);
}

static size_t used_bytes(unsigned size)
{
    return sizeof(struct nova_ring_used) + size * sizeof(struct nova_ring_used_elem) + sizeof(uint16_t);
}

size_t nova_ring_bytes(unsigned size)
{
    if (!size || size & (size - 1) || size > NOVA_RING_MAX)
        return 0;
    return size * sizeof(struct nova_ring_desc) + ALIGN(avail_bytes(size)) + ALIGN(used_bytes(size));
}

int nova_ring_layout(struct nova_ring *ring, void *memory, unsigned size)
{
    char *avail = (char *)memory + size * sizeof(struct nova_ring_desc);

    if (!nova_ring_bytes(size) || (uintptr_t)memory % 16)
        return NOVA_ERR_INVAL;
    *ring = (struct nova_ring){
        .desc = memory,
        .avail = (struct nova_ring_avail *)avail,
        .used = (struct nova_ring_used *)(avail + ALIGN(avail_bytes(size))),
        .size = (uint16_t)size,
    };
    return NOVA_OK;
}

/* -- Event indices, which lie behind the rings -- */

static uint16_t *used_event(const struct nova_ring *ring)
{
    return &ring->avail->ring[ring->size];
}

static uint16_t *avail_event(const struct nova_ring *ring)
{
    return (uint16_t *)&ring->used->ring[ring->size];
}

/*
 * Shows an index to the other side, then looks whether it wants to know: whether the index passed the event
 * on its way from old to now (virtio 1.2, 2.7.7.2).
 */
static bool publish(uint16_t *idx, const uint16_t *event, uint16_t now, uint16_t *old)
{
    uint16_t moved = (uint16_t)(now - *old);

    __atomic_store_n(idx, now, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    *old = now;
    return (uint16_t)(now - __atomic_load_n(event, __ATOMIC_RELAXED) - 1) < moved;
}

/* The other way round: wants to know, then looks whether there is something already. */
static bool ask(uint16_t *event, const uint16_t *idx, uint16_t now)
{
    __atomic_store_n(event, now, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return __atomic_load_n(idx, __ATOMIC_ACQUIRE) == now;
}

/* -- Driver -- */

void nova_ring_driver_init(struct nova_ring_driver *driver, const struct nova_ring *ring,
                           struct nova_ring_slot *slot)
{
    *driver = (struct nova_ring_driver){.ring = *ring, .slot = slot, .free_count = ring->size};
    for (unsigned i = 0; i < ring->size; i++)
        slot[i] = (struct nova_ring_slot){.next = (uint16_t)(i + 1)};
    memset(ring->avail, 0, avail_bytes(ring->size));
    memset(ring->used, 0, used_bytes(ring->size));
}

int nova_ring_driver_add(struct nova_ring_driver *driver, const struct nova_ring_piece *piece,
                         unsigned pieces, uint64_t token)
{
    const struct nova_ring *ring = &driver->ring;
    uint16_t head = driver->free, at = head, last = head;
    uint32_t writable = 0;
    bool more;

    if (!pieces)
        return NOVA_ERR_INVAL;
    if (pieces > driver->free_count)
        return NOVA_ERR_BUSY;
    for (unsigned i = 0; i < pieces; i++)
        if ((i && piece[i - 1].write && !piece[i].write) ||
            __builtin_add_overflow(writable, piece[i].write ? piece[i].length : 0, &writable))
            return NOVA_ERR_INVAL;
    for (unsigned i = 0; i < pieces; i++) {
        last = at;
        at = driver->slot[last].next;
        more = i + 1 < pieces;
        ring->desc[last] = (struct nova_ring_desc){
            .address = piece[i].address,
            .length = piece[i].length,
            .flags = (uint16_t)((piece[i].write ? NOVA_RING_WRITE : 0) | (more ? NOVA_RING_NEXT : 0)),
            .next = more ? at : 0,
        };
    }
    driver->free = at;
    driver->free_count = (uint16_t)(driver->free_count - pieces);
    driver->slot[head].token = token;
    driver->slot[head].writable = writable;
    driver->slot[head].length = (uint16_t)pieces;
    ring->avail->ring[driver->avail++ % ring->size] = head;
    return NOVA_OK;
}

bool nova_ring_driver_kick(struct nova_ring_driver *driver)
{
    const struct nova_ring *ring = &driver->ring;

    return publish(&ring->avail->idx, avail_event(ring), driver->avail, &driver->kicked);
}

int nova_ring_driver_get(struct nova_ring_driver *driver, uint64_t *token, uint32_t *length)
{
    const struct nova_ring *ring = &driver->ring;
    uint16_t waiting = (uint16_t)(__atomic_load_n(&ring->used->idx, __ATOMIC_ACQUIRE) - driver->used), last;
    struct nova_ring_used_elem *elem = &ring->used->ring[driver->used % ring->size];
    uint32_t id, written;
    struct nova_ring_slot *slot;

    if (!waiting)
        return 0;
    id = __atomic_load_n(&elem->id, __ATOMIC_RELAXED);
    written = __atomic_load_n(&elem->length, __ATOMIC_RELAXED);
    if (waiting > ring->size || id >= ring->size || !driver->slot[id].length)
        return NOVA_ERR_PROTOCOL;
    slot = &driver->slot[id];
    last = (uint16_t)id;
    for (unsigned i = 1; i < slot->length; i++)
        last = driver->slot[last].next;
    driver->slot[last].next = driver->free;
    driver->free = (uint16_t)id;
    driver->free_count = (uint16_t)(driver->free_count + slot->length);
    slot->length = 0;
    driver->used++;
    *token = slot->token;
    *length = written < slot->writable ? written : slot->writable;
    return 1;
}

bool nova_ring_driver_sleep(struct nova_ring_driver *driver)
{
    return ask(used_event(&driver->ring), &driver->ring.used->idx, driver->used);
}

/* -- Device -- */

void nova_ring_device_init(struct nova_ring_device *device, const struct nova_ring *ring, uint64_t limit)
{
    *device = (struct nova_ring_device){.ring = *ring, .limit = limit};
}

/* A descriptor, each of its parts read once. False if it is not acceptable. */
static bool read_desc(const struct nova_ring_device *device, uint16_t at, struct nova_ring_piece *piece,
                      bool *more, uint16_t *next)
{
    struct nova_ring_desc *desc = &device->ring.desc[at];
    uint16_t flags = __atomic_load_n(&desc->flags, __ATOMIC_RELAXED);

    piece->address = __atomic_load_n(&desc->address, __ATOMIC_RELAXED);
    piece->length = __atomic_load_n(&desc->length, __ATOMIC_RELAXED);
    piece->write = flags & NOVA_RING_WRITE;
    *more = flags & NOVA_RING_NEXT;
    *next = __atomic_load_n(&desc->next, __ATOMIC_RELAXED);
    return !(flags & ~(NOVA_RING_NEXT | NOVA_RING_WRITE)) && piece->address <= device->limit &&
           piece->length <= device->limit - piece->address;
}

static int broken(struct nova_ring_device *device)
{
    device->broken = true;
    return NOVA_ERR_PROTOCOL;
}

int nova_ring_device_get(struct nova_ring_device *device, uint16_t *head, struct nova_ring_piece *piece,
                         unsigned max)
{
    const struct nova_ring *ring = &device->ring;
    uint16_t waiting = (uint16_t)(__atomic_load_n(&ring->avail->idx, __ATOMIC_ACQUIRE) - device->avail), at;
    uint32_t total = 0;
    unsigned pieces = 0;
    bool more = true;

    if (device->broken || waiting > ring->size)
        return broken(device);
    if (!waiting)
        return 0;
    at = __atomic_load_n(&ring->avail->ring[device->avail % ring->size], __ATOMIC_RELAXED);
    *head = at;
    max = max < ring->size ? max : ring->size; /* so a loop ends */
    while (more) {
        if (pieces == max || at >= ring->size || !read_desc(device, at, &piece[pieces], &more, &at) ||
            (pieces && piece[pieces - 1].write && !piece[pieces].write) ||
            __builtin_add_overflow(total, piece[pieces].length, &total))
            return broken(device);
        pieces++;
    }
    device->avail++;
    return (int)pieces;
}

void nova_ring_device_put(struct nova_ring_device *device, uint16_t head, uint32_t length)
{
    struct nova_ring_used_elem *elem = &device->ring.used->ring[device->used++ % device->ring.size];

    elem->id = head;
    elem->length = length;
}

bool nova_ring_device_signal(struct nova_ring_device *device)
{
    const struct nova_ring *ring = &device->ring;

    return publish(&ring->used->idx, used_event(ring), device->used, &device->signaled);
}

bool nova_ring_device_sleep(struct nova_ring_device *device)
{
    return ask(avail_event(&device->ring), &device->ring.avail->idx, device->avail);
}
