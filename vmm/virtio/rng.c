/*
 * Virtio entropy device: fills what the driver offers, up to 64 KiB a request.
 *
 * State: none.
 * Guest input checked: by the queue; the length of a request is limited, so that none takes long.
 * Locking: the lock of the device, then that of its MSI-X table.
 * Specification: virtio 1.2, 5.4.
 *
 * SPDX-License-Identifier: MIT
 */

#include "virtio/rng.h"

#include "virtio/virtio.h"

#define TYPE 4
#define CLASS 0x00ff00
#define SIZE 8
#define REQUEST_MAX 0x10000U

static bool (*source)(uint64_t *value);

/* Fills a chain, as far as there are random numbers. */
static uint32_t fill(struct virtio_device *device)
{
    const struct virtq_chain *chain = &device->chain;
    uint64_t limit = chain->writable < REQUEST_MAX ? chain->writable : REQUEST_MAX, value;
    uint32_t done = 0;

    while (done < limit && source(&value)) {
        uint64_t bytes = limit - done < sizeof(value) ? limit - done : sizeof(value);

        done += (uint32_t)virtq_copy_to(chain, done, &value, bytes);
    }
    return done;
}

static void notify(struct virtio_device *device, unsigned queue)
{
    virtio_serve(device, queue, fill);
}

static void reset(struct virtio_device *device)
{
    (void)device;
}

static struct virtio_device rng = {.name = "rng",
                                   .type = TYPE,
                                   .class = CLASS,
                                   .queues = 1,
                                   .sizes = {SIZE},
                                   .notify = notify,
                                   .reset = reset};

bool virtio_rng_init(bool (*random)(uint64_t *value))
{
    source = random;
    return virtio_add(&rng);
}
