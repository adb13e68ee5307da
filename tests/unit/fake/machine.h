/*
 * A machine of several CPUs for the kernel's scheduler, semaphores and grace periods: these run as they are,
 * what lies below them (interrupt controller, timer, assembly code, address spaces) is simulated here.
 *
 * One thread can be all CPUs in turn (machine_on), or each CPU has a thread. A CPU that enters the kernel
 * leaves it again in one of the ways of enum machine_exit: the functions that never return come back here.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "core/cpu.h"
#include "x86/clock.h"

#define MACHINE_HZ 1000000 /* 1000 ticks are a millisecond */

enum machine_exit {
    EXIT_NONE,
    EXIT_SYSRET, /* to user mode */
    EXIT_IRET,
    EXIT_EVENT, /* ipc_event is reached */
    EXIT_RETRY, /* ipc_retry is reached */
    EXIT_IDLE   /* waits for an interrupt */
};

/* How each CPU has last left the kernel, and with which EC. */
struct machine_state {
    enum machine_exit how;
    struct ec *ec;
    unsigned event;
    unsigned asked;     /* interprocessor interrupts since machine_init */
    unsigned woken;     /* of these, while idle */
    bool pending;       /* one of them has not been delivered */
    uint64_t timer;     /* when it is set to go off */
    unsigned timer_set; /* how often it was set */
};

extern struct machine_state machine[CPU_MAX];
extern struct pd *machine_root; /* with spaces, so that ECs can be created */

/* A new machine: memory, CPUs that are idle, a root PD. */
void machine_init(unsigned cpus);

/* This thread is this CPU from now on. */
struct cpu *machine_on(unsigned cpu);

/* Enter the kernel on this CPU where the names say. */
const struct machine_state *machine_reactivate(void);
const struct machine_state *machine_schedule(void);
const struct machine_state *machine_block(struct ec *ec);
const struct machine_state *machine_leave(struct ec *ec);

/* Interrupts this CPU in user mode or idle. */
const struct machine_state *machine_interrupt(unsigned vector);

/* Delivers the interprocessor interrupt and the timer interrupt of this CPU, if they are due. */
void machine_deliver(void);

/* A global thread that has started already, with an SC, not yet ready. */
struct ec *machine_thread(unsigned cpu, unsigned prio, unsigned budget_ms, struct sc **sc);

/* Called for spaces that are destroyed, for ECs that are, and while a CPU serves others; null: nothing. */
extern void (*machine_space_destroyed)(struct object *space);
extern void (*machine_ec_destroyed)(const struct ec *ec);
extern void (*machine_serves)(struct cpu *cpu);
