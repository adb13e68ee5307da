/*
 * Scheduling contexts and the scheduler of a CPU: 128 priorities, round robin with a budget within each.
 *
 * A CPU runs the ready SC of the highest priority. Which EC that SC runs is found when it is activated: the end of
 * the call chain that starts at its own EC. If that EC is blocked, the SC waits there (ec->waiting).
 *
 *   SC --> EC --callee--> EC --callee--> EC
 *                                        ^ runs with the SC
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "core/object.h"
#include "core/timeout.h"

struct ec;
struct cpu;

struct sc {
    struct object object;
    struct cpu *cpu;
    struct ec *ec;
    struct list link; /* in a ready queue or in ec->waiting */
    uint64_t budget;  /* TSC ticks */
    uint64_t left;    /* of the budget */
    uint64_t time;    /* TSC ticks that it has run; while it runs, SC_RUNS is set and the TSC must be added */
    uint8_t prio;
};

#define SC_RUNS BIT(63)

/* Creates an SC for an EC, or null: NOVA_ status code. */
unsigned sc_create(struct pd *pd, struct ec *ec, uint64_t scd, struct sc **sc);

/* Makes a new SC ready on its CPU; there, sc_take_fresh takes it over. */
void sc_start(struct sc *sc);
void sc_take_fresh(struct cpu *cpu);

/* On the SC's CPU. */
void sc_destroy(struct sc *sc);

/* TSC ticks that an SC has run. From any CPU. */
uint64_t sc_time(const struct sc *sc);

/* Puts an SC at the tail of its ready queue on this CPU. One that is preempted stays in front while it has budget. */
void sc_ready(struct cpu *cpu, struct sc *sc);

/* Lets all SCs that wait for an EC try again. */
void sc_release(struct cpu *cpu, struct ec *ec);

/* The same for all SCs that wait on this CPU: those whose EC still cannot run wait again. */
void sc_release_all(struct cpu *cpu);

/* Sets the timer of this CPU to what is due next. */
void sc_timer(struct cpu *cpu);

/* The timer of this CPU: handles all that is due. */
void sc_tick(struct cpu *cpu);

/* The running SC has nothing to run any more: picks another one. Abandons the stack. */
_Noreturn void schedule(struct cpu *cpu);

/* The same, but the running SC waits until `ec` can run again. */
_Noreturn void schedule_blocked(struct cpu *cpu, struct ec *ec);

/* Looks after the hazards of the CPU, then goes on with the running SC. Abandons the stack. */
_Noreturn void reactivate(struct cpu *cpu);

/* Returns to user mode in an EC with the running SC, unless a hazard demands something else first. Abandons the stack. */
_Noreturn void leave(struct cpu *cpu, struct ec *ec);
