/*
 * Life and death of execution contexts.
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/ec.h"

#include "core/cpu.h"
#include "core/sm.h"
#include "core/switch.h"
#include "lib/console.h"
#include "nova/abi/hypercall.h"
#include "nova/abi/cap.h"
#include "x86/cpu.h"
#include "x86/fpu.h"

_Static_assert(sizeof(struct ec) <= PD_LARGE, "slab size");

static void free_ec(struct ec *ec, struct pd *pd)
{
    if (ec->utcb)
        pd_page_free(pd, ec->utcb, 0);
    if (ec->fpu)
        pd_page_free(pd, ec->fpu, fpu_order);
    slab_free(ec);
}

/* Takes references to the spaces that every host EC needs: all or none. */
static bool bind_spaces(struct ec *ec, struct pd *pd)
{
    struct space *obj = READ_ONCE(pd->obj), *hst = READ_ONCE(pd->hst), *pio = READ_ONCE(pd->pio);

    if (!obj || !hst || !pio || !object_get(&obj->object))
        return false;
    if (!object_get(&hst->object)) {
        object_put(&obj->object);
        return false;
    }
    if (!object_get(&pio->object)) {
        object_put(&obj->object);
        object_put(&hst->object);
        return false;
    }
    ec->obj = (struct space_obj *)obj;
    ec->hst = (struct space_hst *)hst;
    ec->pio = (struct space_pio *)pio;
    ec->caps = ec->obj->tables;
    return true;
}

static void unbind_spaces(struct ec *ec)
{
    object_put(&ec->obj->space.object);
    object_put(&ec->hst->space.object);
    object_put(&ec->pio->space.object);
}

unsigned ec_create(const struct ec_config *config, struct ec **result)
{
    struct pd *pd = config->pd;
    struct ec *ec;

    if (config->cpu >= cpu_count)
        return NOVA_BAD_CPU;
    if (config->utcb_page >= HST_SELECTORS)
        return NOVA_BAD_PAR;
    ec = slab_alloc(&pd->large);
    if (!ec)
        return NOVA_MEM_OBJ;
    ec->utcb = pd_page_alloc(pd, 0);
    ec->fpu = config->fpu ? pd_page_alloc(pd, fpu_order) : 0;
    if (!ec->utcb || (config->fpu && !ec->fpu)) {
        free_ec(ec, pd);
        return NOVA_MEM_OBJ;
    }
    if (!bind_spaces(ec, pd)) {
        free_ec(ec, pd);
        return NOVA_ABORTED;
    }
    if (!hst_map_kernel(ec->hst, config->utcb_page, ec->utcb, NOVA_MEM_R | NOVA_MEM_W)) {
        unbind_spaces(ec);
        free_ec(ec, pd);
        return NOVA_MEM_OBJ;
    }
    ec->cpu = cpu_of(config->cpu);
    ec->frame.cs = SEL_USER_CODE;
    ec->frame.ss = SEL_USER_DATA;
    ec->frame.rflags = RFLAGS_USER;
    ec->frame.rsp = config->sp;
    ec->context = (uintptr_t)ec->hst + config->fpu;
    ec->evt = config->evt;
    ec->utcb_page = config->utcb_page;
    ec->local = config->local;
    ec->cont = config->local ? CONT_SYSRET : CONT_STARTUP;
    ec->hazard.busy = !config->local;
    ec->hazard.slow = cpu_has_fsgsbase && cpu_has_xsave ? 0 : SLOW_CPU;
    if (ec->fpu)
        fpu_initial(ec->fpu);
    list_init(&ec->waiting);
    list_init(&ec->queue);
    timeout_init(&ec->timeout);
    object_init(&ec->object, OBJECT_EC, pd);
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
    struct pd *pd = ec->object.pd;

    sm_take_woken(cpu);
    if (ec->blocked) {
        sm_dequeue(ec);
        sm_take_woken(cpu); /* if another CPU was faster */
        if (ec->blocked)
            ec_wake(ec, NOVA_ABORTED);
    }
    if (ec->callee) {
        ec->callee->caller = 0;
        ec->callee = 0;
    }
    ec_kill(bury(ec), "its event handler is gone");
    switch_forget(cpu, ec);
    hst_unmap_kernel(ec->hst, ec->utcb_page, ec->utcb);
    unbind_spaces(ec);
    free_ec(ec, pd);
}

void ec_recall(struct ec *ec, bool wait)
{
    __atomic_store_n(&ec->hazard.recall, true, __ATOMIC_SEQ_CST);
    if (ec->cpu != cpu_self()) {
        uint32_t ticket = cpu_ask(ec->cpu);
        if (wait)
            cpu_wait(ec->cpu, ticket);
    }
}

void ec_complete(struct ec *ec)
{
    if (ec->cont == CONT_SYSRET) {
        ec->frame.gpr[R_RCX] = ec->frame.rip;
        ec->frame.gpr[R_R11] = RFLAGS_USER;
        ec->frame.rflags = RFLAGS_USER;
        ec->cont = CONT_IRET;
    }
}

void ec_wake(struct ec *ec, unsigned status)
{
    struct sm *sm = ec->sm;

    timeout_cancel(&ec->timeout);
    ec->blocked = false;
    ec->sm = 0;
    ec->frame.gpr[R_RDI] = status;
    sc_release(ec->cpu, ec);
    object_put(&sm->object);
}
