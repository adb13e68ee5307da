/*
 * VMX: fields of the VMCS and the instructions (Intel SDM volume 3, chapters 25 and 31, appendixes A to C), and
 * what the two halves share: running guests (virt/vmx.c) and their state (virt/vmx_state.c).
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "virt/virt.h"

#define MSR_FEATURE_CONTROL 0x3a
#define FEATURE_LOCKED BIT(0)
#define FEATURE_VMX BIT(2)

#define MSR_VMX_BASIC 0x480
#define MSR_VMX_MISC 0x485
#define MSR_VMX_CR4_FIXED1 0x489
#define MSR_VMX_EPT_VPID 0x48c

#define PRIMARY_INTERRUPT_WINDOW BIT(2)
#define PRIMARY_TSC_OFFSET BIT(3)
#define PRIMARY_NMI_WINDOW BIT(22)
#define PRIMARY_WINDOWS (PRIMARY_INTERRUPT_WINDOW | PRIMARY_NMI_WINDOW)
#define ENTRY_GUEST_64 BIT(9)

/* Basic exit reasons that the kernel knows, and the bit of an entry that failed. */
#define REASON_EXCEPTION 0
#define REASON_INTERRUPT 1
#define REASON_CPUID 10
#define REASON_INVALID_STATE 33
#define REASON_MONITOR_TRAP 37
#define REASON_EPT_VIOLATION 48
#define REASON_TIMER 52
#define REASON_FAILED BIT(31)

/* Interruption information of an exit, and qualification of an EPT violation: the IRET that faulted had unblocked NMIs. */
#define UNBLOCKED_NMI BIT(12)

/* "VM entry with invalid control field(s)" */
#define ERROR_CONTROLS 7

/* Where `..` stands, fields follow each other in steps of 2 in the order of the manual. */
enum vmcs_field {
    VMCS_VPID = 0x0000,
    VMCS_GUEST_SELECTORS = 0x0800, /* .. */
    VMCS_HOST_SELECTORS = 0x0c00,  /* .. */
    VMCS_IO_BITMAPS = 0x2000,      /* .. */
    VMCS_MSR_BITMAP = 0x2004,
    VMCS_TSC_OFFSET = 0x2010,
    VMCS_APIC_PAGE = 0x2012,
    VMCS_EPT_POINTER = 0x201a,
    VMCS_XSS_EXITS = 0x202c,
    VMCS_PHYSICAL = 0x2400,
    VMCS_LINK = 0x2800,
    VMCS_DEBUGCTL = 0x2802,
    VMCS_PAT = 0x2804,
    VMCS_EFER = 0x2806,
    VMCS_PDPTE = 0x280a, /* .. */
    VMCS_HOST_PAT = 0x2c00,
    VMCS_HOST_EFER = 0x2c02,
    VMCS_CONTROLS = 0x4000, /* .. */
    VMCS_PRIMARY = 0x4002,
    VMCS_EXCEPTIONS = 0x4004,
    VMCS_PF_MASK = 0x4006,
    VMCS_PF_MATCH = 0x4008,
    VMCS_ENTRY = 0x4012,
    VMCS_ENTRY_INFO = 0x4016,
    VMCS_ENTRY_ERROR = 0x4018,
    VMCS_ENTRY_LENGTH = 0x401a,
    VMCS_TPR_THRESHOLD = 0x401c,
    VMCS_SECONDARY = 0x401e,
    VMCS_ERROR = 0x4400,
    VMCS_REASON = 0x4402,
    VMCS_EXIT_INFO = 0x4404,
    VMCS_EXIT_ERROR = 0x4406,
    VMCS_VECTORING = 0x4408,
    VMCS_VECTORING_ERROR = 0x440a,
    VMCS_LENGTH = 0x440c,
    VMCS_INSTRUCTION = 0x440e,
    VMCS_LIMITS = 0x4800, /* .. */
    VMCS_RIGHTS = 0x4814, /* .. */
    VMCS_INTERRUPTIBILITY = 0x4824,
    VMCS_ACTIVITY = 0x4826,
    VMCS_SYSENTER_CS = 0x482a,
    VMCS_TIMER = 0x482e,
    VMCS_HOST_SYSENTER_CS = 0x4c00,
    VMCS_CR_MASKS = 0x6000,   /* .. CR0, CR4 */
    VMCS_CR_SHADOWS = 0x6004, /* .. CR0, CR4 */
    VMCS_QUALIFICATION = 0x6400,
    VMCS_LINEAR = 0x640a,
    VMCS_CRS = 0x6800, /* .. CR0, CR3, CR4 */
    VMCS_CR3 = 0x6802,
    VMCS_BASES = 0x6806, /* .. */
    VMCS_DR7 = 0x681a,
    VMCS_RSP = 0x681c,
    VMCS_RIP = 0x681e,
    VMCS_RFLAGS = 0x6820,
    VMCS_PENDING_DEBUG = 0x6822,
    VMCS_SYSENTER_ESP = 0x6824,
    VMCS_SYSENTER_EIP = 0x6826,
    VMCS_HOST = 0x6c00, /* .. */
    VMCS_HOST_CR3 = 0x6c02
};

/* Fields that the CPU does not have read as 0 here; writing them has no effect. */
static inline uint64_t vmread(unsigned field)
{
    uint64_t value = 0;

    __asm__ volatile("vmread %1, %0" : "+r"(value) : "r"((uint64_t)field) : "cc");
    return value;
}

static inline void vmwrite(unsigned field, uint64_t value)
{
    __asm__ volatile("vmwrite %1, %0" : : "r"((uint64_t)field), "r"(value) : "cc");
}

/* The three that take the physical address of a region; true if they succeed. */
#define VMX_REGION(name)                                                                                     \
    static inline bool name(uint64_t phys)                                                                   \
    {                                                                                                        \
        bool ok;                                                                                             \
        __asm__ volatile(#name " %1" : "=@cca"(ok) : "m"(phys) : "memory");                                  \
        return ok;                                                                                           \
    }

VMX_REGION(vmxon)
VMX_REGION(vmclear)
VMX_REGION(vmptrld)

/* For one EPT pointer, and for all VPIDs. */
static inline void invept(uint64_t pointer)
{
    uint64_t descriptor[2] = {pointer, 0};

    __asm__ volatile("invept %0, %1" : : "m"(descriptor), "r"(1UL) : "cc", "memory");
}

static inline void invvpid(void)
{
    uint64_t descriptor[2] = {0, 0};

    __asm__ volatile("invvpid %0, %1" : : "m"(descriptor), "r"(2UL) : "cc", "memory");
}

/* A field of controls: what the kernel insists on, what it takes if it is there, and what VMMs may choose. */
extern struct vmx_control {
    uint32_t msr; /* that tells what the CPU allows */
    uint32_t forced, wished, free; /* once chosen, `forced` has what was wished */
} vmx_controls[];

enum { VMX_PIN, VMX_PRIMARY, VMX_SECONDARY, VMX_EXIT, VMX_ENTRY }; /* without ENTRY_GUEST_64 */

/*
 * CR0 and CR4. Guests own some bits, unless their VMM intercepts them. The others have a fixed value; what the guest
 * reads there are those of the virtual bits that it, or its VMM, has set.
 */
struct vmx_cr {
    uint64_t guest, fixed, virtual;
};

extern struct vmx_cr vmx_cr[2];

/* Makes the VMCS of a vCPU the one that vmread and vmwrite access. */
void vmx_switch(struct vcpu *v);

static inline void vmx_load(struct vcpu *v)
{
    if (UNLIKELY(v->ec.cpu->virt_current != v))
        vmx_switch(v);
}

void vmx_set_primary(struct vcpu *v, uint32_t primary);

/* Keeps the pending debug exceptions as VM entry demands them. */
void vmx_pending_debug(void);

void vmx_state_out(struct vcpu *v, struct nova_arch_state *s, uint32_t mtd);
bool vmx_state_in(struct vcpu *v, const struct nova_arch_state *s, uint32_t mtd);
