/*
 * All user registers, loaded and stored around one instruction. For one thread at a time.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdint.h>

/* In the order of the UTCB. */
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, RFLAGS, RIP, REGISTERS };

/* Loaded (but RSP and RIP, which are stored here as they are before the instruction), and stored after. */
extern uint64_t registers_in[REGISTERS], registers_out[REGISTERS];

/* Released by a value other than 0. */
extern volatile uint8_t registers_release;

void registers_syscall(void); /* syscall */
void registers_ud2(void);     /* ud2: something must move RIP by 2, the length of either instruction */
void registers_spin(void);    /* spins until registers_release; changes RFLAGS */

/* The instruction itself. */
extern char registers_at_syscall[], registers_at_ud2[], registers_at_spin[];

extern const char *const register_name[REGISTERS];
