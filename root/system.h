/*
 * What all of root uses: its selectors and address space, capabilities, memory, time, the lock.
 *
 * Virtual memory of root:
 *
 *   0x10000000        image
 *   0x40000000        UTCBs of handlers, workers and the guard, one page for each
 *   0x4'0000'0000     window of one page on a domain's memory (crash.c)
 *   0x1000'0000'0000  physical memory, as far as it is in use by root at the moment, at this offset
 *   top               UTCB of the main thread, hypervisor information page
 *
 * All state is under one lock, which only threads of the highest priority take: see events.c.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "boot.h"
#include "manifest.h"

#include <nova/abi/hip.h>
#include <nova/format.h>
#include <nova/hypercall.h>
#include <nova/start.h>
#include <nova/string.h>

#define CLOCK_PORT 0x70
#define UTCB_BASE 0x40000000UL
#define PEEK_WINDOW 0x400000000UL
#define PHYSICAL_BASE 0x100000000000UL
#define BUFFER_ORDER 8 /* no large pages: taking them away must not need memory for smaller ones */
#define USER_END 0x800000000000UL

/* Selectors in root's object space. The event base of the main thread is 0. */
enum {
    SEL_NOVA_HST = 0x40,
    SEL_NOVA_PIO,
    SEL_NOVA_MSR,
    SEL_HST,
    SEL_PIO,
    SEL_GUARD,
    SEL_LOCK, /* semaphore */
    SEL_NEW_SC,
    SEL_NEW,                  /* what is just being made, then delegated; empty otherwise */
    SEL_HANDLER = 0x80,       /* + CPU: local EC */
    SEL_WORK = 0xc0,          /* + CPU: semaphore that its worker waits for */
    SEL_REPLY = 0x100,        /* + CPU: semaphore that its handler waits for */
    SEL_WORKER = 0x140,       /* + CPU: EC of the worker */
    SEL_WORKER_SC = 0x180,    /* + CPU */
    SEL_WORKER_START = 0x1c0, /* + CPU: portal for STARTUP of the worker */
    SEL_NONE = 0x200,         /* and 64 more: always empty */
    SEL_DOMAIN = 0x400,       /* + 8 * domain: PD, object, host, port and guest space */
    SEL_DOORBELL = 0x600,     /* + service: the server's semaphore */
    SEL_BELL = 0x800,         /* + NOVA_SESSIONS_MAX * domain + number: client's semaphore */
    SEL_SERVER = 0x1800       /* + NOVA_CPUS_MAX * service + CPU: EC of the server's handler */
};

extern const struct nova_hip *hip;
extern unsigned cpu_count; /* that are used */
extern struct manifest manifest;
extern struct boot_module *module; /* behind the manifest */
extern struct memory memory;       /* free pages */
extern uint64_t sel_obj, sel_pd;   /* root's own object space and protection domain */

/* Takes over the spaces, and the ports of the serial line and of the clock. */
void system_init(const struct nova_hip *hip);

/* Ends root itself, which ends everything: after an error that cannot be handled. */
_Noreturn void panic(const char *what);

/* -- Capabilities. Results are status codes of hypercalls. -- */

/* ctrl_pd for any number of selectors, pages, ports, MSRs, in aligned pieces of up to 2^max_order. */
unsigned delegate(uint64_t src, uint64_t dst, uint64_t from, uint64_t to, uint64_t count, unsigned max_order,
                  unsigned perm, uint32_t mad);

/* Takes selectors or pages away from a space; with small orders, so that it needs no memory. */
void revoke(uint64_t space, uint64_t first, uint64_t count);

/* Makes a capability of root's null. */
static inline void drop(uint64_t sel)
{
    nova_hc_ctrl_pd(sel_obj, sel_obj, 0, sel, 0, 0, 0);
}

/* Copies what is at `from` in the object space `obj` to `to` in root's. */
void take(uint64_t obj, uint64_t from, uint64_t to, unsigned perm);

/* Copies root's capability `from` to `to` in the object space `obj`. */
static inline unsigned give(uint64_t from, uint64_t obj, uint64_t to, unsigned perm)
{
    return nova_hc_ctrl_pd(sel_obj, obj, from, to, 0, perm, 0);
}

/* The same, and root's own is dropped. */
unsigned hand_over(uint64_t from, uint64_t obj, uint64_t to, unsigned perm);

/* -- Memory -- */

/* Maps physical pages at PHYSICAL_BASE; perm 0 unmaps them. Page-aligned. */
void *map_physical(uint64_t start, uint64_t bytes, unsigned perm);

static inline void *physical(uint64_t address)
{
    return (void *)(PHYSICAL_BASE + address);
}

/* Adjacent pages, for good. Panics if there are none. */
uint64_t pages_alloc(uint64_t pages);

/* Cleared memory of root's own, for good, in pages. Its physical address is that much below. */
void *root_alloc(uint64_t bytes);

/* -- Time -- */

static inline uint64_t now(void)
{
    uint32_t lo, hi;

    __asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
    return (uint64_t)hi << 32 | lo;
}

/* Time stamp so many milliseconds from now. */
static inline uint64_t deadline_ms(uint64_t ms)
{
    return now() + hip->stc_frequency / 1000 * ms;
}

/* Nanoseconds since 1970 when the time counter was 0; clock_init() reads it from the clock of the machine. */
extern int64_t wall_clock;
void clock_init(void);

/*
 * Seconds since 1970-01-01 UTC, for years 2000 to 2099, from the registers of the clock: binary numbers or
 * BCD, and 24 or 12 hours.
 */
int64_t clock_seconds(const uint8_t *reg);

/* -- Sleep states (ACPI specification 6.5): the firmware's tables are trusted, but only read within their lengths -- */

/*
 * SLP_TYPa | SLP_TYPb << 3 of the state S5: the first two elements of the package _S5_ (7.4.2) in the AML code of a
 * DSDT; 0 if there is none.
 */
unsigned acpi_find_s5(const uint8_t *aml, size_t size);

/* The same for this machine. */
unsigned acpi_s5(void);

/* -- Bits and ports -- */

static inline unsigned count_bits(uint64_t bits)
{
    unsigned n = 0;

    for (; bits; bits &= bits - 1)
        n++;
    return n;
}

static inline void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t in8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}
