/*
 * Life and death of execution contexts.
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/ec.h"

#include "core/sm.h"
#include "core/switch.h"
#include "lib/console.h"
#include "virt/virt.h"
#include "x86/cpu.h"

_Static_assert(sizeof(struct ec) <= PD_LARGE, "slab size");

/* A reference to the space of a type that every EC of the PD uses; null if there is none. */
static void *bind(struct pd *pd, enum object_type type)
{
    struct space *space = READ_ONCE(pd->spaces[type]);

    return space && object_get(&space->object) ? space : 0;
}

/* Gives up what an EC has, which may be a part of what it needs. */
static void release(struct ec *ec, struct pd *pd)
{
    if (ec->utcb)
        page_free(&pd->account, ec->utcb, 0);
    if (ec->fpu)
        page_free(&pd->account, ec->fpu, fpu_order);
    if (ec->obj)
        object_put(&ec->obj->space.object);
    if (ec->hst)
        object_put(&ec->hst->mem.space.object);
    if (ec->pio)
        object_put(&ec->pio->space.object);
    if (ec_is_guest(ec))
        vcpu_free(vcpu_of(ec), pd);
    else
        slab_free(ec);
}

unsigned ec_create(struct pd *pd, unsigned flags, uint64_t place, uint64_t sp, uint64_t evt,
                   struct ec **result)
{
    bool guest = flags & NOVA_EC_GUEST, local = !(flags & (NOVA_EC_GUEST | NOVA_EC_GLOBAL));
    bool fpu = flags & NOVA_EC_FPU, page; /* a UTCB or a vAPIC page */
    unsigned cpu = place % PAGE_SIZE, status = NOVA_SUCCESS;
    struct ec *ec;

    if (cpu >= cpu_count)
        return NOVA_BAD_CPU;
    if (guest && !virt)
        return NOVA_BAD_FTR;
    page = !guest || virt->apic_page;
    if (page && place >= USER_END)
        return NOVA_BAD_PAR;
    ec = guest ? vcpu_alloc(pd) : slab_alloc(&pd->large);
    if (!ec)
        return NOVA_MEM_OBJ;
    ec->utcb = page ? page_alloc(&pd->account, 0) : 0;
    ec->fpu = fpu ? page_alloc(&pd->account, fpu_order) : 0;
    ec->obj = bind(pd, OBJECT_OBJ);
    ec->hst = bind(pd, OBJECT_HST);
    ec->pio = bind(pd, OBJECT_PIO);
    if ((page && !ec->utcb) || (fpu && !ec->fpu))
        status = NOVA_MEM_OBJ;
    else if (!ec->obj || !ec->hst || (!ec->pio && !guest))
        status = NOVA_ABORTED;
    else if (page && !hst_map_kernel(ec->hst, place >> PAGE_BITS, ec->utcb, NOVA_MEM_R | NOVA_MEM_W))
        status = NOVA_MEM_OBJ;
    if (status != NOVA_SUCCESS) {
        release(ec, pd);
        return status;
    }
    ec->caps = ec->obj->tables;
    ec->cpu = cpu_of(cpu);
    ec->frame.cs = SEL_USER_CODE;
    ec->frame.ss = SEL_USER_DATA;
    ec->frame.rflags = RFLAGS_USER;
    ec->frame.rsp = sp;
    ec->context = (uintptr_t)ec->hst + fpu;
    ec->evt = evt;
    ec->utcb_page = place >> PAGE_BITS;
    ec->local = local;
    ec->cont = local ? CONT_SYSRET : CONT_STARTUP;
    ec->hazard.busy = !local;
    ec->hazard.slow |= cpu_has_fsgsbase && cpu_has_xsave ? 0 : SLOW_CPU;
    if (ec->fpu)
        fpu_initial(ec->fpu);
    list_init(&ec->waiting);
    list_init(&ec->awaited);
    list_init(&ec->queue);
    list_init(&ec->timeout.link);
    object_init(&ec->object, OBJECT_EC, pd);
    if (guest)
        vcpu_init(vcpu_of(ec), flags & NOVA_EC_OFFSET);
    *result = ec;
    return NOVA_SUCCESS;
}

/*
 * The EC is dead: its caller gets ABORTED; those that wait for it try again. If the caller waits for an event to be
 * handled, it must die as well and is returned.
 */
static struct ec *bury(struct ec *ec)
{
    struct ec *caller = ec->hazard.busy ? ec->caller : 0;

    ec->cont = CONT_DEAD;
    ec->hazard.busy = true;
    ec->caller = 0;
    ec->cpu->hazard |= HAZARD_SCHEDULE;
    sc_release(ec->cpu, ec);
    if (!caller)
        return 0;
    caller->callee = 0;
    if (caller->hazard.arch) {
        caller->hazard.arch = false;
        return caller;
    }
    caller->frame.gpr[R_RDI] = NOVA_ABORTED;
    caller->cont = CONT_SYSRET;
    return 0;
}

void ec_kill(struct ec *ec, const char *why)
{
    while (ec) {
        print("EC killed on CPU %u: %s (event %#x, RIP %#lx, RSP %#lx, error %#lx, address %#lx)\n",
              ec->cpu->id, why, (unsigned)ec->event, ec->frame.rip, ec->frame.rsp, ec->frame.error,
              ec->fault_addr);
        ec = bury(ec);
        why = "its event handler is dead";
    }
}

void ec_destroy(struct ec *ec)
{
    struct cpu *cpu = ec->cpu;

    if (ec->blocked)
        sm_cancel(ec, NOVA_ABORTED);
    sm_take_woken(cpu); /* if another CPU was faster */
    if (ec->callee)
        ec->callee->caller = 0;
    /* SCs of callers and helpers wait where this EC's own call has led them. */
    if (ec->callee || ec->cont == CONT_CALL || ec->cont == CONT_EVENT)
        sc_release_all(cpu);
    ec_kill(bury(ec), "its event handler is gone");
    switch_forget(cpu, ec);
    if (ec_is_guest(ec))
        vcpu_forget(cpu, vcpu_of(ec));
    if (ec->utcb)
        hst_unmap_kernel(ec->hst, ec->utcb_page, ec->utcb);
    release(ec, ec->object.pd);
}

void ec_recall(struct ec *ec, bool wait)
{
    /* If it is pending, the CPU has been interrupted: more of that would only disturb others. */
    bool pending = __atomic_exchange_n(&ec->hazard.recall, true, __ATOMIC_SEQ_CST);

    if (ec->cpu != cpu_self() && (wait || !pending)) {
        uint32_t ticket = cpu_ask(ec->cpu);
        if (wait)
            cpu_wait(ec->cpu, ticket);
    }
}

void ec_wake(struct ec *ec, unsigned status)
{
    list_remove(&ec->timeout.link);
    ec->blocked = false;
    ec->frame.gpr[R_RDI] = status;
    sc_release(ec->cpu, ec);
    object_put(&ec->sm->object);
    ec->sm = 0;
}
