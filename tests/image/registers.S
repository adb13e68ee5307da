/*
 * Loads all registers, executes one instruction, stores all registers. RSP may be changed by the
 * instruction (by whoever handles its exception) as long as there is a stack: it is restored from
 * the value before.
 *
 * SPDX-License-Identifier: MIT
 */

        .macro  around name, at
        .globl  \name
        .type   \name, @function
\name:  push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        mov     %rsp, registers_in + 0x20(%rip)
        lea     \at(%rip), %rax
        mov     %rax, registers_in + 0x88(%rip)
        mov     registers_in + 0x00(%rip), %rax
        mov     registers_in + 0x08(%rip), %rcx
        mov     registers_in + 0x10(%rip), %rdx
        mov     registers_in + 0x18(%rip), %rbx
        mov     registers_in + 0x28(%rip), %rbp
        mov     registers_in + 0x30(%rip), %rsi
        mov     registers_in + 0x38(%rip), %rdi
        mov     registers_in + 0x40(%rip), %r8
        mov     registers_in + 0x48(%rip), %r9
        mov     registers_in + 0x50(%rip), %r10
        mov     registers_in + 0x58(%rip), %r11
        mov     registers_in + 0x60(%rip), %r12
        mov     registers_in + 0x68(%rip), %r13
        mov     registers_in + 0x70(%rip), %r14
        mov     registers_in + 0x78(%rip), %r15
        push    registers_in + 0x80(%rip)
        popfq
        .globl  \at
\at:
        .endm

        .macro  done name
        mov     %rsp, registers_out + 0x20(%rip)
        pushfq
        pop     registers_out + 0x80(%rip)
        mov     %rax, registers_out + 0x00(%rip)
        mov     %rcx, registers_out + 0x08(%rip)
        mov     %rdx, registers_out + 0x10(%rip)
        mov     %rbx, registers_out + 0x18(%rip)
        mov     %rbp, registers_out + 0x28(%rip)
        mov     %rsi, registers_out + 0x30(%rip)
        mov     %rdi, registers_out + 0x38(%rip)
        mov     %r8, registers_out + 0x40(%rip)
        mov     %r9, registers_out + 0x48(%rip)
        mov     %r10, registers_out + 0x50(%rip)
        mov     %r11, registers_out + 0x58(%rip)
        mov     %r12, registers_out + 0x60(%rip)
        mov     %r13, registers_out + 0x68(%rip)
        mov     %r14, registers_out + 0x70(%rip)
        mov     %r15, registers_out + 0x78(%rip)
        mov     registers_in + 0x20(%rip), %rsp
        pushq   $2
        popfq
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        ret
        .size   \name, . - \name
        .endm

        .text
        around  registers_syscall, registers_at_syscall
        syscall
        done    registers_syscall

        around  registers_ud2, registers_at_ud2
        ud2
        done    registers_ud2

        around  registers_spin, registers_at_spin
1:      cmpb    $0, registers_release(%rip)
        je      1b
        done    registers_spin

        .section .rodata
        .globl  register_name
        .align  8
register_name:
        .irp    reg, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17
        .quad   name_\reg
        .endr
name_0: .asciz  "RAX"
name_1: .asciz  "RCX"
name_2: .asciz  "RDX"
name_3: .asciz  "RBX"
name_4: .asciz  "RSP"
name_5: .asciz  "RBP"
name_6: .asciz  "RSI"
name_7: .asciz  "RDI"
name_8: .asciz  "R8"
name_9: .asciz  "R9"
name_10: .asciz "R10"
name_11: .asciz "R11"
name_12: .asciz "R12"
name_13: .asciz "R13"
name_14: .asciz "R14"
name_15: .asciz "R15"
name_16: .asciz "RFLAGS"
name_17: .asciz "RIP"

        .bss
        .globl  registers_in, registers_out, registers_release
        .align  8
registers_in: .skip 18 * 8
registers_out: .skip 18 * 8
registers_release: .skip 1

        .section .note.GNU-stack, "", @progbits
