/*
 * The MSRs that guests may be permitted to use without an exit (specification, 8.2.3): one list for VMX and SVM.
 *
 * All of them either belong to the vCPU while it runs, or are harmless. What is not on the list always exits.
 *
 * SPDX-License-Identifier: MIT
 */

#include "nova/abi/cap.h"
#include "nova/abi/hip.h"
#include "virt/virt.h"

#define R NOVA_MSR_R
#define W NOVA_MSR_W
#define VMX 0x80 /* not with SVM */
#define SVM 0x40 /* only with SVM */

/* The names without IA32_. */
static const struct {
    uint32_t number;
    uint8_t perms;
} list[] = {
    {0x10, R},              /* TSC */
    {0x17, R},              /* PLATFORM_ID */
    {0x49, W},              /* PRED_CMD */
    {0x8b, R},              /* BIOS_SIGN_ID */
    {0x8c, R},              /* SGXLEPUBKEYHASH0 */
    {0x8d, R},              /* SGXLEPUBKEYHASH1 */
    {0x8e, R},              /* SGXLEPUBKEYHASH2 */
    {0x8f, R},              /* SGXLEPUBKEYHASH3 */
    {0xcf, R},              /* CORE_CAPABILITIES */
    {0xe7, R},              /* MPERF */
    {0xe8, R},              /* APERF */
    {0xfe, R},              /* MTRR_CAP */
    {0x10a, R},             /* ARCH_CAPABILITIES */
    {0x10b, W},             /* FLUSH_CMD */
    {0x123, R},             /* MCU_OPT_CTRL */
    {0x174, R | W},         /* SYSENTER_CS */
    {0x175, R | W},         /* SYSENTER_ESP */
    {0x176, R | W},         /* SYSENTER_EIP */
    {0x195, R},             /* OVERCLOCKING_STATUS */
    {0x198, R},             /* PERF_STATUS */
    {0x19c, R},             /* THERM_STATUS */
    {0x1b1, R},             /* PACKAGE_THERM_STATUS */
    {0x277, R | W | VMX},   /* PAT: emulators of SVM do not switch it */
    {0x500, R},             /* SGX_SVN_STATUS */
    {0xda0, R},             /* XSS */
    {0xc0000080, R | W | VMX}, /* EFER: guests of SVM would see SVME, and could clear it */
    {0xc0000081, R},        /* STAR */
    {0xc0000082, R},        /* LSTAR */
    {0xc0000083, R | W | SVM}, /* CSTAR: has no place in the UTCB; only AMD CPUs use it */
    {0xc0000084, R},        /* FMASK */
    {0xc0000100, R | W},    /* FS_BASE */
    {0xc0000101, R | W},    /* GS_BASE */
    {0xc0000102, R | W},    /* KERNEL_GS_BASE */
    {0xc0000103, R},        /* TSC_AUX */
};

void msr_allow(struct space_bitmap *nova)
{
    uint8_t wrong = virt && virt->feature == NOVA_FEATURE_SVM ? VMX : SVM;

    for (unsigned i = 0; i < ARRAY_SIZE(list); i++)
        if (!(list[i].perms & wrong))
            bitmap_permit_msr(nova, list[i].number, list[i].perms);
}
