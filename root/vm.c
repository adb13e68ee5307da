/*
 * Virtual machines: what their domains have on top of others. The domain's own port space, which is empty,
 * serves the guest as well: every port exits.
 *
 * SPDX-License-Identifier: MIT
 */

#include "domain.h"

#include <nova/parent.h>

/*
 * MSRs that guests may access without exit, as far as the microhypervisor permits it: those whose values it
 * switches with the virtual CPU.
 */
static const struct {
    uint32_t first, count;
} msrs[] = {
    {0x174, 3},      /* SYSENTER_CS, SYSENTER_ESP, SYSENTER_EIP */
    {0x277, 1},      /* PAT */
    {0xc0000081, 4}, /* STAR, LSTAR, CSTAR, FMASK */
    {0xc0000100, 4}, /* FS_BASE, GS_BASE, KERNEL_GS_BASE, TSC_AUX */
};

static unsigned map_guest(const struct domain *d, uint64_t from, uint64_t to, uint64_t bytes)
{
    return delegate(SEL_NOVA_HST, DOMAIN_GST(d), from / PAGE_SIZE, to / PAGE_SIZE, bytes / PAGE_SIZE, 31,
                    NOVA_MEM_R | NOVA_MEM_W | NOVA_MEM_XU | NOVA_MEM_XS, NOVA_MAD_WB);
}

bool vm_build(struct domain *d)
{
    uint64_t size = d->info->guest_size, low = size < NOVA_GUEST_LOW_END ? size : NOVA_GUEST_LOW_END;
    bool failed = nova_hc_create_pd(DOMAIN_GST(d), DOMAIN_PD(d), NOVA_PD_GST) ||
                  map_guest(d, d->guest, 0, low) ||
                  map_guest(d, d->guest + low, NOVA_GUEST_HIGH, size - low) ||
                  give(DOMAIN_GST(d), DOMAIN_OBJ(d), NOVA_SEL_GST, NOVA_SPC_ASSIGN) ||
                  give(DOMAIN_PIO(d), DOMAIN_OBJ(d), NOVA_SEL_PIO, NOVA_SPC_ASSIGN) ||
                  nova_hc_create_pd(SEL_NEW, DOMAIN_PD(d), NOVA_PD_MSR);

    for (unsigned i = 0; i < sizeof(msrs) / sizeof(*msrs); i++)
        failed = failed || delegate(SEL_NOVA_MSR, SEL_NEW, msrs[i].first, msrs[i].first, msrs[i].count, 0,
                                    NOVA_MSR_R | NOVA_MSR_W, 0);
    return failed || hand_over(SEL_NEW, DOMAIN_OBJ(d), NOVA_SEL_MSR, NOVA_SPC_ASSIGN);
}

int vm_vcpu(struct domain *d, uint64_t *word)
{
    uint64_t cpu = word[1], events = word[2], sel = word[3], page = NOVA_VCPU_ADDR + d->vcpus * PAGE_SIZE;
    int error;

    if (!domain_selectors(d, events, NOVA_EVT_GST_ARCH + 2) || !domain_selectors(d, sel, 2))
        return NOVA_ERR_INVAL;
    if (!domain_cpu(d, cpu) || !d->plan->vcpus)
        return NOVA_ERR_DENIED;
    if (d->vcpus >= d->plan->vcpus)
        return NOVA_ERR_LIMIT;
    error = domain_ec(d, cpu, page, 0, events, NOVA_EC_GUEST | NOVA_EC_OFFSET | NOVA_EC_FPU, sel,
                      NOVA_SCD(d->plan->priority - 1UL, BUDGET_MS));
    d->vcpus += !error;
    return error;
}
