/**
 * @file
 * Rings in shared memory: split virtqueues as in the virtio specification 1.2, 2.7, with event indices.
 *
 * The driver side offers buffers, the device side uses them and gives them back. Both are written for a
 * hostile other side: shared memory is read once, indices, lengths and chains are bounded and checked, and
 * what a side must rely on it keeps in private memory. No buffer is touched here: chains come as lists of
 * address and length, and the caller copies.
 *
 * @code{.unparsed}
 *   desc   16 * n bytes   address, length, flags, next
 *   avail  6 + 2 * n      flags, idx, ring[n], used_event        written by the driver
 *   used   6 + 8 * n      flags, idx, {id, len}[n], avail_event  written by the device
 * @endcode
 *
 * Nothing waits here: when a function says so, ring the other side's bell (nova/session.h). One thread at a
 * time per side.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef NOVA_RING_H
#define NOVA_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * @addtogroup libnova_ring
 * @{
 */

#define NOVA_RING_MAX 1024U /**< Largest number of descriptors. */

/** Flags of descriptors. */
enum nova_ring_flags {
    NOVA_RING_NEXT = 1,    /**< Another one follows. */
    NOVA_RING_WRITE = 2,   /**< The device writes, else it reads. */
    NOVA_RING_INDIRECT = 4 /**< Not supported: refused. */
};

/** Descriptor. */
struct nova_ring_desc {
    uint64_t address; /**< What both sides agree on: here, an offset into the shared buffer; for guests, a
                           physical address. */
    uint32_t length;  /**< Bytes. */
    uint16_t flags;   /**< enum nova_ring_flags. */
    uint16_t next;    /**< Next descriptor of the chain. */
};

/** Buffers on offer. */
struct nova_ring_avail {
    uint16_t flags;  /**< Not used, with event indices. */
    uint16_t idx;    /**< Buffers ever offered. */
    uint16_t ring[]; /**< And behind it: used_event. */
};

/** A buffer that was used. */
struct nova_ring_used_elem {
    uint32_t id;     /**< Head of its chain. */
    uint32_t length; /**< Bytes that the device has written. */
};

/** Used buffers. */
struct nova_ring_used {
    uint16_t flags;                    /**< Not used, with event indices. */
    uint16_t idx;                      /**< Buffers ever used. */
    struct nova_ring_used_elem ring[]; /**< And behind it: avail_event. */
};

/** Where the parts of a ring are. They need not be adjacent. */
struct nova_ring {
    struct nova_ring_desc *desc;   /**< Descriptors. */
    struct nova_ring_avail *avail; /**< Buffers on offer. */
    struct nova_ring_used *used;   /**< Used buffers. */
    uint16_t size;                 /**< Descriptors, a power of two up to #NOVA_RING_MAX. */
};

/** One piece of a chain. */
struct nova_ring_piece {
    uint64_t address; /**< Where it is. */
    uint32_t length;  /**< Bytes. */
    uint32_t write;   /**< Not 0: the device writes it. */
};

/**
 * Bytes of memory for a ring of `size` descriptors laid out one after the other, or 0 if the size is wrong.
 * Pure.
 */
size_t nova_ring_bytes(unsigned size);

/**
 * Lays a ring out in memory of nova_ring_bytes(), aligned to 16. Does not write to it. Returns 0 or
 * #NOVA_ERR_INVAL.
 */
int nova_ring_layout(struct nova_ring *ring, void *memory, unsigned size);

/** @name Driver
 * @{ */

/** Private state of the driver's side for each descriptor. */
struct nova_ring_slot {
    uint64_t token;    /**< The caller's, for the head of a chain. */
    uint32_t writable; /**< Bytes of the chain that the device may write. */
    uint16_t next;     /**< Next of the chain or of the free list. */
    uint16_t length;   /**< Pieces of the chain; 0: not a head in use. */
};

/** Driver's side. */
struct nova_ring_driver {
    struct nova_ring ring;       /**< Shared memory. */
    struct nova_ring_slot *slot; /**< One for each descriptor, in private memory. */
    uint16_t free;               /**< First free descriptor. */
    uint16_t free_count;         /**< How many are free. */
    uint16_t avail;              /**< Next index. */
    uint16_t used;               /**< Next index to look at. */
    uint16_t kicked;             /**< Index up to which the device knows. */
};

/** Begins with an empty ring; clears avail and used. `slot` has room for nova_ring::size entries. */
void nova_ring_driver_init(struct nova_ring_driver *driver, const struct nova_ring *ring,
                           struct nova_ring_slot *slot);

/**
 * Offers a chain of 1 or more pieces, readable ones first. `token` comes back with it. Returns 0,
 * #NOVA_ERR_BUSY if there are not enough free descriptors, #NOVA_ERR_INVAL.
 */
int nova_ring_driver_add(struct nova_ring_driver *driver, const struct nova_ring_piece *piece,
                         unsigned pieces, uint64_t token);

/** Shows what was offered to the device. Returns whether its bell must be rung. */
bool nova_ring_driver_kick(struct nova_ring_driver *driver);

/**
 * Takes a used chain back. Returns 1; 0 if there is none; #NOVA_ERR_PROTOCOL if the device has written
 * nonsense: give the ring up. `length` is what the device says it has written, never more than it was allowed
 * to.
 */
int nova_ring_driver_get(struct nova_ring_driver *driver, uint64_t *token, uint32_t *length);

/** Asks for a bell at the next used chain. Returns false if there is one already: take it first. */
bool nova_ring_driver_sleep(struct nova_ring_driver *driver);
/** @} */

/** @name Device
 * @{ */

/** Device's side. */
struct nova_ring_device {
    struct nova_ring ring; /**< Shared memory. */
    uint64_t limit;    /**< Addresses end here: pieces beyond are refused. UINT64_MAX if the caller translates
                            and checks. */
    uint16_t avail;    /**< Next index to look at. */
    uint16_t used;     /**< Next index. */
    uint16_t signaled; /**< Index up to which the driver knows. */
    bool broken;       /**< The driver has written nonsense: nothing is taken any more. */
};

/** Begins with an empty ring. Does not write to it. */
void nova_ring_device_init(struct nova_ring_device *device, const struct nova_ring *ring, uint64_t limit);

/**
 * Takes a chain. Returns the number of its pieces, copied to `piece`; 0 if there is none; #NOVA_ERR_PROTOCOL
 * if the driver has written nonsense: a chain with a loop, with more than `max` pieces, with lengths or
 * addresses beyond the limit, with an indirect table, with readable pieces behind writable ones. After that
 * the ring is broken and stays so.
 */
int nova_ring_device_get(struct nova_ring_device *device, uint16_t *head, struct nova_ring_piece *piece,
                         unsigned max);

/** Gives a chain back: `length` bytes were written to it. */
void nova_ring_device_put(struct nova_ring_device *device, uint16_t head, uint32_t length);

/** Shows what was given back to the driver. Returns whether its bell must be rung. */
bool nova_ring_device_signal(struct nova_ring_device *device);

/** Asks for a bell at the next chain. Returns false if there is one already: take it first. */
bool nova_ring_device_sleep(struct nova_ring_device *device);
/** @} */

/** @} */

#endif
