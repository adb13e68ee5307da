/*
 * AMD SVM with nested paging. Works without next RIP, decode assists, flush by ASID, clean bits; of these, uses
 * next RIP. A vCPU whose translations are stale gets a new ASID, so flushing single ones is never needed.
 *
 * Numbers of sections: AMD64 manual volume 2.
 *
 * SPDX-License-Identifier: MIT
 */

#include "virt/svm.h"

#include "lib/panic.h"
#include "lib/string.h"
#include "nova/abi/hip.h"
#include "virt/virt.h"
#include "x86/cpu.h"

#define EVENT_INVALID 0xfd
#define EVENT_NPF 0xfc

#define RFLAGS_IF BIT(9)
#define RFLAGS_VM BIT(17)
#define RFLAGS_DEFINED 0x3f7fd7UL
#define DR6_BS BIT(14)
#define NO_IRET UINT64_MAX
#define SEGMENT_P 0x80
#define SEGMENT_L 0x200
#define SEGMENT_DB 0x400
#define SEGMENT_DPL(n) (unsigned)((n) << 5)
#define SEGMENT_UNUSABLE 0x1000

/* What is transferred seldom. */
#define MTD_REST                                                                                             \
    ~(uint32_t)(NOVA_MTD_GPR_0_7 | NOVA_MTD_GPR_8_15 | NOVA_MTD_RFLAGS | NOVA_MTD_RIP | NOVA_MTD_STA |       \
                NOVA_MTD_QUAL | NOVA_MTD_INJ | NOVA_MTD_XSAVE | NOVA_MTD_TSC | NOVA_MTD_TLB |                \
                NOVA_MTD_SPACES)

/* Of that, what is transferred as it is: where it is in the UTCB and in the VMCB. */
struct place {
    uint32_t mtd;
    uint16_t utcb, vmcb;
};
#define PLACE(bit, name)                                                                                     \
    {                                                                                                        \
        NOVA_MTD_##bit, offsetof(struct nova_arch_state, name), offsetof(struct vmcb, name)                  \
    }

static const struct place segments[] = {
    PLACE(DS_ES, ds), PLACE(DS_ES, es),  PLACE(FS_GS, fs),  PLACE(FS_GS, gs),
    PLACE(TR, tr),    PLACE(LDTR, ldtr), PLACE(GDTR, gdtr), PLACE(IDTR, idtr),
};
static const struct place registers[] = {
    PLACE(DR, dr7),
    PLACE(SYSCALL, star),
    PLACE(SYSCALL, lstar),
    PLACE(SYSCALL, fmask),
    PLACE(SYSENTER, sysenter_cs),
    PLACE(SYSENTER, sysenter_esp),
    PLACE(SYSENTER, sysenter_eip),
    PLACE(PAT, pat),
    PLACE(KERNEL_GS, kernel_gs_base),
};
#define MTD_PLACES                                                                                           \
    (NOVA_MTD_DS_ES | NOVA_MTD_FS_GS | NOVA_MTD_TR | NOVA_MTD_LDTR | NOVA_MTD_GDTR | NOVA_MTD_IDTR |         \
     NOVA_MTD_DR | NOVA_MTD_SYSCALL | NOVA_MTD_SYSENTER | NOVA_MTD_PAT | NOVA_MTD_KERNEL_GS)

static bool has_next_rip;

_Noreturn void svm_enter(struct vcpu *vcpu, uint64_t vmcb, uint64_t host, uint64_t shadow);

/* 15.4: CPUID 0x80000001 ECX[2], 0x8000000a; not switched off by the firmware. */
unsigned svm_probe(void)
{
    struct cpuid svm = cpuid(0x8000000a, 0);

    if (!(cpuid(0x80000001, 0).ecx & 4) || !(svm.edx & 1) || rdmsr(MSR_VM_CR) & VM_CR_SVMDIS)
        return 0;
    has_next_rip = svm.edx & 8;
    return svm.ebx < 2 ? 0 : (unsigned)min_u64(svm.ebx, 0x10000);
}

static void enable(struct cpu *cpu)
{
    void *save = page_alloc(0, 0), *host = page_alloc(0, 0);

    if (!save || !host)
        panic("no memory for virtualization");
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
    wrmsr(MSR_VM_HSAVE_PA, phys_of(save));
    cpu->virt_host = phys_of(host);
    __asm__ volatile("vmsave %0" : : "a"(cpu->virt_host) : "memory");
}

static void intercept(struct vcpu *vcpu, struct vmcb *vmcb, uint32_t pri, uint32_t sec, uint32_t ter,
                      uint32_t exceptions)
{
    vmcb->misc1 = (vmcb->misc1 & MISC1_KERNEL) | (pri & ~MISC1_KERNEL) | MISC1_FORCED;
    vmcb->misc2 = sec | MISC2_FORCED;
    vmcb->misc3 = ter;
    vmcb->exceptions = vcpu_exceptions(vcpu, exceptions);
}

static void create(struct vcpu *vcpu)
{
    struct vmcb *vmcb = vcpu->hw;

    vcpu->iret_rip = NO_IRET;
    intercept(vcpu, vmcb, 0, 0, 0, 0);
    vmcb->tsc_offset = vcpu->tsc_offset;
    vmcb->cr_write = !vcpu->ec.fpu; /* CLTS is not among the changes of CR0 that exit anyway */
    vmcb->virq = VIRQ_MASKING;
    vmcb->nested_paging = 1;
    vmcb->efer = EFER_SVME;
    vmcb->rflags = 2;
    vmcb->rsp = vcpu->ec.frame.rsp;
    vmcb->dr6 = 0xffff0ff0;
    vmcb->dr7 = 0x400;
    vmcb->pat = 0x0007040600070406;
}

static void assign(struct vcpu *vcpu)
{
    struct vmcb *vmcb = vcpu->hw;

    vmcb->iopm = phys_of(vcpu->pio->bitmap);
    vmcb->msrpm = phys_of(vcpu->msr->bitmap);
    vmcb->nested_cr3 = phys_of(vcpu->gst->mem.ptab.root);
}

/* 15.16: without any translation of this ASID since the last time that all were flushed. */
static void flush(struct vcpu *vcpu, bool space, bool all)
{
    struct vmcb *vmcb = vcpu->hw;

    (void)space;
    vmcb->asid = vcpu->tag & 0xffff;
    vmcb->tlb_control = all ? TLB_FLUSH_ALL : 0;
}

/* Of GDTR and IDTR (`table`), VMMs see limit and base only. */
static void segment_out(struct nova_segment *to, const struct nova_segment *from, bool table)
{
    to->limit = from->limit;
    to->base = from->base;
    if (!table) {
        to->sel = from->sel;
        to->ar = (uint16_t)(from->ar | (from->ar & SEGMENT_P ? 0 : SEGMENT_UNUSABLE));
    }
}

static void segment_in(struct nova_segment *to, const struct nova_segment *from)
{
    uint16_t ar = READ_ONCE(from->ar);

    to->sel = from->sel;
    to->ar = ar & SEGMENT_UNUSABLE ? 0 : ar & 0xfff;
    to->limit = from->limit;
    to->base = from->base;
}

/* There was no exit of which an event could tell. */
static void forget_exit(struct vmcb *vmcb)
{
    vmcb->exit_code = vmcb->exit_info1 = vmcb->exit_info2 = vmcb->exit_int = vmcb->next_rip = 0;
}

/* Next RIP is there for I/O in any case (15.10.2), else only if the CPU has it, and for instructions (15.7.1). */
static uint32_t instruction_length(const struct vmcb *vmcb)
{
    uint64_t next = vmcb->exit_code == EXIT_IOIO ? vmcb->exit_info2 : has_next_rip ? vmcb->next_rip : 0;
    uint32_t length = (uint32_t)(next - vmcb->rip);

    return next && length <= 15 ? length : 0;
}

static void places_out(const struct vmcb *vmcb, struct nova_arch_state *s, uint32_t mtd)
{
    for (const struct place *p = segments; p < segments + ARRAY_SIZE(segments); p++)
        if (mtd & p->mtd)
            segment_out((void *)((char *)s + p->utcb), (const void *)((const char *)vmcb + p->vmcb),
                        p->mtd & (NOVA_MTD_GDTR | NOVA_MTD_IDTR));
    for (const struct place *p = registers; p < registers + ARRAY_SIZE(registers); p++)
        if (mtd & p->mtd)
            *(uint64_t *)((char *)s + p->utcb) = *(const uint64_t *)((const char *)vmcb + p->vmcb);
}

/* The parts of the state that few events need. */
static __attribute__((noinline)) void rest_out(const struct vcpu *vcpu, const struct vmcb *vmcb,
                                               struct nova_arch_state *s, uint32_t mtd)
{
    if (mtd & NOVA_MTD_CS_SS) {
        segment_out(&s->cs, &vmcb->cs, false);
        segment_out(&s->ss, &vmcb->ss, false);
        s->ss.ar = (uint16_t)((s->ss.ar & ~SEGMENT_DPL(3)) | SEGMENT_DPL(vmcb->cpl)); /* as VMX has it */
    }
    if (mtd & NOVA_MTD_CR) {
        s->cr0 = vmcb->cr0 | vcpu->cr0_hidden;
        s->cr2 = vmcb->cr2;
        s->cr3 = vmcb->cr3;
        s->cr4 = vmcb->cr4;
        s->cr8 = vmcb->virq & VIRQ_TPR;
    }
    if (mtd & NOVA_MTD_EFER)
        s->efer = vcpu->efer;
    if (mtd & NOVA_MTD_PDPTE) /* the CPU reads them from memory each time (15.25.10) */
        memset(s->pdpte, 0, sizeof(s->pdpte));
    if (mtd & NOVA_MTD_SGX)
        memset(s->sgx_hash, 0, sizeof(s->sgx_hash));
    if (mtd & MTD_PLACES)
        places_out(vmcb, s, mtd);
}

static void state_out(struct vcpu *vcpu, struct nova_arch_state *s, uint32_t mtd)
{
    struct vmcb *vmcb = vcpu->hw;

    if (UNLIKELY(vcpu->ec.event > EVENT_NPF))
        forget_exit(vmcb);
    if (mtd & NOVA_MTD_GPR_0_7) {
        s->gpr[R_RAX] = vmcb->rax;
        s->gpr[R_RSP] = vmcb->rsp;
    }
    if (mtd & NOVA_MTD_RFLAGS)
        s->rflags = vmcb->rflags;
    if (mtd & NOVA_MTD_RIP) {
        s->rip = vmcb->rip;
        s->inst_len = instruction_length(vmcb);
        s->inst_info = 0;
    }
    if (mtd & NOVA_MTD_STA) {
        s->intr_state = (vmcb->shadow & 1 ? STA_STI : 0) | (vcpu->nmi_blocked ? STA_NMI : 0);
        s->actv_state = 0;
    }
    if (mtd & NOVA_MTD_QUAL) {
        s->qual[0] = vmcb->exit_info1;
        s->qual[1] = s->qual[2] = vmcb->exit_info2;
    }
    if (mtd & NOVA_MTD_INJ) {
        s->vect_info = (uint32_t)vmcb->exit_int;
        s->vect_error = (uint32_t)(vmcb->exit_int >> 32);
    }
    if (mtd & MTD_REST)
        rest_out(vcpu, vmcb, s, mtd);
}

static void places_in(struct vmcb *vmcb, const struct nova_arch_state *s, uint32_t mtd)
{
    for (const struct place *p = segments; p < segments + ARRAY_SIZE(segments); p++)
        if (mtd & p->mtd)
            segment_in((void *)((char *)vmcb + p->vmcb), (const void *)((const char *)s + p->utcb));
    for (const struct place *p = registers; p < registers + ARRAY_SIZE(registers); p++)
        if (mtd & p->mtd)
            *(uint64_t *)((char *)vmcb + p->vmcb) = *(const uint64_t *)((const char *)s + p->utcb);
}

static __attribute__((noinline)) void rest_in(struct vcpu *vcpu, struct vmcb *vmcb,
                                              const struct nova_arch_state *s, uint32_t mtd)
{
    if (mtd & NOVA_MTD_CTRL) {
        uint64_t cr0 = READ_ONCE(s->cr0_intercepts);
        intercept(vcpu, vmcb, READ_ONCE(s->ctrl_pri), READ_ONCE(s->ctrl_sec),
                  (uint32_t)READ_ONCE(s->ctrl_ter), READ_ONCE(s->exc_intercepts));
        /* All changes of CR0 but of TS and MP exit anyway. */
        vmcb->cr_write =
            (uint16_t)((vmcb->cr_write & 1U << 8) | (READ_ONCE(s->cr4_intercepts) ? 1U << 4 : 0) |
                       (cr0 & (CR0_TS | CR0_MP) || !vcpu->ec.fpu ? 1U : 0));
    }
    if (mtd & NOVA_MTD_TPR)
        vmcb->cr_write =
            (uint16_t)((vmcb->cr_write & ~(1U << 8)) | (READ_ONCE(s->tpr_threshold) ? 1U << 8 : 0));
    if (mtd & NOVA_MTD_CS_SS) {
        segment_in(&vmcb->cs, &s->cs);
        segment_in(&vmcb->ss, &s->ss);
        if (vmcb->ss.ar == 0 && s->ss.ar & SEGMENT_UNUSABLE)
            vmcb->ss.ar = s->ss.ar & SEGMENT_DPL(3);
    }
    if (mtd & NOVA_MTD_CR) {
        uint64_t cr0 = READ_ONCE(s->cr0);
        vcpu->cr0_hidden = cr0 & (CR0_CD | CR0_NW);
        vmcb->cr_read = vcpu->cr0_hidden ? 1 : 0; /* the VMM has to say what the guest shall read */
        vmcb->cr0 = (cr0 & ~(CR0_CD | CR0_NW)) | (vcpu->ec.fpu ? 0 : CR0_TS);
        vmcb->cr2 = s->cr2;
        vmcb->cr3 = s->cr3;
        vmcb->cr4 = s->cr4;
        vmcb->virq = (vmcb->virq & ~VIRQ_TPR) | (s->cr8 & VIRQ_TPR);
    }
    if (mtd & NOVA_MTD_EFER)
        vcpu->efer = s->efer & ~EFER_SVME;
    if (mtd & MTD_PLACES)
        places_in(vmcb, s, mtd);
}

/*
 * 15.5.1: CPL is a field of its own, and that of the stack segment counts for nothing. LME means nothing without paging,
 * so the CPU is not told of it then: if a guest has LME but not CR4.PAE, emulators do not switch the host's paging on again
 * after an exit. Nor do they survive all modes that they take. Changes of CR0.PG by the guest exit.
 */
static __attribute__((noinline)) void mode_in(struct vcpu *vcpu, struct vmcb *vmcb)
{
    bool protected = vmcb->cr0 & CR0_PE, paging = vmcb->cr0 & CR0_PG, lma = vcpu->efer & EFER_LMA;

    vmcb->cpl = !protected ? 0 : vmcb->rflags & RFLAGS_VM ? 3 : vmcb->ss.ar >> 5 & 3;
    vmcb->efer = EFER_SVME | (paging ? vcpu->efer : vcpu->efer & ~EFER_LME);
    vcpu->wrong_mode = lma != (paging && vcpu->efer & EFER_LME) || (paging && !protected) ||
                       vmcb->cr0 >> 32 ||
                       (lma && (!(vmcb->cr4 & CR4_PAE) || vmcb->rflags & RFLAGS_VM ||
                                (vmcb->cs.ar & (SEGMENT_L | SEGMENT_DB)) == (SEGMENT_L | SEGMENT_DB)));
}

static bool state_in(struct vcpu *vcpu, const struct nova_arch_state *s, uint32_t mtd)
{
    struct vmcb *vmcb = vcpu->hw;
    bool valid = true;

    if (mtd & NOVA_MTD_GPR_0_7) {
        vmcb->rax = vcpu->ec.frame.gpr[R_RAX];
        vmcb->rsp = vcpu->ec.frame.gpr[R_RSP];
    }
    if (mtd & NOVA_MTD_RFLAGS)
        vmcb->rflags = (READ_ONCE(s->rflags) & RFLAGS_DEFINED) | 2;
    if (mtd & NOVA_MTD_RIP)
        vmcb->rip = s->rip;
    if (mtd & NOVA_MTD_STA) {
        uint32_t state = READ_ONCE(s->intr_state);
        vmcb->shadow = state & (STA_STI | STA_MOV_SS) ? 1 : 0;
        vcpu->nmi_blocked = state & STA_NMI;
        vcpu->iret_rip = NO_IRET;
        valid = !READ_ONCE(s->actv_state);
    }
    if (mtd & MTD_REST)
        rest_in(vcpu, vmcb, s, mtd);
    if (mtd & (NOVA_MTD_RFLAGS | NOVA_MTD_CS_SS | NOVA_MTD_CR | NOVA_MTD_EFER))
        mode_in(vcpu, vmcb);
    return valid && !vcpu->wrong_mode;
}

/*
 * An event to be injected (15.20). The types are those of VMX, except that exceptions of INT3, INTO and ICEBP are
 * exceptions here. What the CPU would refuse is refused here, for emulators do not all notice.
 *
 * QEMU may deliver injected interrupts a second time, in the midst of the handler. It is known by the next RIP that it does not
 * have, and gets what is taken at once, without a window behind it, as a virtual interrupt (15.21.4). Bochs hangs with these.
 */
static bool inject(struct vcpu *vcpu, struct vmcb *vmcb)
{
    uint32_t info = vcpu->inj_info, vector = info & INJ_VECTOR, type = INJ_TYPE(info);

    vcpu->inj_info &= INJ_WINDOWS;
    if (type == INJ_TYPE_PRIVILEGED || type == INJ_TYPE_SOFTWARE)
        type = INJ_TYPE_EXCEPTION;
    if (type == 1 || type == 7 || (type == INJ_TYPE_NMI && vector != 2) ||
        (type == INJ_TYPE_EXCEPTION && (vector > 31 || vector == 2)))
        return false;
    if (type == INJ_TYPE_NMI)
        vcpu->nmi_blocked = true;
    if (type == INJ_TYPE_INTR && !has_next_rip && !vcpu->inj_info && vmcb->rflags & RFLAGS_IF &&
        !(vmcb->shadow & 1))
        vmcb->virq |= VIRQ_WANTED | (uint64_t)vector << VIRQ_VECTOR;
    else
        vmcb->inject = INJ_VALID | (info & INJ_ERROR) | type << 8 | vector | (uint64_t)vcpu->inj_error << 32;
    return true;
}

/*
 * Sets up what has to end the run: the windows that the VMM wants; the IRET that lets NMIs in again, of which SVM
 * keeps no account. If a window is open already, its event is sent without a run: VINTR, or IRET for NMIs.
 *
 * 15.21.4: a virtual interrupt that is wanted but exits before it is taken is an interrupt window.
 */
static void arm(struct cpu *cpu, struct vcpu *vcpu, struct vmcb *vmcb)
{
    bool intr = vcpu->inj_info & INJ_WINDOW_INTR, nmi = vcpu->inj_info & INJ_WINDOW_NMI, event = vmcb->inject;

    unsigned open = nmi && !vcpu->nmi_blocked ? EXIT_IRET : intr && vmcb->rflags & RFLAGS_IF ? EXIT_VINTR : 0;

    if (open && !event && !(vmcb->shadow & 1)) {
        forget_exit(vmcb);
        vcpu_event(cpu, vcpu, open);
    }
    vmcb->misc1 &= ~(MISC1_VINTR | MISC1_IRET);
    if (intr) {
        vmcb->misc1 |= MISC1_VINTR;
        vmcb->virq |= VIRQ_WANTED;
    }
    if (vcpu->nmi_blocked && vcpu->iret_rip == NO_IRET)
        vmcb->misc1 |= MISC1_IRET;
    else if (nmi && !event && !(vmcb->rflags & RFLAGS_TF)) {
        vcpu->nmi_step = true;
        vmcb->rflags |= RFLAGS_TF;
    }
    vcpu->armed = nmi || vcpu->nmi_blocked || vmcb->virq & VIRQ_PENDING;
}

static __attribute__((noreturn)) void run(struct vcpu *vcpu)
{
    struct cpu *cpu = vcpu->ec.cpu;
    struct vmcb *vmcb = vcpu->hw;

    if (UNLIKELY(vcpu->inj_info || vcpu->armed || vcpu->nmi_blocked)) {
        vmcb->virq &= VIRQ_TPR | VIRQ_MASKING;
        if (vcpu->inj_info & INJ_VALID && !inject(vcpu, vmcb))
            vcpu_event(cpu, vcpu, EVENT_INVALID);
        arm(cpu, vcpu, vmcb);
    }
    write_cr2(vmcb->cr2);       /* VMRUN loads it, but not that of all emulators, */
    vmcb->virq |= VIRQ_MASKING; /* some of which clear this when VMRUN fails */
    vcpu_enter(cpu, vcpu);
    svm_enter(vcpu, vcpu->hw_phys, cpu->virt_host, vmcb->shadow);
}

/* A virtual interrupt that was not taken, or whose delivery failed: QEMU keeps it, and calls it an exception in exit_int. */
static void withdraw(struct vmcb *vmcb)
{
    if (vmcb->virq & VIRQ_PENDING && !(vmcb->misc1 & MISC1_VINTR))
        vmcb->exit_int = INJ_VALID | (uint8_t)(vmcb->virq >> VIRQ_VECTOR);
}

/* Events that were being delivered when something else ended the run come next. */
static void requeue(struct vcpu *vcpu, const struct vmcb *vmcb)
{
    if (UNLIKELY(vmcb->exit_int & INJ_VALID)) {
        vcpu->inj_info |= (uint32_t)vmcb->exit_int;
        vcpu->inj_error = (uint32_t)(vmcb->exit_int >> 32);
    }
}

/*
 * #AC and #DB always exit: their delivery could raise them again, for ever, without a chance for an interrupt.
 * So interrupts get theirs here. Guests get the exceptions unless the VMM wants to.
 */
static _Noreturn void exception(struct cpu *cpu, struct vcpu *vcpu, unsigned vector)
{
    if (vcpu->exceptions >> vector & 1)
        vcpu_event(cpu, vcpu, EXIT_EXCEPTION + vector);
    vcpu->inj_info |= INJ_VALID | INJ_TYPE_EXCEPTION << 8 | (vector == VECTOR_AC ? INJ_ERROR : 0) | vector;
    vcpu->inj_error = 0;
    vcpu_interrupt(cpu, vcpu);
}

/* Exits that the kernel may deal with. */
static __attribute__((noinline)) _Noreturn void handle(struct cpu *cpu, struct vcpu *vcpu, struct vmcb *vmcb)
{
    bool stepped = vcpu->nmi_step;

    vcpu->nmi_step = false;
    if (stepped)
        vmcb->rflags &= ~RFLAGS_TF;
    switch (vmcb->exit_code) {
    case EXIT_INTR:
        requeue(vcpu, vmcb);
        vcpu_interrupt(cpu, vcpu);
    case EXIT_NMI: /* the host has taken it when GIF was set again */
    case EXIT_INIT:
        requeue(vcpu, vmcb);
        leave(cpu, &vcpu->ec);
    case EXIT_IRET: /* is about to be executed: NMIs are blocked until it has been */
        vcpu->iret_rip = vmcb->rip;
        leave(cpu, &vcpu->ec);
    case EXIT_EXCEPTION + VECTOR_DB:
        if (!stepped)
            exception(cpu, vcpu, VECTOR_DB);
        vmcb->dr6 &= ~DR6_BS;
        leave(cpu, &vcpu->ec);
    case EXIT_EXCEPTION + VECTOR_AC:
        exception(cpu, vcpu, VECTOR_AC);
    case EXIT_EXCEPTION + VECTOR_MC:
        panic("machine check in a guest on CPU %u", cpu->id);
    case EXIT_NPF:
        vcpu_event(cpu, vcpu, EVENT_NPF);
    default:
        vcpu_event(cpu, vcpu, vmcb->exit_code < EVENT_NPF ? (unsigned)vmcb->exit_code : EVENT_INVALID);
    }
}

/* Exit codes that are none of the kernel's business, and the same as the numbers of their events. */
static inline bool is_plain(uint64_t code)
{
    return LIKELY(code > EXIT_IRET && code < EVENT_NPF) || code - EXIT_VINTR < EXIT_IRET - EXIT_VINTR;
}

/* svm_enter of virt/svm_run.S comes here with an empty stack. */
_Noreturn void svm_exit(struct vcpu *vcpu)
{
    struct cpu *cpu = vcpu->ec.cpu;
    struct vmcb *vmcb = vcpu->hw;

    vcpu_left(vcpu);
    vmcb->inject = 0;
    vmcb->tlb_control = 0;
    if (LIKELY(is_plain(vmcb->exit_code) && !vcpu->armed))
        vcpu_event(cpu, vcpu, (unsigned)vmcb->exit_code);
    withdraw(vmcb);
    if (vcpu->iret_rip != NO_IRET && vmcb->rip != vcpu->iret_rip) {
        vcpu->iret_rip = NO_IRET;
        vcpu->nmi_blocked = false;
    }
    handle(cpu, vcpu, vmcb);
}

const struct virt_ops svm_ops = {
    .feature = NOVA_FEATURE_SVM,
    .format = &ptab_npt,
    .invalid = EVENT_INVALID,
    .enable = enable,
    .create = create,
    .destroy = 0, /* the CPU keeps nothing of a VMCB but translations, whose ASID is not used again */
    .state_out = state_out,
    .state_in = state_in,
    .assign = assign,
    .flush = flush,
    .run = run,
};
