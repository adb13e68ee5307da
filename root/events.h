/*
 * Portals of root, and who does the work behind them.
 *
 *   domain --call, event--> handler --> worker of the CPU, or main thread --> handler --reply--> domain
 *
 * A handler is a local thread: it runs with the time and priority of its caller, and could be preempted for
 * ever. So it holds no lock and changes nothing, but hands the request over and waits. Workers and the main
 * thread run at the highest priority, one for each CPU, and do all work under one lock, which is thus held
 * for a short time only. So a domain that sends requests without end only ever uses its own CPU.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <nova/abi/cap.h>
#include <nova/abi/utcb.h>
#include <stdbool.h>
#include <stdint.h>

/* What a portal is for: below NOVA_EVT_HST_ARCH the number of an exception. */
enum portal_kind {
    PORTAL_STARTUP = NOVA_EVT_HST_ARCH,
    PORTAL_PARENT,
    PORTAL_WORKER, /* STARTUP of a worker */
    PORTAL_GUARD   /* the main thread's exception, in the place of the domain */
};

/* Portal identifier: names a CPU, what the portal is for, and a domain in one of its lives. */
#define PORTAL_ID(cpu, kind, domain, life)                                                                   \
    ((uint64_t)(cpu) | (uint64_t)(kind) << 8 | (uint64_t)(domain) << 16 | (uint64_t)(life) << 32)
#define PORTAL_CPU(pid) ((unsigned)(pid)&0xff)
#define PORTAL_KIND(pid) ((unsigned)((pid) >> 8 & 0xff))
#define PORTAL_DOMAIN(pid) ((unsigned)((pid) >> 16 & 0xffff))
#define PORTAL_LIFE(pid) ((uint32_t)((pid) >> 32))

/* Handlers and workers of all CPUs, and the guard that lets word_read() survive. */
void events_init(void);

/* A portal at a selector, which a protection domain pays for; `entry` 0: that of root's handlers. Status code. */
unsigned portal_create(uint64_t sel, uint64_t handler, uint64_t pays, uint64_t entry, uint64_t pid,
                       uint32_t mtd);

/* Does all requests that are for the main thread. It does not hold the lock. */
void serve_main(void);

/* Reads a word of memory that may not be there. Main thread only. */
bool word_read(uint64_t *to, const uint64_t *from);

/* The lock of all state. */
void lock(void);
void unlock(void);
