/*
 * Where threads and portal handlers begin. Offsets are those of struct nova_thread.
 *
 * SPDX-License-Identifier: MIT
 */

#define THREAD_UTCB 8
#define THREAD_FS 16
#define THREAD_ENTRY 32
#define THREAD_CONTEXT 40
#define THREAD_READY 48

#define IPC_REPLY 1

        /* A global thread: only RSP is defined. It points to the address of its struct nova_thread. */
        .section .text.nova_thread_entry, "ax"
        .globl  nova_thread_entry
        .type   nova_thread_entry, @function
nova_thread_entry:
        pop     %rbx
        wrgsbase %rbx
        mov     THREAD_FS(%rbx), %rax
        wrfsbase %rax
        xor     %ebp, %ebp
        cld
        mov     THREAD_CONTEXT(%rbx), %rdi
        call    *THREAD_ENTRY(%rbx)
        call    nova_thread_exit
        ud2
        .size   nova_thread_entry, . - nova_thread_entry

        /*
         * A portal is called: RDI = portal identifier, RSI = MTD. RSP is the same each time, a multiple
         * of 16, and points to the address of the handler's struct nova_thread. \serve returns the MTD of
         * the reply. An event of a virtual CPU comes with the UTCB instead of the MTD.
         */
        .macro  portal name, serve, second
        .section .text.\name, "ax"
        .globl  \name
        .type   \name, @function
\name:
        mov     (%rsp), %rdx
        cmpl    $0, THREAD_READY(%rdx)
        je      2f
1:
        .ifnb   \second
        mov     \second(%rdx), %rsi
        .endif
        call    \serve
        mov     %eax, %esi
        xor     %eax, %eax      /* see nova/hypercall.h */
        mov     $IPC_REPLY, %edi
        syscall
        ud2
2:      wrgsbase %rdx
        mov     THREAD_FS(%rdx), %rax
        wrfsbase %rax
        xor     %ebp, %ebp
        movl    $1, THREAD_READY(%rdx)
        jmp     1b
        .size   \name, . - \name
        .endm

        portal  nova_portal_entry, nova_portal_serve
        portal  nova_server_entry, nova_server_serve
        .weak   nova_vm_event           /* programs without virtual CPUs have none */
        portal  nova_vm_entry, nova_vm_event, THREAD_UTCB

        .section .note.GNU-stack, "", @progbits
