/*
 * Start of further CPUs. The code between ap_code and ap_code_end is copied to a page below 1 MiB; a CPU that gets a
 * start-up interrupt begins there in real mode with CS:IP = page << 8 : 0. The words at its end are filled in
 * by boot/smp.c.
 *
 * Intel SDM volume 3, 9.4 and 10.8.5.
 *
 * SPDX-License-Identifier: MIT
 */

#include "entry/frame.h"

        .section .rodata
        .balign 16
        .globl  ap_code, ap_code_end, ap_boot_root, ap_kernel_root, ap_stack
        .code16
ap_code:
        cli
        cld
        mov     %cs, %ax
        mov     %ax, %ds
        xor     %ebx, %ebx
        mov     %ax, %bx
        shl     $4, %ebx                        /* EBX: address of the page */
        lea     ap_gdt - ap_code(%ebx), %eax
        mov     %eax, ap_gdtr + 2 - ap_code
        lea     ap_long - ap_code(%ebx), %eax
        mov     %eax, ap_target - ap_code

        mov     $0x20, %eax
        mov     %eax, %cr4
        mov     ap_boot_root - ap_code, %eax
        mov     %eax, %cr3
        mov     $0xc0000080, %ecx
        rdmsr
        or      $0x900, %eax                    /* LME, NXE */
        wrmsr
        lgdtl   ap_gdtr - ap_code
        mov     $0x80000011, %eax               /* protection and paging at once: straight to long mode */
        mov     %eax, %cr0
        ljmpl   *ap_target - ap_code

        .code64
ap_long:
        mov     $SEL_KERNEL_DATA, %eax
        mov     %eax, %ss
        xor     %eax, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     ap_kernel_root - ap_code(%rbx), %rsi
        mov     ap_stack - ap_code(%rbx), %rdi
        mov     $ap_high, %rax
        jmp     *%rax

        .balign 16
ap_gdt:
        .quad   0
        .quad   0x00209b0000000000
        .quad   0x0000930000000000
ap_gdtr:
        .short  . - ap_gdt - 1
        .long   0
        .balign 8
ap_target:
        .long   0
        .short  SEL_KERNEL_CODE
        .balign 8
ap_boot_root:
        .quad   0
ap_kernel_root:
        .quad   0
ap_stack:
        .quad   0
ap_code_end:

        /* At kernel addresses, so the boot page tables can go. */
        .text
ap_high:
        mov     %rsi, %cr3
        mov     %rdi, %rsp
        xor     %ebp, %ebp
        call    boot_ap

        .section .note.GNU-stack, "", @progbits
