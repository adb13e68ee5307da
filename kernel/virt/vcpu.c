/*
 * What VMX and SVM have in common: life of vCPUs, the state that is switched by software, spaces, events.
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/ipc.h"
#include "core/switch.h"
#include "lib/string.h"
#include "virt/virt.h"
#include "x86/cpu.h"

const struct virt_ops *virt;
static unsigned tags; /* ASIDs or VPIDs, 0 included */

void virt_init(void)
{
    tags = svm_probe();
    if (tags) {
        virt = &svm_ops;
        bitmap_layout = bitmap_layout_svm;
        return;
    }
    tags = vmx_probe();
    if (tags)
        virt = &vmx_ops;
}

void virt_enable(struct cpu *cpu)
{
    if (virt)
        virt->enable(cpu);
}

struct ec *vcpu_alloc(struct pd *pd)
{
    struct vcpu *vcpu = page_alloc(&pd->account, 0);

    if (!vcpu)
        return 0;
    vcpu->ec.hazard.slow = SLOW_GUEST;
    vcpu->hw = page_alloc(&pd->account, 0);
    if (vcpu->hw)
        return &vcpu->ec;
    page_free(&pd->account, vcpu, 0);
    return 0;
}

static void put_spaces(struct space_gst *gst, struct space_bitmap *pio, struct space_bitmap *msr)
{
    if (gst)
        object_put(&gst->mem.space.object);
    if (pio)
        object_put(&pio->space.object);
    if (msr)
        object_put(&msr->space.object);
}

void vcpu_free(struct vcpu *vcpu, struct pd *pd)
{
    put_spaces(vcpu->gst, vcpu->pio, vcpu->msr);
    page_free(&pd->account, vcpu->hw, 0);
    page_free(&pd->account, vcpu, 0);
}

void vcpu_init(struct vcpu *vcpu, bool offset)
{
    struct ec *ec = &vcpu->ec;

    vcpu->hw_phys = phys_of(vcpu->hw);
    vcpu->xcr0 = 1;
    vcpu->tsc_offset = offset ? -ec->object.pd->created : 0;
    virt->create(vcpu);
    ec->frame.gpr[R_R11] = vcpu->tsc_offset; /* STARTUP tells it */
}

void vcpu_forget(struct cpu *cpu, struct vcpu *vcpu)
{
    if (cpu->debug_owner == vcpu)
        cpu->debug_owner = 0;
    if (virt->destroy)
        virt->destroy(vcpu);
}

/* A new tag, if the old one is used up or has translations of a space that has been changed. */
void vcpu_refresh(struct cpu *cpu, struct vcpu *vcpu)
{
    uint64_t generation = __atomic_load_n(&vcpu->gst->generation, __ATOMIC_SEQ_CST);
    bool space = vcpu->generation != generation, all = cpu->tag_next == tags;

    if (all) {
        cpu->tag_generation++;
        cpu->tag_next = 1;
    }
    vcpu->tag = cpu->tag_generation << 16 | cpu->tag_next++;
    vcpu->generation = generation;
    virt->flush(vcpu, space, all);
}

void vcpu_load_debug(struct cpu *cpu, struct vcpu *vcpu)
{
    struct vcpu *owner = cpu->debug_owner;

    if (owner) {
        owner->dr[0] = read_dr0();
        owner->dr[1] = read_dr1();
        owner->dr[2] = read_dr2();
        owner->dr[3] = read_dr3();
    }
    write_dr0(vcpu->dr[0]);
    write_dr1(vcpu->dr[1]);
    write_dr2(vcpu->dr[2]);
    write_dr3(vcpu->dr[3]);
    cpu->debug_owner = vcpu;
}

/* Intel SDM volume 1, 13.3: x87 is always there, AVX needs SSE, AVX-512 needs AVX; it and MPX come as a whole. */
static bool xcr0_valid(uint64_t v)
{
    uint64_t avx512 = v & 0xe0, mpx = v & 0x18;

    return v == 1 || ((v & 1) && !(v & ~fpu_xcr0) && (v & 2 || !(v & 4)) &&
                      (!avx512 || (avx512 == 0xe0 && v & 4)) && (!mpx || mpx == 0x18));
}

void vcpu_load(struct vcpu *vcpu)
{
    vcpu->loaded = true;
    if (vcpu->xcr0 != fpu_xcr0 && fpu_xcr0)
        xsetbv(0, vcpu->xcr0);
    if (vcpu->tsc_aux)
        wrmsr(MSR_TSC_AUX, vcpu->tsc_aux);
}

/* XSETBV exits, but not on all emulators: looks what XCR0 is. */
static void look(struct vcpu *vcpu)
{
    uint64_t xcr0 = vcpu->loaded && fpu_xcr0 ? xgetbv(0) : vcpu->xcr0;

    if (xcr0_valid(xcr0))
        vcpu->xcr0 = xcr0;
}

void vcpu_unload(struct vcpu *vcpu)
{
    look(vcpu);
    if (fpu_xcr0)
        xsetbv(0, fpu_xcr0);
    if (vcpu->tsc_aux)
        wrmsr(MSR_TSC_AUX, 0);
    vcpu->loaded = false;
}

/* The space of a type that a selector of the handler names, with a reference; null if the vCPU cannot have it. */
static void *find_space(const struct vcpu *vcpu, const struct ec *handler, uint64_t sel, unsigned type)
{
    struct space *space = ec_object(handler, sel, (uint32_t)NOVA_SPC_ASSIGN << object_rights[type].shift);

    return space && space->object.pd == vcpu->ec.object.pd && object_get(&space->object) ? space : 0;
}

static bool assign(struct vcpu *vcpu, const struct ec *handler, const struct nova_arch_state *s)
{
    struct space_gst *gst = find_space(vcpu, handler, READ_ONCE(s->sel_gst), OBJECT_GST);
    struct space_bitmap *pio = find_space(vcpu, handler, READ_ONCE(s->sel_pio), OBJECT_PIO);
    struct space_bitmap *msr = find_space(vcpu, handler, READ_ONCE(s->sel_msr), OBJECT_MSR);

    if (!gst || !pio || !msr) {
        put_spaces(gst, pio, msr);
        return false;
    }
    put_spaces(vcpu->gst, vcpu->pio, vcpu->msr);
    vcpu->gst = gst;
    vcpu->pio = pio;
    vcpu->msr = msr;
    vcpu->generation = vcpu->tag = 0;
    virt->assign(vcpu);
    return true;
}

ALWAYS_INLINE void vcpu_state_out(struct vcpu *vcpu, struct nova_arch_state *s, uint32_t mtd)
{
    const struct frame *f = &vcpu->ec.frame;

    if (mtd & NOVA_MTD_GPR_0_7)
        memcpy(s->gpr, f->gpr, 8 * sizeof(s->gpr[0]));
    if (mtd & NOVA_MTD_GPR_8_15)
        memcpy(&s->gpr[8], &f->gpr[8], 8 * sizeof(s->gpr[0]));
    if (mtd & NOVA_MTD_INJ) {
        s->inj_info = vcpu->inj_info;
        s->inj_error = vcpu->inj_error;
    }
    if (mtd & NOVA_MTD_XSAVE) {
        look(vcpu);
        s->xcr0 = vcpu->xcr0;
        s->xss = 0;
    }
    if (mtd & NOVA_MTD_TSC)
        s->tsc_aux = vcpu->tsc_aux;
    virt->state_out(vcpu, s, mtd);
}

/* XCR0, XSS, TSC_AUX; false if they are not valid. */
static bool msrs_in(struct vcpu *vcpu, const struct nova_arch_state *s, uint32_t mtd)
{
    uint64_t xcr0 = mtd & NOVA_MTD_XSAVE ? READ_ONCE(s->xcr0) : vcpu->xcr0;
    uint64_t xss = mtd & NOVA_MTD_XSAVE ? READ_ONCE(s->xss) : 0;
    uint64_t tsc_aux = mtd & NOVA_MTD_TSC ? READ_ONCE(s->tsc_aux) : vcpu->tsc_aux;
    bool loaded = vcpu->loaded;

    if (!xcr0_valid(xcr0) || xss || tsc_aux > (cpu_has_tsc_aux ? UINT32_MAX : 0))
        return false;
    if (loaded)
        vcpu_unload(vcpu);
    vcpu->xcr0 = xcr0;
    vcpu->tsc_aux = tsc_aux;
    if (loaded)
        vcpu_load(vcpu);
    return true;
}

ALWAYS_INLINE bool vcpu_state_in(struct vcpu *vcpu, const struct ec *handler, const struct nova_arch_state *s,
                                 uint32_t mtd)
{
    struct frame *f = &vcpu->ec.frame;
    bool valid = true;

    if (mtd & NOVA_MTD_POISON)
        return false;
    if (mtd & NOVA_MTD_GPR_0_7)
        memcpy(f->gpr, s->gpr, 8 * sizeof(s->gpr[0]));
    if (mtd & NOVA_MTD_GPR_8_15)
        memcpy(&f->gpr[8], &s->gpr[8], 8 * sizeof(s->gpr[0]));
    if (mtd & NOVA_MTD_INJ) {
        vcpu->inj_info = READ_ONCE(s->inj_info);
        vcpu->inj_error = READ_ONCE(s->inj_error);
    }
    if (mtd & (NOVA_MTD_XSAVE | NOVA_MTD_TSC))
        valid = msrs_in(vcpu, s, mtd);
    if (mtd & NOVA_MTD_TLB)
        vcpu->tag = 0;
    if (mtd & NOVA_MTD_SPACES && !assign(vcpu, handler, s))
        return false;
    vcpu->invalid = !virt->state_in(vcpu, s, mtd) || !valid;
    return true;
}

_Noreturn void vcpu_run(struct cpu *cpu, struct vcpu *vcpu)
{
    if (UNLIKELY(vcpu->invalid)) {
        vcpu->invalid = false;
        vcpu_event(cpu, vcpu, virt->invalid);
    }
    if (UNLIKELY(!vcpu->gst))
        ipc_die(cpu, &vcpu->ec, "no spaces assigned");
    virt->run(vcpu);
}

/*
 * The fast path: the handler is in the same PD, waits, and has no FPU. So memory and ports are those of the handler
 * already, and the guest's FPU state stays where it is.
 */
static inline bool is_quick(const struct vcpu *vcpu, const struct ec *handler)
{
    return LIKELY(handler->hst == vcpu->ec.hst && vcpu->ec.fpu && !handler->fpu);
}

_Noreturn void vcpu_event(struct cpu *cpu, struct vcpu *vcpu, unsigned event)
{
    struct ec *ec = &vcpu->ec;
    const struct pt *pt = ipc_event_portal(ec, event);
    struct ec *handler = pt ? pt->ec : 0;
    uint32_t mtd;

    if (UNLIKELY(!handler || handler->cpu != cpu || handler->hazard.any || !is_quick(vcpu, handler)))
        ipc_event(cpu, ec, event);
    mtd = READ_ONCE(pt->mtd);
    ec->event = (uint16_t)event;
    vcpu_state_out(vcpu, &handler->utcb->arch, mtd);
    ec->hazard.arch = true;
    ipc_link(ec, handler);
    bases_load(handler);
    cpu_set_ec(cpu, handler);
    cpu->fpu_owner = ec;
    cpu->switch_slow = true;
    write_cr0(CPU_CR0 | CR0_TS);
    exit_with(handler, mtd, pt->pid, pt->ip);
}

/* The way back. */
_Noreturn void vcpu_reply(struct cpu *cpu, struct ec *handler, struct vcpu *vcpu, uint64_t mtd)
{
    struct ec *ec = &vcpu->ec;

    if (UNLIKELY((ec->hazard.any & ~HAZARD_BUSY) != (HAZARD_ARCH | SLOW_GUEST << 24) ||
                 cpu->fpu_owner != ec || !is_quick(vcpu, handler) || ec->cont != CONT_GUEST ||
                 !vcpu_state_in(vcpu, handler, &handler->utcb->arch, (uint32_t)mtd)))
        ipc_reply(cpu, handler, mtd);
    ec->callee = 0;
    ec->hazard.arch = false;
    handler->hazard.busy = false;
    bases_save(handler);
    cpu_set_ec(cpu, ec);
    __asm__ volatile("clts");
    vcpu_run(cpu, vcpu);
}

/* Opens a window for it: exception_kernel of entry/exception.c handles it and does not come back. */
_Noreturn void vcpu_interrupt(struct cpu *cpu, struct vcpu *vcpu)
{
    __asm__ volatile("sti; nop; cli" : : : "memory");
    leave(cpu, &vcpu->ec);
}
