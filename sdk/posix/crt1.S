/*
 * Start of a program with libc: libnova first, so that all else can use it; then the C library's start,
 * which runs constructors and main.
 *
 * SPDX-License-Identifier: MIT
 */

    .section .text._start, "ax", @progbits
    .globl _start
    .type _start, @function
    .globl nova_link_core
_start:
    xor %ebp, %ebp
    mov %rsp, %rbx
    mov %rsp, %rdi
    and $-16, %rsp
    call nova_program_init
    lea main(%rip), %rdi
    mov (%rbx), %rsi
    lea 8(%rbx), %rdx
    lea _init(%rip), %rcx
    lea _fini(%rip), %r8
    xor %r9d, %r9d
    call __libc_start_main
    ud2
    .size _start, . - _start
    .section .note.GNU-stack, "", @progbits
