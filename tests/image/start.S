/*
 * Entry of a root image, and the doors through which threads and portals enter C code.
 *
 * The microhypervisor starts the root EC with RSP = address of the hypervisor information page and
 * RDI/RSI = the boot loader's EAX/EBX (specification 8.1.2). The other registers are undefined.
 * The image brings its own stack, which lives in .data because every segment must be present in the
 * file as a whole (6.2.1).
 *
 * SPDX-License-Identifier: MIT
 */

#include "layout.h"

        .section .text.start, "ax"
        .globl  _start
        .type   _start, @function
_start:
        mov     %rsp, %rax
        lea     root_thread + THREAD_SIZE(%rip), %rsp
        mov     %rsi, %rdx
        mov     %rdi, %rsi
        mov     %rax, %rdi
        xor     %ebp, %ebp
        cld
        call    image_start             /* (hip, multiboot magic, multiboot information) */
        ud2
        .size   _start, . - _start

        /*
         * First instruction of a global thread. The STARTUP handler put the function into RBX and
         * its argument into RDI; RSP is the top of the thread's stack.
         */
        .globl  thread_enter
        .type   thread_enter, @function
thread_enter:
        xor     %ebp, %ebp
        call    *%rbx
        call    thread_exit
        ud2
        .size   thread_enter, . - thread_enter

        .section .note.GNU-stack, "", @progbits
