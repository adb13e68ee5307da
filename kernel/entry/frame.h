/*
 * Registers of an EC in the kernel, and the offsets and macros that assembly code needs.
 *
 * The general-purpose registers are in the order of the UTCB. The part from `vector` on is what the CPU and the
 * entry stubs push; TSS.RSP0 points behind `ss` of the EC that runs.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

/* In struct frame. */
#define F_VECTOR 128
#define F_RIP 144
#define F_CS 152
#define F_RSP 168
#define F_SIZE 184

/* In struct ec. The end of the frame must be aligned to 16 bytes: the CPU aligns the stack before it pushes. */
#define EC_FRAME 24
#define EC_END (EC_FRAME + F_SIZE)
#define EC_CPU EC_END
#define EC_CAPS 0xd8
#define EC_UTCB 0xe0
#define EC_CALLER 0xe8
#define EC_CALLEE 0xf0
#define EC_HAZARD 0xf8
#define EC_BUSY (EC_HAZARD + 1)
#define EC_HST 0x108
#define EC_FS_BASE 0x110
#define EC_GS_BASE 0x118
#define EC_FPU 0x120
#define EC_CONTEXT 0x128
#define EC_PIO 0x130

/* In struct pt, struct space_hst and struct space_bitmap. */
#define PT_EC 0x18
#define PT_IP 0x20
#define PT_PID 0x28
#define HST_ROOT 0x48
#define PIO_GRANTED 0x30

/* Position of the right to call a portal (core/object.h). */
#define CAP_RIGHT_CALL 11

/* Area of a CPU: see core/cpu.h. */
#define CPU_STRIDE 0x10000
#define CPU_DATA 0x3000
#define CPU_IO_BITMAP 0x5000
#define CPU_IO_BITMAP_END 0x7000
#define CPU_SPACE 0x08 /* in struct cpu */
#define CPU_TSS 0x1c
#define CPU_RSP0 (CPU_TSS + TSS_RSP0)
#define CPU_IO_MAP (CPU_TSS + 102)
#define CPU_FPU_OWNER 0x88
#define CPU_PIO_MAPPED 0x90
#define CPU_SWITCH_SLOW 0x98
#define TSS_RSP0 4

/* Offsets of the I/O bitmap from the TSS: in the area, and none. */
#define IO_MAP_BITMAP (CPU_IO_BITMAP - CPU_DATA - CPU_TSS)
#define IO_MAP_NONE 0xffff

/* Selectors in the GDT. The order is that of SYSCALL and SYSRET. */
#define SEL_KERNEL_CODE 0x08
#define SEL_KERNEL_DATA 0x10
#define SEL_USER_DATA 0x1b
#define SEL_USER_CODE 0x23
#define SEL_TSS 0x28

/* RFLAGS after a hypercall: IF and the bit that is always set. */
#define RFLAGS_USER 0x202

#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>

/* Index of a register in `gpr`; R_RSP is not used: see `rsp`. */
enum { R_RAX, R_RCX, R_RDX, R_RBX, R_RSP, R_RBP, R_RSI, R_RDI };
enum { R_R8 = 8, R_R9, R_R10, R_R11, R_R12, R_R13, R_R14, R_R15 };

struct frame {
    uint64_t gpr[16];
    uint64_t vector;
    uint64_t error;
    uint64_t rip;
    uint64_t cs;
    uint64_t rflags;
    uint64_t rsp;
    uint64_t ss;
};

_Static_assert(offsetof(struct frame, vector) == F_VECTOR && offsetof(struct frame, rip) == F_RIP &&
                   offsetof(struct frame, cs) == F_CS && offsetof(struct frame, rsp) == F_RSP &&
                   sizeof(struct frame) == F_SIZE,
               "offsets");
_Static_assert(EC_END % 16 == 0, "alignment");

#else

/* R_rax and so on: places in the frame, in the order of the UTCB. */
        .set    i, 0
        .irp    reg, rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
        .set    R_\reg, i * 8
        .set    i, i + 1
        .endr

/* Saves registers in, and loads them from, the frame that begins at `base` + `offset`. */
        .macro  SAVE offset, base, regs:vararg
        .irp    reg, \regs
        mov     %\reg, \offset + R_\reg(\base)
        .endr
        .endm

        .macro  LOAD offset, base, regs:vararg
        .irp    reg, \regs
        mov     \offset + R_\reg(\base), %\reg
        .endr
        .endm

#endif
