/*
 * Instruction decoder for the forms that are emulated, and for the instructions that SVM intercepts (Intel
 * SDM volume 2, chapter 2 and appendix A; AMD APM volume 3, chapter 1).
 *
 * Works on a private copy of the bytes. Anything that is not in the tables is EMU_UNSUPPORTED; nothing is
 * guessed.
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

/* 0f 38: only these are of interest. */
static const struct form invpcid = {EMU_CONTROL, EMU_REG, EMU_RM, MODRM | MEMORY};
static const struct form movbe[2] = {{EMU_MOVBE, EMU_REG, EMU_RM, MODRM | MEMORY},
                                     {EMU_MOVBE, EMU_RM, EMU_REG, MODRM | MEMORY}};

struct decoder {
    const uint8_t *bytes;
    unsigned count, at, mode;
    bool operand_prefix, address_prefix;
    uint8_t rex, override; /* segment, or EMU_NO_REGISTER */
    struct emu_insn *insn;
};

/* Next byte; false if there is none. */
static bool take_byte(struct decoder *decoder, uint8_t *byte)
{
    if (decoder->at == decoder->count)
        return false;
    *byte = decoder->bytes[decoder->at++];
    return true;
}

/* Next `size` bytes as a number. */
static bool take(struct decoder *decoder, unsigned size, uint64_t *value)
{
    uint64_t number = 0;

    if (decoder->count - decoder->at < size)
        return false;
    for (unsigned i = 0; i < size; i++)
        number |= (uint64_t)decoder->bytes[decoder->at++] << 8 * i;
    *value = number;
    return true;
}

static bool take_signed(struct decoder *decoder, unsigned size, uint64_t *value)
{
    if (!take(decoder, size, value))
        return false;
    *value = sign_extend(*value, size);
    return true;
}

/* Prefixes and the first byte that is none. REX counts only right before the opcode (volume 2, 2.2.1). */
static bool take_prefixes(struct decoder *decoder, uint8_t *opcode)
{
    struct emu_insn *insn = decoder->insn;

    while (take_byte(decoder, opcode)) {
        uint8_t byte = *opcode;

        if (decoder->mode == 8 && (byte & 0xf0) == 0x40) {
            decoder->rex = byte;
            continue;
        }
        switch (byte) {
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
            /* ES, CS, SS, DS: without effect in 64-bit mode. */
            decoder->override = decoder->mode == 8 ? decoder->override : byte >> 3 & 3;
            break;
        case 0x64:
        case 0x65:
            decoder->override = (uint8_t)(byte - 0x64 + SEGMENT_FS);
            break;
        case 0x66:
            decoder->operand_prefix = true;
            break;
        case 0x67:
            decoder->address_prefix = true;
            break;
        case 0xf0:
            insn->lock = true;
            break;
        case 0xf2:
        case 0xf3:
            insn->rep = byte;
            break;
        default:
            insn->rex = decoder->rex;
            return true;
        }
        decoder->rex = 0;
    }
    return false;
}

/* Opcode, after its first byte, and its form; *form is null if it is not in the tables. */
static bool take_opcode(struct decoder *decoder, uint8_t opcode, const struct form **form)
{
    struct emu_insn *insn = decoder->insn;

    insn->opcode = opcode;
    *form = opcode < 0x40 && (opcode & 7) < 6 ? &alu_forms[opcode & 7] : &one_byte[opcode];
    if (opcode == 0x90 && decoder->rex & 1)
        *form = &one_byte[0x91];
    if (opcode != 0x0f)
        return true;
    if (!take_byte(decoder, &opcode))
        return false;
    insn->opcode = (uint16_t)(0x0f00 | opcode);
    *form = &two_byte[opcode];
    if (opcode != 0x38)
        return true;
    if (!take_byte(decoder, &opcode))
        return false;
    insn->opcode = (uint16_t)(0x3800 | opcode);
    *form = NULL;
    if (opcode == 0x82 && decoder->operand_prefix && !insn->rep)
        *form = &invpcid;
    else if ((opcode & 0xfe) == 0xf0 && !insn->rep)
        *form = &movbe[opcode & 1];
    return true;
}

/* Address of 16 bits: volume 2, table 2-1. */
static bool take_address_16(struct decoder *decoder)
{
    static const uint8_t bases[8] = {RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX};
    static const uint8_t indices[4] = {RSI, RDI, RSI, RDI};
    struct emu_insn *insn = decoder->insn;
    unsigned mod = insn->modrm >> 6, rm = insn->modrm & 7;

    if (mod == 0 && rm == 6)
        return take_signed(decoder, 2, &insn->offset);
    insn->base = bases[rm];
    insn->index = rm < 4 ? indices[rm] : EMU_NO_REGISTER;
    return mod == 0 || take_signed(decoder, mod, &insn->offset);
}

/* Addresses of 32 and 64 bits: volume 2, tables 2-2, 2-3 and 2-7. */
static bool take_address(struct decoder *decoder)
{
    struct emu_insn *insn = decoder->insn;
    unsigned mod = insn->modrm >> 6, base = insn->modrm & 7;
    uint8_t sib;

    if (base == 4) {
        if (!take_byte(decoder, &sib))
            return false;
        base = sib & 7;
        insn->scale = sib >> 6;
        insn->index = (uint8_t)((sib >> 3 & 7) | (decoder->rex & 2) << 2);
        insn->index = insn->index == RSP ? EMU_NO_REGISTER : insn->index;
    } else if (mod == 0 && base == 5) {
        insn->ip_relative = decoder->mode == 8;
    }
    if (mod == 0 && base == 5)
        return take_signed(decoder, 4, &insn->offset);
    insn->base = (uint8_t)(base | (decoder->rex & 1U) << 3);
    return mod == 0 || take_signed(decoder, mod == 1 ? 1 : 4, &insn->offset);
}

/* ModRM and what belongs to it. */
static bool take_modrm(struct decoder *decoder, bool registers)
{
    struct emu_insn *insn = decoder->insn;

    if (!take_byte(decoder, &insn->modrm))
        return false;
    insn->reg = (uint8_t)((insn->modrm >> 3 & 7) | (decoder->rex & 4) << 1);
    insn->rm = (uint8_t)((insn->modrm & 7) | (decoder->rex & 1U) << 3);
    insn->memory = insn->modrm < 0xc0 && !registers;
    if (!insn->memory)
        return true;
    return insn->address_size == 2 ? take_address_16(decoder) : take_address(decoder);
}

static bool take_immediate(struct decoder *decoder, unsigned flags)
{
    struct emu_insn *insn = decoder->insn;

    if (insn->dst == EMU_OFFSET || insn->src == EMU_OFFSET) {
        insn->memory = true;
        return take(decoder, insn->address_size, &insn->offset);
    }
    if (flags & IMM8)
        return (flags & PORT ? take : take_signed)(decoder, 1, &insn->immediate);
    if (flags & IMMV)
        return take_signed(decoder, insn->size, &insn->immediate);
    if (flags & IMMZ || (flags & GROUP && insn->op == EMU_TEST))
        return take_signed(decoder, insn->size < 4 ? insn->size : 4, &insn->immediate);
    return true;
}

static unsigned operand_size(const struct decoder *decoder, unsigned flags)
{
    const struct emu_insn *insn = decoder->insn;
    unsigned size = decoder->rex & 8 ? 8 : (decoder->mode == 2) != decoder->operand_prefix ? 2 : 4;

    if ((flags & WIDTH && !(insn->opcode & 1)) || (insn->opcode & ~7U) == 0xb0)
        return 1;
    if (insn->opcode == 0x8c && insn->memory)
        return 2;
    if ((flags & PORT && size == 8) || (insn->opcode == 0x0fc3 && size == 2))
        return 4;
    return (flags & STACK || insn->op == EMU_PUSH) && decoder->mode == 8 && size == 4 ? 8 : size;
}

/* Operation, operands and their sizes. */
static void apply_form(const struct decoder *decoder, const struct form *form)
{
    struct emu_insn *insn = decoder->insn;
    unsigned flags = form->flags;

    insn->op = form->op;
    insn->dst = form->dst;
    insn->src = form->src;
    if (flags & GROUP)
        insn->op = groups[form->op][insn->modrm >> 3 & 7];
    else if (insn->opcode < 0x40)
        insn->op = (uint8_t)(insn->opcode >> 3);
    if (flags & GROUP && insn->op == EMU_TEST)
        insn->src = EMU_IMMEDIATE;
    insn->size = (uint8_t)operand_size(decoder, flags);
    insn->src_size = flags & SOURCE_1 ? 1 : flags & SOURCE_2 ? 2 : insn->opcode == 0x63 ? 4 : insn->size;
    /* Addresses with SP or BP as base are in the stack (volume 1, 3.7.4). */
    insn->segment = insn->base == RSP || insn->base == RBP ? SEGMENT_SS : SEGMENT_DS;
    if (decoder->override != EMU_NO_REGISTER)
        insn->segment = decoder->override;
}

/* Whether LOCK may precede it, given that its destination is in memory. */
static bool is_lockable(unsigned op)
{
    return (op <= EMU_XADD && op != EMU_CMP && op != EMU_TEST) || (op >= EMU_BTS && op <= EMU_BTC) ||
           (op >= EMU_INC && op <= EMU_NEG);
}

/* Combinations that are undefined. */
static bool is_undefined(const struct form *form, const struct emu_insn *insn)
{
    return insn->op == INVALID || (form->flags & MEMORY && !insn->memory) ||
           (insn->lock && !(insn->memory && insn->dst == EMU_RM && is_lockable(insn->op))) ||
           (insn->src == EMU_SEG && (insn->modrm >> 3 & 7) > SEGMENT_GS);
}

enum emu_result emu_decode(const uint8_t *bytes, size_t count, unsigned mode, struct emu_insn *insn)
{
    struct decoder decoder = {.bytes = bytes,
                              .count = count < EMU_INSN_MAX ? (unsigned)count : EMU_INSN_MAX,
                              .mode = mode,
                              .override = EMU_NO_REGISTER,
                              .insn = insn};
    const struct form *form;
    uint8_t opcode;

    *insn = (struct emu_insn){.base = EMU_NO_REGISTER, .index = EMU_NO_REGISTER};
    if (!take_prefixes(&decoder, &opcode) || !take_opcode(&decoder, opcode, &form))
        return EMU_SHORT;
    if (!form || !form->flags || form->flags & (mode == 8 ? NOT_64 : ONLY_64) ||
        (form->flags & NO_PREFIX && (decoder.operand_prefix || insn->rep)))
        return EMU_UNSUPPORTED;
    insn->address_size = decoder.address_prefix ? (mode == 4 ? 2 : 4) : (uint8_t)mode;
    insn->rm = (uint8_t)((opcode & 7) | (decoder.rex & 1) << 3);
    if (form->flags & MODRM && !take_modrm(&decoder, form->flags & REGISTERS))
        return EMU_SHORT;
    apply_form(&decoder, form);
    if (insn->op == UNKNOWN || (insn->opcode == 0x63 && insn->size == 2))
        return EMU_UNSUPPORTED; /* the second: CPUs differ in what they read */
    if (!take_immediate(&decoder, form->flags))
        return EMU_SHORT;
    insn->length = (uint8_t)decoder.at;
    return is_undefined(form, insn) ? EMU_FAULT : EMU_DONE;
}

static enum emu_result fetch_and_decode(struct emu *emu, unsigned mode)
{
    enum emu_result result;

    while ((result = emu_decode(emu->bytes, emu->available, mode, &emu->insn)) == EMU_SHORT) {
        result = emu_fetch(emu);
        if (result != EMU_DONE)
            return result;
    }
    return result == EMU_FAULT ? emu_raise(emu, VECTOR_UD) : result;
}

/* The same, and notes the way to the code. */
static enum emu_result fetch_and_remember(struct emu *emu)
{
    struct emu_path path = {0};
    enum emu_result result;

    emu->path = &path;
    result = fetch_and_decode(emu, 8);
    emu->path = NULL;
    if (result == EMU_DONE)
        emu_remember(emu, &path);
    return result;
}

enum emu_result emu_identify(struct emu *emu)
{
    unsigned mode = emu_mode(emu->state);

    if (!emu->cache || mode != 8 || emu->available)
        return fetch_and_decode(emu, mode);
    return emu_recall(emu) ? EMU_DONE : fetch_and_remember(emu);
}

unsigned emu_length(struct emu *emu)
{
    enum emu_result result = emu_identify(emu);

    return result == EMU_DONE || result == EMU_FAULT ? emu->insn.length : 0;
}
