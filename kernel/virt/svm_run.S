/*
 * The way into a guest and back, with SVM (AMD64 manual volume 2, 15.5, 15.6).
 *
 * GIF is 0 from before the guest's state is loaded until the host's is back, so neither interrupts nor NMIs
 * come in between. RFLAGS.IF is 1 meanwhile: that is what lets interrupts end the run.
 *
 * SPDX-License-Identifier: MIT
 */

#include "entry/frame.h"

#define GPR(number) (EC_FRAME + (number) * 8)


        .text

/* RDI: vCPU, RSI: physical address of its VMCB, RDX: that of the host's FS, GS, TR, SYSCALL state. */
        .globl  svm_enter
svm_enter:
        clgi
        sti
        push    %rdi
        push    %rdx
        mov     %rsi, %rax
        mov     GPR(1)(%rdi), %rcx
        mov     GPR(2)(%rdi), %rdx
        mov     GPR(3)(%rdi), %rbx
        mov     GPR(5)(%rdi), %rbp
        mov     GPR(6)(%rdi), %rsi
        mov     GPR(8)(%rdi), %r8
        mov     GPR(9)(%rdi), %r9
        mov     GPR(10)(%rdi), %r10
        mov     GPR(11)(%rdi), %r11
        mov     GPR(12)(%rdi), %r12
        mov     GPR(13)(%rdi), %r13
        mov     GPR(14)(%rdi), %r14
        mov     GPR(15)(%rdi), %r15
        mov     GPR(7)(%rdi), %rdi
        vmload  %rax
        vmrun   %rax
        vmsave  %rax
        pop     %rax
        vmload  %rax
        pop     %rax
        mov     %rcx, GPR(1)(%rax)
        mov     %rdx, GPR(2)(%rax)
        mov     %rbx, GPR(3)(%rax)
        mov     %rbp, GPR(5)(%rax)
        mov     %rsi, GPR(6)(%rax)
        mov     %rdi, GPR(7)(%rax)
        mov     %r8, GPR(8)(%rax)
        mov     %r9, GPR(9)(%rax)
        mov     %r10, GPR(10)(%rax)
        mov     %r11, GPR(11)(%rax)
        mov     %r12, GPR(12)(%rax)
        mov     %r13, GPR(13)(%rax)
        mov     %r14, GPR(14)(%rax)
        mov     %r15, GPR(15)(%rax)
        cli
        stgi
        mov     %rax, %rdi
        mov     EC_CPU(%rax), %rsp
        call    svm_exit

        .section .note.GNU-stack, "", @progbits
