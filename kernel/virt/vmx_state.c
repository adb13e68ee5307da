/*
 * State of a guest between its VMCS and the UTCB of its handler. Only what an MTD names is read or written. On the
 * vCPU's own CPU, with its VMCS current.
 *
 * Nothing of a VMM's state is judged here but what the kernel itself depends on: the CPU checks the rest at VM entry,
 * and says so with reason 33.
 *
 * SPDX-License-Identifier: MIT
 */

#include "virt/vmx.h"

#include "x86/cpu.h"

#define PENDING_STEP BIT(14)
#define ACTIVITY_HLT 1U
#define VAPIC_TPR 0x80

/* What most exits do not need. */
#define RARE                                                                                                 \
    (~(NOVA_MTD_GPR_0_7 | NOVA_MTD_GPR_8_15 | NOVA_MTD_RFLAGS | NOVA_MTD_RIP | NOVA_MTD_STA |                \
       NOVA_MTD_QUAL | NOVA_MTD_INJ))

static inline bool canonical(uint64_t address)
{
    return address + BIT(47) < BIT(48);
}

#define AT(member) offsetof(struct nova_arch_state, member)

/* What is transferred as it is. */
static const struct {
    uint32_t mtd;
    uint16_t field, at;
} plain[] = {
    {NOVA_MTD_CR, VMCS_CR3, AT(cr3)},
    {NOVA_MTD_DR, VMCS_DR7, AT(dr7)},
    {NOVA_MTD_PAT, VMCS_PAT, AT(pat)},
    {NOVA_MTD_EFER, VMCS_EFER, AT(efer)},
    {NOVA_MTD_SYSENTER, VMCS_SYSENTER_CS, AT(sysenter_cs)},
    {NOVA_MTD_SYSENTER, VMCS_SYSENTER_ESP, AT(sysenter_esp)},
    {NOVA_MTD_SYSENTER, VMCS_SYSENTER_EIP, AT(sysenter_eip)},
    {NOVA_MTD_PDPTE, VMCS_PDPTE, AT(pdpte[0])},
    {NOVA_MTD_PDPTE, VMCS_PDPTE + 2, AT(pdpte[1])},
    {NOVA_MTD_PDPTE, VMCS_PDPTE + 4, AT(pdpte[2])},
    {NOVA_MTD_PDPTE, VMCS_PDPTE + 6, AT(pdpte[3])},
};

/* Segments, in the order of their fields. GDTR and IDTR, from TABLES on, have only limit and base. */
static const struct {
    uint32_t mtd;
    uint16_t at;
} segments[] = {
    {NOVA_MTD_DS_ES, AT(es)},  {NOVA_MTD_CS_SS, AT(cs)},  {NOVA_MTD_CS_SS, AT(ss)},  {NOVA_MTD_DS_ES, AT(ds)},
    {NOVA_MTD_FS_GS, AT(fs)},  {NOVA_MTD_FS_GS, AT(gs)},  {NOVA_MTD_LDTR, AT(ldtr)}, {NOVA_MTD_TR, AT(tr)},
    {NOVA_MTD_GDTR, AT(gdtr)}, {NOVA_MTD_IDTR, AT(idtr)},
};
#define TABLES 8

/* Access rights: bits 7:0 are the same in both, 16:12 of the VMCS are 12:8 of the UTCB. */
static void segment_out(struct nova_segment *s, unsigned i)
{
    s->limit = (uint32_t)vmread(VMCS_LIMITS + 2 * i);
    s->base = vmread(VMCS_BASES + 2 * i);
    if (i < TABLES) {
        uint64_t rights = vmread(VMCS_RIGHTS + 2 * i);
        s->sel = (uint16_t)vmread(VMCS_GUEST_SELECTORS + 2 * i);
        s->ar = (uint16_t)((rights & 0xff) | (rights >> 4 & 0x1f00));
    }
}

static void segment_in(const struct nova_segment *s, unsigned i)
{
    vmwrite(VMCS_LIMITS + 2 * i, s->limit);
    vmwrite(VMCS_BASES + 2 * i, s->base);
    if (i < TABLES) {
        uint64_t rights = READ_ONCE(s->ar);
        vmwrite(VMCS_GUEST_SELECTORS + 2 * i, s->sel);
        vmwrite(VMCS_RIGHTS + 2 * i, (rights & 0xff) | (rights & 0x1f00) << 4);
    }
}

/* Bits of CR0 (0) or CR4 (1) that are the guest's. Without an FPU, CR0.TS is not. */
static uint64_t own_bits(const struct vcpu *v, unsigned cr)
{
    return vmx_cr[cr].guest & ~(cr == 0 && !v->ec.fpu ? CR0_TS : 0);
}

static uint64_t control_out(const struct vcpu *v, unsigned cr)
{
    uint64_t own = own_bits(v, cr);

    return (vmread(VMCS_CRS + 4 * cr) & own) | (vmread(VMCS_CR_SHADOWS + 2 * cr) & ~own);
}

static bool control_in(const struct vcpu *v, unsigned cr, uint64_t value)
{
    const struct vmx_cr *c = &vmx_cr[cr];
    uint64_t own = own_bits(v, cr);

    if (value & ~(c->guest | c->virtual))
        return false;
    vmwrite(VMCS_CRS + 4 * cr, (value & own) | c->fixed | (c->guest & ~own));
    vmwrite(VMCS_CR_SHADOWS + 2 * cr, value);
    return true;
}

/* The guest reads the shadow of what it does not own: that must not change when ownership does. */
static void intercept(const struct vcpu *v, unsigned cr, uint64_t wanted)
{
    vmwrite(VMCS_CR_SHADOWS + 2 * cr, control_out(v, cr));
    vmwrite(VMCS_CR_MASKS + 2 * cr, ~own_bits(v, cr) | wanted);
}

static void controls_in(struct vcpu *v, const struct nova_arch_state *s)
{
    const struct vmx_control *primary = &vmx_controls[VMX_PRIMARY], *secondary = &vmx_controls[VMX_SECONDARY];
    uint32_t own = ~(primary->free | primary->forced);

    vmx_set_primary(v, (s->ctrl_pri & primary->free) | primary->forced | (v->primary & own));
    vmwrite(VMCS_SECONDARY, (s->ctrl_sec & secondary->free) | secondary->forced);
    vmwrite(VMCS_EXCEPTIONS, vcpu_exceptions(v, s->exc_intercepts));
    vmwrite(VMCS_PF_MASK, s->pf_mask);
    vmwrite(VMCS_PF_MATCH, s->pf_match);
    intercept(v, 0, s->cr0_intercepts);
    intercept(v, 1, s->cr4_intercepts);
}

/*
 * Intel SDM volume 3, 27.3.1.5: while STI or MOV SS, or HLT, holds debug exceptions back, a guest that single-steps
 * has one pending, and another one does not.
 */
void vmx_pending_debug(void)
{
    uint64_t blocked = (vmread(VMCS_INTERRUPTIBILITY) & (STA_STI | STA_MOV_SS)) | vmread(VMCS_ACTIVITY);
    uint64_t pending = vmread(VMCS_PENDING_DEBUG);
    bool step = vmread(VMCS_RFLAGS) & RFLAGS_TF;

    if (blocked && step != !!(pending & PENDING_STEP))
        vmwrite(VMCS_PENDING_DEBUG, pending ^ PENDING_STEP);
}

/* In the other activity states a CPU ignores interrupts, so the host would lose it. */
static bool status_in(const struct nova_arch_state *s)
{
    uint32_t activity = READ_ONCE(s->actv_state);

    vmwrite(VMCS_INTERRUPTIBILITY, s->intr_state);
    if (activity <= ACTIVITY_HLT)
        vmwrite(VMCS_ACTIVITY, activity);
    return activity <= ACTIVITY_HLT;
}

static __attribute__((noinline)) void rare_out(const struct vcpu *v, struct nova_arch_state *s, uint32_t mtd)
{
    for (unsigned i = 0; i < ARRAY_SIZE(segments); i++)
        if (mtd & segments[i].mtd)
            segment_out((struct nova_segment *)((char *)s + segments[i].at), i);
    for (unsigned i = 0; i < ARRAY_SIZE(plain); i++)
        if (mtd & plain[i].mtd)
            *(uint64_t *)((char *)s + plain[i].at) = vmread(plain[i].field);
    if (mtd & NOVA_MTD_CR) {
        s->cr0 = control_out(v, 0);
        s->cr2 = v->cr2;
        s->cr4 = control_out(v, 1);
        s->cr8 = ((uint8_t *)v->ec.utcb)[VAPIC_TPR] >> 4;
    }
    if (mtd & NOVA_MTD_SYSCALL) {
        s->star = v->star;
        s->lstar = v->lstar;
        s->fmask = v->fmask;
    }
    if (mtd & NOVA_MTD_KERNEL_GS)
        s->kernel_gs_base = rdmsr(MSR_KERNEL_GS_BASE);
}

/* What only an exit tells: 0 if the event is not one, or if the state was refused. */
static inline uint64_t exit_field(const struct vcpu *v, unsigned field)
{
    return LIKELY(v->ec.event < NOVA_EVT_GST_ARCH && v->ec.event != REASON_INVALID_STATE) ? vmread(field) : 0;
}

/*
 * An instruction that exits, or a violation of the EPT, comes before the step (28.1): the instruction may be repeated.
 * Bochs leaves the step pending nevertheless.
 */
static __attribute__((noinline)) void forget_step(const struct vcpu *v)
{
    unsigned reason = v->ec.event;

    if ((reason >= REASON_CPUID && reason < REASON_MONITOR_TRAP) || reason == REASON_EPT_VIOLATION) {
        vmwrite(VMCS_PENDING_DEBUG, vmread(VMCS_PENDING_DEBUG) & ~PENDING_STEP);
        vmx_pending_debug();
    }
}

void vmx_state_out(struct vcpu *v, struct nova_arch_state *s, uint32_t mtd)
{
    vmx_load(v);
    if (mtd & NOVA_MTD_GPR_0_7)
        s->gpr[R_RSP] = vmread(VMCS_RSP);
    if (mtd & NOVA_MTD_RFLAGS) {
        uint64_t rflags = s->rflags = vmread(VMCS_RFLAGS);
        if (UNLIKELY(rflags & RFLAGS_TF))
            forget_step(v);
    }
    if (mtd & NOVA_MTD_RIP) {
        s->rip = vmread(VMCS_RIP);
        s->inst_len = (uint32_t)exit_field(v, VMCS_LENGTH);
        s->inst_info = (uint32_t)exit_field(v, VMCS_INSTRUCTION);
    }
    if (mtd & NOVA_MTD_STA) {
        s->intr_state = (uint32_t)vmread(VMCS_INTERRUPTIBILITY);
        s->actv_state = (uint32_t)vmread(VMCS_ACTIVITY);
    }
    if (mtd & NOVA_MTD_QUAL) {
        s->qual[0] = exit_field(v, VMCS_QUALIFICATION);
        s->qual[1] = exit_field(v, VMCS_LINEAR);
        s->qual[2] = exit_field(v, VMCS_PHYSICAL);
    }
    if (mtd & NOVA_MTD_INJ) {
        if (v->ec.event == REASON_EXCEPTION) { /* which one */
            s->inj_info = (v->inj_info & INJ_WINDOWS) | ((uint32_t)vmread(VMCS_EXIT_INFO) & ~INJ_WINDOWS);
            s->inj_error = (uint32_t)vmread(VMCS_EXIT_ERROR);
        }
        s->vect_info = (uint32_t)exit_field(v, VMCS_VECTORING);
        s->vect_error = (uint32_t)exit_field(v, VMCS_VECTORING_ERROR);
    }
    if (UNLIKELY(mtd & RARE))
        rare_out(v, s, mtd);
}

/* The control must equal EFER.LMA. So without paging the CPU refuses LMA; Bochs would stop otherwise. */
static void mode_in(void)
{
    bool long_mode = vmread(VMCS_EFER) & EFER_LMA && vmread(VMCS_CRS) & CR0_PG;

    vmwrite(VMCS_ENTRY, vmx_controls[VMX_ENTRY].forced | (long_mode ? ENTRY_GUEST_64 : 0));
}

/* What the kernel writes to MSRs: WRMSR would fault with an address that is not canonical. */
static bool syscall_in(struct vcpu *v, const struct nova_arch_state *s)
{
    uint64_t lstar = READ_ONCE(s->lstar), fmask = READ_ONCE(s->fmask);

    if (!canonical(lstar) || fmask > UINT32_MAX)
        return false;
    v->star = s->star;
    v->lstar = lstar;
    v->fmask = fmask;
    return true;
}

static bool kernel_gs_in(const struct nova_arch_state *s)
{
    uint64_t base = READ_ONCE(s->kernel_gs_base);

    if (!canonical(base))
        return false;
    wrmsr(MSR_KERNEL_GS_BASE, base);
    return true;
}

static __attribute__((noinline)) bool rare_in(struct vcpu *v, const struct nova_arch_state *s, uint32_t mtd)
{
    bool ok = true;

    for (unsigned i = 0; i < ARRAY_SIZE(segments); i++)
        if (mtd & segments[i].mtd)
            segment_in((const struct nova_segment *)((const char *)s + segments[i].at), i);
    for (unsigned i = 0; i < ARRAY_SIZE(plain); i++)
        if (mtd & plain[i].mtd)
            vmwrite(plain[i].field, *(const uint64_t *)((const char *)s + plain[i].at));
    if (mtd & NOVA_MTD_CTRL)
        controls_in(v, s);
    if (mtd & NOVA_MTD_TPR)
        vmwrite(VMCS_TPR_THRESHOLD, s->tpr_threshold);
    if (mtd & NOVA_MTD_CR) {
        ok = control_in(v, 0, s->cr0);
        ok &= control_in(v, 1, s->cr4);
        v->cr2 = s->cr2;
        ((uint8_t *)v->ec.utcb)[VAPIC_TPR] = (uint8_t)(s->cr8 << 4);
    }
    if (mtd & (NOVA_MTD_CR | NOVA_MTD_EFER))
        mode_in();
    if (mtd & NOVA_MTD_SYSCALL)
        ok &= syscall_in(v, s);
    if (mtd & NOVA_MTD_KERNEL_GS)
        ok &= kernel_gs_in(s);
    return ok;
}

bool vmx_state_in(struct vcpu *v, const struct nova_arch_state *s, uint32_t mtd)
{
    bool ok = true;

    vmx_load(v);
    if (mtd & NOVA_MTD_GPR_0_7)
        vmwrite(VMCS_RSP, s->gpr[R_RSP]);
    if (mtd & NOVA_MTD_RFLAGS)
        vmwrite(VMCS_RFLAGS, s->rflags);
    if (mtd & NOVA_MTD_RIP) {
        vmwrite(VMCS_RIP, s->rip);
        vmwrite(VMCS_ENTRY_LENGTH, s->inst_len);
    }
    if (mtd & NOVA_MTD_STA)
        ok = status_in(s);
    if (mtd & (NOVA_MTD_RFLAGS | NOVA_MTD_STA))
        vmx_pending_debug();
    if (UNLIKELY(mtd & RARE))
        ok &= rare_in(v, s, mtd);
    return ok;
}
