/**
 * @file
 * What the files of the instruction emulation share: bits of registers, access to guest registers, operands
 * in memory.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "emu.h"

#define EMU_PAGE 4096U

#define FLAG_CF (1U << 0)
#define FLAG_PF (1U << 2)
#define FLAG_AF (1U << 4)
#define FLAG_ZF (1U << 6)
#define FLAG_SF (1U << 7)
#define FLAG_TF (1U << 8)
#define FLAG_DF (1U << 10)
#define FLAG_OF (1U << 11)
#define FLAG_IOPL (3U << 12)
#define FLAG_RF (1U << 16)
#define FLAG_VM (1U << 17)
#define FLAG_AC (1U << 18)
#define FLAG_STATUS (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

#define CR0_PE (1U << 0)
#define CR0_WP (1U << 16)
#define CR0_AM (1U << 18)
#define CR0_PG (1U << 31)
#define CR4_PSE (1U << 4)
#define CR4_PAE (1U << 5)
#define CR4_LA57 (1U << 12)
#define CR4_SMEP (1U << 20)
#define CR4_SMAP (1U << 21)
#define EFER_LMA (1U << 10)
#define EFER_NXE (1U << 11)
#define AR_L (1U << 9)

enum vector { VECTOR_UD = 6, VECTOR_SS = 12, VECTOR_GP = 13, VECTOR_PF = 14, VECTOR_AC = 17 };

enum segment { SEGMENT_ES, SEGMENT_CS, SEGMENT_SS, SEGMENT_DS, SEGMENT_FS, SEGMENT_GS };

enum gpr { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

/** Where an operand is: in one page or two. Zero before the first use; kept, it spares the walk for the
 * same page. */
struct place {
    uint64_t linear; /**< of its first byte */
    uint64_t gpa[2];
    uint8_t bytes[2]; /**< in each page; the second may be 0 */
};

/** All bits of an operand or address of 1 to 8 bytes. */
static inline uint64_t size_mask(unsigned bytes)
{
    return UINT64_MAX >> (64 - 8 * bytes);
}

static inline uint64_t sign_extend(uint64_t value, unsigned bytes)
{
    unsigned shift = 64 - 8 * bytes;

    return (uint64_t)((int64_t)(value << shift) >> shift);
}

/** 64-bit code. */
static inline bool is_long(const struct nova_arch_state *state)
{
    return state->efer & EFER_LMA && state->cs.ar & AR_L;
}

static inline bool is_protected(const struct nova_arch_state *state)
{
    return state->cr0 & CR0_PE && !(state->rflags & FLAG_VM);
}

/** SS.DPL is the CPL, except where there is no protection. */
static inline unsigned current_privilege(const struct nova_arch_state *state)
{
    return state->rflags & FLAG_VM ? 3 : state->cr0 & CR0_PE ? state->ss.ar >> 5 & 3U : 0;
}

static inline uint64_t read_register(const struct nova_arch_state *state, unsigned number, unsigned bytes)
{
    return state->gpr[number] & size_mask(bytes);
}

/** Writes of 4 bytes clear the upper half, shorter ones keep the rest. */
static inline void write_register(struct nova_arch_state *state, unsigned number, unsigned bytes,
                                  uint64_t value)
{
    uint64_t keep = bytes >= 4 ? 0 : ~size_mask(bytes);

    state->gpr[number] = (state->gpr[number] & keep) | (value & size_mask(bytes));
}

/** Fault with error code 0, where there are error codes. */
enum emu_result emu_raise(struct emu *emu, enum vector vector);

/** Segment register by its number. */
const struct nova_segment *emu_segment(const struct nova_arch_state *state, unsigned segment);

/** Checks segment, alignment and page rights of an operand. On EMU_DONE it can be loaded, and stored if
 * access says so. */
enum emu_result emu_locate(struct emu *emu, unsigned segment, uint64_t offset, unsigned bytes,
                           unsigned access, struct place *place);

uint64_t emu_load(const struct emu *emu, const struct place *place);

void emu_store(const struct emu *emu, const struct place *place, uint64_t value);

/** Stores if the operand still has the old value, atomically where that can be: RAM, naturally aligned. */
bool emu_replace(const struct emu *emu, const struct place *place, uint64_t old, uint64_t value);

/** Result of an operation with one or two operands that sets the status flags. */
uint64_t emu_compute(enum emu_op op, uint64_t a, uint64_t b, unsigned bytes, uint64_t *rflags);

/** The instruction is carried out: on to the next one. */
enum emu_result emu_finish(struct emu *emu);

/** Looks the instruction at CS:RIP up in the cache: sets bytes, available, insn. 64-bit code only. */
bool emu_recall(struct emu *emu);

/** Puts the decoded instruction into the cache, if it can be found there again. */
void emu_remember(struct emu *emu, const struct emu_path *path);

/** MOVS, CMPS, STOS, LODS, SCAS, INS, OUTS. */
enum emu_result emu_string(struct emu *emu);

/** IN, OUT. */
enum emu_result emu_port(struct emu *emu);
