/*
 * First instructions: from the state that Multiboot2 defines (32-bit protected mode, no paging) to C in 64-bit mode
 * at the virtual addresses that the kernel is linked for.
 *
 * The image may have been loaded anywhere below 4 GiB in steps of 2 MiB, so until paging is on, only addresses relative to EDI
 * are used: EDI = load address - link address.
 *
 * Multiboot2 Specification 2.0, 3.1 (header), 3.3 (machine state).
 *
 * SPDX-License-Identifier: MIT
 */

#include "entry/frame.h"
#include "mem/layout.h"

#define PHYS(symbol) ((symbol) - KERNEL_BASE)

#define MAGIC 0xe85250d6
#define PTE_TABLE 0x23 /* present, writable, accessed */
#define PTE_PAGE 0xe3  /* and dirty, 2 MiB */

        .section .multiboot, "a"
        .balign 8
header:
        .long   MAGIC, 0, header_end - header, -(MAGIC + 0 + (header_end - header))
        .balign 8
        .short  6, 1            /* modules aligned to pages */
        .long   8
        .balign 8
        .short  10, 0           /* relocatable: from 2 MiB up to 4 GiB, in steps of 2 MiB, as low as possible */
        .long   24, 0x200000, 0xffffffff, 0x200000, 1
        .balign 8
        .short  0, 0
        .long   8
header_end:

        .text
        .code32
        .globl  start
start:
        cli
        cld
        mov     %eax, %ebp
        mov     %ebx, %esi

        /* Where are we? The reserved word of the Multiboot2 information serves as a stack for one CALL. */
        mov     4(%esi), %edx
        lea     8(%esi), %esp
        call    1f
1:      pop     %edi
        mov     %edx, 4(%esi)
        sub     $PHYS(1b), %edi
        lea     PHYS(boot_stack_end)(%edi), %esp

        /* Identity for 4 GiB, and 1 GiB at KERNEL_BASE. */
        lea     PHYS(boot_low)(%edi), %ebx
        mov     $PTE_PAGE, %eax
        xor     %edx, %edx
        mov     $2048, %ecx
2:      mov     %eax, (%ebx)
        add     $0x200000, %eax
        add     $8, %ebx
        loop    2b
        lea     PHYS(boot_high)(%edi), %ebx
        lea     PTE_PAGE(%edi), %eax
        mov     $512, %ecx
3:      mov     %eax, (%ebx)
        add     $0x200000, %eax
        add     $8, %ebx
        loop    3b
        lea     PHYS(boot_low) + PTE_TABLE(%edi), %eax
        lea     PHYS(boot_pdpt)(%edi), %ebx
        mov     %eax, 0(%ebx)
        add     $0x1000, %eax
        mov     %eax, 8(%ebx)
        add     $0x1000, %eax
        mov     %eax, 16(%ebx)
        add     $0x1000, %eax
        mov     %eax, 24(%ebx)
        lea     PHYS(boot_high) + PTE_TABLE(%edi), %eax
        mov     %eax, 510 * 8(%ebx)
        lea     PTE_TABLE(%ebx), %eax
        lea     PHYS(boot_root)(%edi), %ebx
        mov     %eax, 0(%ebx)
        mov     %eax, 511 * 8(%ebx)

        /* PAE, long mode, paging. */
        mov     $0x20, %eax
        mov     %eax, %cr4
        mov     %ebx, %cr3
        mov     $0xc0000080, %ecx
        rdmsr
        or      $0x100, %eax
        wrmsr
        mov     %cr0, %eax
        or      $0x80000001, %eax
        mov     %eax, %cr0

        lea     PHYS(boot_gdt)(%edi), %eax
        push    $0
        push    %eax
        pushw   $boot_gdt_end - boot_gdt - 1
        lgdt    (%esp)
        lea     PHYS(4f)(%edi), %eax
        push    $SEL_KERNEL_CODE
        push    %eax
        lretl

        .code64
4:      mov     $SEL_KERNEL_DATA, %eax
        mov     %eax, %ss
        xor     %eax, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %edi, %edx
        mov     %ebp, %edi
        mov     %esi, %esi
        mov     $boot_stack_end, %rsp
        mov     $5f, %rax
        jmp     *%rax
5:      xor     %ebp, %ebp
        call    boot_bsp

/* RDI: CPU, RSI: function. Calls it with the CPU on that CPU's own stack. */
        .globl  boot_switch
boot_switch:
        mov     %rdi, %rsp
        call    *%rsi

        .section .rodata
        .balign 16
        .globl  boot_gdt, boot_gdt_end
boot_gdt:
        .quad   0
        .quad   0x00209b0000000000
        .quad   0x0000930000000000
boot_gdt_end:

        .bss
        .balign 4096
        .globl  boot_root
boot_root:
        .skip   4096
boot_pdpt:
        .skip   4096
boot_low:
        .skip   4 * 4096
boot_high:
        .skip   4096
        .skip   4096
boot_stack_end:

        .section .note.GNU-stack, "", @progbits
