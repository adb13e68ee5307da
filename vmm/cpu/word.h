/**
 * @file
 * The word by which a vCPU and others agree on who does what: where the vCPU is, and what is asked of it.
 *
 *   31      24 23  18 17   16 15         0
 *   | vector  |  0   | place | requests  |      vector: of a start-up IPI, with VCPU_SIPI
 *
 *   place      who asks must                        changed by the owner, the vCPU's handler
 *   GUEST      recall it                            word_take: comes to the handler, gets and clears the requests
 *   HANDLER    nothing: the handler will look       word_leave, word_block: only if there are no requests
 *   BLOCKED    up the semaphore it waits for
 *
 * Who finds other requests in the word need not do anything: whoever brought the first one does. So each way to GUEST or
 * BLOCKED is followed by at most one recall or up, and no request is left behind: tests/vmm/cpu tries all interleavings.
 * A recall or an up may come late, when the vCPU has taken the request on its own: owners must bear with both.
 *
 * Pure functions on an atomic word. Any thread, but for those of the owner.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>
#include <stdint.h>

#define WORD_REQUESTS 0xffffU
#define WORD_PLACE (3U << 16)
#define WORD_VECTOR 24

enum word_place { WORD_GUEST = 0 << 16, WORD_HANDLER = 1 << 16, WORD_BLOCKED = 2 << 16 };

enum word_kick { WORD_NOTHING, WORD_RECALL, WORD_UP };

/** Asks; says what the caller must do now. */
static inline enum word_kick word_ask(uint32_t *word, uint32_t requests, uint8_t vector)
{
    uint32_t old = __atomic_load_n(word, __ATOMIC_RELAXED), new;

    do {
        /* The first of several start-up IPIs counts. */
        new = old | requests | (vector && !(old >> WORD_VECTOR) ? (uint32_t)vector << WORD_VECTOR : 0);
    } while (!__atomic_compare_exchange_n(word, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    if (old & WORD_REQUESTS || (old & WORD_PLACE) == WORD_HANDLER)
        return WORD_NOTHING;
    return (old & WORD_PLACE) == WORD_GUEST ? WORD_RECALL : WORD_UP;
}

/** Owner: comes to the handler, from wherever it was. Returns requests and vector. */
static inline uint32_t word_take(uint32_t *word)
{
    return __atomic_exchange_n(word, WORD_HANDLER, __ATOMIC_SEQ_CST) & ~WORD_PLACE;
}

static inline bool word_go(uint32_t *word, enum word_place place)
{
    uint32_t idle = WORD_HANDLER;

    return __atomic_compare_exchange_n(word, &idle, place, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/** Owner, in the handler: goes to the guest, or to wait for the semaphore. False: there are requests to be taken first. */
static inline bool word_leave(uint32_t *word)
{
    return word_go(word, WORD_GUEST);
}

static inline bool word_block(uint32_t *word)
{
    return word_go(word, WORD_BLOCKED);
}
