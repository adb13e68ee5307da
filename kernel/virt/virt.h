/*
 * Virtual CPUs: guest ECs, and the table of operations that VMX and SVM implement (virt/vmx.c, virt/svm.c).
 *
 * A vCPU is an EC that runs in guest mode, on its own CPU only. Nothing but that CPU touches its state, apart
 * from `ec.hazard.recall`. Life of a run:
 *
 *   leave_to (core/sc.c)     hazards of the CPU and of the EC have been looked at; interrupts are off from here
 *     vcpu_run               an invalid state is reported, not run
 *       virt->run            VMX, SVM: injection and windows; may send an event instead (vcpu_event)
 *         vcpu_enter         inline: debug registers, XCR0 and such, stale translations (virt->flush)
 *         svm_run, vmx_run   assembly: loads the registers from ec.frame.gpr and enters the guest
 *   ... the guest runs ...
 *         assembly           saves the registers to ec.frame.gpr, restores what the host needs, RSP = the CPU's
 *                            own struct (top of its stack), RDI = vCPU, interrupts off, and calls
 *       svm_exit, vmx_exit   VMX, SVM: calls vcpu_left, then ends with one of
 *         vcpu_event         the handler of a portal deals with it: VMM
 *         vcpu_interrupt     a host interrupt ended the run and is still pending
 *         leave              nothing more to do: goes on, unless there are hazards
 *
 * All functions from vcpu_run on never return: the stack is abandoned, as for all other ways out of the kernel.
 *
 * Interrupts and NMIs of the host always end a run. As interrupts stay off between the check of the hazards
 * and the entry, and requests of other CPUs come as interrupts, none is missed. NMIs mean nothing (entry/entry.S counts
 * them), but must neither be lost for good nor find a GS, TR or stack that is not the host's.
 *
 * What lives where:
 *
 *   general-purpose registers   ec.frame.gpr, by assembly; those that the hardware keeps elsewhere
 *                               (RSP; with SVM also RAX) are up to the vendor
 *   FPU                         ec.fpu, by x86/fpu.c, always with the components of the host's XCR0
 *   FS, GS base of the host     loaded when an EC of the host becomes current; a run may leave anything there
 *   XCR0, TSC_AUX               struct vcpu; loaded along with the FPU state, by x86/fpu.c, that is, they may stay
 *                               loaded while a handler of the same PD runs
 *   XSS                         always 0: the kernel has no XSAVES
 *   DR0 to DR3                  struct vcpu, unless cpu->debug_owner is this vCPU: then in the registers
 *   DR6, DR7                    vendor. The host needs DR7 = 0x400 and clobbers DR6
 *   STAR to KERNEL_GS_BASE,     vendor: the guest's while it runs, the host's as soon as C code runs: FS, GS, TR, LDTR,
 *   SYSENTER, EFER, PAT         GDTR and IDTR as well
 *   SPEC_CTRL                   guests cannot change it: not in the NOVA MSR space
 *   TSC offset                  struct vcpu, constant
 *   event to be injected        struct vcpu (inj_info, inj_error): the vendor consumes it when it enters the guest
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "core/cpu.h"

/* Interruption information (specification, 8.7.3.2), which is also the format of VMX and, but for the windows, of SVM. */
#define INJ_VECTOR 0xffU
#define INJ_TYPE(info) ((info) >> 8 & 7)
#define INJ_TYPE_INTR 0U
#define INJ_TYPE_NMI 2U
#define INJ_TYPE_EXCEPTION 3U
#define INJ_TYPE_PRIVILEGED 5U
#define INJ_TYPE_SOFTWARE 6U
#define INJ_ERROR (1U << 11)
#define INJ_WINDOW_INTR (1U << 12)
#define INJ_WINDOW_NMI (1U << 13)
#define INJ_WINDOWS (INJ_WINDOW_INTR | INJ_WINDOW_NMI)
#define INJ_VALID (1U << 31)

/* Interruptibility state (Intel SDM volume 3, table 25-3). */
#define STA_STI 1U
#define STA_MOV_SS 2U
#define STA_NMI 8U

#define RFLAGS_TF BIT(8)

#define VECTOR_DB 1
#define VECTOR_NM 7
#define VECTOR_DF 8
#define VECTOR_AC 17
#define VECTOR_MC 18

/* CR0 bits that the host owns: guests cannot switch off the caches. */
#define CR0_NW BIT(29)
#define CR0_CD BIT(30)

struct vcpu {
    struct ec ec; /* first: see vcpu_of */

    void *hw;         /* VMCB or VMCS: one page, by common code; its contents belong to the vendor */
    uint64_t hw_phys; /* its physical address */

    /* Assigned spaces, each with a reference; all null before the first assignment. */
    struct space_gst *gst;
    struct space_bitmap *pio, *msr;

    uint64_t generation; /* of `gst` that the translations belong to; 0: none */
    uint64_t tag;        /* | generation of the CPU's tags: 48 bits | VPID or ASID: 16 bits |; 0: none */
    uint64_t tsc_offset; /* guest's TSC minus TSC */
    uint64_t xcr0, tsc_aux;
    uint64_t dr[4];
    uint64_t cr0_hidden; /* CR0_CD and CR0_NW as the VMM set them: for the vendor */
    uint32_t inj_info;   /* to be injected, and windows wanted, as the VMM wrote them */
    uint32_t inj_error;
    bool loaded;  /* XCR0 and TSC_AUX are those of the guest */
    bool invalid; /* the VMM set something that cannot be run; what it was keeps its old value */

    /* For the vendor alone. */
    uint32_t exceptions;               /* that the VMM wants */
    bool armed, nmi_blocked, nmi_step; /* SVM */
    bool wrong_mode;                   /* SVM */
    uint64_t iret_rip;                 /* SVM */
    uint64_t efer;                     /* SVM: as the guest sees it */
    bool prepared, launched;           /* VMX: the VMCS has been filled in, and entered */
    uint32_t primary;                  /* VMX: primary controls as they are */
    uint64_t star, lstar, fmask, kernel_gs_base, cr2, dr6; /* VMX */
    uint64_t host_cr3;                                     /* VMX */
};

_Static_assert(offsetof(struct vcpu, ec) == 0 && sizeof(struct vcpu) <= PAGE_SIZE, "one page");

static inline struct vcpu *vcpu_of(struct ec *ec)
{
    return (struct vcpu *)ec;
}

/* Takes note of the exceptions that the VMM wants; all that have to exit. */
static inline uint32_t vcpu_exceptions(struct vcpu *vcpu, uint32_t wanted)
{
    uint32_t forced = 1U << VECTOR_DB | 1U << VECTOR_AC | 1U << VECTOR_MC;

    vcpu->exceptions = wanted;
    return wanted | forced | (vcpu->ec.fpu ? 0 : 1U << VECTOR_NM);
}

/*
 * What VMX and SVM implement. Functions are called on the vCPU's CPU, with interrupts off, unless it says otherwise.
 */
struct virt_ops {
    uint64_t feature;                 /* NOVA_FEATURE_ */
    const struct ptab_format *format; /* of guest spaces */
    unsigned invalid;                 /* event that reports an invalid guest state */
    bool apic_page;                   /* vCPUs have a vAPIC page that the VMM sees: ec.utcb */

    /* Switches virtualization on, on the CPU that calls: each one does so once while it starts. */
    void (*enable)(struct cpu *cpu);

    /*
     * Fills in vcpu->hw, a zeroed page, for a vCPU that has never run. On any CPU. All controls that the kernel
     * demands are set; the state is whatever is simplest, as the VMM sets it all when it handles STARTUP, but for
     * RSP: ec.frame.rsp. Also sets the registers of ec.frame.gpr in which STARTUP tells something, see
     * doc/abi-conformance.md; common code does R11, the TSC offset.
     */
    void (*create)(struct vcpu *vcpu);

    /* The vCPU dies: nothing of it may stay loaded or cached. Common code frees hw. Null: nothing to do. */
    void (*destroy)(struct vcpu *vcpu);

    /*
     * State to and from the UTCB of a handler, for all MTD bits but POISON, GPR_8_15, XSAVE, TSC, TLB and SPACES, which
     * common code transfers. GPR_0_7: common code has copied all eight from, or will copy them to, ec.frame.gpr;
     * the vendor does those that live elsewhere. INJ: common code does inj_info and inj_error, the vendor vect_info and
     * vect_error. For STARTUP, RECALL (ec.event >= NOVA_EVT_GST_ARCH) and invalid states (ec.event == virt->invalid)
     * there was no exit: qualifications, instruction length and information, and vectoring information are 0, and
     * never what an earlier exit left.
     *
     * The UTCB is memory that others write meanwhile: state_in reads each field once. What must not reach
     * the hardware it replaces or refuses: refused fields keep their old value, and the answer is false. It must
     * hold that, whatever state_in took, the run ends in an exit or is reported as invalid, and the host gets its
     * interrupts meanwhile.
     */
    void (*state_out)(struct vcpu *vcpu, struct nova_arch_state *state, uint32_t mtd);
    bool (*state_in)(struct vcpu *vcpu, const struct nova_arch_state *state, uint32_t mtd);

    /* vcpu->gst, pio and msr have been assigned: takes over roots and bitmaps. vcpu->generation and tag are 0. */
    void (*assign)(struct vcpu *vcpu);

    /*
     * Before an entry: vcpu->tag is new, or vcpu->gst has been changed since the last entry (`space`), or both.
     * `all`: the tags of this CPU have run out, and all are used again from now on. A guest that is entered afterwards
     * must find no translation of an earlier user of its tag, and none of its guest space from before the change.
     */
    void (*flush)(struct vcpu *vcpu, bool space, bool all);

    /*
     * Runs the guest: see above. If an event is to be injected (INJ_VALID) that the hardware would not take, in
     * type, vector or error code, sends the event `invalid` instead. If a window is wanted and open already, it may send
     * its event without entering. inj_info loses INJ_VALID once the hardware has taken the event over.
     */
    __attribute__((noreturn)) void (*run)(struct vcpu *vcpu);
};

/* The one that this machine has, or null: guest spaces and guest ECs are refused then. Found once. */
extern const struct virt_ops *virt;
extern const struct virt_ops svm_ops, vmx_ops;

/*
 * How many ASIDs or VPIDs there are, 0 included, which belongs to the host: at most 2^16. 0 if this CPU lacks
 * something that the kernel demands. On the first CPU, before there is any memory to allocate. May adjust its ptab_format.
 */
unsigned svm_probe(void);
unsigned vmx_probe(void);

/* Finds out what there is, once, on the first CPU, before any space is created. */
void virt_init(void);

/* The MSRs that may be delegated to guests: those that the NOVA MSR space permits. */
void msr_allow(struct space_bitmap *nova);

/* Switches it on, on this CPU. */
void virt_enable(struct cpu *cpu);

/* The parts of ec_create and ec_destroy that are about virtualization. vcpu_forget: on the vCPU's CPU. */
struct ec *vcpu_alloc(struct pd *pd);
void vcpu_init(struct vcpu *vcpu, bool offset);
void vcpu_forget(struct cpu *cpu, struct vcpu *vcpu);
void vcpu_free(struct vcpu *vcpu, struct pd *pd);

/* State of a guest EC to and from its handler's UTCB, as an MTD demands. `handler` names the spaces of SPACES. */
void vcpu_state_out(struct vcpu *vcpu, struct nova_arch_state *state, uint32_t mtd);
bool vcpu_state_in(struct vcpu *vcpu, const struct ec *handler, const struct nova_arch_state *state,
                   uint32_t mtd);

_Noreturn void vcpu_run(struct cpu *cpu, struct vcpu *vcpu);
_Noreturn void vcpu_event(struct cpu *cpu, struct vcpu *vcpu, unsigned event);
_Noreturn void vcpu_interrupt(struct cpu *cpu, struct vcpu *vcpu);

/* ipc_reply of a handler to a guest: the fast path. */
_Noreturn void vcpu_reply(struct cpu *cpu, struct ec *handler, struct vcpu *vcpu, uint64_t mtd);

/* The rare parts of the next two. */
void vcpu_refresh(struct cpu *cpu, struct vcpu *vcpu);
void vcpu_load_debug(struct cpu *cpu, struct vcpu *vcpu);

/* XCR0 and TSC_AUX of a guest, and back to those of the host. */
void vcpu_load(struct vcpu *vcpu);
void vcpu_unload(struct vcpu *vcpu);

/* Last thing before the guest is entered, and the first thing after it was left. */
static inline void vcpu_enter(struct cpu *cpu, struct vcpu *vcpu)
{
    if (UNLIKELY(cpu->debug_owner != vcpu))
        vcpu_load_debug(cpu, vcpu);
    /* Who changes the space looks at cpu->gst after that; so either the new generation is seen here, or an
     * interrupt comes and ends the run. */
    if (UNLIKELY(cpu->gst != vcpu->gst))
        __atomic_store_n(&cpu->gst, vcpu->gst, __ATOMIC_SEQ_CST);
    if (UNLIKELY(vcpu->generation != __atomic_load_n(&vcpu->gst->generation, __ATOMIC_SEQ_CST) ||
                 vcpu->tag >> 16 != cpu->tag_generation))
        vcpu_refresh(cpu, vcpu);
    if (UNLIKELY(!vcpu->ec.fpu))
        vcpu_load(vcpu);
}

static inline void vcpu_left(struct vcpu *vcpu)
{
    if (UNLIKELY(!vcpu->ec.fpu))
        vcpu_unload(vcpu);
}
