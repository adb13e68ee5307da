/*
 * The MSRs that guests may be permitted to use without an exit (specification, 8.2.3): one list for VMX and SVM.
 *
 * All of them either belong to the vCPU while it runs, or are harmless. What is not on the list always exits.
 *
 * SPDX-License-Identifier: MIT
 */

#include "nova/abi/hip.h"
#include "virt/virt.h"

#define R NOVA_MSR_R
#define W NOVA_MSR_W
#define VMX 0x80 /* not with SVM */
#define SVM 0x40 /* only with SVM */

/* One or several in a row. The names without IA32_. */
static const struct {
    uint32_t first;
    uint8_t count, perms;
} list[] = {
    {0x10, 1, R},                 /* TSC */
    {0x17, 1, R},                 /* PLATFORM_ID */
    {0x49, 1, W},                 /* PRED_CMD */
    {0x8b, 5, R},                 /* BIOS_SIGN_ID, SGXLEPUBKEYHASH0 to 3 */
    {0xcf, 1, R},                 /* CORE_CAPABILITIES */
    {0xe7, 2, R},                 /* MPERF, APERF */
    {0xfe, 1, R},                 /* MTRR_CAP */
    {0x10a, 1, R},                /* ARCH_CAPABILITIES */
    {0x10b, 1, W},                /* FLUSH_CMD */
    {0x123, 1, R},                /* MCU_OPT_CTRL */
    {0x174, 3, R | W},            /* SYSENTER_CS, SYSENTER_ESP, SYSENTER_EIP */
    {0x195, 1, R},                /* OVERCLOCKING_STATUS */
    {0x198, 1, R},                /* PERF_STATUS */
    {0x19c, 1, R},                /* THERM_STATUS */
    {0x1b1, 1, R},                /* PACKAGE_THERM_STATUS */
    {0x277, 1, R | W | VMX},      /* PAT: emulators of SVM do not switch it */
    {0x500, 1, R},                /* SGX_SVN_STATUS */
    {0xda0, 1, R},                /* XSS */
    {0xc0000080, 1, R | W | VMX}, /* EFER: guests of SVM would see SVME, and could clear it */
    {0xc0000081, 2, R},           /* STAR, LSTAR */
    {0xc0000083, 1, R | W | SVM}, /* CSTAR: has no place in the UTCB; only AMD CPUs use it */
    {0xc0000084, 1, R},           /* FMASK */
    {0xc0000100, 3, R | W},       /* FS_BASE, GS_BASE, KERNEL_GS_BASE */
    {0xc0000103, 1, R},           /* TSC_AUX */
};

void msr_allow(struct space_bitmap *nova)
{
    uint8_t wrong = virt && virt->feature == NOVA_FEATURE_SVM ? VMX : SVM;

    for (unsigned i = 0; i < ARRAY_SIZE(list); i++)
        for (unsigned n = 0; n < list[i].count && !(list[i].perms & wrong); n++)
            bitmap_permit_msr(nova, list[i].first + n, list[i].perms);
}
