/*
 * Intel VMX: switching it on, the life of a VMCS, VM entries and exits. Guests run with EPT, VPID and as
 * unrestricted guests; a CPU that lacks a part of that offers no virtualization at all.
 *
 * A CPU keeps the VMCS of one vCPU current (cpu->virt_current) until it needs another one, and with it that guest's
 * KERNEL_GS_BASE: the host has no use for this register. All else of the host is back before C code runs, or first
 * thing then.
 *
 * Intel SDM volume 3, chapters 24 to 31.
 *
 * SPDX-License-Identifier: MIT
 */

#include "virt/vmx.h"

#include "lib/panic.h"
#include "nova/abi/hip.h"
#include "x86/clock.h"
#include "x86/cpu.h"

/*
 * Controls (Intel SDM volume 3, 25.6 to 25.8).
 *
 * Pin-based: interrupts 0, NMIs 3, virtual NMIs 5; preemption timer 6.
 * Primary:   HLT 7, MWAIT 10, RDPMC 11, TPR shadow 21, I/O bitmaps 25, MSR bitmaps 28, MONITOR 29, secondary 31;
 *            INVLPG 9, RDTSC 12, loads and stores of CR3 15 and 16, of CR8 19 and 20, MOV DR 23, monitor trap 27, PAUSE 30.
 * Secondary: EPT 1, VPID 5, unrestricted guest 7; WBINVD 6;
 *            descriptor tables 2, RDTSCP 3, RDRAND 11, INVPCID 12, RDSEED 16, XSAVES 20.
 * Exit:      save DR7 2, 64-bit host 9, save and load PAT 18 and 19, EFER 20 and 21.
 * Entry:     load DR7 2, PAT 14, EFER 15.
 */
struct vmx_control vmx_controls[] = {
    [VMX_PIN] = {.msr = 0x48d, .forced = 0x29, .wished = 0x40},
    [VMX_PRIMARY] = {.msr = 0x48e, .forced = 0xb2200c80, .free = 0x48999200},
    [VMX_SECONDARY] = {.msr = 0x48b, .forced = 0xa2, .wished = 0x40, .free = 0x11180c},
    [VMX_EXIT] = {.msr = 0x48f, .forced = 0x3c0204},
    [VMX_ENTRY] = {.msr = 0x490, .forced = 0xc004},
};

/* EPT with 4 levels and write-back tables; INVEPT for one or all; INVVPID for one or all. */
#define EPT_VPID_FORCED 0x0000060106104040UL
#define EPT_2M BIT(16)
#define EPT_1G BIT(17)

#define BASIC_32_BIT BIT(48)                    /* addresses of regions */
#define BASIC_TYPE(basic) ((basic) >> 50 & 0xf) /* of memory for them; 6: write-back */
#define BASIC_TRUE BIT(55)                      /* controls have MSRs 0x48d to 0x490 */

/*
 * CR0, guest: PG 31, AM 18, WP 16, TS 3, EM 2, MP 1, PE 0; fixed: NE 5, ET 4; virtual: CD 30, NW 29 as well.
 * CR4, guest: SMAP 21, SMEP 20, OSXSAVE 18, PCIDE 17, FSGSBASE 16, UMIP 11, OSXMMEXCPT 10 to PGE 7, PAE 5 to VME 0;
 * fixed: VMXE 13, and MCE 6, or a machine check would stop the CPU; virtual: MCE. What else there is needs state
 * that nobody switches (protection keys, CET), or page tables that are not supported (LA57).
 */
struct vmx_cr vmx_cr[2] = {
    {.guest = 0x8005000f, .fixed = 0x30, .virtual = 0x60000030},
    {.guest = 0x370fbf, .fixed = 0x2040, .virtual = 0x40},
};

/* VPIDs in use before they all are used again: more are not worth it. */
#define TAGS 4096

/*
 * How long a guest runs without an exit at most. Interrupts of the host end a run anyway, but Bochs keeps them back
 * while a guest that was entered with RFLAGS.IF clear has not changed it.
 */
#define TIMER_MS 4

#define EPTP_BITS 0x1eUL /* 4 levels, tables are write-back */
#define DR6_EVENTS 0xe00fUL
#define DR7_GD BIT(13)
#define INJ_TYPE_OTHER 7U /* a monitor trap for the VMM: pointless, and Bochs stops */

static bool enabled_by_firmware(void)
{
    uint64_t control = rdmsr(MSR_FEATURE_CONTROL);

    return !(control & FEATURE_LOCKED) || control & FEATURE_VMX;
}

/* Appendix A.3 to A.5: bits that must be 1 below, that may be 1 above. False if what is forced may not be. */
static bool choose_controls(void)
{
    for (struct vmx_control *c = vmx_controls; c < vmx_controls + ARRAY_SIZE(vmx_controls); c++) {
        uint64_t capability = rdmsr(c->msr);
        uint32_t allowed = (uint32_t)(capability >> 32);
        if (c->forced & ~allowed)
            return false;
        c->forced |= (uint32_t)capability | (c->wished & allowed);
        c->free &= allowed;
    }
    return true;
}

unsigned vmx_probe(void)
{
    uint64_t basic, ept_vpid;

    if (!(cpuid(1, 0).ecx >> 5 & 1) || !enabled_by_firmware())
        return 0;
    basic = rdmsr(MSR_VMX_BASIC);
    if (!(basic & BASIC_TRUE) || BASIC_TYPE(basic) != 6 || basic & BASIC_32_BIT || !choose_controls())
        return 0;
    ept_vpid = rdmsr(MSR_VMX_EPT_VPID);
    if (EPT_VPID_FORCED & ~ept_vpid)
        return 0;
    ptab_ept.leaf_levels = ept_vpid & EPT_1G ? 3 : ept_vpid & EPT_2M ? 2 : 1;
    vmx_cr[1].guest &= rdmsr(MSR_VMX_CR4_FIXED1);
    return TAGS;
}

static void vmx_enable(struct cpu *cpu)
{
    uint32_t *region = page_alloc(0, 0);

    if (!region || !enabled_by_firmware())
        panic("no VMX on CPU %u", cpu->id);
    if (!(rdmsr(MSR_FEATURE_CONTROL) & FEATURE_LOCKED))
        wrmsr(MSR_FEATURE_CONTROL, rdmsr(MSR_FEATURE_CONTROL) | FEATURE_LOCKED | FEATURE_VMX);
    *region = (uint32_t)rdmsr(MSR_VMX_BASIC);
    cpu->virt_host = phys_of(region);
    write_cr4(read_cr4() | vmx_cr[1].fixed);
    if (!vmxon(cpu->virt_host))
        panic("VMXON fails on CPU %u", cpu->id);
}

static void vmx_create(struct vcpu *v)
{
    *(uint32_t *)v->hw = (uint32_t)rdmsr(MSR_VMX_BASIC);
    v->primary = vmx_controls[VMX_PRIMARY].forced | (v->tsc_offset ? PRIMARY_TSC_OFFSET : 0);
    v->ec.frame.gpr[R_RAX] = vmx_controls[VMX_PRIMARY].free | vmx_controls[VMX_PRIMARY].forced;
    v->ec.frame.gpr[R_RCX] = vmx_controls[VMX_SECONDARY].free | vmx_controls[VMX_SECONDARY].forced;
}

void vmx_set_primary(struct vcpu *v, uint32_t primary)
{
    if (primary != v->primary) {
        v->primary = primary;
        vmwrite(VMCS_PRIMARY, primary);
    }
}

static void write_fields(unsigned field, const uint64_t *values, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        vmwrite(field + 2 * i, values[i]);
}

/* Intel SDM volume 3, 25.5: what the CPU loads at each exit. */
static void prepare_host(struct vcpu *v)
{
    extern char vmx_exit[];
    uint64_t cr0 = CPU_CR0 | (v->ec.fpu ? 0 : CR0_TS), tss = (uintptr_t)&v->ec.cpu->tss;
    uint64_t gdt = (uintptr_t)v->ec.cpu->gdt, stack = (uintptr_t)&v->ec.frame, rip = (uintptr_t)vmx_exit;
    /* CR0, CR3, CR4; bases of FS, GS, TR, GDTR, IDTR; SYSENTER_ESP, SYSENTER_EIP; RSP, RIP */
    const uint64_t host[] = {cr0, 0, read_cr4(), 0, 0, tss, gdt, (uintptr_t)idt, 0, 0, stack, rip};
    /* ES, CS, SS, DS, FS, GS, TR */
    static const uint64_t selectors[] = {0, SEL_KERNEL_CODE, 0, 0, 0, 0, SEL_TSS};

    write_fields(VMCS_HOST, host, ARRAY_SIZE(host));
    write_fields(VMCS_HOST_SELECTORS, selectors, ARRAY_SIZE(selectors));
    vmwrite(VMCS_HOST_PAT, rdmsr(MSR_PAT));
    vmwrite(VMCS_HOST_EFER, rdmsr(MSR_EFER));
    vmwrite(VMCS_HOST_SYSENTER_CS, 0);
}

/* The guest's state is all zero: its VMM has to fill it in. */
static void prepare_guest(struct vcpu *v)
{
    static const struct nova_arch_state nothing;
    uint32_t pin = vmx_controls[VMX_PIN].forced, exit = vmx_controls[VMX_EXIT].forced;
    uint32_t entry = vmx_controls[VMX_ENTRY].forced;
    /* Zero: exceptions, page faults (2), CR3 targets; MSRs at exits (2); MSRs and injection at entries */
    const uint64_t controls[] = {pin, v->primary, 0, 0, 0, 0, exit, 0, 0, entry, 0, 0};

    write_fields(VMCS_CONTROLS, controls, ARRAY_SIZE(controls));
    vmwrite(VMCS_TIMER, clock_ticks(TIMER_MS) >> (rdmsr(MSR_VMX_MISC) & 0x1f));
    vmwrite(VMCS_TSC_OFFSET, v->tsc_offset);
    vmwrite(VMCS_APIC_PAGE, phys_of(v->ec.utcb));
    vmwrite(VMCS_LINK, UINT64_MAX);
    vmwrite(VMCS_XSS_EXITS, 0);
    vmwrite(VMCS_DEBUGCTL, 0);
    vmwrite(VMCS_PENDING_DEBUG, 0);
    vmx_state_in(v, &nothing, ~0U);
}

void vmx_switch(struct vcpu *v)
{
    struct cpu *cpu = v->ec.cpu;
    struct vcpu *old = cpu->virt_current;

    if (old)
        old->kernel_gs_base = rdmsr(MSR_KERNEL_GS_BASE);
    wrmsr(MSR_KERNEL_GS_BASE, v->kernel_gs_base);
    cpu->virt_current = v;
    if ((!v->prepared && !vmclear(v->hw_phys)) || !vmptrld(v->hw_phys))
        panic("VMCS at %#lx cannot be loaded", v->hw_phys);
    if (!v->prepared) {
        v->prepared = true;
        prepare_host(v);
        prepare_guest(v);
    }
}

static void vmx_destroy(struct vcpu *v)
{
    struct cpu *cpu = v->ec.cpu;

    if (cpu->virt_current == v)
        cpu->virt_current = 0;
    vmclear(v->hw_phys);
}

static inline uint64_t ept_pointer(const struct vcpu *v)
{
    return phys_of(v->gst->mem.ptab.root) | EPTP_BITS;
}

static void vmx_assign(struct vcpu *v)
{
    vmx_load(v);
    vmwrite(VMCS_EPT_POINTER, ept_pointer(v));
    vmwrite(VMCS_IO_BITMAPS, phys_of(v->pio->bitmap));
    vmwrite(VMCS_IO_BITMAPS + 2, phys_of(v->pio->bitmap) + PAGE_SIZE);
    vmwrite(VMCS_MSR_BITMAP, phys_of(v->msr->bitmap));
}

static void vmx_flush(struct vcpu *v, bool space, bool all)
{
    if (all)
        invvpid();
    if (space)
        invept(ept_pointer(v));
    vmwrite(VMCS_VPID, v->tag & 0xffff);
}

/* The state is refused. The VMM has a chance to correct it; what was to be injected is forgotten. */
static _Noreturn void refused(struct vcpu *v)
{
    v->inj_info &= INJ_WINDOWS;
    vmwrite(VMCS_ENTRY_INFO, 0);
    vcpu_event(v->ec.cpu, v, REASON_INVALID_STATE);
}

_Noreturn void vmx_enter(struct vcpu *v, bool launched);

static __attribute__((noinline)) void inject(struct vcpu *v)
{
    uint32_t intr = v->inj_info & INJ_WINDOW_INTR ? PRIMARY_INTERRUPT_WINDOW : 0;
    uint32_t nmi = v->inj_info & INJ_WINDOW_NMI ? PRIMARY_NMI_WINDOW : 0;

    vmx_set_primary(v, (v->primary & ~(uint32_t)PRIMARY_WINDOWS) | intr | nmi);
    if (v->inj_info & INJ_VALID) {
        if (INJ_TYPE(v->inj_info) == INJ_TYPE_OTHER)
            refused(v);
        vmwrite(VMCS_ENTRY_INFO, v->inj_info & ~INJ_WINDOWS);
        vmwrite(VMCS_ENTRY_ERROR, v->inj_error);
    }
}

static __attribute__((noreturn)) void vmx_run(struct vcpu *v)
{
    uint64_t cr3 = read_cr3();

    vmx_load(v);
    if (UNLIKELY(v->inj_info || v->primary & PRIMARY_WINDOWS))
        inject(v);
    if (UNLIKELY(v->host_cr3 != cr3)) {
        v->host_cr3 = cr3;
        vmwrite(VMCS_HOST_CR3, cr3);
    }
    if (UNLIKELY(read_cr2() != v->cr2))
        write_cr2(v->cr2);
    write_dr6(v->dr6);
    wrmsr(MSR_STAR, v->star);
    wrmsr(MSR_LSTAR, v->lstar);
    wrmsr(MSR_FMASK, v->fmask);
    vcpu_enter(v->ec.cpu, v);
    vmx_enter(v, v->launched);
}

/* Back to what the host needs, after an exit as well as after an entry that failed. */
static void host_again(struct vcpu *v)
{
    v->cr2 = read_cr2();
    v->dr6 = read_dr6();
    descriptors_reload(
        v->ec.cpu); /* an exit leaves limits of 64 KiB (no matter for the IDT) and a TSS without bitmap */
    vcpu_left(v);
}

/* From virt/vmx_entry.S. */
_Noreturn void vmx_refused(struct vcpu *v)
{
    uint64_t error = vmread(VMCS_ERROR);

    host_again(v);
    if (error != ERROR_CONTROLS)
        panic("VM entry fails with error %lu", error);
    refused(v);
}

/* Intel SDM volume 3, 28.2.3 and 31.7.1.2: the IRET is going to be repeated, so NMIs have to be blocked as before. */
static void block_nmi_again(void)
{
    if (!(vmread(VMCS_VECTORING) & INJ_VALID))
        vmwrite(VMCS_INTERRUPTIBILITY, vmread(VMCS_INTERRUPTIBILITY) | STA_NMI);
}

/*
 * #DB and #AC exit so that no guest can keep the CPU busy delivering them for ever (each delivery can cause the
 * next one: a #DB even before the guest could be interrupted, so that is done here). The guest gets them, unless the
 * VMM wants them; not if they came from a delivery: that is for the VMM as well.
 * Exits for #DB leave DR6 and DR7.GD alone (Intel SDM volume 3, 28.2.1).
 */
static __attribute__((noinline)) void exception(struct vcpu *v)
{
    uint32_t info = (uint32_t)vmread(VMCS_EXIT_INFO), vector = info & INJ_VECTOR;

    if (INJ_TYPE(info) == INJ_TYPE_NMI) {
        __asm__ volatile("int $2" : : : "memory"); /* IRET unblocks further ones */
        leave(v->ec.cpu, &v->ec);
    }
    if (vector == VECTOR_MC)
        __asm__ volatile("int $18" : : : "memory");
    if (info & UNBLOCKED_NMI && vector != VECTOR_DF)
        block_nmi_again();
    if (vector == VECTOR_DB) {
        v->dr6 = (v->dr6 & ~0xfUL) | (vmread(VMCS_QUALIFICATION) & DR6_EVENTS);
        vmwrite(VMCS_DR7, vmread(VMCS_DR7) & ~DR7_GD);
        vmwrite(VMCS_PENDING_DEBUG, 0); /* Bochs leaves it (28.3.4) */
        vmx_pending_debug();
    }
    if ((vector == VECTOR_DB || vector == VECTOR_AC) && !(v->exceptions >> vector & 1) &&
        !(vmread(VMCS_VECTORING) & INJ_VALID)) {
        v->inj_info |= info & (INJ_VALID | 0xfff);
        v->inj_error = (uint32_t)vmread(VMCS_EXIT_ERROR);
        vmwrite(VMCS_ENTRY_LENGTH, vmread(VMCS_LENGTH));
        vcpu_interrupt(v->ec.cpu, v);
    }
}

/* From virt/vmx_entry.S. */
_Noreturn void vmx_exited(struct vcpu *v)
{
    uint32_t reason = (uint32_t)vmread(VMCS_REASON);

    host_again(v);
    if (UNLIKELY(reason & REASON_FAILED))
        refused(v);
    v->launched = true;
    v->inj_info &= INJ_WINDOWS;
    reason &= 0xffff;
    if (UNLIKELY(reason == REASON_INTERRUPT || reason == REASON_TIMER))
        vcpu_interrupt(v->ec.cpu, v);
    if (UNLIKELY(reason == REASON_EXCEPTION))
        exception(v);
    if (UNLIKELY(reason == REASON_EPT_VIOLATION) && vmread(VMCS_QUALIFICATION) & UNBLOCKED_NMI)
        block_nmi_again();
    vcpu_event(v->ec.cpu, v, LIKELY(reason < NOVA_EVT_GST_ARCH) ? reason : REASON_INVALID_STATE);
}

const struct virt_ops vmx_ops = {
    .feature = NOVA_FEATURE_VMX,
    .format = &ptab_ept,
    .invalid = REASON_INVALID_STATE,
    .apic_page = true,
    .enable = vmx_enable,
    .create = vmx_create,
    .destroy = vmx_destroy,
    .state_out = vmx_state_out,
    .state_in = vmx_state_in,
    .assign = vmx_assign,
    .flush = vmx_flush,
    .run = vmx_run,
};
