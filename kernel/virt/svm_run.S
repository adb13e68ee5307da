/*
 * The way into a guest and back, with SVM (AMD64 manual volume 2, 15.5, 15.6).
 *
 * GIF is 0 from before the guest's state is loaded until the host's is back, so neither interrupts nor NMIs
 * come in between. RFLAGS.IF is 1 meanwhile: that is what lets interrupts end the run.
 *
 * QEMU's VMRUN does not load the guest's interrupt shadow (15.21.5), but leaves that of the host as it is: so if the guest
 * has one, an STI puts VMRUN into one. Without it, an interrupt could come between STI and HLT, and the guest sleep on.
 *
 * QEMU also forgets that an interrupt waits in the local APIC if that comes in while the guest is left: the CPU is not
 * interrupted until the APIC looks again. It does so when CR8, which always is 0, is written.
 *
 * SPDX-License-Identifier: MIT
 */

#include "entry/frame.h"

/* RAX and RSP are in the VMCB. */
#define ALL_BUT_RDI rcx, rdx, rbx, rbp, rsi, r8, r9, r10, r11, r12, r13, r14, r15

        .text

/* RDI: vCPU, RSI: physical address of its VMCB, RDX: that of the host's FS, GS, TR, SYSCALL state, RCX: guest's shadow. */
        .globl  svm_enter, svm_left
svm_enter:
        clgi
        sti
        push    %rdi
        push    %rdx
        mov     %rsi, %rax
        test    $1, %cl
        LOAD    EC_FRAME, %rdi, ALL_BUT_RDI
        LOAD    EC_FRAME, %rdi, rdi
        vmload  %rax
        jz      1f
        cli                             /* without it, STI has no shadow */
        sti
1:      vmrun   %rax
svm_left:
        vmsave  %rax
        pop     %rax
        vmload  %rax
        pop     %rax
        SAVE    EC_FRAME, %rax, ALL_BUT_RDI, rdi
        cli
        stgi
        xor     %ecx, %ecx
        mov     %rcx, %cr8
        mov     %rax, %rdi
        mov     EC_CPU(%rax), %rsp
        call    svm_exit

        .section .note.GNU-stack, "", @progbits
