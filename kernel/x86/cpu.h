/*
 * Features of the CPUs: what is there, and what the kernel switches on.
 *
 * Intel SDM volume 3, 2.5 (control registers), 4.1.4, 12.12 (PAT); AMD64 manual volume 2, 3.1.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "x86/asm.h"

#define MSR_PRED_CMD 0x49
#define PRED_CMD_IBPB 1
#define MSR_SYSENTER_CS 0x174
#define MSR_PAT 0x277
#define MSR_EFER 0xc0000080
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_FMASK 0xc0000084
#define MSR_TSC_AUX 0xc0000103
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102

#define EFER_LME BIT(8)
#define EFER_LMA BIT(10)

#define CR0_PE BIT(0)
#define CR0_MP BIT(1)
#define CR0_TS BIT(3)
#define CR0_PG BIT(31)
#define CR4_PAE BIT(5)

/* CR0: PG, AM, WP, NE, ET, MP, PE. CD, NW and EM stay clear; TS is up to x86/fpu.c. */
#define CPU_CR0 (BIT(31) | BIT(18) | BIT(16) | BIT(5) | BIT(4) | BIT(1) | BIT(0))

#define CR4_PGE BIT(7)

extern bool cpu_has_fsgsbase, cpu_has_xsave, cpu_has_pcid, cpu_has_ibpb, cpu_has_smap, cpu_has_1g, cpu_has_tsc_aux;
extern unsigned cpu_phys_bits; /* width of physical addresses */

/* Looks at the first CPU: all others are taken to be alike. */
void cpu_features(void);

/* Switches on, on this CPU, what the kernel uses. */
void cpu_enable(void);
