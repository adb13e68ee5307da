/*
 * VM entry and VM exit (Intel SDM volume 3, 27 and 28).
 *
 * The guest's general-purpose registers are in the EC's frame. HOST_RSP is the address of that frame, so the EC is
 * found at an exit without any register or segment of the guest's.
 *
 * SPDX-License-Identifier: MIT
 */

#include "entry/frame.h"

#define ALL_BUT_RDI rax, rcx, rdx, rbx, rbp, rsi, r8, r9, r10, r11, r12, r13, r14, r15

        .text

/* RDI: EC, ESI: whether its VMCS has been launched. Abandons the stack. */
        .globl  vmx_enter
vmx_enter:
        mov     EC_CPU(%rdi), %rsp
        test    %esi, %esi
        LOAD    EC_FRAME, %rdi, ALL_BUT_RDI
        LOAD    EC_FRAME, %rdi, rdi
        jz      1f
        vmresume
        jmp     2f
1:      vmlaunch

        /* No entry: nothing is loaded but the registers, whose values are in the frame still. */
2:      mov     CPU_RSP0(%rsp), %rdi
        sub     $EC_END, %rdi
        call    vmx_refused

/* HOST_RIP: RFLAGS is 2, all segments are as vmx.c wants them. Entries that fail late come here as well. */
        .globl  vmx_exit
        .balign 64
vmx_exit:
        SAVE    0, %rsp, ALL_BUT_RDI, rdi
        lea     -EC_FRAME(%rsp), %rdi
        mov     EC_CPU(%rdi), %rsp
        call    vmx_exited

        .section .note.GNU-stack, "", @progbits
