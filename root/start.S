/*
 * The doors into root: entry of the main thread, of workers, and of portals.
 *
 * The microhypervisor starts the main thread with RSP = address of the hypervisor information page and
 * RDI/RSI = the boot loader's EAX/EBX. Its stack lies in .data, because all of a root image must be present
 * in the file.
 *
 * SPDX-License-Identifier: MIT
 */

        .section .text.start, "ax"
        .globl  _start
        .type   _start, @function
_start:
        mov     %rsp, %rax
        lea     main_stack_end(%rip), %rsp
        mov     %rsi, %rdx
        mov     %rdi, %rsi
        mov     %rax, %rdi
        xor     %ebp, %ebp
        cld
        call    root_main               /* (hip, multiboot magic, multiboot information) */
        ud2
        .size   _start, . - _start

        .text

        /* A worker: the handler of its STARTUP event put the CPU into RDI. RSP is the end of its stack. */
        .globl  worker_entry
        .type   worker_entry, @function
worker_entry:
        xor     %ebp, %ebp
        call    worker_main
        ud2
        .size   worker_entry, . - worker_entry

        /*
         * Portals of the handlers and of the guard: RDI = portal identifier, RSI = MTD. The C function
         * returns the MTD of the reply. RSP is the same at each entry, because the reply is always made from
         * here.
         */
        .globl  portal_entry
        .type   portal_entry, @function
portal_entry:
        xor     %ebp, %ebp
        call    portal_main
        mov     %eax, %esi
        mov     $1, %edi
        syscall
        ud2
        .size   portal_entry, . - portal_entry

        /*
         * bool word_read(uint64_t *to, const uint64_t *from): reads a word that may not be there. A fault at
         * word_read_fault continues at word_read_failed.
         */
        .globl  word_read
        .type   word_read, @function
word_read:
        .globl  word_read_fault
word_read_fault:
        mov     (%rsi), %rax
        mov     %rax, (%rdi)
        mov     $1, %eax
        ret
        .globl  word_read_failed
word_read_failed:
        xor     %eax, %eax
        ret
        .size   word_read, . - word_read

        .data
        .balign 16
main_stack:
        .zero   0x4000
main_stack_end:

        .section .note.GNU-stack, "", @progbits
