/*
 * What the two halves of VMX share: running guests (virt/vmx.c) and their state (virt/vmx_state.c).
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef VIRT_VMX_H
#define VIRT_VMX_H

#include "virt/virt.h"

/* Execution controls of the VMM's choice, and those that the kernel insists on. */
struct vmx_controls {
    uint32_t primary_free, primary_forced, secondary_free, secondary_forced;
    uint32_t entry; /* without ENTRY_GUEST_64 */
};

extern struct vmx_controls vmx_controls;

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

/* Exceptions that always exit. */
uint32_t vmx_exceptions(const struct vcpu *v);

/* Keeps the pending debug exceptions as VM entry demands them. */
void vmx_pending_debug(void);

void vmx_state_out(struct vcpu *v, struct nova_arch_state *s, uint32_t mtd);
bool vmx_state_in(struct vcpu *v, const struct nova_arch_state *s, uint32_t mtd);

#endif
