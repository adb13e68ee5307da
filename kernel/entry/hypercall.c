/*
 * Hypercalls other than ipc_call and ipc_reply: each decodes and checks its arguments, reserves what it
 * needs, and only then changes anything.
 *
 * Arguments are in RDI (identifier), RSI, RDX, RAX (from the frame) and R8.
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/interrupt.h"
#include "virt/virt.h"
#include "x86/acpi.h"

/* Defined bits of a memory attribute descriptor: no key identifiers, so all values above NOVA_MAD_WP are invalid. */
#define MAD_MASK 0x3ffffU

/* Not a status code: hypercall_suspend goes on. */
#define SUSPEND 0x100

#define FLAGS(id) ((id) >> 4 & 0xf)
#define SELECTOR(id) ((id) >> 8)

/* Each of them begins with its `object`. */
union any_object {
    struct object *object;
    struct pd *pd;
    struct ec *ec;
    struct sc *sc;
    struct pt *pt;
    struct sm *sm;
};

static unsigned create_pd(struct pd *pd, unsigned op, uint64_t limit, union any_object *created)
{
    _Static_assert(NOVA_PD_MSR - NOVA_PD_OBJ == OBJECT_MSR - OBJECT_OBJ,
                   "operations are in the order of types");

    if (op == NOVA_PD_PD || op == NOVA_PD_LIMITED) {
        uint64_t used = min_u64(READ_ONCE(pd->account.used), pd->account.limit);
        created->pd = pd_create(pd, op == NOVA_PD_PD ? (pd->account.limit - used) / 2 : limit);
        return created->pd ? NOVA_SUCCESS : NOVA_MEM_OBJ;
    }
    if (op > NOVA_PD_MSR)
        return NOVA_BAD_PAR;
    if (op == NOVA_PD_DMA || (op == NOVA_PD_GST && !virt))
        return NOVA_BAD_FTR;
    return space_create(OBJECT_OBJ + op - NOVA_PD_OBJ, pd, &created->object);
}

static unsigned create_pt(struct pd *pd, struct ec *handler, uint64_t ip, union any_object *created)
{
    struct pt *pt;

    if (!handler || !handler->local)
        return NOVA_BAD_CAP;
    if (ip >= USER_END)
        return NOVA_BAD_PAR;
    pt = slab_alloc(&pd->small);
    if (!pt)
        return NOVA_MEM_OBJ;
    if (!object_get(&handler->object)) {
        slab_free(pt);
        return NOVA_ABORTED;
    }
    object_init(&pt->object, OBJECT_PT, pd);
    pt->ec = handler;
    pt->ip = ip;
    created->pt = pt;
    return NOVA_SUCCESS;
}

/* The five calls. The PD cannot die while an object is created in it. */
static unsigned create(struct ec *ec, uint64_t id, uint64_t rsi, uint64_t rdx, uint64_t r8)
{
    unsigned number = id & 0xf, status = obj_reserve(ec->obj, SELECTOR(id)), perms = NOVA_PERM_ALL;
    uint64_t rax = ec->frame.gpr[R_RAX];
    cap c = obj_lookup(ec->caps, rsi);
    struct pd *pd = cap_object(c);
    union any_object created = {0};

    /* The permissions are in the order of the numbers. */
    if (status == NOVA_BAD_CAP || !cap_has(c, RIGHT(PD, NOVA_PD_CREATE_PD) << (number - NOVA_CREATE_PD)))
        return NOVA_BAD_CAP;
    if (status != NOVA_SUCCESS)
        return status;
    if (!object_get(&pd->object))
        return NOVA_BAD_CAP;
    switch (number) {
    case NOVA_CREATE_PD:
        status = create_pd(pd, FLAGS(id), rdx, &created);
        perms = FLAGS(id) == NOVA_PD_PD || FLAGS(id) == NOVA_PD_LIMITED ? cap_perms(c) : NOVA_PERM_ALL;
        break;
    case NOVA_CREATE_EC:
        status = ec_create(pd, FLAGS(id), rdx, rax, r8, &created.ec);
        break;
    case NOVA_CREATE_SC:
        status = sc_create(pd, ec_object(ec, rdx, RIGHT(EC, NOVA_EC_BIND_SC)), rax, &created.sc);
        break;
    case NOVA_CREATE_PT:
        status = create_pt(pd, ec_object(ec, rdx, RIGHT(EC, NOVA_EC_BIND_PT)), rax, &created);
        break;
    default:
        created.sm = sm_create(pd, rdx);
        status = created.sm ? NOVA_SUCCESS : NOVA_MEM_OBJ;
        perms = NOVA_SM_CTRL_UP | NOVA_SM_CTRL_DN; /* ASSIGN is defined for interrupt semaphores only */
    }
    if (status == NOVA_SUCCESS) {
        status = obj_insert(ec->obj, SELECTOR(id), cap_make(created.object, perms));
        if (status != NOVA_SUCCESS)
            object_put(created.object);
        else if (number == NOVA_CREATE_SC)
            sc_start(created.sc);
    }
    object_put(&pd->object);
    return status;
}

static __attribute__((noinline)) unsigned ctrl_pd(struct ec *ec, uint64_t id, uint64_t rsi, uint64_t rdx,
                                                  uint64_t r8)
{
    uint64_t rax = ec->frame.gpr[R_RAX];
    uint64_t ssb = rdx >> PAGE_BITS, dsb = rax >> PAGE_BITS;
    unsigned ord = rdx & 0x1f, pmm = rax & 0x1f;
    uint64_t size = 1UL << ord;
    cap sc = obj_lookup(ec->caps, SELECTOR(id)), dc = obj_lookup(ec->caps, rsi);
    struct space *src = cap_object(sc), *dst = cap_object(dc);
    unsigned type = sc ? src->object.type : OBJECT_PD;

    if (type < OBJECT_OBJ || !cap_has(sc, (uint32_t)NOVA_SPC_TAKE << object_rights[type].shift) || !dc ||
        (UNLIKELY(dst->object.type != type) && !(type == OBJECT_HST && dst->object.type == OBJECT_GST)) ||
        !cap_has(dc, (uint32_t)NOVA_SPC_GRANT << object_rights[dst->object.type].shift))
        return NOVA_BAD_CAP;
    if ((ssb | dsb) & (size - 1) || ssb + size > src->selectors || dsb + size > dst->selectors)
        return NOVA_BAD_PAR;
    if (LIKELY(type == OBJECT_HST)) {
        if (((struct space_hst *)src)->physical && ((uint32_t)r8 & MAD_MASK) > NOVA_MAD_WP)
            return NOVA_BAD_PAR;
        return hst_delegate((struct space_hst *)src, (struct space_mem *)dst, ssb, dsb, ord, pmm,
                            (uint32_t)r8);
    }
    if (type == OBJECT_OBJ)
        return obj_delegate((struct space_obj *)src, (struct space_obj *)dst, ssb, dsb, ord, pmm);
    if (ssb != dsb)
        return NOVA_BAD_PAR;
    return bitmap_delegate((struct space_bitmap *)src, (struct space_bitmap *)dst, ssb, ord, pmm);
}

static unsigned sm_down_call(struct ec *ec, uint64_t id, uint64_t deadline)
{
    struct sm *sm = ec_object(ec, SELECTOR(id), RIGHT(SM, NOVA_SM_CTRL_DN));
    unsigned status;

    if (UNLIKELY(!sm))
        return NOVA_BAD_CAP;
    if (UNLIKELY(sm->interrupt >= 0)) {
        status = interrupt_wait(sm, ec->cpu);
        if (status != NOVA_SUCCESS)
            return status;
    }
    status = sm_down(ec->cpu, ec, sm, FLAGS(id) & NOVA_SM_ZERO, deadline);
    return ec->blocked ? SUSPEND : status;
}

static unsigned ctrl_hw(unsigned op, uint64_t operand)
{
    if (op == NOVA_HW_SLEEP)
        return power_transition(operand & 7, operand >> 3 & 7, operand >> 6 & 7);
    return op >= NOVA_HW_QOS && op <= NOVA_HW_MBA ? NOVA_BAD_FTR : NOVA_BAD_PAR;
}

static unsigned assign_int(struct ec *ec, struct sm *sm, unsigned flags, uint64_t cpu)
{
    uint32_t addr = 0, data = 0;
    unsigned status;

    if (sm->interrupt < 0)
        return NOVA_BAD_CAP;
    if (cpu >= cpu_count)
        return NOVA_BAD_CPU;
    status = interrupt_assign(sm, (unsigned)cpu, flags, &addr, &data);
    if (status == NOVA_SUCCESS) {
        ec->frame.gpr[R_RSI] = addr;
        ec->frame.gpr[R_RDX] = data;
    }
    return status;
}

/* The calls on one object, which the capability has been found to allow. */
static unsigned control(struct ec *ec, uint64_t id, union any_object object, uint64_t rsi, uint64_t rdx)
{
    switch (id & 0xf) {
    case NOVA_CTRL_EC:
        ec_recall(object.ec, FLAGS(id) & NOVA_EC_STRONG);
        return NOVA_SUCCESS;
    case NOVA_CTRL_SC:
        ec->frame.gpr[R_RSI] = sc_time(object.sc);
        return NOVA_SUCCESS;
    case NOVA_CTRL_PT:
        WRITE_ONCE(object.pt->pid, rsi);
        WRITE_ONCE(object.pt->mtd, (uint32_t)rdx);
        return NOVA_SUCCESS;
    case NOVA_CTRL_SM:
        return sm_up(object.sm);
    default:
        return assign_int(ec, object.sm, FLAGS(id), rsi);
    }
}

static __attribute__((noinline)) unsigned perform(struct ec *ec, uint64_t id, uint64_t rsi, uint64_t rdx,
                                                  uint64_t r8)
{
    /* What the capability at the selector in RDI must allow; 0: it does not name an object. */
    static const uint32_t right[16] = {
        [NOVA_CTRL_EC] = RIGHT(EC, NOVA_EC_CTRL),      [NOVA_CTRL_SC] = RIGHT(SC, NOVA_SC_CTRL),
        [NOVA_CTRL_PT] = RIGHT(PT, NOVA_PT_CTRL),      [NOVA_CTRL_SM] = RIGHT(SM, NOVA_SM_CTRL_UP),
        [NOVA_ASSIGN_INT] = RIGHT(SM, NOVA_SM_ASSIGN),
    };
    unsigned number = id & 0xf;

    if (number >= NOVA_CREATE_PD && number <= NOVA_CREATE_SM)
        return create(ec, id, rsi, rdx, r8);
    if (right[number]) {
        union any_object object = {ec_object(ec, SELECTOR(id), right[number])};
        return object.object ? control(ec, id, object, rsi, rdx) : NOVA_BAD_CAP;
    }
    switch (number) {
    case NOVA_IPC_CALL: /* with flags */
        ec->frame.gpr[R_RDI] = id;
        ec->cont = CONT_CALL;
        return SUSPEND;
    case NOVA_CTRL_HW:
        return ec->object.pd == pd_root ? ctrl_hw(FLAGS(id), SELECTOR(id)) : NOVA_BAD_HYP;
    case NOVA_ASSIGN_DEV:
        return ec->object.pd == pd_root ? NOVA_BAD_FTR : NOVA_BAD_HYP;
    default:
        return NOVA_BAD_HYP;
    }
}

/*
 * If memory ran out while dead objects wait for their end, the EC repeats the SYSCALL instruction after that: nothing
 * of what this hypercall looked up may be used across it.
 */
static __attribute__((noinline)) unsigned finish_late(struct ec *ec, uint64_t id, unsigned status)
{
    struct cpu *cpu = ec->cpu;
    bool again = (status == NOVA_MEM_OBJ || status == NOVA_MEM_CAP) && (cpu->grace.open || cpu->grace.closed);

    if (status == SUSPEND || (!cpu->hazard && !READ_ONCE(ec->hazard.recall) && !again))
        return status;
    ec->frame.gpr[R_RDI] = status;
    if (again) {
        ec->frame.gpr[R_RDI] = id;
        ec->frame.rip -= 2;
        cpu->grace.flush = true;
    }
    return SUSPEND;
}

static inline unsigned finish(struct ec *ec, uint64_t id, unsigned status)
{
    if (LIKELY(status < NOVA_MEM_OBJ && !ec->cpu->hazard && !READ_ONCE(ec->hazard.recall)))
        return status;
    return finish_late(ec, id, status);
}

/* From entry/entry.S; the status goes back to the user unless it is SUSPEND. */
unsigned hypercall(uint64_t id, uint64_t rsi, uint64_t rdx, uint64_t rcx, uint64_t r8, struct ec *ec)
{
    (void)rcx;
    if ((id & 0xf) == NOVA_CTRL_SM && FLAGS(id) & NOVA_SM_DOWN)
        return sm_down_call(ec, id, rsi);
    if ((id & 0xf) == NOVA_CTRL_PD)
        return finish(ec, id, ctrl_pd(ec, id, rsi, rdx, r8));
    return finish(ec, id, perform(ec, id, rsi, rdx, r8));
}

static __attribute__((noinline)) unsigned sm_up_blocked(struct ec *ec, struct sm *sm)
{
    sm_release_first(sm);
    return finish(ec, NOVA_CTRL_SM, NOVA_SUCCESS);
}

/* The same for ctrl_sm without flags. */
unsigned hypercall_sm_up(uint64_t id, uint64_t rsi, uint64_t rdx, uint64_t rcx, uint64_t r8, struct ec *ec)
{
    struct sm *sm = ec_object(ec, SELECTOR(id), RIGHT(SM, NOVA_SM_CTRL_UP));
    unsigned status;

    (void)rsi, (void)rdx, (void)rcx, (void)r8;
    if (UNLIKELY(!sm))
        return NOVA_BAD_CAP;
    return LIKELY(sm_count_up(sm, &status)) ? status : sm_up_blocked(ec, sm);
}

/* The EC has been suspended: it is blocked, or something has to be done before it goes on. */
_Noreturn void hypercall_suspend(struct ec *ec)
{
    struct cpu *cpu = ec->cpu;

    if (ec->blocked)
        schedule_blocked(cpu, ec);
    if (cpu->grace.flush) {
        cpu->grace.flush = false;
        grace_flush(cpu);
        reactivate(cpu);
    }
    leave(cpu, ec);
}
