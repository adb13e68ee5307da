/**
 * @file
 * Capabilities of the own object space: selectors and delegation.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef NOVA_CAP_H
#define NOVA_CAP_H

#include <stdint.h>

/**
 * @addtogroup libnova_cap
 * @{
 */

#define NOVA_CAP_NONE 0UL /**< No selector: 0 is the domain itself. */

/**
 * Takes `count` adjacent free selectors; the first is a multiple of `align`, a power of two. Returns it, or
 * #NOVA_CAP_NONE if there are none. Low selectors come first, which keeps the kernel's tables small.
 * Thread-safe.
 *
 * Example: @code
 *   uint64_t sm = nova_cap_alloc(1, 1);
 *   if (!sm || nova_hc_create_sm(sm, NOVA_SEL_PD, 0)) { ... }
 * @endcode
 */
uint64_t nova_cap_alloc(unsigned count, unsigned align);

/**
 * Drops the capabilities at `count` adjacent selectors: with the last one an object dies. Needs no memory and
 * cannot fail. Thread-safe.
 */
void nova_cap_drop(uint64_t first, unsigned count);

/**
 * Drops capabilities and gives their selectors back; #NOVA_CAP_NONE is ignored. Thread-safe. Example:
 * `nova_cap_free(sm, 1);`
 */
void nova_cap_free(uint64_t first, unsigned count);

/**
 * ctrl_pd for any number of selectors (pages, ports, MSRs), in the largest aligned pieces up to 2^max_order. Returns the
 * status; with mask 0, which takes away, it cannot fail if the pieces are no smaller than what is there. Thread-safe.
 */
unsigned nova_delegate(uint64_t src, uint64_t dst, uint64_t from, uint64_t to, uint64_t count,
                       unsigned max_order, unsigned mask, uint32_t mad);

/** @} */

#endif
