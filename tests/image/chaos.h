/*
 * A worker that issues random and half-valid hypercalls, for the fuzzer.
 *
 * It touches nothing but its own region of memory and the code of this image, so that whatever it does
 * to its PD cannot reach the data of the test. Its sequence of hypercalls depends on its seed only.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "system.h"

/* Region of a worker: state, stacks, UTCBs, and 64 pages to play with. */
#define REGION_SIZE (128 * PAGE_SIZE)
#define WORKER_TOP (4 * PAGE_SIZE)
#define SERVER_TOP (8 * PAGE_SIZE)
#define FRAMES 8
#define UTCBS (8 * PAGE_SIZE)
#define UTCB_PAIRS 28 /* used in turn: the last thread at an address must be gone */
#define PLAYGROUND (64 * PAGE_SIZE)

/* Selectors a worker plays with, relative to its base. */
enum {
    S_PD,
    S_OBJ,
    S_HST,
    S_PIO,
    S_EC,
    S_SC,
    S_SERVER,
    S_PORTAL,
    S_SM,
    S_SHARED,
    S_MSR,
    S_GST,
    S_NOVA_HST,
    S_NOVA_PIO,
    S_NOVA_MSR,
    S_IDLE,
    S_INT,
    S_VICTIM = S_INT + 4,
    S_POOL = 32,
    S_COUNT = 64
};

#define EVENTS_OFFSET 64 /* event base, behind the selectors */

enum kind { ROOT, PRIVILEGED, ISOLATED };

struct worker {
    uint64_t random, calls, target;
    uint64_t sel_base, sel_num, top; /* first selector; number of selectors; end of user memory */
    uint64_t scratch, us;            /* first scratch frame; ticks per microsecond */
    uint64_t entry;                  /* a valid portal address */
    uint32_t cpus;
    uint32_t kind;
    uint64_t status[NOVA_MEM_CAP + 1]; /* how often each came */
};

_Static_assert((REGION_SIZE & (REGION_SIZE - 1)) == 0, "a worker finds its region by its stack pointer");

/* Where a worker starts, with RSP = region + WORKER_TOP; and the portal address of its server thread. */
void chaos_worker(void);
void chaos_server(void);
