/*
 * 32-bit code of scenarios.c, and its ways in and out.
 *
 * SPDX-License-Identifier: MIT
 */

#include "lib/layout.h"

#define SCRATCH 0x3ff
#define APIC_TPR 0xfee00080

        .text
        .code64
/* The first instructions of a kernel: back to where user code was run from. */
        .globl  syscall_entry
syscall_entry:
        nop
        nop
        jmp     user_leave

/* void compatibility_run(const void *code, uint64_t ss), void iret_to(uint64_t rip, uint64_t rflags): until an exception. */
        .macro  enter
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        mov     %rsp, run_rsp
        .endm
        .globl  compatibility_run, compatibility_leave, iret_to
compatibility_run:
        enter
        push    $SEL_CODE32
        push    %rdi
        mov     %esi, %ss
        mov     $APIC_TPR, %edi
        mov     $text_32, %esi
        mov     $SCRATCH, %edx
        mov     $0x1b, %ecx
        mov     $0x77, %eax
        lretq
iret_to:
        enter
        mov     %rsp, %rax
        push    %rsi
        popf
        push    $SEL_DATA
        push    %rax
        push    %rsi
        push    $SEL_CODE64
        push    %rdi
        iretq
compatibility_leave:
        mov     run_rsp, %rsp
        mov     $SEL_DATA, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     %eax, %fs
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        ret

        .code32
        .macro  code name
        .globl  \name, \name\()_at
\name:
        .endm
        .macro  at name
\name\()_at:
        .endm
        .macro  null segment
        xor     %eax, %eax
        mov     %eax, %\segment
        .endm

        code    outs_null_ds
        null    ds
        at      outs_null_ds
        outsb
        ud2

        code    outs_null_fs
        null    fs
        at      outs_null_fs
        outsb   %fs:(%esi), %dx
        ud2

        code    outs_ss
        at      outs_ss
        outsb   %ss:(%esi), %dx
        ud2

        code    ins_null_es
        null    es
        mov     $text_32, %edi
        at      ins_null_es
        insb
        ud2

        code    device_null_ds
        null    ds
        at      device_null_ds
        mov     %edx, (%edi)
        ud2

        code    device_ss
        at      device_ss
        mov     %edx, %ss:(%edi)
        ud2

        code    push_device
        at      push_device
        pushl   (%edi)
        ud2

/* SEL_SMALL ends below what is read. */
        code    outs_limit
        mov     $SEL_SMALL, %eax
        mov     %eax, %ds
        mov     $0x1000, %esi
        at      outs_limit
        outsb
        ud2

        .bss
        .balign 8
run_rsp: .quad  0
text_32: .quad  0

        .section .note.GNU-stack, "", @progbits
