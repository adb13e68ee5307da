/*
 * How much kernel memory is left, measured from outside.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdint.h>

/*
 * Creates ECs of a PD (a capability with permission EC; the PD must have its spaces) until one fails,
 * drops them all, and returns their number. *status, if not NULL, is the status of the one that failed.
 * UTCBs are mapped in a window of their own.
 */
unsigned capacity(uint64_t pd, unsigned *status);

/*
 * Repeats capacity() of the root PD until it is at least want, for up to so many milliseconds, because
 * memory is given back after a while. Returns the best.
 */
unsigned capacity_reaches(unsigned want, uint64_t ms);

/*
 * Tables of the root PD's own spaces stay once they are there: a difference of so many ECs is no loss. What
 * the tests create is a thousand times more.
 */
#define CAPACITY_TABLES 8
