/*
 * Portals.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef CORE_PT_H
#define CORE_PT_H

#include "core/ec.h"

struct pt {
    struct object object;
    struct ec *ec;
    uint64_t ip;
    uint64_t pid;
    uint32_t mtd;
};

#endif
