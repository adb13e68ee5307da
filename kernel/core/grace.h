/*
 * Grace periods: a dead object is destroyed only when every CPU has left the kernel since it died, because
 * until then some CPU may still work with a pointer that it looked up.
 *
 *   object_put -> open list -> (batch is full, or old, or nobody else is awake) -> closed list
 *              -> (each CPU was interrupted in user mode, or is idle) -> object_destroy
 *
 * A CPU that is busy in user mode is interrupted once a batch. Idle CPUs are neither woken nor waited for.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "core/object.h"
#include "mem/layout.h"

struct cpu;

struct grace {
    struct object *open, *closed; /* lists of dead objects */
    unsigned count;               /* on the open list */
    bool flush;                   /* a hypercall waits for the memory */
    uint64_t deadline;            /* when to look again; UINT64_MAX: never */
    uint32_t seen[CPU_MAX];       /* quiescent counters when the batch was closed */
};

/* Puts an object that just died on this CPU's list. */
void grace_retire(struct object *object);

/* Moves batches on as far as possible, without waiting. At a point where this CPU uses no looked-up object. */
void grace_run(struct cpu *cpu);

/* The same, but waits until everything that is retired on this CPU is destroyed. */
void grace_flush(struct cpu *cpu);
