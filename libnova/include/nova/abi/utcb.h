/*
 * User thread control block and message transfer descriptor.
 *
 * NOVA Microhypervisor Interface Specification (July 27, 2024), sections 4.3, 4.4, 8.7.3, 8.7.4.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef NOVA_ABI_UTCB_H
#define NOVA_ABI_UTCB_H

/* Regular IPC: number of message words in the UTCB, and the MTD that transfers n of them. */
#define NOVA_UTCB_WORDS 512
#define NOVA_MTD_WORDS(n) ((n) - 1)

/* Architectural IPC: message transfer descriptor. */
#define NOVA_MTD_POISON (1U << 0)
#define NOVA_MTD_GPR_0_7 (1U << 1)
#define NOVA_MTD_GPR_8_15 (1U << 2)
#define NOVA_MTD_RFLAGS (1U << 3)
#define NOVA_MTD_RIP (1U << 4)
#define NOVA_MTD_STA (1U << 5)
#define NOVA_MTD_QUAL (1U << 6)
#define NOVA_MTD_CTRL (1U << 7)
#define NOVA_MTD_TPR (1U << 8)
#define NOVA_MTD_INJ (1U << 9)
#define NOVA_MTD_CS_SS (1U << 10)
#define NOVA_MTD_DS_ES (1U << 11)
#define NOVA_MTD_FS_GS (1U << 12)
#define NOVA_MTD_TR (1U << 13)
#define NOVA_MTD_LDTR (1U << 14)
#define NOVA_MTD_GDTR (1U << 15)
#define NOVA_MTD_IDTR (1U << 16)
#define NOVA_MTD_PDPTE (1U << 17)
#define NOVA_MTD_CR (1U << 18)
#define NOVA_MTD_DR (1U << 19)
#define NOVA_MTD_XSAVE (1U << 20)
#define NOVA_MTD_SGX (1U << 21)
#define NOVA_MTD_APIC (1U << 22)
#define NOVA_MTD_SYSCALL (1U << 23)
#define NOVA_MTD_SYSENTER (1U << 24)
#define NOVA_MTD_PAT (1U << 25)
#define NOVA_MTD_EFER (1U << 26)
#define NOVA_MTD_KERNEL_GS (1U << 27)
#define NOVA_MTD_TSC (1U << 28)
#define NOVA_MTD_TLB (1U << 29)
#define NOVA_MTD_FPU (1U << 30)
#define NOVA_MTD_SPACES (1U << 31)

#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>

/* Segment register: access rights in the compact form of section 8.7.3.1. */
struct nova_segment {
    uint16_t sel;
    uint16_t ar;
    uint32_t limit;
    uint64_t base;
};

/* Architectural layout of the UTCB. */
struct nova_arch_state {
    uint64_t gpr[16]; /* RAX RCX RDX RBX RSP RBP RSI RDI R8 ... R15 */
    uint64_t rflags;
    uint64_t rip;
    uint32_t inst_len;
    uint32_t inst_info;
    uint32_t intr_state;
    uint32_t actv_state;
    uint64_t qual[3];
    uint64_t reserved;
    uint32_t ctrl_pri;
    uint32_t ctrl_sec;
    uint64_t ctrl_ter;
    uint64_t cr0_intercepts;
    uint64_t cr4_intercepts;
    uint32_t exc_intercepts;
    uint32_t pf_mask;
    uint32_t pf_match;
    uint32_t tpr_threshold;
    uint32_t inj_info;
    uint32_t inj_error;
    uint32_t vect_info;
    uint32_t vect_error;
    struct nova_segment cs, ss, ds, es, fs, gs, tr, ldtr, gdtr, idtr;
    uint64_t pdpte[4];
    uint64_t cr0, cr2, cr3, cr4, cr8;
    uint64_t dr7;
    uint64_t xcr0, xss;
    uint64_t sgx_hash[4];
    uint64_t apic_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat, efer;
    uint64_t star, lstar, fmask, kernel_gs_base;
    uint64_t tsc_aux;
    uint64_t sel_gst, sel_pio, sel_msr;
};

/* One page; the regular and the architectural layout overlap. */
union nova_utcb {
    uint64_t word[NOVA_UTCB_WORDS];
    struct nova_arch_state arch;
};

_Static_assert(offsetof(struct nova_arch_state, rflags) == 0x080, "UTCB layout");
_Static_assert(offsetof(struct nova_arch_state, qual) == 0x0a0, "UTCB layout");
_Static_assert(offsetof(struct nova_arch_state, ctrl_pri) == 0x0c0, "UTCB layout");
_Static_assert(offsetof(struct nova_arch_state, inj_info) == 0x0f0, "UTCB layout");
_Static_assert(offsetof(struct nova_arch_state, cs) == 0x100, "UTCB layout");
_Static_assert(offsetof(struct nova_arch_state, pdpte) == 0x1a0, "UTCB layout");
_Static_assert(offsetof(struct nova_arch_state, sgx_hash) == 0x200, "UTCB layout");
_Static_assert(offsetof(struct nova_arch_state, tsc_aux) == 0x270, "UTCB layout");
_Static_assert(sizeof(struct nova_arch_state) == 0x290, "UTCB layout");
_Static_assert(sizeof(union nova_utcb) == 4096, "UTCB size");

#endif /* __ASSEMBLER__ */

#endif
