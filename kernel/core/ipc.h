/*
 * Communication: calls and replies through portals, and the implicit calls that events make.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "core/cpu.h"

/* Hypercall ipc_call of the current EC; returns only with an error status. */
unsigned ipc_call(struct cpu *cpu, struct ec *ec, uint64_t id, uint64_t mtd);

/* Hypercall ipc_reply. */
_Noreturn void ipc_reply(struct cpu *cpu, struct ec *ec, uint64_t mtd);

/* Repeats a call that had to wait, see CONT_CALL. */
_Noreturn void ipc_retry(struct cpu *cpu, struct ec *ec);

/* The portal of an event of an EC; null if there is none. */
static inline const struct pt *ipc_event_portal(const struct ec *ec, unsigned event)
{
    return ec_object(ec, ec->evt + event, RIGHT(PT, NOVA_PT_EVENT));
}

/* Kills the EC, and goes on with another one. */
_Noreturn void ipc_die(struct cpu *cpu, struct ec *ec, const char *why);

/* Sends an event of the current EC to its portal, or kills the EC if there is none. */
_Noreturn void ipc_event(struct cpu *cpu, struct ec *ec, unsigned event);

/* The same for an exception that has just happened in user mode. */
_Noreturn void ipc_exception(struct cpu *cpu, struct ec *ec, unsigned vector);

/* The callee, which is ready to receive, gets a call. */
static inline void ipc_link(struct ec *caller, struct ec *callee)
{
    caller->callee = callee;
    callee->caller = caller;
    callee->hazard.busy = true;
}

/* The last EC of the call chain that starts here: the one that can run. */
static inline struct ec *ipc_chain_end(struct ec *ec)
{
    while (ec->callee)
        ec = ec->callee;
    return ec;
}
