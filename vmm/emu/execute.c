/*
 * Executor: carries out a decoded instruction on the state of the vCPU (Intel SDM volume 2).
 *
 * All checks come first, then reads, then writes, then registers and flags: a fault leaves nothing behind.
 * Flags that are undefined stay as they are, or become what the usual CPUs make of them.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

#define REPLACE_TRIES 64

/* SF, ZF, PF of a result. */
static uint64_t result_flags(uint64_t result, unsigned bytes)
{
    uint64_t parity = __builtin_parity((unsigned)result & 0xff) ? 0 : FLAG_PF;

    return parity | (result & size_mask(bytes) ? 0 : FLAG_ZF) | (result >> (8 * bytes - 1) & 1 ? FLAG_SF : 0);
}

/* a + b + carry; all flags. */
static uint64_t add(uint64_t a, uint64_t b, uint64_t carry, unsigned bytes, uint64_t *flags)
{
    uint64_t result = (a + b + carry) & size_mask(bytes);
    uint64_t overflow = (a ^ result) & (b ^ result);

    *flags = result_flags(result, bytes) | ((a ^ b ^ result) & FLAG_AF);
    *flags |= result < a || (carry && result == a) ? FLAG_CF : 0;
    *flags |= overflow >> (8 * bytes - 1) & 1 ? FLAG_OF : 0;
    return result;
}

/* a - b - borrow; all flags. */
static uint64_t subtract(uint64_t a, uint64_t b, uint64_t borrow, unsigned bytes, uint64_t *flags)
{
    uint64_t result = (a - b - borrow) & size_mask(bytes);
    uint64_t overflow = (a ^ b) & (a ^ result);

    *flags = result_flags(result, bytes) | ((a ^ b ^ result) & FLAG_AF);
    *flags |= a < b || (borrow && a == b) ? FLAG_CF : 0;
    *flags |= overflow >> (8 * bytes - 1) & 1 ? FLAG_OF : 0;
    return result;
}

/* BT and relatives change CF only. */
static uint64_t bit_operation(enum emu_op op, uint64_t a, uint64_t b, unsigned bytes, uint64_t *rflags)
{
    uint64_t bit = 1ULL << (b & (8 * bytes - 1));

    *rflags = (*rflags & ~(uint64_t)FLAG_CF) | (a & bit ? FLAG_CF : 0);
    switch (op) {
    case EMU_BTS:
        return a | bit;
    case EMU_BTR:
        return a & ~bit;
    default:
        return a ^ bit;
    }
}

uint64_t emu_compute(enum emu_op op, uint64_t a, uint64_t b, unsigned bytes, uint64_t *rflags)
{
    uint64_t carry = *rflags & FLAG_CF, keep = 0, flags = 0, result;

    switch (op) {
    case EMU_ADD:
    case EMU_XADD:
        result = add(a, b, 0, bytes, &flags);
        break;
    case EMU_ADC:
        result = add(a, b, carry, bytes, &flags);
        break;
    case EMU_SBB:
        result = subtract(a, b, carry, bytes, &flags);
        break;
    case EMU_SUB:
    case EMU_CMP:
        result = subtract(a, b, 0, bytes, &flags);
        break;
    case EMU_INC:
        result = add(a, 1, 0, bytes, &flags);
        keep = FLAG_CF;
        break;
    case EMU_DEC:
        result = subtract(a, 1, 0, bytes, &flags);
        keep = FLAG_CF;
        break;
    case EMU_NEG:
        result = subtract(0, a, 0, bytes, &flags);
        break;
    case EMU_AND:
    case EMU_TEST:
        result = a & b;
        flags = result_flags(result, bytes);
        break;
    case EMU_OR:
        result = a | b;
        flags = result_flags(result, bytes);
        break;
    case EMU_XOR:
        result = a ^ b;
        flags = result_flags(result, bytes);
        break;
    case EMU_BT:
    case EMU_BTS:
    case EMU_BTR:
    case EMU_BTC:
        return bit_operation(op, a, b, bytes, rflags);
    case EMU_NOT:
        return ~a;
    default: /* XCHG */
        return b;
    }
    *rflags = (*rflags & ~(uint64_t)(FLAG_STATUS & ~keep)) | (flags & ~keep);
    return result;
}

/* AH to BH are byte registers 4 to 7, but not with REX. */
static uint64_t read_operand_register(const struct emu *emu, unsigned number, unsigned bytes)
{
    if (bytes == 1 && !emu->insn.rex && number >= RSP && number <= RDI)
        return emu->state->gpr[number - RSP] >> 8 & 0xff;
    return read_register(emu->state, number, bytes);
}

static void write_operand_register(struct emu *emu, unsigned number, unsigned bytes, uint64_t value)
{
    if (bytes == 1 && !emu->insn.rex && number >= RSP && number <= RDI) {
        uint64_t *gpr = &emu->state->gpr[number - RSP];

        *gpr = (*gpr & ~0xff00ULL) | (value & 0xff) << 8;
    } else {
        write_register(emu->state, number, bytes, value);
    }
}

/* Number of the register that an operand is. */
static unsigned operand_register(const struct emu_insn *insn, unsigned operand)
{
    return operand == EMU_REG ? insn->reg : operand == EMU_RAX ? RAX : insn->rm;
}

static bool is_memory(const struct emu_insn *insn, unsigned operand)
{
    return insn->memory && (operand == EMU_RM || operand == EMU_OFFSET);
}

/* Value of an operand that is not in memory. */
static uint64_t read_operand(const struct emu *emu, unsigned operand, unsigned bytes)
{
    const struct emu_insn *insn = &emu->insn;

    switch (operand) {
    case EMU_NONE:
        return 0;
    case EMU_IMMEDIATE:
        return insn->immediate & size_mask(bytes);
    case EMU_SEG:
        return emu_segment(emu->state, insn->modrm >> 3 & 7)->sel;
    default:
        return read_operand_register(emu, operand_register(insn, operand), bytes);
    }
}

static uint64_t effective_address(const struct emu *emu)
{
    const struct emu_insn *insn = &emu->insn;
    const struct nova_arch_state *state = emu->state;
    uint64_t address = insn->offset;

    address += insn->base != EMU_NO_REGISTER ? state->gpr[insn->base] : 0;
    address += insn->index != EMU_NO_REGISTER ? state->gpr[insn->index] << insn->scale : 0;
    address += insn->ip_relative ? state->rip + insn->length : 0;
    if (insn->op >= EMU_BT && insn->op <= EMU_BTC && insn->src == EMU_REG) {
        /* The bit offset, signed, reaches beyond the operand. */
        int64_t bit = (int64_t)sign_extend(state->gpr[insn->reg], insn->size);

        address += (uint64_t)(bit >> 3) & ~(uint64_t)(insn->size - 1U);
    }
    return address & size_mask(insn->address_size);
}

/* Checks the memory operand. */
static enum emu_result locate_operand(struct emu *emu, unsigned bytes, unsigned access, struct place *place)
{
    return emu_locate(emu, emu->insn.segment, effective_address(emu), bytes, access, place);
}

enum emu_result emu_finish(struct emu *emu)
{
    struct nova_arch_state *state = emu->state;

    emu->step = state->rflags & FLAG_TF;
    state->rip += emu->insn.length;
    if (!is_long(state))
        state->rip &= UINT32_MAX;
    state->rflags &= ~(uint64_t)FLAG_RF;
    state->intr_state &= ~3U; /* blocking by STI and by MOV SS (24.4.2) */
    return EMU_DONE;
}

/* Registers that the instruction writes besides its destination. */
static void write_second(struct emu *emu, uint64_t old, bool equal)
{
    const struct emu_insn *insn = &emu->insn;

    if (insn->op == EMU_XADD || insn->op == EMU_XCHG)
        write_operand_register(emu, operand_register(insn, insn->src), insn->size, old);
    else if (insn->op == EMU_CMPXCHG && !equal)
        write_operand_register(emu, RAX, insn->size, old);
}

/* MOV, MOVZX, MOVSX, MOVBE: neither the destination nor a flag is read. */
static enum emu_result execute_move(struct emu *emu)
{
    const struct emu_insn *insn = &emu->insn;
    bool to_memory = is_memory(insn, insn->dst), from_memory = insn->memory && !to_memory;
    struct place place = {0};
    uint64_t value;

    if (insn->memory) {
        enum emu_result result =
            locate_operand(emu, insn->src_size, to_memory ? EMU_WRITE : EMU_READ, &place);

        if (result != EMU_DONE)
            return result;
    }
    value = from_memory ? emu_load(emu, &place) : read_operand(emu, insn->src, insn->src_size);
    if (insn->op == EMU_MOVSX)
        value = sign_extend(value, insn->src_size);
    else if (insn->op == EMU_MOVBE)
        value = __builtin_bswap64(value) >> (64 - 8 * insn->size);
    if (to_memory)
        emu_store(emu, &place, value);
    else
        write_operand_register(emu, operand_register(insn, insn->dst), insn->size, value);
    return emu_finish(emu);
}

/* Instructions that compute: the destination is read, and mostly written, and may be in memory, or the
 * source. */
static enum emu_result execute_alu(struct emu *emu)
{
    const struct emu_insn *insn = &emu->insn;
    bool to_memory = is_memory(insn, insn->dst), from_memory = insn->memory && !to_memory;
    bool writes = insn->op != EMU_CMP && insn->op != EMU_TEST && insn->op != EMU_BT;
    uint64_t source, old, value, rflags;
    struct place place = {0};
    bool equal = false;

    if (insn->memory) {
        enum emu_result result =
            locate_operand(emu, insn->size, to_memory && writes ? EMU_WRITE : EMU_READ, &place);

        if (result != EMU_DONE)
            return result;
    }
    source = from_memory ? emu_load(emu, &place) : read_operand(emu, insn->src, insn->size);
    for (unsigned i = 0; i < REPLACE_TRIES; i++) {
        rflags = emu->state->rflags;
        old = to_memory ? emu_load(emu, &place) : read_operand(emu, insn->dst, insn->size);
        if (insn->op == EMU_CMPXCHG) {
            emu_compute(EMU_CMP, read_register(emu->state, RAX, insn->size), old, insn->size, &rflags);
            equal = rflags & FLAG_ZF;
            value = equal ? source : old;
        } else {
            value = emu_compute(insn->op, old, source, insn->size, &rflags);
        }
        if (to_memory && writes && !emu_replace(emu, &place, old, value))
            continue;
        write_second(emu, old, equal);
        if (!to_memory && writes && (insn->op != EMU_CMPXCHG || equal))
            write_operand_register(emu, operand_register(insn, insn->dst), insn->size, value);
        emu->state->rflags = rflags;
        return emu_finish(emu);
    }
    return EMU_AGAIN;
}

/* Bytes of the stack pointer. */
static unsigned stack_width(const struct nova_arch_state *state)
{
    return is_long(state) ? 8 : state->ss.ar & 1U << 10 ? 4 : 2;
}

static enum emu_result execute_push(struct emu *emu)
{
    const struct emu_insn *insn = &emu->insn;
    unsigned width = stack_width(emu->state), operand = insn->dst == EMU_NONE ? insn->src : insn->dst;
    uint64_t top = (emu->state->gpr[RSP] - insn->size) & size_mask(width), value;
    struct place source = {0}, stack = {0};
    enum emu_result result = EMU_DONE;

    if (insn->memory)
        result = locate_operand(emu, insn->size, EMU_READ, &source);
    if (result == EMU_DONE)
        result = emu_locate(emu, SEGMENT_SS, top, insn->size, EMU_WRITE, &stack);
    if (result != EMU_DONE)
        return result;
    value = insn->memory ? emu_load(emu, &source) : read_operand(emu, operand, insn->size);
    emu_store(emu, &stack, value);
    write_register(emu->state, RSP, width, top);
    return emu_finish(emu);
}

/* The address of the destination is that after RSP has grown. */
static enum emu_result execute_pop(struct emu *emu)
{
    const struct emu_insn *insn = &emu->insn;
    unsigned width = stack_width(emu->state);
    uint64_t rsp = emu->state->gpr[RSP], value;
    struct place target = {0}, stack = {0};
    enum emu_result result =
        emu_locate(emu, SEGMENT_SS, rsp & size_mask(width), insn->size, EMU_READ, &stack);

    if (result == EMU_DONE && insn->memory) {
        write_register(emu->state, RSP, width, rsp + insn->size);
        result = locate_operand(emu, insn->size, EMU_WRITE, &target);
        emu->state->gpr[RSP] = rsp;
    }
    if (result != EMU_DONE)
        return result;
    value = emu_load(emu, &stack);
    write_register(emu->state, RSP, width, rsp + insn->size);
    if (insn->memory)
        emu_store(emu, &target, value);
    else
        write_operand_register(emu, insn->rm, insn->size, value);
    return emu_finish(emu);
}

enum emu_result emu_execute(struct emu *emu)
{
    unsigned op = emu->insn.op;

    if (op >= EMU_MOV && op <= EMU_MOVBE)
        return execute_move(emu);
    if (op < EMU_PUSH)
        return execute_alu(emu);
    /* What follows has two operands in memory, of which the exit may mean either. */
    emu->hint = EMU_HINT_NONE;
    switch (op) {
    case EMU_PUSH:
        return execute_push(emu);
    case EMU_POP:
        return execute_pop(emu);
    case EMU_IN:
    case EMU_OUT:
        return emu_port(emu);
    case EMU_CONTROL:
        return EMU_UNSUPPORTED;
    default:
        return emu_string(emu);
    }
}

enum emu_result emu_run(struct emu *emu)
{
    enum emu_result result = emu_identify(emu);

    return result == EMU_DONE ? emu_execute(emu) : result;
}
