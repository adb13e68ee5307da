/*
 * Start of a program without libc: RSP points to argc (nova/start.h), nothing else is defined.
 *
 * SPDX-License-Identifier: MIT
 */

        .section .text.start, "ax"
        .globl  _start
        .type   _start, @function
_start:
        mov     %rsp, %rdi
        xor     %ebp, %ebp
        and     $-16, %rsp
        cld
        call    nova_program_start
        ud2
        .size   _start, . - _start

        .section .note.GNU-stack, "", @progbits
