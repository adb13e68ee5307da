/*
 * String instructions and port input and output, with REP (Intel SDM volume 2, REP; volume 1, chapter 19).
 *
 * A call does a bounded number of iterations and leaves the registers as an interrupt between two iterations
 * would find them. Both operands are checked before an iteration has an effect.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

#define ITERATIONS 256
#define TSS_IO_MAP 102
#define TSS_BUSY_32 0xb

/* A system data structure in memory. */
static enum emu_result load_system(struct emu *emu, uint64_t linear, uint64_t *value)
{
    struct place place = {.bytes = {1, 1}};
    enum emu_result result = emu_translate(emu, linear, EMU_SYSTEM, &place.gpa[0]);

    if (result == EMU_DONE)
        result = emu_translate(emu, linear + 1, EMU_SYSTEM, &place.gpa[1]);
    if (result == EMU_DONE)
        *value = emu_load(emu, &place);
    return result;
}

/* IOPL and the permission bits in the TSS (volume 1, 19.5): the code may not be what exited, if another
 * vCPU wrote to it. */
static enum emu_result check_port(struct emu *emu, uint16_t port, unsigned bytes)
{
    const struct nova_arch_state *state = emu->state;
    enum emu_result result;
    uint64_t map, bits;

    if (!(state->cr0 & CR0_PE) ||
        (!(state->rflags & FLAG_VM) && current_privilege(state) <= (state->rflags & FLAG_IOPL) >> 12))
        return EMU_DONE;
    if ((state->tr.ar & 0xf) != TSS_BUSY_32 || state->tr.limit < TSS_IO_MAP + 1)
        return emu_raise(emu, VECTOR_GP);
    result = load_system(emu, state->tr.base + TSS_IO_MAP, &map);
    if (result != EMU_DONE)
        return result;
    if (state->tr.limit < map + port / 8 + 1)
        return emu_raise(emu, VECTOR_GP);
    result = load_system(emu, state->tr.base + map + port / 8, &bits);
    if (result != EMU_DONE)
        return result;
    return bits >> port % 8 & ((1U << bytes) - 1) ? emu_raise(emu, VECTOR_GP) : EMU_DONE;
}

enum emu_result emu_port(struct emu *emu)
{
    const struct emu_insn *insn = &emu->insn;
    bool immediate = insn->src == EMU_IMMEDIATE || insn->dst == EMU_IMMEDIATE;
    uint16_t port = (uint16_t)(immediate ? insn->immediate : emu->state->gpr[RDX]);
    enum emu_result result = check_port(emu, port, insn->size);

    if (result != EMU_DONE)
        return result;
    if (insn->op == EMU_IN) {
        uint64_t value = 0;

        emu->ops->port_in(emu->context, port, insn->size, &value);
        write_register(emu->state, RAX, insn->size, value);
    } else {
        emu->ops->port_out(emu->context, port, insn->size, read_register(emu->state, RAX, insn->size));
    }
    return emu_finish(emu);
}

/* Moves an index register by the size of an operand. */
static void advance(struct emu *emu, unsigned number)
{
    unsigned size = emu->insn.size;
    uint64_t step = emu->state->rflags & FLAG_DF ? -(uint64_t)size : size;

    write_register(emu->state, number, emu->insn.address_size, emu->state->gpr[number] + step);
}

/* One iteration. The places are kept: as long as the operands stay in their pages they need no further
 * walk. */
static enum emu_result iterate(struct emu *emu, struct place *source, struct place *target)
{
    struct nova_arch_state *state = emu->state;
    const struct emu_insn *insn = &emu->insn;
    bool from = insn->op == EMU_MOVS || insn->op == EMU_CMPS || insn->op == EMU_LODS || insn->op == EMU_OUTS;
    bool to = insn->op != EMU_LODS && insn->op != EMU_OUTS;
    bool reads_only = insn->op == EMU_CMPS || insn->op == EMU_SCAS;
    enum emu_result result = EMU_DONE;
    uint64_t value = 0;

    if (from) {
        result = emu_locate(emu, insn->segment, read_register(state, RSI, insn->address_size), insn->size,
                            EMU_READ, source);
    }
    if (to && result == EMU_DONE) {
        result = emu_locate(emu, SEGMENT_ES, read_register(state, RDI, insn->address_size), insn->size,
                            reads_only ? EMU_READ : EMU_WRITE, target);
    }
    if (result != EMU_DONE)
        return result;
    if (insn->op == EMU_INS)
        emu->ops->port_in(emu->context, (uint16_t)state->gpr[RDX], insn->size, &value);
    else
        value = from ? emu_load(emu, source) : read_register(state, RAX, insn->size);
    if (reads_only)
        emu_compute(EMU_CMP, value, emu_load(emu, target), insn->size, &state->rflags);
    else if (to)
        emu_store(emu, target, value);
    else if (insn->op == EMU_LODS)
        write_register(state, RAX, insn->size, value);
    else
        emu->ops->port_out(emu->context, (uint16_t)state->gpr[RDX], insn->size, value);
    if (from)
        advance(emu, RSI);
    if (to)
        advance(emu, RDI);
    emu->step = state->rflags & FLAG_TF;
    return EMU_DONE;
}

enum emu_result emu_string(struct emu *emu)
{
    struct nova_arch_state *state = emu->state;
    const struct emu_insn *insn = &emu->insn;
    bool compares = insn->op == EMU_CMPS || insn->op == EMU_SCAS;
    unsigned limit = state->rflags & FLAG_TF ? 1 : ITERATIONS;
    struct place source = {0}, target = {0};
    enum emu_result result = EMU_DONE;

    if (insn->op == EMU_INS || insn->op == EMU_OUTS)
        result = check_port(emu, (uint16_t)state->gpr[RDX], insn->size);
    for (unsigned i = 0; result == EMU_DONE; i++) {
        uint64_t count = read_register(state, RCX, insn->address_size);

        if (insn->rep && !count)
            return emu_finish(emu);
        if (i == limit)
            return EMU_AGAIN;
        result = iterate(emu, &source, &target);
        if (result != EMU_DONE)
            break;
        if (!insn->rep)
            return emu_finish(emu);
        write_register(state, RCX, insn->address_size, count - 1);
        if (compares && !(state->rflags & FLAG_ZF) == (insn->rep == 0xf3))
            return emu_finish(emu);
    }
    return result;
}
