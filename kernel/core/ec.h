/*
 * Execution contexts: threads of the host, and what guest ECs (virt/virt.h) have in common with them. All of an EC's
 * state that is not on its CPU is here.
 *
 * Only the EC's own CPU touches it, apart from `hazard.recall`, `refs` and, under the lock of the semaphore that it is
 * blocked on, `queue`.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "core/space.h"
#include "core/timeout.h"
#include "nova/abi/utcb.h"

struct cpu;
struct sm;

/* What an EC does when it runs next: this replaces a kernel stack per EC. While it runs, it is CONT_SYSRET. */
enum continuation {
    CONT_SYSRET,  /* returns from a hypercall */
    CONT_IRET,    /* returns from an exception or interrupt */
    CONT_GUEST,   /* runs in guest mode */
    CONT_STARTUP, /* global thread or guest EC, never ran: sends the STARTUP event */
    CONT_CALL,    /* repeats ipc_call, the callee was busy */
    CONT_EVENT,   /* repeats the event in `event`, the handler was busy */
    CONT_DEAD     /* never runs again */
};

/*
 * Reasons to leave the fast paths, which test several at once. Each byte is written as a whole: `recall` by any CPU, the
 * others by the EC's own.
 */
union hazards {
    uint32_t any;
    struct {
        bool recall;  /* RECALL event before the next return to user mode */
        bool busy;    /* does not wait for a call */
        bool arch;    /* waits for an architectural reply */
        uint8_t slow; /* SLOW_ reasons */
    };
};

/* As parts of `any`. */
#define HAZARD_BUSY 0x0000ff00U
#define HAZARD_ARCH 0x00010000U

#define SLOW_CPU 1    /* it lacks FSGSBASE or XSAVE */
#define SLOW_HELPED 2 /* who sends the reply runs with the SC of a helper, who wants to go on then */
#define SLOW_GUEST 4  /* it is a guest EC: struct vcpu (virt/virt.h) */

struct ec {
    struct object object;
    struct frame frame; /* the CPU pushes onto its end; see entry/entry.S */
    struct cpu *cpu;
    cap **caps;            /* tables of the object space */
    union nova_utcb *utcb; /* kernel's mapping */
    struct ec *caller;     /* that waits for our reply, or null; valid while busy */
    struct ec *callee;     /* whose reply we wait for, or null */
    union hazards hazard;
    uint8_t cont; /* enum continuation */
    bool local;
    bool blocked;   /* on `sm` */
    bool queued;    /* in the queue of `sm`; under its lock */
    uint16_t event; /* the last one: for CONT_EVENT, guests, and kill messages */
    struct space_hst *hst;
    uint64_t fs_base, gs_base;
    void *fpu;         /* state while not on the CPU; null: no FPU */
    uintptr_t context; /* `hst`, plus 1 if there is an FPU: equal if the fast path has no more to switch */
    struct space_bitmap *pio;
    struct space_obj *obj;
    uint64_t evt;        /* event selector base */
    uint64_t fault_addr; /* of the last #PF */
    uint64_t utcb_page;  /* where the user sees it */
    struct list waiting; /* SCs that wait until this EC can run again */
    struct list awaited; /* in cpu->awaited if there are such SCs */
    struct list queue;   /* in the semaphore's queue or a CPU's wake-up queue */
    struct sm *sm;
    struct timeout timeout;
    bool bound; /* has an SC; atomic */
};

static inline bool ec_is_guest(const struct ec *ec)
{
    return ec->hazard.slow & SLOW_GUEST;
}

/* Events of the EC that have numbers of the hardware; STARTUP and RECALL are behind them. */
static inline unsigned ec_arch_events(const struct ec *ec)
{
    return ec_is_guest(ec) ? NOVA_EVT_GST_ARCH : NOVA_EVT_HST_ARCH;
}

_Static_assert(offsetof(struct ec, frame) == EC_FRAME, "entry/frame.h");
_Static_assert(offsetof(struct ec, cpu) == EC_CPU && offsetof(struct ec, caps) == EC_CAPS &&
                   offsetof(struct ec, utcb) == EC_UTCB && offsetof(struct ec, caller) == EC_CALLER &&
                   offsetof(struct ec, callee) == EC_CALLEE && offsetof(struct ec, hazard) == EC_HAZARD &&
                   offsetof(struct ec, hazard.busy) == EC_BUSY && offsetof(struct ec, hst) == EC_HST &&
                   offsetof(struct ec, fs_base) == EC_FS_BASE && offsetof(struct ec, gs_base) == EC_GS_BASE &&
                   offsetof(struct ec, fpu) == EC_FPU && offsetof(struct ec, context) == EC_CONTEXT &&
                   offsetof(struct ec, pio) == EC_PIO,
               "entry/frame.h");

/* Portal: where a call of an EC begins. */
struct pt {
    struct object object;
    struct ec *ec;
    uint64_t ip;
    uint64_t pid;
    uint32_t mtd;
};

_Static_assert(offsetof(struct pt, ec) == PT_EC && offsetof(struct pt, ip) == PT_IP &&
                   offsetof(struct pt, pid) == PT_PID,
               "entry/frame.h");
_Static_assert(RIGHT(PT, NOVA_PT_CALL) == 1U << CAP_RIGHT_CALL, "entry/frame.h");

/* The object that a selector of the EC names, if the capability has the right; else null. */
static ALWAYS_INLINE void *ec_object(const struct ec *ec, uint64_t sel, uint32_t right)
{
    cap c = obj_lookup(ec->caps, sel);
    return cap_has(c, right) ? cap_object(c) : 0;
}

/*
 * Creates an EC: NOVA_ status code. `flags` are those of create_ec; `place` is the address of the UTCB or vAPIC
 * page, with the number of the CPU below; `sp` and `evt`: stack pointer and base of the event selectors.
 */
unsigned ec_create(struct pd *pd, unsigned flags, uint64_t place, uint64_t sp, uint64_t evt, struct ec **ec);

/* On the EC's CPU. */
void ec_destroy(struct ec *ec);

/* Makes the EC never run again, on its CPU. Who waits for it gets ABORTED. */
void ec_kill(struct ec *ec, const char *why);

/* Forces the EC into the kernel to send a RECALL event; with `wait`, returns when it is there. */
void ec_recall(struct ec *ec, bool wait);

/* Ends the blocking of an EC on its semaphore, on its CPU, with a status. Its SCs become ready. */
void ec_wake(struct ec *ec, unsigned status);
