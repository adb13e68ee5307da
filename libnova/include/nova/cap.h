/**
 * @file
 * Capabilities of the own object space: selectors.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <nova/parent.h>

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
 * Drops the capabilities at `count` (up to #NOVA_DROP_MAX) adjacent selectors, and gives the selectors back: with the last
 * capability an object dies. #NOVA_CAP_NONE is ignored. Needs no memory and cannot fail. Thread-safe. Example:
 * `nova_cap_free(sm, 1);`
 */
void nova_cap_free(uint64_t first, unsigned count);

/**
 * Puts the portal at `from` at `count` (up to #NOVA_DROP_MAX) adjacent selectors, too, that nova_cap_alloc() has given out, over
 * what is there, for events: one portal then serves many of them, and takes memory once. It cannot be called there, and of
 * other capabilities nothing is copied: these selectors are empty then. Returns 0, #NOVA_ERR_INVAL, or #NOVA_ERR_MEMORY: then
 * some of them may have it. Thread-safe. Example: `error = nova_cap_copy(portal, events, 64);`
 */
int nova_cap_copy(uint64_t from, uint64_t first, unsigned count);

/** @} */
