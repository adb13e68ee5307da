/*
 * What any root image needs: its capabilities, memory, threads, portals and semaphores.
 *
 * image_start() takes the NOVA spaces, opens the serial port, finds the command line and free
 * physical memory through the boot loader's information, and creates one handler EC per CPU that
 * starts threads and reports crashes. Then it calls image_main(), which the image defines. A helper
 * that fails bails out: tests of failing hypercalls use hypercall.h directly.
 *
 * Helpers belong to the main thread, except where it says otherwise.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "hypercall.h"
#include "layout.h"

#include <nova/abi/hip.h>
#include <stdbool.h>
#include <stddef.h>

#define PAGE_SIZE 4096UL

/* A protection domain: the selectors of the PD and its spaces in the root object space. */
struct pd {
    uint64_t pd, obj, hst, pio;
};

/* A thread: lies at the bottom of its stack, so that thread_self() needs no register. */
struct thread {
    uint64_t ec, sc;
    union nova_utcb *utcb;
    void (*entry)(void *);
    void *arg;
    unsigned cpu;
    bool used;
    volatile bool done;    /* entry has returned */
    uint64_t recover;      /* address at which to continue after an exception (fault.h) */
    uint64_t fault_vector; /* what the exception was */
    uint64_t fault_error;
    uint64_t fault_address;
};

struct system {
    const struct nova_hip *hip;
    unsigned cpus;
    unsigned bsp;
    struct pd root;
    uint64_t ec, sc; /* of the main thread */
    uint64_t nova_obj, nova_hst, nova_pio, nova_msr;
    uint64_t console;    /* semaphore of the memory-buffer console */
    uint64_t never;      /* semaphore that nobody ups; the same selector in all PDs */
    const char *cmdline; /* of the root module */
};

extern struct system sys;

/* Defined by the image. Returning ends the test. */
void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi);

_Noreturn void image_start(const struct nova_hip *hip, uint64_t magic, uint64_t mbi);

/* Ends the test, by any thread of the root PD: off, or with reset=1 on the command line a reset. */
_Noreturn void power_off(void);

/* Number after "name=" on the command line, or fallback. */
uint64_t option(const char *name, uint64_t fallback);

/* count consecutive free selectors of the root object space; the first is a multiple of align. */
uint64_t sel_alloc(unsigned count, unsigned align);
#define SEL() sel_alloc(1, 1)

/* Gives back a single selector, which must be empty. */
void sel_free(uint64_t sel);

/* Bails out with a message unless status is NOVA_SUCCESS. */
void must(unsigned status, const char *what);

/* -- Time (any thread) -- */

static inline uint64_t tsc(void)
{
    uint32_t lo, hi;

    __asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
    return (uint64_t)hi << 32 | lo;
}

/* Ticks in so many microseconds. */
static inline uint64_t ticks(uint64_t us)
{
    return sys.hip->stc_frequency / 1000 * us / 1000;
}

/* Blocks for so many microseconds. */
void sleep_us(uint64_t us);

/* Waits actively until *word is at least value; gives up after so many milliseconds. */
bool spin_until(const volatile uint32_t *word, uint32_t value, uint64_t ms);

/* -- Memory -- */

/* Addresses of the image's own pages. */
extern char image_text[], image_rodata[], image_data[], image_end[];

/* Like ctrl_pd, for any number of selectors or pages: splits them into aligned orders. */
unsigned ctrl_range(uint64_t src, uint64_t dst, uint64_t ssb, uint64_t dsb, uint64_t count, unsigned pmm,
                    uint32_t mad);

/* Range of unused virtual addresses, a multiple of align. Nothing is mapped there. */
uint64_t va_alloc(uint64_t bytes, uint64_t align);

/* Maps physical memory into the root host space; any address and size. */
void *map_phys(uint64_t phys, uint64_t bytes, unsigned pmm, uint32_t mad);

/* Free physical memory of 2^order pages, so aligned; not mapped, not cleared. 0 if there is none. */
uint64_t phys_alloc(unsigned order);

/* Fresh cleared pages, mapped readable and writable. */
void *page_alloc(unsigned pages);

/* -- Protection domains, threads, portals, semaphores -- */

/* A new PD with all its spaces and the standard event portals; its memory is empty. */
void pd_create(struct pd *pd);

/* Gives the PD this image at the same addresses, and the serial port. */
void pd_share_image(const struct pd *pd);

/*
 * An EC with stack and UTCB. Once all thread structures are in use, those of threads that are done
 * are used again. evt: event base; SEL_CPU_EVENTS + SEL_EVENT_BLOCK * cpu is the standard.
 */
struct thread *thread_create(const struct pd *pd, unsigned cpu, uint64_t evt, unsigned flags);
#define STANDARD_EVENTS(cpu) (SEL_CPU_EVENTS + (uint64_t)SEL_EVENT_BLOCK * (cpu))

/* Local thread of the root PD with standard events. */
struct thread *local_create(unsigned cpu);

/* Binds an SC to a global thread, which then runs entry(arg). */
void thread_run(struct thread *t, unsigned prio, unsigned budget_ms, void (*entry)(void *), void *arg);

/* Global thread of the root PD with standard events: creates and runs it. */
struct thread *global_start(unsigned cpu, unsigned prio, void (*entry)(void *), void *arg);

/* Drops the capabilities of a thread that is done, or of a local one, and its stack. */
void thread_free(struct thread *t);

/* The thread that calls (threads made by these helpers, and the main thread). */
struct thread *thread_self(void);

/* End of a global thread. */
_Noreturn void thread_exit(void);

/* A portal of the root PD; entry comes from PORTAL_ENTRY. */
uint64_t portal_create(const struct thread *t, void (*entry)(void), uint64_t pid, uint32_t mtd);
void portal_create_at(uint64_t sel, const struct thread *t, void (*entry)(void), uint64_t pid, uint32_t mtd);

/*
 * Defines the entry point of a portal around "uint32_t handler(uint64_t pid, uint32_t mtd)", which
 * returns the MTD of the reply. RSP is the top of the stack at each entry, because ipc_reply
 * is always called from there.
 */
#define PORTAL_ENTRY(name, handler)                                                                          \
    void name(void);                                                                                         \
    static __attribute__((used, noinline)) uint32_t handler(uint64_t pid, uint32_t mtd);                     \
    __asm__(".pushsection .text\n" #name ":\n\tcall " #handler "\n\tmov %eax, %esi\n\tmov $1, %edi\n\t"      \
            "syscall\n\t.popsection")

uint64_t sm_create(uint64_t count);

static inline unsigned sm_up(uint64_t sm)
{
    return ctrl_sm(sm, 0, NOVA_SM_UP);
}

static inline unsigned sm_down(uint64_t sm)
{
    return ctrl_sm(sm, 0, NOVA_SM_DOWN);
}

/* Down with a limit of so many milliseconds. */
static inline unsigned sm_down_ms(uint64_t sm, uint64_t ms)
{
    return ctrl_sm(sm, tsc() + ticks(ms * 1000), NOVA_SM_DOWN);
}
