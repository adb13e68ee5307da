/*
 * 32-bit function for life.c: jumps to the reset vector of real mode, as Linux does where there is no better way.
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

        .section .note.GNU-stack, "", @progbits
