/*
 * Entry of a test domain, without any library: the first thread, further global threads, handlers of portals.
 *
 * SPDX-License-Identifier: MIT
 */

        .text
        .globl  _start
        .type   _start, @function
_start:
        xor     %ebp, %ebp
        mov     %rsp, %rdi
        and     $-16, %rsp
        call    start_main
        ud2
        .size   _start, . - _start

        /* A global thread: its function and argument are on its stack. */
        .globl  thread_entry
        .type   thread_entry, @function
thread_entry:
        pop     %rax
        pop     %rdi
        xor     %ebp, %ebp
        call    *%rax
        ud2
        .size   thread_entry, . - thread_entry

        /* A portal: RDI = its identifier, RSI = MTD; serve() returns the MTD of the reply. */
        .globl  serve_entry
        .type   serve_entry, @function
serve_entry:
        xor     %ebp, %ebp
        call    serve
        mov     %eax, %esi
        mov     $1, %edi
        syscall
        ud2
        .size   serve_entry, . - serve_entry

        .section .note.GNU-stack, "", @progbits
