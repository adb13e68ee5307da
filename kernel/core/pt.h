/*
 * Portals.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef CORE_PT_H
#define CORE_PT_H

#include "core/ec.h"
#include "nova/abi/cap.h"

struct pt {
    struct object object;
    struct ec *ec;
    uint64_t ip;
    uint64_t pid;
    uint32_t mtd;
};

_Static_assert(offsetof(struct pt, ec) == PT_EC && offsetof(struct pt, ip) == PT_IP &&
                   offsetof(struct pt, pid) == PT_PID,
               "entry/frame.h");
_Static_assert(RIGHT(PT, NOVA_PT_CALL) == 1U << CAP_RIGHT_CALL, "entry/frame.h");

#endif
