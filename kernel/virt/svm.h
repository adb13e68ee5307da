/*
 * The virtual machine control block (AMD64 manual volume 2, appendix B), and its constants (15.6 to 15.25, appendix C).
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "lib/util.h"
#include "nova/abi/utcb.h"

struct vmcb {
    uint16_t cr_read, cr_write; /* intercepts, one bit for each register, vector or instruction */
    uint16_t dr_read, dr_write;
    uint32_t exceptions;
    uint32_t misc1, misc2, misc3;
    uint8_t reserved0[0x40 - 0x18];
    uint64_t iopm, msrpm;
    uint64_t tsc_offset;
    uint32_t asid;
    uint32_t tlb_control;
    uint64_t virq; /* V_TPR, V_IRQ and so on */
    uint64_t shadow;
    uint64_t exit_code, exit_info1, exit_info2;
    uint64_t exit_int; /* event whose delivery was interrupted */
    uint64_t nested_paging;
    uint8_t reserved1[0xa8 - 0x98];
    uint64_t inject;
    uint64_t nested_cr3;
    uint64_t lbr, clean;
    uint64_t next_rip;
    uint8_t reserved2[0x400 - 0xd0];

    /* Saved state. The access rights of segments are those of the UTCB, but that P tells whether it is usable. */
    struct nova_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
    uint8_t reserved3[0x4cb - 0x4a0];
    uint8_t cpl;
    uint32_t reserved4;
    uint64_t efer;
    uint8_t reserved5[0x548 - 0x4d8];
    uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
    uint8_t reserved6[0x5d8 - 0x580];
    uint64_t rsp;
    uint8_t reserved7[0x5f8 - 0x5e0];
    uint64_t rax, star, lstar, cstar, fmask, kernel_gs_base, sysenter_cs, sysenter_esp, sysenter_eip, cr2;
    uint8_t reserved8[0x668 - 0x648];
    uint64_t pat;
};

_Static_assert(offsetof(struct vmcb, iopm) == 0x40 && offsetof(struct vmcb, virq) == 0x60 &&
                   offsetof(struct vmcb, inject) == 0xa8 && offsetof(struct vmcb, next_rip) == 0xc8 &&
                   offsetof(struct vmcb, es) == 0x400 && offsetof(struct vmcb, cpl) == 0x4cb &&
                   offsetof(struct vmcb, efer) == 0x4d0 && offsetof(struct vmcb, cr4) == 0x548 &&
                   offsetof(struct vmcb, rsp) == 0x5d8 && offsetof(struct vmcb, rax) == 0x5f8 &&
                   offsetof(struct vmcb, cr2) == 0x640 && offsetof(struct vmcb, pat) == 0x668,
               "VMCB layout");

#define MSR_VM_CR 0xc0010114
#define VM_CR_SVMDIS BIT(4)
#define MSR_VM_HSAVE_PA 0xc0010117
#define EFER_SVME BIT(12)

/* Intercepts that the kernel decides about alone: INTR, NMI, SMI, INIT; VINTR; IRET. SMIs are left to the firmware. */
#define MISC1_KERNEL 0x0010001fU
#define MISC1_VINTR 0x00000010U
#define MISC1_IRET 0x00100000U

/* What always exits: INTR, NMI, INIT; CR0 bits other than TS and MP; RDPMC, CPUID, INVD, HLT, INVLPGA, I/O, MSRs, task
 * switch, FERR_FREEZE, shutdown. */
#define MISC1_FORCED 0xfd44802bU

/* VMRUN, VMMCALL, VMLOAD, VMSAVE, STGI, CLGI, SKINIT; WBINVD; MONITOR, MWAIT twice; XSETBV, RDPRU. */
#define MISC2_FORCED 0x00007e7fU

#define VIRQ_TPR 0xfULL
#define VIRQ_PENDING BIT(8)                                 /* V_IRQ */
#define VIRQ_WANTED (VIRQ_PENDING | 0xfULL << 16 | BIT(20)) /* of the highest priority, whatever the TPR */
#define VIRQ_VECTOR 32                                      /* lowest bit of 8 */
#define VIRQ_MASKING BIT(24) /* RFLAGS.IF of the host masks interrupts, not the guest's */

#define TLB_FLUSH_ALL 1U

/* Exit codes. */
#define EXIT_EXCEPTION 0x40 /* plus the vector */
#define EXIT_INTR 0x60
#define EXIT_NMI 0x61
#define EXIT_INIT 0x63
#define EXIT_VINTR 0x64
#define EXIT_IRET 0x74
#define EXIT_IOIO 0x7b
#define EXIT_NPF 0x400
