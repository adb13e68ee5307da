/*
 * What the two halves of VMX share: running guests (virt/vmx.c) and their state (virt/vmx_state.c).
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef VIRT_VMX_H
#define VIRT_VMX_H

#include "virt/virt.h"

/* A field of controls: what the kernel insists on, and with it what it takes if it is there; what VMMs may choose. */
extern struct vmx_control {
    uint32_t msr; /* that tells what the CPU allows */
    uint32_t forced, wished, free;
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

#endif
