/*
 * 32-bit functions for life.c: one jumps to the reset vector of real mode, as Linux does where there is no better way, the other one
 * to a task.
 *
 * SPDX-License-Identifier: MIT
 */

#include "lib/layout.h"

        .text
        .code32
        .globl  reset_vector
reset_vector:
        mov     $9f - LOW_BASE, %ebx
        jmp     real_16
        .section .low, "awx"
        .code16
9:      ljmp    $0xf000, $0xfff0

#define SEL_OLD (SEL_TSS + 16 * 6) /* of CPUs that do not run */
#define SEL_NEW (SEL_TSS + 16 * 7)
#define TSS_LIMIT 0x67
#define TSS_FREE 0x8900

        .text
        .code32
        .globl  task_switch
        /* The descriptor of a 32-bit TSS. */
        .macro  describe selector, tss
        mov     $\tss, %eax
        mov     %eax, %ecx
        shl     $16, %eax
        or      $TSS_LIMIT, %eax
        mov     %eax, gdt + \selector
        shr     $16, %ecx
        mov     %ecx, %eax
        movzbl  %al, %ecx
        shr     $8, %eax
        shl     $24, %eax
        or      $TSS_FREE, %ecx
        or      %ecx, %eax
        mov     %eax, gdt + \selector + 4
        .endm
task_switch:
        describe SEL_OLD, old_task
        describe SEL_NEW, new_task
        mov     $SEL_OLD, %eax
        ltr     %ax
        ljmp    $SEL_NEW, $0

        .bss
        .balign 128
old_task: .fill TSS_LIMIT + 1
        .balign 128
new_task: .fill TSS_LIMIT + 1

        .section .note.GNU-stack, "", @progbits
