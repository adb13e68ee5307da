/*
 * Instruction decoder for the forms that are emulated, and for the instructions that SVM intercepts (Intel SDM volume 2,
 * chapter 2 and appendix A; AMD APM volume 3, chapter 1).
 *
 * Works on a private copy of the bytes. Anything that is not in the tables is EMU_UNSUPPORTED; nothing is guessed.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

/* What follows the opcode, and what it means. */
enum form_flags {
    MODRM = 1 << 0,
    WIDTH = 1 << 1,      /* bit 0 of the opcode clear: bytes */
    IMM8 = 1 << 2,       /* sign-extended */
    IMMZ = 1 << 3,       /* of the operand's size, 4 bytes at most, sign-extended */
    IMMV = 1 << 4,       /* of the operand's size */
    MEMORY = 1 << 5,     /* not with a register */
    STACK = 1 << 6,      /* 64-bit mode: 8 bytes by default */
    PORT = 1 << 7,       /* never 8 bytes */
    ONLY_64 = 1 << 8,    /* something else in the other modes */
    NOT_64 = 1 << 9,     /* something else, or nothing, in 64-bit mode */
    SOURCE_1 = 1 << 10,  /* the source has 1 byte, */
    SOURCE_2 = 1 << 11,  /* or 2 */
    NO_PREFIX = 1 << 12, /* 66, F2, F3 make another instruction */
    REGISTERS = 1 << 13, /* ModRM names registers, whatever mod says */
    GROUP = 1 << 14,     /* ModRM.reg is part of the opcode: `op` is the group */
    PLAIN = 1 << 15      /* none of these */
};

struct form {
    uint8_t op, dst, src;
    uint16_t flags; /* 0: unsupported */
};

struct reader {
    const uint8_t *bytes;
    unsigned count, at;
};

/* Forms of ADD to CMP by the low three bits of the opcode. */
static const struct form alu_forms[6] = {
    {0, EMU_RM, EMU_REG, MODRM | WIDTH},       {0, EMU_RM, EMU_REG, MODRM | WIDTH},
    {0, EMU_REG, EMU_RM, MODRM | WIDTH},       {0, EMU_REG, EMU_RM, MODRM | WIDTH},
    {0, EMU_RAX, EMU_IMMEDIATE, IMMZ | WIDTH}, {0, EMU_RAX, EMU_IMMEDIATE, IMMZ | WIDTH},
};

enum group {
    GROUP_ALU,  /* 80 to 83 */
    GROUP_POP,  /* 8f */
    GROUP_MOV,  /* c6, c7 */
    GROUP_TEST, /* f6, f7 */
    GROUP_INC,  /* fe */
    GROUP_PUSH, /* ff */
    GROUP_BT    /* 0f ba */
};

#define INVALID 0xff /* operation of a group: #UD */
#define UNKNOWN 0xfe /* not emulated */

static const uint8_t groups[][8] = {
    [GROUP_ALU] = {EMU_ADD, EMU_OR, EMU_ADC, EMU_SBB, EMU_AND, EMU_SUB, EMU_XOR, EMU_CMP},
    [GROUP_POP] = {EMU_POP, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN},
    [GROUP_MOV] = {EMU_MOV, INVALID, INVALID, INVALID, INVALID, INVALID, INVALID, UNKNOWN},
    [GROUP_TEST] = {EMU_TEST, EMU_TEST, EMU_NOT, EMU_NEG, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN},
    [GROUP_INC] = {EMU_INC, EMU_DEC, INVALID, INVALID, INVALID, INVALID, INVALID, INVALID},
    [GROUP_PUSH] = {EMU_INC, EMU_DEC, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, EMU_PUSH, INVALID},
    [GROUP_BT] = {INVALID, INVALID, INVALID, INVALID, EMU_BT, EMU_BTS, EMU_BTR, EMU_BTC},
};

static const struct form one_byte[256] = {
    [0x40 ... 0x47] = {EMU_INC, EMU_OPCODE, EMU_NONE, NOT_64},
    [0x48 ... 0x4f] = {EMU_DEC, EMU_OPCODE, EMU_NONE, NOT_64},
    [0x50 ... 0x57] = {EMU_PUSH, EMU_OPCODE, EMU_NONE, STACK},
    [0x58 ... 0x5f] = {EMU_POP, EMU_OPCODE, EMU_NONE, STACK},
    [0x63] = {EMU_MOVSX, EMU_REG, EMU_RM, MODRM | ONLY_64},
    [0x68] = {EMU_PUSH, EMU_NONE, EMU_IMMEDIATE, STACK | IMMZ},
    [0x6a] = {EMU_PUSH, EMU_NONE, EMU_IMMEDIATE, STACK | IMM8},
    [0x6c ... 0x6d] = {EMU_INS, EMU_NONE, EMU_RDX, WIDTH | PORT},
    [0x6e ... 0x6f] = {EMU_OUTS, EMU_RDX, EMU_NONE, WIDTH | PORT},
    [0x80 ... 0x81] = {GROUP_ALU, EMU_RM, EMU_IMMEDIATE, MODRM | GROUP | WIDTH | IMMZ},
    [0x82] = {GROUP_ALU, EMU_RM, EMU_IMMEDIATE, MODRM | GROUP | WIDTH | IMM8 | NOT_64},
    [0x83] = {GROUP_ALU, EMU_RM, EMU_IMMEDIATE, MODRM | GROUP | IMM8},
    [0x84 ... 0x85] = {EMU_TEST, EMU_RM, EMU_REG, MODRM | WIDTH},
    [0x86 ... 0x87] = {EMU_XCHG, EMU_RM, EMU_REG, MODRM | WIDTH},
    [0x88 ... 0x89] = {EMU_MOV, EMU_RM, EMU_REG, MODRM | WIDTH},
    [0x8a ... 0x8b] = {EMU_MOV, EMU_REG, EMU_RM, MODRM | WIDTH},
    [0x8c] = {EMU_MOV, EMU_RM, EMU_SEG, MODRM},
    [0x8f] = {GROUP_POP, EMU_RM, EMU_NONE, MODRM | GROUP | STACK},
    [0x90] = {EMU_CONTROL, EMU_NONE, EMU_NONE, PLAIN}, /* NOP and PAUSE; with REX.B: XCHG */
    [0x91 ... 0x97] = {EMU_XCHG, EMU_OPCODE, EMU_RAX, PLAIN},
    [0x9c ... 0x9d] = {EMU_CONTROL, EMU_NONE, EMU_NONE, PLAIN}, /* PUSHF, POPF */
    [0xa0 ... 0xa1] = {EMU_MOV, EMU_RAX, EMU_OFFSET, WIDTH},
    [0xa2 ... 0xa3] = {EMU_MOV, EMU_OFFSET, EMU_RAX, WIDTH},
    [0xa4 ... 0xa5] = {EMU_MOVS, EMU_NONE, EMU_NONE, WIDTH},
    [0xa6 ... 0xa7] = {EMU_CMPS, EMU_NONE, EMU_NONE, WIDTH},
    [0xa8 ... 0xa9] = {EMU_TEST, EMU_RAX, EMU_IMMEDIATE, WIDTH | IMMZ},
    [0xaa ... 0xab] = {EMU_STOS, EMU_NONE, EMU_NONE, WIDTH},
    [0xac ... 0xad] = {EMU_LODS, EMU_NONE, EMU_NONE, WIDTH},
    [0xae ... 0xaf] = {EMU_SCAS, EMU_NONE, EMU_NONE, WIDTH},
    [0xb0 ... 0xb7] = {EMU_MOV, EMU_OPCODE, EMU_IMMEDIATE, IMM8},
    [0xb8 ... 0xbf] = {EMU_MOV, EMU_OPCODE, EMU_IMMEDIATE, IMMV},
    [0xc6 ... 0xc7] = {GROUP_MOV, EMU_RM, EMU_IMMEDIATE, MODRM | GROUP | WIDTH | IMMZ},
    [0xcc] = {EMU_CONTROL, EMU_NONE, EMU_NONE, PLAIN},     /* INT3 */
    [0xcd] = {EMU_CONTROL, EMU_NONE, EMU_IMMEDIATE, IMM8}, /* INT */
    [0xce] = {EMU_CONTROL, EMU_NONE, EMU_NONE, NOT_64},    /* INTO */
    [0xcf] = {EMU_CONTROL, EMU_NONE, EMU_NONE, PLAIN},     /* IRET */
    [0xe4 ... 0xe5] = {EMU_IN, EMU_RAX, EMU_IMMEDIATE, WIDTH | PORT | IMM8},
    [0xe6 ... 0xe7] = {EMU_OUT, EMU_IMMEDIATE, EMU_RAX, WIDTH | PORT | IMM8},
    [0xec ... 0xed] = {EMU_IN, EMU_RAX, EMU_RDX, WIDTH | PORT},
    [0xee ... 0xef] = {EMU_OUT, EMU_RDX, EMU_RAX, WIDTH | PORT},
    [0xf1] = {EMU_CONTROL, EMU_NONE, EMU_NONE, PLAIN}, /* INT1 */
    [0xf4] = {EMU_CONTROL, EMU_NONE, EMU_NONE, PLAIN}, /* HLT */
    [0xf6 ... 0xf7] = {GROUP_TEST, EMU_RM, EMU_NONE, MODRM | GROUP | WIDTH},
    [0xfe] = {GROUP_INC, EMU_RM, EMU_NONE, MODRM | GROUP | WIDTH},
    [0xff] = {GROUP_PUSH, EMU_RM, EMU_NONE, MODRM | GROUP | WIDTH},
};

static const struct form two_byte[256] = {
    [0x00 ... 0x01] = {EMU_CONTROL, EMU_RM, EMU_NONE, MODRM},   /* SLDT ... LTR; SGDT ... LMSW, VMMCALL ... */
    [0x06] = {EMU_CONTROL, EMU_NONE, EMU_NONE, PLAIN},          /* CLTS */
    [0x08 ... 0x09] = {EMU_CONTROL, EMU_NONE, EMU_NONE, PLAIN}, /* INVD, WBINVD */
    [0x20 ... 0x21] = {EMU_CONTROL, EMU_RM, EMU_REG, MODRM | REGISTERS}, /* MOV from CR, DR */
    [0x22 ... 0x23] = {EMU_CONTROL, EMU_REG, EMU_RM, MODRM | REGISTERS}, /* MOV to CR, DR */
    [0x30 ... 0x33] = {EMU_CONTROL, EMU_NONE, EMU_NONE, PLAIN},          /* WRMSR, RDTSC, RDMSR, RDPMC */
    [0xa2] = {EMU_CONTROL, EMU_NONE, EMU_NONE, PLAIN},                   /* CPUID */
    [0xa3] = {EMU_BT, EMU_RM, EMU_REG, MODRM},
    [0xaa] = {EMU_CONTROL, EMU_NONE, EMU_NONE, PLAIN}, /* RSM */
    [0xab] = {EMU_BTS, EMU_RM, EMU_REG, MODRM},
    [0xb0 ... 0xb1] = {EMU_CMPXCHG, EMU_RM, EMU_REG, MODRM | WIDTH},
    [0xb3] = {EMU_BTR, EMU_RM, EMU_REG, MODRM},
    [0xb6] = {EMU_MOVZX, EMU_REG, EMU_RM, MODRM | SOURCE_1},
    [0xb7] = {EMU_MOVZX, EMU_REG, EMU_RM, MODRM | SOURCE_2},
    [0xba] = {GROUP_BT, EMU_RM, EMU_IMMEDIATE, MODRM | GROUP | IMM8},
    [0xbb] = {EMU_BTC, EMU_RM, EMU_REG, MODRM},
    [0xbe] = {EMU_MOVSX, EMU_REG, EMU_RM, MODRM | SOURCE_1},
    [0xbf] = {EMU_MOVSX, EMU_REG, EMU_RM, MODRM | SOURCE_2},
    [0xc0 ... 0xc1] = {EMU_XADD, EMU_RM, EMU_REG, MODRM | WIDTH},
    [0xc3] = {EMU_MOV, EMU_RM, EMU_REG, MODRM | MEMORY | NO_PREFIX}, /* MOVNTI */
};

/* 0f 38: only these two rows are of interest. */
static const struct form *three_byte(uint8_t opcode, unsigned rep, bool operand_prefix)
{
    static const struct form invpcid = {EMU_CONTROL, EMU_REG, EMU_RM, MODRM | MEMORY};
    static const struct form movbe[2] = {{EMU_MOVBE, EMU_REG, EMU_RM, MODRM | MEMORY},
                                         {EMU_MOVBE, EMU_RM, EMU_REG, MODRM | MEMORY}};

    if (opcode == 0x82 && operand_prefix && !rep)
        return &invpcid;
    return (opcode & 0xfe) == 0xf0 && !rep ? &movbe[opcode & 1] : NULL;
}

/* Next `size` bytes as a number; false if there are not so many. */
static bool take(struct reader *reader, unsigned size, uint64_t *value)
{
    if (reader->count - reader->at < size)
        return false;
    *value = 0;
    for (unsigned i = 0; i < size; i++)
        *value |= (uint64_t)reader->bytes[reader->at++] << 8 * i;
    return true;
}

static bool take_signed(struct reader *reader, unsigned size, uint64_t *value)
{
    bool good = take(reader, size, value);

    *value = good ? sign_extend(*value, size) : 0;
    return good;
}

struct prefixes {
    bool operand, address, lock;
    uint8_t rep, rex;
    uint8_t segment; /* or EMU_NO_REGISTER */
};

/* Prefixes and the first byte that is none. REX counts only right before the opcode (volume 2, 2.2.1). */
static bool take_prefixes(struct reader *reader, unsigned mode, struct prefixes *prefixes, uint64_t *opcode)
{
    static const uint8_t overrides[4] = {SEGMENT_ES, SEGMENT_CS, SEGMENT_SS, SEGMENT_DS};

    *prefixes = (struct prefixes){.segment = EMU_NO_REGISTER};
    while (take(reader, 1, opcode)) {
        uint8_t byte = (uint8_t)*opcode;

        if (mode == 8 && (byte & 0xf0) == 0x40) {
            prefixes->rex = byte;
            continue;
        }
        if (byte == 0x66) {
            prefixes->operand = true;
        } else if (byte == 0x67) {
            prefixes->address = true;
        } else if (byte == 0xf0) {
            prefixes->lock = true;
        } else if (byte == 0xf2 || byte == 0xf3) {
            prefixes->rep = byte;
        } else if (byte == 0x64 || byte == 0x65) {
            prefixes->segment = (uint8_t)(byte - 0x64 + SEGMENT_FS);
        } else if ((byte & 0xe7) == 0x26) {
            /* In 64-bit mode these have no effect. */
            prefixes->segment = mode == 8 ? prefixes->segment : overrides[byte >> 3 & 3];
        } else {
            return true;
        }
        prefixes->rex = 0;
    }
    return false;
}

/* Address of 16 bits: volume 2, table 2-1. */
static bool take_address_16(struct reader *reader, struct emu_insn *insn)
{
    static const uint8_t bases[8] = {RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX};
    static const uint8_t indices[4] = {RSI, RDI, RSI, RDI};
    unsigned mod = insn->modrm >> 6, rm = insn->modrm & 7;

    insn->base = bases[rm];
    insn->index = rm < 4 ? indices[rm] : EMU_NO_REGISTER;
    if (mod == 0 && rm == 6) {
        insn->base = EMU_NO_REGISTER;
        return take_signed(reader, 2, &insn->offset);
    }
    return mod == 0 || take_signed(reader, mod, &insn->offset);
}

/* Addresses of 32 and 64 bits: volume 2, tables 2-2, 2-3 and 2-7. */
static bool take_address(struct reader *reader, unsigned mode, unsigned rex, struct emu_insn *insn)
{
    unsigned mod = insn->modrm >> 6, base = insn->modrm & 7;
    uint64_t sib;

    if (base == 4) {
        if (!take(reader, 1, &sib))
            return false;
        base = sib & 7;
        insn->scale = (uint8_t)(sib >> 6);
        insn->index = (uint8_t)((sib >> 3 & 7) | (rex & 2) << 2);
        insn->index = insn->index == RSP ? EMU_NO_REGISTER : insn->index;
    } else if (mod == 0 && base == 5) {
        insn->ip_relative = mode == 8;
    }
    if (mod == 0 && base == 5)
        return take_signed(reader, 4, &insn->offset);
    insn->base = (uint8_t)(base | (rex & 1) << 3);
    return mod == 0 || take_signed(reader, mod == 1 ? 1 : 4, &insn->offset);
}

/* ModRM and what belongs to it. */
static bool take_modrm(struct reader *reader, unsigned mode, unsigned rex, bool registers,
                       struct emu_insn *insn)
{
    uint64_t modrm;

    if (!take(reader, 1, &modrm))
        return false;
    insn->modrm = (uint8_t)modrm;
    insn->reg = (uint8_t)((modrm >> 3 & 7) | (rex & 4) << 1);
    insn->rm = (uint8_t)((modrm & 7) | (rex & 1) << 3);
    if (registers || modrm >> 6 == 3)
        return true;
    insn->memory = true;
    return insn->address_size == 2 ? take_address_16(reader, insn) : take_address(reader, mode, rex, insn);
}

static unsigned operand_size(unsigned mode, const struct prefixes *prefixes, const struct form *form,
                             unsigned opcode)
{
    unsigned size = prefixes->rex & 8 ? 8 : (mode == 2) != prefixes->operand ? 2 : 4;

    if ((form->flags & WIDTH && !(opcode & 1)) || (opcode & ~7U) == 0xb0)
        return 1;
    if ((form->flags & PORT && size == 8) || (opcode == 0x0fc3 && size == 2))
        return 4;
    return form->flags & STACK && mode == 8 && size == 4 ? 8 : size;
}

/* Whether LOCK may precede it, given that its destination is in memory. */
static bool is_lockable(unsigned op)
{
    return (op <= EMU_XADD && op != EMU_CMP && op != EMU_TEST) || (op >= EMU_BTS && op <= EMU_BTC) ||
           (op >= EMU_INC && op <= EMU_NEG);
}

static bool take_immediate(struct reader *reader, unsigned flags, struct emu_insn *insn)
{
    if (insn->op == EMU_TEST && insn->src == EMU_IMMEDIATE)
        flags |= IMMZ;
    if (insn->dst == EMU_OFFSET || insn->src == EMU_OFFSET) {
        insn->memory = true;
        return take(reader, insn->address_size, &insn->offset);
    }
    if (flags & IMM8)
        return (flags & PORT ? take : take_signed)(reader, 1, &insn->immediate);
    if (flags & IMMV)
        return take_signed(reader, insn->size, &insn->immediate);
    return !(flags & IMMZ) || take_signed(reader, insn->size < 4 ? insn->size : 4, &insn->immediate);
}

/* Opcode and its form; *form is null if it is not in the tables. */
static bool take_opcode(struct reader *reader, const struct prefixes *prefixes, uint64_t opcode,
                        const struct form **form, struct emu_insn *insn)
{
    insn->opcode = (uint16_t)opcode;
    if (opcode != 0x0f) {
        *form = opcode < 0x40 && (opcode & 7) < 6 ? &alu_forms[opcode & 7] : &one_byte[opcode];
        return true;
    }
    if (!take(reader, 1, &opcode))
        return false;
    insn->opcode = (uint16_t)(0x0f00 | opcode);
    *form = &two_byte[opcode];
    if (opcode == 0x38) {
        if (!take(reader, 1, &opcode))
            return false;
        insn->opcode = (uint16_t)(0x3800 | opcode);
        *form = three_byte((uint8_t)opcode, prefixes->rep, prefixes->operand);
    }
    return true;
}

/* Operation, operands and their sizes. */
static void apply_form(const struct form *form, unsigned mode, const struct prefixes *prefixes,
                       struct emu_insn *insn)
{
    unsigned opcode = insn->opcode;

    insn->dst = form->dst;
    insn->src = form->src;
    insn->size = (uint8_t)operand_size(mode, prefixes, form, opcode);
    insn->op = form->flags & GROUP ? groups[form->op][insn->modrm >> 3 & 7] : form->op;
    if (opcode < 0x40)
        insn->op = (uint8_t)(opcode >> 3);
    else if (opcode == 0x8c && insn->memory)
        insn->size = 2;
    else if (opcode == 0xff && insn->op == EMU_PUSH && mode == 8 && insn->size == 4)
        insn->size = 8;
    else if (insn->op == EMU_TEST && form->flags & GROUP)
        insn->src = EMU_IMMEDIATE;
    insn->src_size = insn->size;
    if (form->flags & SOURCE_1)
        insn->src_size = 1;
    else if (form->flags & SOURCE_2)
        insn->src_size = 2;
    else if (opcode == 0x63)
        insn->src_size = 4;
}

/* Segment of the memory operand: SS with SP or BP as base (volume 1, 3.7.4), unless there is a prefix. */
static void apply_segment(unsigned override, struct emu_insn *insn)
{
    insn->segment = insn->base == RSP || insn->base == RBP ? SEGMENT_SS : SEGMENT_DS;
    if (override != EMU_NO_REGISTER)
        insn->segment = (uint8_t) override;
}

/* Combinations that are undefined. */
static bool is_undefined(const struct form *form, const struct emu_insn *insn)
{
    return insn->op == INVALID ||
           (insn->lock && !(insn->memory && insn->dst == EMU_RM && is_lockable(insn->op))) ||
           (form->flags & MEMORY && !insn->memory) ||
           (insn->src == EMU_SEG && (insn->modrm >> 3 & 7) > SEGMENT_GS);
}

enum emu_result emu_decode(const uint8_t *bytes, size_t count, unsigned mode, struct emu_insn *insn)
{
    struct reader reader = {bytes, count < EMU_INSN_MAX ? (unsigned)count : EMU_INSN_MAX, 0};
    const struct form *form = NULL;
    struct prefixes prefixes;
    uint64_t opcode;

    *insn = (struct emu_insn){.base = EMU_NO_REGISTER, .index = EMU_NO_REGISTER};
    if (!take_prefixes(&reader, mode, &prefixes, &opcode) ||
        !take_opcode(&reader, &prefixes, opcode, &form, insn))
        return EMU_SHORT;
    if (!form || !form->flags || form->flags & (mode == 8 ? NOT_64 : ONLY_64) ||
        (form->flags & NO_PREFIX && (prefixes.operand || prefixes.rep)))
        return EMU_UNSUPPORTED;
    if (insn->opcode == 0x90 && prefixes.rex & 1)
        form = &one_byte[0x91];
    insn->rep = prefixes.rep;
    insn->lock = prefixes.lock;
    insn->rex = prefixes.rex;
    insn->address_size = (uint8_t)(mode == 8                         ? (prefixes.address ? 4 : 8)
                                   : (mode == 4) != prefixes.address ? 4
                                                                     : 2);
    insn->rm = (uint8_t)((insn->opcode & 7) | (prefixes.rex & 1) << 3);
    if (form->flags & MODRM && !take_modrm(&reader, mode, prefixes.rex, form->flags & REGISTERS, insn))
        return EMU_SHORT;
    apply_form(form, mode, &prefixes, insn);
    if (insn->op == UNKNOWN || (insn->opcode == 0x63 && insn->size == 2))
        return EMU_UNSUPPORTED; /* the second: CPUs differ in what they read */
    if (!take_immediate(&reader, form->flags, insn))
        return EMU_SHORT;
    insn->length = (uint8_t)reader.at;
    apply_segment(prefixes.segment, insn);
    return is_undefined(form, insn) ? EMU_FAULT : EMU_DONE;
}

enum emu_result emu_identify(struct emu *emu)
{
    enum emu_result result;

    while ((result = emu_decode(emu->bytes, emu->available, emu_mode(emu->state), &emu->insn)) == EMU_SHORT) {
        result = emu_fetch(emu);
        if (result != EMU_DONE)
            return result;
    }
    return result == EMU_FAULT ? emu_raise(emu, VECTOR_UD) : result;
}

unsigned emu_length(struct emu *emu)
{
    enum emu_result result = emu_identify(emu);

    return result == EMU_DONE || result == EMU_FAULT ? emu->insn.length : 0;
}
