/*
 * 32-bit, 16-bit and real-mode code of modes.c. Results in EAX.
 *
 * SPDX-License-Identifier: MIT
 */

#include "lib/layout.h"

#define SCRATCH 0x3ff
#define APIC_TPR 0xfee00080
#define CR0_PG 0x80000000
#define PAGED 0x40000000 /* where the first GiB is again */

/* name: 32-bit function that calls the 16-bit code behind it in 16-bit protected or real mode. */
#define IN_16(name, mode)                                                                                              \
        .text; .code32; .globl name; name: mov $9f - LOW_BASE, %ebx; jmp mode; .section .low, "awx"; .code16; 9:

        .text
        .code32
        .globl  flat_ports, flat_device, flat_cpuid, flat_msr, flat_step, paging_2_levels, paging_pae, paging_off_and_on
flat_ports:
        mov     $SCRATCH, %edx
        mov     $0x5a, %al
        outb    %al, %dx
        mov     $0xffffff00, %eax
        inb     %dx, %al
        movzbl  %al, %eax
        ret

flat_device:
        movl    $0x35, APIC_TPR
        xor     %eax, %eax
        mov     APIC_TPR, %eax
        ret

flat_cpuid:
        push    %ebx
        mov     $1, %eax
        cpuid
        pop     %ebx
        ret

flat_msr:
        mov     $0x1b, %ecx
        rdmsr
        ret

/* Steps over CPUID and OUT: the handler counts in ESI. */
flat_step:
        sub     $8, %esp
        movw    $16 * 8 - 1, (%esp)
        movl    $idt_32, 2(%esp)
        lidt    (%esp)
        add     $8, %esp
        mov     $step_32, %eax
        mov     %ax, idt_32 + 8
        movw    $SEL_CODE32, idt_32 + 10
        movw    $0x8e00, idt_32 + 12
        shr     $16, %eax
        mov     %ax, idt_32 + 14
        xor     %esi, %esi
        mov     $SCRATCH, %edx
        pushf
        pushf
        orl     $0x100, (%esp)
        popf
        cpuid
        outb    %al, %dx
        popf
        mov     %esi, %eax
        ret
step_32:
        inc     %esi
        iret
        .bss
        .balign 8
idt_32: .fill   16 * 8
        .text

paging_2_levels:
        mov     $0x10, %eax /* PSE */
        mov     %eax, %cr4
        mov     $two_level_tables, %eax
        jmp     paged
paging_pae:
        mov     $0x20, %eax
        mov     %eax, %cr4
        mov     $pae_tables, %eax
paged:
        mov     %eax, %cr3
        mov     %cr0, %eax
        or      $CR0_PG, %eax
        mov     %eax, %cr0
        ljmp    $SEL_CODE32, $1f + PAGED /* through the second GiB */
1:      mov     %cr4, %ecx
        mov     $0x46, %eax
        test    $0x20, %ecx
        jz      1f
        mov     $0x57, %eax
1:      mov     %eax, APIC_TPR
        outb    %al, $0x80
        xor     %eax, %eax
        mov     APIC_TPR, %eax
        ljmp    $SEL_CODE32, $1f
1:      ret

paging_off_and_on:
        mov     $0x20, %eax
        mov     %eax, %cr4
        mov     $pae_tables, %eax
        mov     %eax, %cr3
        xor     %esi, %esi
1:      mov     %cr0, %eax
        or      $CR0_PG, %eax
        mov     %eax, %cr0
        mov     %eax, APIC_TPR
        mov     %cr0, %eax
        and     $~CR0_PG, %eax
        mov     %eax, %cr0
        inc     %esi
        cmp     $100, %esi
        jb      1b
        mov     %esi, %eax
        ret

IN_16(protected_ports, protected_16)
        mov     $SCRATCH, %dx
        mov     $0x5b, %al
        outb    %al, %dx
        inb     %dx, %al
        movzbl  %al, %eax
        ret

IN_16(protected_strings, protected_16)
        mov     $SCRATCH, %dx
        mov     $text_16 - LOW_BASE, %si
        mov     $3, %cx
        cld
        rep outsb
        inb     %dx, %al
        movzbl  %al, %eax
        ret
text_16:
        .byte   0x11, 0x22, 0x33

/* With a flat segment and 32-bit addresses. */
IN_16(protected_device, protected_16)
        mov     $SEL_DATA, %ax
        mov     %ax, %fs
        mov     $APIC_TPR, %edi
        movl    $0x68, %fs:(%edi)
        xor     %eax, %eax
        mov     %fs:(%edi), %eax
        ret

IN_16(real_ports, real_16)
        mov     $SCRATCH, %dx
        mov     $0x5c, %al
        outb    %al, %dx
        inb     %dx, %al
        movzbl  %al, %eax
        ret

/* REP OUTSB from ES, REP INSB to ES:DI, both with other segments than code. */
IN_16(real_strings, real_16)
        mov     $LOW_SEGMENT + 0x800, %ax
        mov     %ax, %es
        movb    $0x44, %es:0x1236
        mov     $SCRATCH, %dx
        mov     $0x1234, %si
        mov     $3, %cx
        cld
        rep outsb %es:(%si), %dx
        mov     $0x1300, %di
        mov     $4, %cx
        rep insb %dx, (%di)
        mov     %es:0x1303, %al
        movzbl  %al, %eax
        ret

/* The vector table is at 0: a vector that nobody uses. */
IN_16(real_interrupt, real_16)
        xor     %ax, %ax
        mov     %ax, %es
        movw    $1f - LOW_BASE, %es:0x60 * 4
        movw    %cs, %es:0x60 * 4 + 2
        xor     %eax, %eax
        int     $0x60
        ret
1:      mov     $0x1234, %ax
        iret

IN_16(real_cpuid, real_16)
        push    %bx
        mov     $1, %eax
        cpuid
        pop     %bx
        ret

/* A data segment keeps the limit that it had in protected mode. */
IN_16(real_device, real_16)
        mov     %cs, %ax
        mov     %ax, %ds
        mov     %cr0, %eax
        or      $1, %eax
        mov     %eax, %cr0
        mov     $SEL_DATA, %cx
        mov     %cx, %fs
        and     $~1, %eax
        mov     %eax, %cr0
        mov     $APIC_TPR, %edi
        movl    $0x79, %fs:(%edi)
        xor     %eax, %eax
        mov     %fs:(%edi), %eax
        ret

IN_16(real_limit, real_16)
        xor     %ax, %ax
        mov     %ax, %es
        movw    $1f - LOW_BASE, %es:13 * 4
        movw    %cs, %es:13 * 4 + 2
        mov     %sp, %bp
        mov     %es:0xffff, %ax /* two bytes, one beyond the limit */
        xor     %eax, %eax
        ret
1:      mov     %bp, %sp
        mov     $0x4321, %eax
        ret

IN_16(real_big, real_16)
        mov     $0x1000, %cx
        xor     %esi, %esi
        mov     $SCRATCH, %dx
1:      mov     %cl, %al
        outb    %al, %dx
        inb     %dx, %al
        cmp     %cl, %al
        jne     2f
        inc     %esi
2:      loop    1b
        mov     %esi, %eax
        ret

        .section .note.GNU-stack, "", @progbits
