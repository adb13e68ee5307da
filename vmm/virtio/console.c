/*
 * Virtio console with one port.
 *
 * State: how much of the first chain to be sent the back end has taken; whether it has more for the guest.
 * Guest input checked: by the queues. Lengths beyond what a chain holds do not occur.
 * Locking: the lock of the device, then that of its MSI-X table. Any thread.
 * Specification: virtio 1.2, 5.3, without optional features.
 *
 * SPDX-License-Identifier: MIT
 */

#include "virtio/console.h"

#include "virtio/virtio.h"

#define TYPE 3
#define CLASS 0x078000
#define SIZE 64

enum { RECEIVE, TRANSMIT, QUEUES };

static const struct virtio_console_backend *backend;
static uint64_t sent; /* bytes of the first chain */
static bool starved;  /* the back end has more for the guest */

/* Gives a chain to the back end, in one go or several. */
static uint32_t take(struct virtio_device *device)
{
    const uint8_t *bytes;
    size_t run;

    while ((bytes = virtq_at(&device->chain, false, sent, &run))) {
        size_t taken = backend->output(bytes, run);

        sent += taken;
        if (taken < run)
            return VIRTIO_BLOCKED;
    }
    sent = 0;
    return 0;
}

static void notify(struct virtio_device *device, unsigned queue)
{
    if (queue == TRANSMIT) {
        virtio_serve(device, TRANSMIT, take);
    } else if (starved) {
        starved = false;
        backend->input_room();
    }
}

static void reset(struct virtio_device *device)
{
    (void)device;
    sent = 0;
}

static struct virtio_device console = {.name = "console",
                                       .type = TYPE,
                                       .class = CLASS,
                                       .queues = QUEUES,
                                       .sizes = {SIZE, SIZE},
                                       .notify = notify,
                                       .reset = reset};

size_t virtio_console_input(const uint8_t *bytes, size_t count)
{
    struct virtq *queue = &console.queue[RECEIVE];
    size_t taken = 0;
    unsigned turn = 0;

    nova_mutex_lock(&console.lock);
    while (taken < count && turn++ < SIZE) {
        size_t copied;

        if (!virtio_pop(&console, RECEIVE)) {
            if (!virtio_is_live(&console) || !virtq_rearm(queue))
                break;
            continue;
        }
        copied = virtq_copy_to(&console.chain, 0, bytes + taken, count - taken);
        taken += copied;
        virtio_push(&console, RECEIVE, (uint32_t)copied);
    }
    virtio_interrupt(&console, RECEIVE);
    starved = taken < count;
    /* With a queue of tiny buffers a notification need not come. */
    if (turn > SIZE)
        notify(&console, RECEIVE);
    nova_mutex_unlock(&console.lock);
    return taken;
}

void virtio_console_output_room(void)
{
    nova_mutex_lock(&console.lock);
    if (virtio_is_live(&console))
        virtio_serve(&console, TRANSMIT, take);
    nova_mutex_unlock(&console.lock);
}

bool virtio_console_init(const struct virtio_console_backend *its)
{
    backend = its;
    return virtio_add(&console);
}
