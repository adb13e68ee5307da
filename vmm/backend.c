/*
 * Back ends of virtio devices: random numbers of the processor, if it has any; sockets, if the system file gives the guest a
 * number.
 *
 * Sockets: `NUMBER' alone is a device whose only service is the echo on port 7, for tests of guests.
 *
 * SPDX-License-Identifier: MIT
 */

#include "backend.h"

#include "cpu/machine.h"
#include "virtio/rng.h"
#include "virtio/virtio.h"
#include "virtio/vsock.h"

#define RDRAND_TRIES 10
#define ECHO_PORT 7

static bool has_rdrand(void)
{
    uint32_t eax = 1, ebx, ecx, edx;

    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));
    return ecx >> 30 & 1;
}

static bool random_number(uint64_t *value)
{
    bool done = false;

    for (unsigned i = 0; i < RDRAND_TRIES && !done; i++)
        __asm__ volatile("rdrand %0" : "=r"(*value), "=@ccc"(done));
    return done;
}

bool backend_init(const char *vsock)
{
    uint64_t cid = 0;

    virtio_set_worker(machine_work);
    if (has_rdrand() && !virtio_rng_init(random_number))
        return false;
    if (!vsock)
        return true;
    for (; *vsock >= '0' && *vsock <= '9' && cid <= UINT32_MAX; vsock++)
        cid = cid * 10 + (uint64_t)(*vsock - '0');
    return vsock_init(cid) && (*vsock || vsock_add(ECHO_PORT, &vsock_echo, NULL));
}
