/*
 * Runs one instruction on the processor of this machine, in 64-, 32- or 16-bit code, and says what it did.
 *
 * The caller puts the instruction into an executable page that is full of INT3: whatever it does, it ends
 * with a signal, whose frame has the registers. One thread at a time.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdint.h>

/* Selectors: those of Linux, which are part of its interface, and entries of the LDT. */
#define NATIVE_CS_64 0x33
#define NATIVE_CS_32 0x23
#define NATIVE_DS 0x2b
#define NATIVE_LDT(n) ((uint16_t)((n) << 3 | 7))

struct native {
    uint64_t gpr[16];          /* in and out, in the order of their encoding */
    uint64_t rip, rflags;      /* in and out */
    uint64_t cs, ss;           /* in */
    uint64_t trap, error, cr2; /* out: the vector that ended it */
};

/* Once per process: signal handlers, on a stack of their own. */
void native_init(void);

void native_run(struct native *native);

/* Writes a descriptor of the LDT; `ar` is that of struct nova_segment. Returns 0 or an error number. */
int native_set_ldt(unsigned entry, uint32_t base, uint32_t limit, unsigned ar);

/* Loads segment registers, for 16- and 32-bit code. */
void native_set_segments(uint16_t es, uint16_t ds, uint16_t gs);

/* For 64-bit code. */
void native_set_gs_base(uint64_t base);
