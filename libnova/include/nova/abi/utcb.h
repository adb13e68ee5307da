/**
 * @file
 * User thread control block and message transfer descriptor.
 *
 * NOVA Microhypervisor Interface Specification (July 27, 2024), sections 4.3, 4.4, 8.7.3, 8.7.4. See also
 * @ref nova_message.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

/** @name Regular IPC
 * @{ */
#define NOVA_UTCB_WORDS 512         /**< Message words in a UTCB. */
#define NOVA_MTD_WORDS(n) ((n) - 1) /**< MTD that transfers n of them, 1 to 512. */
/** @} */

/** @name Architectural IPC: message transfer descriptor
 * What is marked as *guest* is not transferred for host ECs. "Out" is to the handler, "in" is back from it.
 * @{ */
#define NOVA_MTD_POISON (1U << 0)     /**< In only: kills the EC. */
#define NOVA_MTD_GPR_0_7 (1U << 1)    /**< RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI. */
#define NOVA_MTD_GPR_8_15 (1U << 2)   /**< R8 to R15. */
#define NOVA_MTD_RFLAGS (1U << 3)     /**< RFLAGS; in, for a host EC: only CF, PF, AF, ZF, SF, DF, OF. */
#define NOVA_MTD_RIP (1U << 4)        /**< RIP; of a guest also length and information of the instruction. */
#define NOVA_MTD_STA (1U << 5)        /**< Guest: interruptibility and activity state. */
#define NOVA_MTD_QUAL (1U << 6)       /**< Out only: error code, page-fault address; guest: qualifications. */
#define NOVA_MTD_CTRL (1U << 7)       /**< Guest, in only: execution controls and intercepts. */
#define NOVA_MTD_TPR (1U << 8)        /**< Guest, in only: TPR threshold. */
#define NOVA_MTD_INJ (1U << 9)        /**< Guest: injection; vectoring information (out only). */
#define NOVA_MTD_CS_SS (1U << 10)     /**< Guest: CS and SS. */
#define NOVA_MTD_DS_ES (1U << 11)     /**< Guest: DS and ES. */
#define NOVA_MTD_FS_GS (1U << 12)     /**< FS and GS; of a host EC the two bases (extension). */
#define NOVA_MTD_TR (1U << 13)        /**< Guest: TR. */
#define NOVA_MTD_LDTR (1U << 14)      /**< Guest: LDTR. */
#define NOVA_MTD_GDTR (1U << 15)      /**< Guest: GDTR. */
#define NOVA_MTD_IDTR (1U << 16)      /**< Guest: IDTR. */
#define NOVA_MTD_PDPTE (1U << 17)     /**< Guest: the four PDPTEs. */
#define NOVA_MTD_CR (1U << 18)        /**< Guest: CR0, CR2, CR3, CR4, CR8. */
#define NOVA_MTD_DR (1U << 19)        /**< Guest: DR7. */
#define NOVA_MTD_XSAVE (1U << 20)     /**< Guest: XCR0 and IA32_XSS. */
#define NOVA_MTD_SGX (1U << 21)       /**< Guest: hash of the launch key. */
#define NOVA_MTD_APIC (1U << 22)      /**< Guest, in only: address of the APIC access page. */
#define NOVA_MTD_SYSCALL (1U << 23)   /**< Guest: STAR, LSTAR, FMASK. */
#define NOVA_MTD_SYSENTER (1U << 24)  /**< Guest: SYSENTER_CS, SYSENTER_ESP, SYSENTER_EIP. */
#define NOVA_MTD_PAT (1U << 25)       /**< Guest: PAT. */
#define NOVA_MTD_EFER (1U << 26)      /**< Guest: EFER. */
#define NOVA_MTD_KERNEL_GS (1U << 27) /**< Guest: KERNEL_GS_BASE. */
#define NOVA_MTD_TSC (1U << 28)       /**< Guest: TSC_AUX. */
#define NOVA_MTD_TLB (1U << 29)       /**< Guest, in only: forget all translations. */
#define NOVA_MTD_FPU (1U << 30)       /**< Not used on x86-64. */
#define NOVA_MTD_SPACES (1U << 31)    /**< Guest, in only: assign the spaces named by their selectors. */
/** @} */

#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>

/**
 * Segment register.
 *
 * The access rights are compact: type 3:0, S 4, DPL 6:5, P 7, AVL 8, L 9, D/B 10, G 11, and unusable 12
 * (specification, section 8.7.3.1).
 */
struct nova_segment {
    uint16_t sel;   /**< Selector. */
    uint16_t ar;    /**< Access rights. */
    uint32_t limit; /**< Limit in bytes. */
    uint64_t base;  /**< Base address. */
};

/** Architectural layout of the UTCB. In parentheses: the MTD bit that transfers the field. */
struct nova_arch_state {
    uint64_t gpr[16];         /**< RAX RCX RDX RBX RSP RBP RSI RDI R8 ... R15 (GPR_0_7, GPR_8_15). */
    uint64_t rflags;          /**< (RFLAGS) */
    uint64_t rip;             /**< (RIP) */
    uint32_t inst_len;        /**< Instruction length (RIP). */
    uint32_t inst_info;       /**< Instruction information (RIP). */
    uint32_t intr_state;      /**< Interruptibility state (STA). */
    uint32_t actv_state;      /**< Activity state (STA). */
    uint64_t qual[3];         /**< Error code, page-fault address; guest: exit qualification, linear, physical
                                   address (QUAL). */
    uint64_t reserved;        /**< Not used. */
    uint32_t ctrl_pri;        /**< Primary execution controls (CTRL). */
    uint32_t ctrl_sec;        /**< Secondary execution controls (CTRL). */
    uint64_t ctrl_ter;        /**< Tertiary execution controls (CTRL). */
    uint64_t cr0_intercepts;  /**< Bits of CR0 whose change exits (CTRL). */
    uint64_t cr4_intercepts;  /**< Bits of CR4 whose change exits (CTRL). */
    uint32_t exc_intercepts;  /**< Exceptions that exit (CTRL). */
    uint32_t pf_mask;         /**< Page faults: mask for the error code (CTRL). */
    uint32_t pf_match;        /**< Page faults: what the masked error code is compared with (CTRL). */
    uint32_t tpr_threshold;   /**< (TPR) */
    uint32_t inj_info;        /**< Event to inject: vector 7:0, type 10:8, has error code 11; wanted windows:
                                   interrupt 12, NMI 13; valid 31 (INJ). */
    uint32_t inj_error;       /**< Its error code (INJ). */
    uint32_t vect_info;       /**< Event whose delivery was interrupted (INJ). */
    uint32_t vect_error;      /**< Its error code (INJ). */
    struct nova_segment cs;   /**< (CS_SS) */
    struct nova_segment ss;   /**< (CS_SS) */
    struct nova_segment ds;   /**< (DS_ES) */
    struct nova_segment es;   /**< (DS_ES) */
    struct nova_segment fs;   /**< (FS_GS) */
    struct nova_segment gs;   /**< (FS_GS) */
    struct nova_segment tr;   /**< (TR) */
    struct nova_segment ldtr; /**< (LDTR) */
    struct nova_segment gdtr; /**< Base and limit (GDTR). */
    struct nova_segment idtr; /**< Base and limit (IDTR). */
    uint64_t pdpte[4];        /**< (PDPTE) */
    uint64_t cr0;             /**< (CR) */
    uint64_t cr2;             /**< (CR) */
    uint64_t cr3;             /**< (CR) */
    uint64_t cr4;             /**< (CR) */
    uint64_t cr8;             /**< (CR) */
    uint64_t dr7;             /**< (DR) */
    uint64_t xcr0;            /**< (XSAVE) */
    uint64_t xss;             /**< (XSAVE) */
    uint64_t sgx_hash[4];     /**< (SGX) */
    uint64_t apic_base;       /**< (APIC) */
    uint64_t sysenter_cs;     /**< (SYSENTER) */
    uint64_t sysenter_esp;    /**< (SYSENTER) */
    uint64_t sysenter_eip;    /**< (SYSENTER) */
    uint64_t pat;             /**< (PAT) */
    uint64_t efer;            /**< (EFER) */
    uint64_t star;            /**< (SYSCALL) */
    uint64_t lstar;           /**< (SYSCALL) */
    uint64_t fmask;           /**< (SYSCALL) */
    uint64_t kernel_gs_base;  /**< (KERNEL_GS) */
    uint64_t tsc_aux;         /**< (TSC) */
    uint64_t sel_gst;         /**< Selector of the guest space to assign (SPACES). */
    uint64_t sel_pio;         /**< Selector of the port I/O space to assign (SPACES). */
    uint64_t sel_msr;         /**< Selector of the MSR space to assign (SPACES). */
};

/** User thread control block: one page, in which the regular and the architectural layout overlap. */
union nova_utcb {
    uint64_t word[NOVA_UTCB_WORDS]; /**< Regular IPC: message words. */
    struct nova_arch_state arch;    /**< Architectural IPC: state of an EC. */
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
