/*
 * Entry of guest images (Multiboot 1, 32-bit protected mode), doors of exceptions, entry of further CPUs, ways into other modes.
 *
 * SPDX-License-Identifier: MIT
 */

#include "layout.h"

#define CR0_PE 0x1
#define CR0_PG 0x80000000
#define CR4_PAE 0x20
#define CR4_OSFXSR 0x600 /* and OSXMMEXCPT */
#define EFER 0xc0000080
#define EFER_LME 0x100

        .section .multiboot, "a"
        .balign 4
        .long   0x1badb002, 0x3, -(0x1badb002 + 0x3)

        .section .text.start, "ax"
        .code32
        .globl  _start
_start:
        cld
        mov     %eax, boot_magic
        mov     %ebx, boot_info
        lea     stacks + STACK_SIZE, %esp
        /* 4 GiB, identity mapped; user access is decided in the directories. */
        movl    $page_tables + 0x1000 + 7, page_tables
        mov     $page_tables + 0x2000 + 7, %eax
        xor     %ecx, %ecx
1:      mov     %eax, page_tables + 0x1000(, %ecx, 8)
        add     $0x1000, %eax
        inc     %ecx
        cmp     $4, %ecx
        jb      1b
        xor     %ecx, %ecx
        mov     $0x83, %eax
1:      mov     %eax, page_tables + 0x2000(, %ecx, 8)
        add     $0x200000, %eax
        inc     %ecx
        cmp     $2048, %ecx
        jb      1b
        /* The code for 16-bit mode. */
        mov     $low_image, %esi
        mov     $LOW_BASE, %edi
        mov     $low_size, %ecx
        rep movsb
        mov     $guest_start, %ebx

/* To 64-bit mode, and to the function in EBX with the stack in ESP. Paging is off. */
enter_64:
        lgdt    gdt_pointer
        mov     $page_tables, %eax
        mov     %eax, %cr3
        mov     $CR4_PAE | CR4_OSFXSR, %eax
        mov     %eax, %cr4
        mov     $EFER, %ecx
        rdmsr
        or      $EFER_LME, %eax
        wrmsr
        mov     $CR0_PG | 0x33, %eax
        mov     %eax, %cr0
        ljmp    $SEL_CODE64, $1f
        .code64
1:      mov     $SEL_DATA, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     %eax, %fs
        mov     %eax, %gs
        mov     %esp, %esp
        xor     %ebp, %ebp
        call    *%rbx
        ud2

/*
 * uint64_t call_32(uint32_t function): calls it in 32-bit protected mode without paging, interrupts off, flat segments. What it
 * returns in EAX. It leaves the mode as it was, but for CR0.PG, CR3, CR4, segments.
 */
        .globl  call_32
call_32:
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        mov     %rsp, saved_rsp
        mov     %cr0, %rax
        mov     %rax, saved_cr0
        mov     %cr4, %rax
        mov     %rax, saved_cr4
        mov     $0xc0000101, %ecx /* GS base */
        rdmsr
        mov     %eax, saved_gs
        mov     %edx, saved_gs + 4
        sidt    saved_idt
        ljmp    *far_32
        .code32
1:      mov     $SEL_DATA, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     %eax, %fs
        mov     %eax, %gs
        mov     %cr0, %eax
        and     $~CR0_PG, %eax
        mov     %eax, %cr0
        mov     $EFER, %ecx
        rdmsr
        and     $~EFER_LME, %eax
        wrmsr
        call    *%edi
        cli
        mov     %eax, result_32
        mov     %cr0, %eax
        and     $~CR0_PG, %eax
        mov     %eax, %cr0
        lgdt    gdt_pointer
        mov     saved_cr4, %eax
        mov     %eax, %cr4
        mov     $page_tables, %eax
        mov     %eax, %cr3
        mov     $EFER, %ecx
        rdmsr
        or      $EFER_LME, %eax
        wrmsr
        mov     saved_cr0, %eax
        mov     %eax, %cr0
        ljmp    $SEL_CODE64, $2f
        .code64
2:      mov     $SEL_DATA, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     %eax, %fs
        mov     %eax, %gs
        mov     saved_rsp, %rsp
        lidt    saved_idt
        mov     saved_gs, %eax
        mov     saved_gs + 4, %edx
        mov     $0xc0000101, %ecx
        wrmsr
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        mov     result_32, %eax
        ret

        .data
        .balign 8
far_32: .long   1b, SEL_CODE32
        .bss
        .balign 8
saved_rsp: .quad 0
saved_cr0: .quad 0
saved_cr4: .quad 0
saved_gs:  .quad 0
saved_idt: .quad 0, 0
result_32: .quad 0
        .text

/*
 * 32-bit code, for call_32: calls the 16-bit code at offset EBX of LOW_BASE in 16-bit protected mode (protected_16) or in real
 * mode (real_16). What it returns in EAX.
 */
        .code32
        .globl  protected_16, real_16
protected_16:
        mov     %esp, saved_esp
        ljmp    $SEL_CODE16, $enter_protected - LOW_BASE
real_16:
        mov     %esp, saved_esp
        ljmp    $SEL_CODE16, $enter_real - LOW_BASE
back_32:
        mov     %eax, %ebx
        mov     $SEL_DATA, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     %eax, %fs
        mov     %eax, %gs
        mov     saved_esp, %esp
        mov     %ebx, %eax
        ret
        .bss
saved_esp: .long 0

/* What is linked for LOW_BASE, and copied there. */
        .section .low.start, "awx"
        .code16
/* Further CPUs start here, in real mode with CS = LOW_SEGMENT. */
        cli
        mov     %cs, %ax
        mov     %ax, %ds
        lgdtl   low_gdt - LOW_BASE
        mov     %cr0, %eax
        or      $CR0_PE, %eax
        mov     %eax, %cr0
        ljmpl   $SEL_CODE32, $start_ap

enter_protected:
        mov     $SEL_DATA16, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        mov     $LOW_STACK, %sp
        call    *%bx
        jmp     leave_16
enter_real:
        mov     $SEL_DATA16, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        mov     %ax, %fs
        mov     %ax, %gs
        mov     %cr0, %eax
        and     $~CR0_PE, %eax
        mov     %eax, %cr0
        ljmp    $LOW_SEGMENT, $1f - LOW_BASE
1:      mov     %cs, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        mov     $LOW_STACK, %sp
        lidtl   low_idt - LOW_BASE
        call    *%bx
        cli
        mov     %eax, %ecx
        mov     %cs, %ax
        mov     %ax, %ds
        mov     %cr0, %eax
        or      $CR0_PE, %eax
        mov     %eax, %cr0
        mov     %ecx, %eax
leave_16:
        ljmpl   $SEL_CODE32, $back_32

        .balign 8
low_gdt:
        .word   gdt_end - gdt - 1
        .long   gdt
low_idt:
        .word   0x3ff
        .long   0

        .text
        .code32
start_ap:
        mov     $SEL_DATA, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     $1, %eax
        lock xadd %eax, next_cpu
        cmp     $MAX_CPUS, %eax
        jae     1f
        inc     %eax
        shl     $14, %eax /* STACK_SIZE */
        lea     stacks(%eax), %esp
        mov     $guest_start_ap, %ebx
        jmp     enter_64
1:      hlt
        jmp     1b

        .data
        .globl  next_cpu
        .balign 4
next_cpu: .long 1

/* Exceptions and interrupts: to interrupt(struct frame *). */
        .text
        .code64
        .balign 16
        .globl  vectors
vectors:
        .set    vector, 0
        .rept   256
        .balign 16
        .if     !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
        push    $0
        .endif
        push    $vector
        jmp     door
        .set    vector, vector + 1
        .endr
door:
        cld
        push    %r15
        push    %r14
        push    %r13
        push    %r12
        push    %r11
        push    %r10
        push    %r9
        push    %r8
        push    %rdi
        push    %rsi
        push    %rbp
        push    %rbx
        push    %rdx
        push    %rcx
        push    %rax
        mov     %rsp, %rdi
        mov     %rsp, %rbx
        and     $-16, %rsp
        call    interrupt
        mov     %rbx, %rsp
        pop     %rax
        pop     %rcx
        pop     %rdx
        pop     %rbx
        pop     %rbp
        pop     %rsi
        pop     %rdi
        pop     %r8
        pop     %r9
        pop     %r10
        pop     %r11
        pop     %r12
        pop     %r13
        pop     %r14
        pop     %r15
        add     $16, %rsp
        iretq

/* void user_enter(const void *code, uint64_t selector, uint64_t rflags, uint64_t rsp): returns through user_leave. */
        .globl  user_enter, user_leave
user_enter:
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        mov     %rsp, %gs:CPU_USER_RSP
        mov     $SEL_USER_DATA, %eax
        mov     %eax, %ds
        mov     %eax, %es
        push    $SEL_USER_DATA
        push    %rcx
        push    %rdx
        push    %rsi
        push    %rdi
        iretq
user_leave:
        mov     %gs:CPU_USER_RSP, %rsp
        movq    $0, %gs:CPU_USER_RSP
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        ret

        .data
        .balign 16
        .globl  gdt, gdt_pointer
gdt:
        .quad   0
        .quad   0x00af9b000000ffff              /* SEL_CODE64 */
        .quad   0x00cf93000000ffff              /* SEL_DATA */
        .quad   0x00cf9b000000ffff              /* SEL_CODE32 */
        .quad   0x00009b020000ffff              /* SEL_CODE16 */
        .quad   0x000093020000ffff              /* SEL_DATA16 */
        .quad   0x00affb000000ffff              /* SEL_USER64 */
        .quad   0x00cff3000000ffff              /* SEL_USER_DATA */
        .quad   0x00cffb000000ffff              /* SEL_USER32 */
        .quad   0x0040930000000fff              /* SEL_SMALL */
        .quad   0x00cf13000000ffff              /* SEL_ABSENT */
        .quad   0
        .fill   2 * MAX_CPUS, 8, 0              /* SEL_TSS */
gdt_end:
        .balign 8
        .word   0, 0, 0
gdt_pointer:
        .word   gdt_end - gdt - 1
        .quad   gdt

        .bss
        .balign 4096
        .globl  page_tables, stacks
page_tables:
        .fill   6 * 4096
stacks:
        .fill   MAX_CPUS * STACK_SIZE

        .section .note.GNU-stack, "", @progbits
