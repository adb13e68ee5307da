/*
 * Communication.
 *
 *      caller                              callee
 *      ec->callee ------------------------> ec
 *      ec <-------------------------------- ec->caller
 *
 * A call links the two; the caller's SC runs the end of the chain from then on. A reply unlinks them. Both happen
 * on one CPU, with interrupts off. An EC that finds its callee busy helps: it lends its SC to the end of the callee's chain
 * and repeats the call when it gets the CPU back. Links never form a ring, because only an EC that
 * is ready to receive is linked to.
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/ipc.h"

#include "core/switch.h"
#include "lib/string.h"
#include "virt/virt.h"

/* RFLAGS that a reply may set: CF, PF, AF, ZF, SF, DF, OF. */
#define RFLAGS_WRITABLE 0xcd5UL

/* Message words; MTD[8:0] is their number minus one. */
static inline void copy_words(union nova_utcb *dst, const union nova_utcb *src, uint64_t mtd)
{
    uint64_t more = mtd % NOVA_UTCB_WORDS;

    dst->word[0] = src->word[0];
    if (more) {
        const uint64_t *s = &src->word[1];
        uint64_t *d = &dst->word[1];
        __asm__ volatile("rep movsq" : "+S"(s), "+D"(d), "+c"(more) : : "memory");
    }
}

/* The receiver of a call starts at the portal's entry. */
static _Noreturn void enter(struct cpu *cpu, struct ec *callee, const struct pt *pt, uint64_t mtd)
{
    callee->frame.rip = pt->ip;
    callee->frame.gpr[R_RDI] = pt->pid;
    callee->frame.gpr[R_RSI] = (uint32_t)mtd;
    leave(cpu, callee);
}

/* The EC whose reply an EC wants that repeats a call or an event; null if there is no such portal any more. */
static struct ec *wanted(const struct ec *ec)
{
    uint64_t sel = ec->cont == CONT_CALL ? ec->frame.gpr[R_RDI] >> 8 : ec->evt + ec->event;
    uint32_t right = ec->cont == CONT_CALL ? RIGHT(PT, NOVA_PT_CALL) : RIGHT(PT, NOVA_PT_EVENT);
    const struct pt *pt = ec_object(ec, sel, right);

    return pt ? pt->ec : 0;
}

/*
 * Runs what `busy` waits for, with the SC of `ec`, which waits for `busy`. If ECs wait for each other in a
 * circle, no help can come: false. Every step can be preempted; then all is looked up again.
 */
static bool help(struct cpu *cpu, const struct ec *ec, struct ec *busy)
{
    const struct ec *mark = ec;

    for (uint64_t steps = 1;; steps++) {
        struct ec *end, *next;

        /* Interrupts may come here; then this call does not return. The EC's continuation is in place. */
        __asm__ volatile("sti; nop; cli" : : : "memory");
        end = ipc_chain_end(busy);
        if (busy->hazard.busy && busy->caller)
            busy->caller->hazard.slow |= SLOW_HELPED;
        if (end->blocked)
            schedule_blocked(cpu, end);
        if (end->cont != CONT_CALL && end->cont != CONT_EVENT)
            leave(cpu, end);
        next = wanted(end);
        if (!next || next->cpu != cpu || !next->hazard.busy || next->cont == CONT_DEAD)
            leave(cpu, end);
        if (end == mark)
            return false;
        if (!(steps & (steps - 1))) /* Brent's algorithm: a mark at each power of two finds any circle */
            mark = end;
        busy = next;
    }
}

unsigned ipc_call(struct cpu *cpu, struct ec *ec, uint64_t id, uint64_t mtd)
{
    const struct pt *pt = ec_object(ec, id >> 8, RIGHT(PT, NOVA_PT_CALL));
    struct ec *callee;

    if (!pt)
        return NOVA_BAD_CAP;
    callee = pt->ec;
    if (callee->cpu != cpu)
        return NOVA_BAD_CPU;
    if (callee->cont == CONT_DEAD)
        return NOVA_ABORTED;
    if (!callee->hazard.busy) {
        ec->cont = CONT_SYSRET;
        ipc_link(ec, callee);
        copy_words(callee->utcb, ec->utcb, mtd);
        enter(cpu, callee, pt, mtd);
    }
    if (id >> 4 & NOVA_CALL_TIMEOUT)
        return NOVA_TIMEOUT;
    ec->frame.gpr[R_RDI] = id;
    ec->frame.gpr[R_RSI] = mtd;
    ec->cont = CONT_CALL;
    help(cpu, ec, callee); /* returns only if that is in vain */
    ec->cont = CONT_SYSRET;
    return NOVA_ABORTED;
}

_Noreturn void ipc_retry(struct cpu *cpu, struct ec *ec)
{
    ec->cont = CONT_SYSRET;
    ec->frame.gpr[R_RDI] = ipc_call(cpu, ec, ec->frame.gpr[R_RDI], ec->frame.gpr[R_RSI]);
    leave(cpu, ec);
}

/* The fast path of entry/entry.S has met something that it does not handle. */
unsigned ipc_call_slow(uint64_t id, uint64_t mtd, struct ec *ec)
{
    ec->frame.gpr[R_RSI] = mtd;
    return ipc_call(ec->cpu, ec, id, mtd);
}

/* State from an EC into the UTCB of its handler, as the portal demands. */
static void state_out(struct cpu *cpu, struct ec *ec, struct nova_arch_state *s, uint32_t mtd)
{
    const struct frame *f = &ec->frame;

    if (mtd & NOVA_MTD_GPR_0_7) {
        memcpy(s->gpr, f->gpr, 8 * sizeof(s->gpr[0]));
        s->gpr[R_RSP] = f->rsp;
    }
    if (mtd & NOVA_MTD_GPR_8_15)
        memcpy(&s->gpr[8], &f->gpr[8], 8 * sizeof(s->gpr[0]));
    if (mtd & NOVA_MTD_RFLAGS)
        s->rflags = f->rflags;
    if (mtd & NOVA_MTD_RIP)
        s->rip = f->rip;
    if (mtd & NOVA_MTD_QUAL) {
        s->qual[0] = f->error;
        s->qual[1] = ec->fault_addr;
    }
    if (mtd & NOVA_MTD_FS_GS) {
        switch_save(cpu, ec);
        s->fs.base = ec->fs_base;
        s->gs.base = ec->gs_base;
    }
}

/* State from the UTCB of a handler into the EC; false if the EC must die of it. */
static bool state_in(struct cpu *cpu, struct ec *ec, const struct nova_arch_state *s, uint32_t mtd)
{
    struct frame *f = &ec->frame;

    if (mtd & NOVA_MTD_POISON)
        return false;
    if (mtd & NOVA_MTD_GPR_0_7) {
        memcpy(f->gpr, s->gpr, 8 * sizeof(s->gpr[0]));
        f->rsp = s->gpr[R_RSP];
    }
    if (mtd & NOVA_MTD_GPR_8_15)
        memcpy(&f->gpr[8], &s->gpr[8], 8 * sizeof(s->gpr[0]));
    if (mtd & NOVA_MTD_RFLAGS)
        f->rflags = (f->rflags & ~RFLAGS_WRITABLE) | (s->rflags & RFLAGS_WRITABLE);
    if (mtd & NOVA_MTD_RIP)
        f->rip = READ_ONCE(s->rip);
    if (mtd & NOVA_MTD_FS_GS) {
        uint64_t fs = READ_ONCE(s->fs.base), gs = READ_ONCE(s->gs.base);
        if (fs >= USER_END || gs >= USER_END)
            return false;
        switch_save(cpu, ec);
        ec->fs_base = fs;
        ec->gs_base = gs;
    }
    return f->rip < USER_END;
}

_Noreturn void ipc_die(struct cpu *cpu, struct ec *ec, const char *why)
{
    ec_kill(ec, why);
    reactivate(cpu);
}

_Noreturn void ipc_event(struct cpu *cpu, struct ec *ec, unsigned event)
{
    const struct pt *pt = ipc_event_portal(ec, event);
    struct ec *callee;
    uint32_t mtd;

    ec->event = (uint16_t)event;
    if (!pt)
        ipc_die(cpu, ec, "no event portal");
    callee = pt->ec;
    if (callee->cpu != cpu || callee->cont == CONT_DEAD)
        ipc_die(cpu, ec, "event handler is dead or on another CPU");
    if (callee->hazard.busy) {
        ec->cont = CONT_EVENT;
        help(cpu, ec, callee);
        ipc_die(cpu, ec, "event handler waits for this EC");
    }
    mtd = READ_ONCE(pt->mtd);
    if (ec_is_guest(ec))
        vcpu_state_out(vcpu_of(ec), &callee->utcb->arch, mtd);
    else
        state_out(cpu, ec, &callee->utcb->arch, mtd);
    ipc_link(ec, callee);
    ec->cont = ec_is_guest(ec) ? CONT_GUEST : CONT_IRET;
    ec->hazard.arch = true;
    enter(cpu, callee, pt, mtd);
}

/* The fast path of an exception whose portal wants nothing but RIP: everything as expected. */
_Noreturn void ipc_exception(struct cpu *cpu, struct ec *ec, unsigned vector)
{
    const struct pt *pt = ipc_event_portal(ec, vector);
    struct ec *callee = pt ? pt->ec : 0;

    if (UNLIKELY(!callee || callee->cpu != cpu || callee->hazard.any || READ_ONCE(pt->mtd) != NOVA_MTD_RIP ||
                 !switch_is_quick(ec, callee)))
        ipc_event(cpu, ec, vector);
    callee->utcb->arch.rip = ec->frame.rip;
    ec->event = (uint16_t)vector;
    ec->hazard.arch = true;
    ipc_link(ec, callee);
    switch_quick(cpu, ec, callee);
    exit_with(callee, NOVA_MTD_RIP, pt->pid, pt->ip);
}

_Noreturn void ipc_reply(struct cpu *cpu, struct ec *ec, uint64_t mtd)
{
    struct ec *caller = ec->caller;
    bool helped;

    ec->hazard.busy = false;
    if (!caller)
        reactivate(cpu);
    caller->callee = 0;
    helped = caller->hazard.slow & SLOW_HELPED;
    caller->hazard.slow &= (uint8_t)~SLOW_HELPED;
    if (caller->hazard.arch) {
        caller->hazard.arch = false;
        if (!(ec_is_guest(caller) ? vcpu_state_in(vcpu_of(caller), ec, &ec->utcb->arch, (uint32_t)mtd)
                                  : state_in(cpu, caller, &ec->utcb->arch, (uint32_t)mtd)))
            ec_kill(caller, "by its event handler");
    } else {
        copy_words(caller->utcb, ec->utcb, mtd);
        caller->frame.gpr[R_RDI] = NOVA_SUCCESS;
        caller->frame.gpr[R_RSI] = (uint32_t)mtd;
    }
    if (helped || caller->cont == CONT_DEAD)
        reactivate(cpu);
    leave(cpu, caller);
}

/* The fast path of entry/entry.S has met something that it does not handle; here, another one for exceptions. */
_Noreturn void ipc_reply_slow(uint64_t mtd, struct ec *ec)
{
    struct ec *caller = ec->caller;
    struct cpu *cpu = ec->cpu;
    uint64_t rip = READ_ONCE(ec->utcb->arch.rip);

    if (caller && ec_is_guest(caller) && caller->hazard.arch)
        vcpu_reply(cpu, ec, vcpu_of(caller), mtd);
    if (UNLIKELY(!caller || (caller->hazard.any & ~HAZARD_BUSY) != HAZARD_ARCH ||
                 (uint32_t)mtd != NOVA_MTD_RIP || rip >= USER_END || caller->cont != CONT_IRET ||
                 !switch_is_quick(ec, caller)))
        ipc_reply(cpu, ec, mtd);
    caller->frame.rip = rip;
    caller->hazard.arch = false;
    caller->callee = 0;
    caller->cont = CONT_SYSRET;
    ec->hazard.busy = false;
    switch_quick(cpu, ec, caller);
    exit_iret(caller);
}
