/*
 * Packets of virtio sockets (Virtual I/O Device 1.2, 5.10.6).
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "guest.h"

#define VSOCK_DATA 4096U /* bytes of data in a packet, at most */

enum { REQUEST = 1, RESPONSE, RST, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST };
enum { RX, TX, EVENT, QUEUES };

struct packet {
    uint64_t source_cid, target_cid;
    uint32_t source_port, target_port;
    uint32_t length;
    uint16_t type, operation;
    uint32_t flags, buffer, forwarded;
    uint8_t data[VSOCK_DATA];
} __attribute__((packed));

#define HEADER offsetof(struct packet, data)
