/*
 * Selectors and addresses that C and assembly share.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#define SEL_CODE64 0x08
#define SEL_DATA 0x10
#define SEL_CODE32 0x18
#define SEL_CODE16 0x20 /* base LOW_BASE, 64 KiB */
#define SEL_DATA16 0x28 /* the same */
#define SEL_USER64 0x33
#define SEL_USER_DATA 0x3b
#define SEL_USER32 0x43
#define SEL_SMALL 0x48  /* data, base 0, limit 0xfff */
#define SEL_ABSENT 0x50 /* data, not present */
#define SEL_TSS 0x60    /* of CPU 0; 16 bytes each */
#define MAX_CPUS 8

/* Code for real and 16-bit mode is copied here, to a page that a start-up IPI can name. */
#define LOW_BASE 0x20000
#define LOW_SEGMENT (LOW_BASE >> 4)
#define LOW_STACK 0xfff0 /* in that segment */

/* Per-CPU structure, at GS. */
#define CPU_RESUME 0
#define CPU_VECTOR 8
#define CPU_USER_RSP 16

#define STACK_SIZE 0x4000
