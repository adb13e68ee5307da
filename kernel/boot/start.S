/*
 * First instructions of all CPUs: from the state that Multiboot2 defines (32-bit protected mode, no
 * paging), or from the real mode that a start-up interrupt begins in, to C in 64-bit mode at the virtual
 * addresses that the kernel is linked for.
 *
 * The image may have been loaded anywhere below 4 GiB in steps of 2 MiB, so until paging is on, only addresses relative to EDI
 * are used: EDI = load address - link address.
 *
 * Multiboot2 Specification 2.0, 3.1 (header), 3.3 (machine state). Intel SDM volume 3, 9.4 and 10.8.5.
 *
 * SPDX-License-Identifier: MIT
 */

#include "entry/frame.h"
#include "mem/layout.h"

#define PHYS(symbol) ((symbol) - KERNEL_BASE)

#define MAGIC 0xe85250d6
#define SEL_BOOT_CODE 0x18
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
        mov     $2048, %ecx
        call    fill
        lea     PHYS(boot_high)(%edi), %ebx
        lea     PTE_PAGE(%edi), %eax
        mov     $512, %ecx
        call    fill
        lea     PHYS(boot_pdpt)(%edi), %ebx
        lea     PHYS(boot_low) + PTE_TABLE(%edi), %eax
        .irp    i, 0, 1, 2, 3
        mov     %eax, \i * 8(%ebx)
        add     $0x1000, %eax
        .endr
        mov     %eax, 510 * 8(%ebx)     /* boot_high is next */
        lea     PTE_TABLE(%ebx), %eax
        mov     %eax, PHYS(boot_root)(%edi)
        mov     %eax, PHYS(boot_root) + 511 * 8(%edi)

        /* What the other CPUs will find at the end of their code; this one goes the same way. */
        mov     %edi, PHYS(ap_shift)(%edi)
        add     %edi, PHYS(ap_gdtr) + 2(%edi)
        add     %edi, PHYS(ap_target)(%edi)
        lgdt    PHYS(ap_gdtr)(%edi)
        ljmp    *PHYS(ap_target)(%edi)

/* Writes ECX entries for pages of 2 MiB to EBX, the first one is EAX. */
fill:
        mov     %eax, (%ebx)
        add     $0x200000, %eax
        add     $8, %ebx
        loop    fill
        ret

/* All CPUs, with the descriptors below. EDI: as above; EBP, ESI: for boot_bsp. PAE, long mode, paging. */
protected:
        mov     $SEL_KERNEL_DATA, %eax
        mov     %eax, %ds
        mov     %eax, %ss
        mov     $0x20, %eax
        mov     %eax, %cr4
        lea     PHYS(boot_root)(%edi), %eax
        mov     %eax, %cr3
        mov     $0xc0000080, %ecx
        rdmsr
        or      $0x100, %eax
        wrmsr
        mov     $0x80000011, %eax
        mov     %eax, %cr0
        lea     PHYS(boot_stack_end)(%edi), %esp
        lea     PHYS(1f)(%edi), %eax
        push    $SEL_KERNEL_CODE
        push    %eax
        lretl

        .code64
1:      mov     %edi, %edx
        mov     %ebp, %edi
        mov     %esi, %esi
        mov     $boot_stack_end, %rsp
        xor     %ebp, %ebp
        mov     boot_next(%rip), %rax
        call    *%rax

/* RDI: CPU, RSI: function. Calls it with the CPU on that CPU's own stack. */
        .globl  boot_switch
boot_switch:
        mov     %rdi, %rsp
        call    *%rsi

/*
 * Copied to a page below 1 MiB. A CPU that gets a start-up interrupt begins there in real mode with
 * CS:IP = page << 8 : 0.
 */
        .section .rodata
        .globl  ap_code, ap_code_end
        .code16
ap_code:
        cli
        cld
        mov     %cs, %ax
        mov     %ax, %ds
        mov     ap_shift - ap_code, %edi
        lgdtl   ap_gdtr - ap_code
        mov     $0x11, %eax             /* protection */
        mov     %eax, %cr0
        ljmpl   *ap_target - ap_code

ap_shift:
        .long   0
ap_gdtr:
        .short  boot_gdt_end - boot_gdt - 1
        .long   PHYS(boot_gdt)
ap_target:
        .long   PHYS(protected)
        .short  SEL_BOOT_CODE
ap_code_end:

        .balign 16
boot_gdt:
        .quad   0
        .quad   0x00209b0000000000      /* SEL_KERNEL_CODE */
        .quad   0x00cf93000000ffff      /* SEL_KERNEL_DATA */
        .quad   0x00cf9b000000ffff      /* SEL_BOOT_CODE: 32-bit */
boot_gdt_end:

/* What comes after the code here, in C. */
        .data
        .globl  boot_next
        .balign 8
boot_next:
        .quad   boot_bsp

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
