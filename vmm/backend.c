/*
 * Back ends of virtio devices: random numbers of the processor, if it has any; sockets, if the system file gives the guest a
 * number.
 *
 * Sockets: NUMBER SERVICE:PORT ...; the number alone is a device whose only service is the echo on port 7, for tests of guests.
 *
 * SPDX-License-Identifier: MIT
 */

#include "backend.h"

#include "cpu/machine.h"
#include "services.h"
#include "virtio/rng.h"
#include "virtio/virtio.h"
#include "virtio/vsock.h"

#include <nova/start.h>

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

static uint64_t number(const char **text)
{
    uint64_t value = 0;

    for (; **text >= '0' && **text <= '9' && value <= UINT32_MAX; ++*text)
        value = value * 10 + (uint64_t)(**text - '0');
    return value;
}

/* SERVICE:PORT, behind a blank, and so on. */
static bool add_services(const char *text)
{
    static char names[VSOCK_SERVICES][NOVA_NAME_MAX];

    for (unsigned i = 0; *text; i++) {
        size_t length = 0;
        uint64_t port;

        while (*++text && *text != ':' && i < VSOCK_SERVICES && length < NOVA_NAME_MAX - 1)
            names[i][length++] = *text;
        if (*text++ != ':')
            return false;
        port = number(&text);
        if ((*text && *text != ' ') || port > UINT32_MAX || !services_add((uint32_t)port, names[i]))
            return false;
    }
    return !services_start();
}

bool backend_init(const char *vsock)
{
    uint64_t cid;

    virtio_set_worker(machine_work);
    if (has_rdrand() && !virtio_rng_init(random_number))
        return false;
    if (!vsock)
        return true;
    cid = number(&vsock);
    return vsock_init(cid) && (*vsock ? add_services(vsock) : vsock_add(ECHO_PORT, &vsock_echo, NULL));
}
