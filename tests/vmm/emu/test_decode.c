/*
 * Decoder against Zydis: lengths, operations, operands of every opcode with every ModRM in all modes, with
 * random prefixes; what is undefined, too long or cut off. And lengths of what SVM intercepts.
 *
 *   test_decode [SEED [ROUNDS]]
 *
 * Sources: emu/cache.c emu/decode.c emu/execute.c emu/memory.c emu/string.c emu/walk.c
 * Libraries: -lZydis
 *
 * SPDX-License-Identifier: MIT
 */

#include "emu/emu.h"
#include "random.h"

#include <Zydis/Zydis.h>
#include <string.h>

/* What Zydis calls the operations. */
static const struct {
    uint16_t mnemonic;
    uint8_t op;
} operations[] = {
    {ZYDIS_MNEMONIC_ADD, EMU_ADD},         {ZYDIS_MNEMONIC_OR, EMU_OR},
    {ZYDIS_MNEMONIC_ADC, EMU_ADC},         {ZYDIS_MNEMONIC_SBB, EMU_SBB},
    {ZYDIS_MNEMONIC_AND, EMU_AND},         {ZYDIS_MNEMONIC_SUB, EMU_SUB},
    {ZYDIS_MNEMONIC_XOR, EMU_XOR},         {ZYDIS_MNEMONIC_CMP, EMU_CMP},
    {ZYDIS_MNEMONIC_TEST, EMU_TEST},       {ZYDIS_MNEMONIC_XCHG, EMU_XCHG},
    {ZYDIS_MNEMONIC_CMPXCHG, EMU_CMPXCHG}, {ZYDIS_MNEMONIC_XADD, EMU_XADD},
    {ZYDIS_MNEMONIC_BT, EMU_BT},           {ZYDIS_MNEMONIC_BTS, EMU_BTS},
    {ZYDIS_MNEMONIC_BTR, EMU_BTR},         {ZYDIS_MNEMONIC_BTC, EMU_BTC},
    {ZYDIS_MNEMONIC_MOV, EMU_MOV},         {ZYDIS_MNEMONIC_MOVZX, EMU_MOVZX},
    {ZYDIS_MNEMONIC_MOVSX, EMU_MOVSX},     {ZYDIS_MNEMONIC_MOVSXD, EMU_MOVSX},
    {ZYDIS_MNEMONIC_MOVBE, EMU_MOVBE},     {ZYDIS_MNEMONIC_MOVNTI, EMU_MOV},
    {ZYDIS_MNEMONIC_INC, EMU_INC},         {ZYDIS_MNEMONIC_DEC, EMU_DEC},
    {ZYDIS_MNEMONIC_NOT, EMU_NOT},         {ZYDIS_MNEMONIC_NEG, EMU_NEG},
    {ZYDIS_MNEMONIC_PUSH, EMU_PUSH},       {ZYDIS_MNEMONIC_POP, EMU_POP},
    {ZYDIS_MNEMONIC_MOVSB, EMU_MOVS},      {ZYDIS_MNEMONIC_MOVSW, EMU_MOVS},
    {ZYDIS_MNEMONIC_MOVSD, EMU_MOVS},      {ZYDIS_MNEMONIC_MOVSQ, EMU_MOVS},
    {ZYDIS_MNEMONIC_CMPSB, EMU_CMPS},      {ZYDIS_MNEMONIC_CMPSW, EMU_CMPS},
    {ZYDIS_MNEMONIC_CMPSD, EMU_CMPS},      {ZYDIS_MNEMONIC_CMPSQ, EMU_CMPS},
    {ZYDIS_MNEMONIC_STOSB, EMU_STOS},      {ZYDIS_MNEMONIC_STOSW, EMU_STOS},
    {ZYDIS_MNEMONIC_STOSD, EMU_STOS},      {ZYDIS_MNEMONIC_STOSQ, EMU_STOS},
    {ZYDIS_MNEMONIC_LODSB, EMU_LODS},      {ZYDIS_MNEMONIC_LODSW, EMU_LODS},
    {ZYDIS_MNEMONIC_LODSD, EMU_LODS},      {ZYDIS_MNEMONIC_LODSQ, EMU_LODS},
    {ZYDIS_MNEMONIC_SCASB, EMU_SCAS},      {ZYDIS_MNEMONIC_SCASW, EMU_SCAS},
    {ZYDIS_MNEMONIC_SCASD, EMU_SCAS},      {ZYDIS_MNEMONIC_SCASQ, EMU_SCAS},
    {ZYDIS_MNEMONIC_INSB, EMU_INS},        {ZYDIS_MNEMONIC_INSW, EMU_INS},
    {ZYDIS_MNEMONIC_INSD, EMU_INS},        {ZYDIS_MNEMONIC_OUTSB, EMU_OUTS},
    {ZYDIS_MNEMONIC_OUTSW, EMU_OUTS},      {ZYDIS_MNEMONIC_OUTSD, EMU_OUTS},
    {ZYDIS_MNEMONIC_IN, EMU_IN},           {ZYDIS_MNEMONIC_OUT, EMU_OUT},
};

/* What SVM can intercept (AMD APM volume 2, appendix C), and its neighbours. */
static const uint16_t intercepted[] = {
    ZYDIS_MNEMONIC_CPUID,   ZYDIS_MNEMONIC_HLT,     ZYDIS_MNEMONIC_RDMSR,   ZYDIS_MNEMONIC_WRMSR,
    ZYDIS_MNEMONIC_RDTSC,   ZYDIS_MNEMONIC_RDTSCP,  ZYDIS_MNEMONIC_RDPMC,   ZYDIS_MNEMONIC_INVD,
    ZYDIS_MNEMONIC_WBINVD,  ZYDIS_MNEMONIC_INVLPG,  ZYDIS_MNEMONIC_INVLPGA, ZYDIS_MNEMONIC_INVLPGB,
    ZYDIS_MNEMONIC_TLBSYNC, ZYDIS_MNEMONIC_INVPCID, ZYDIS_MNEMONIC_CLTS,    ZYDIS_MNEMONIC_LMSW,
    ZYDIS_MNEMONIC_SMSW,    ZYDIS_MNEMONIC_VMMCALL, ZYDIS_MNEMONIC_VMRUN,   ZYDIS_MNEMONIC_VMLOAD,
    ZYDIS_MNEMONIC_VMSAVE,  ZYDIS_MNEMONIC_STGI,    ZYDIS_MNEMONIC_CLGI,    ZYDIS_MNEMONIC_SKINIT,
    ZYDIS_MNEMONIC_XSETBV,  ZYDIS_MNEMONIC_MONITOR, ZYDIS_MNEMONIC_MWAIT,   ZYDIS_MNEMONIC_MONITORX,
    ZYDIS_MNEMONIC_MWAITX,  ZYDIS_MNEMONIC_PAUSE,   ZYDIS_MNEMONIC_RSM,     ZYDIS_MNEMONIC_IRET,
    ZYDIS_MNEMONIC_IRETD,   ZYDIS_MNEMONIC_IRETQ,   ZYDIS_MNEMONIC_PUSHF,   ZYDIS_MNEMONIC_PUSHFD,
    ZYDIS_MNEMONIC_PUSHFQ,  ZYDIS_MNEMONIC_POPF,    ZYDIS_MNEMONIC_POPFD,   ZYDIS_MNEMONIC_POPFQ,
    ZYDIS_MNEMONIC_INT,     ZYDIS_MNEMONIC_INT3,    ZYDIS_MNEMONIC_INT1,    ZYDIS_MNEMONIC_INTO,
    ZYDIS_MNEMONIC_SIDT,    ZYDIS_MNEMONIC_SGDT,    ZYDIS_MNEMONIC_SLDT,    ZYDIS_MNEMONIC_STR,
    ZYDIS_MNEMONIC_LIDT,    ZYDIS_MNEMONIC_LGDT,    ZYDIS_MNEMONIC_LLDT,    ZYDIS_MNEMONIC_LTR,
    ZYDIS_MNEMONIC_VMCALL,  ZYDIS_MNEMONIC_RDPRU,
};

static ZydisDecoder decoders[9];
static uint64_t done, controls, undefined, unsupported;
static uint64_t seen[EMU_CONTROL + 1], seen_intercepted[sizeof(intercepted) / sizeof(*intercepted)];

struct zydis {
    bool good;
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

static void zydis_decode(unsigned mode, const uint8_t *bytes, unsigned count, struct zydis *zydis)
{
    zydis->good =
        ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoders[mode], bytes, count, &zydis->insn, zydis->operands));
}

/* Operation that is expected; EMU_CONTROL + 1: none. */
static unsigned expected_op(const struct zydis *zydis)
{
    for (unsigned i = 0; i < sizeof(operations) / sizeof(*operations); i++)
        if (zydis->insn.mnemonic == operations[i].mnemonic)
            return operations[i].op;
    return EMU_CONTROL + 1;
}

static bool is_register_class(const ZydisDecodedOperand *operand, ZydisRegisterClass class)
{
    return operand->type == ZYDIS_OPERAND_TYPE_REGISTER && ZydisRegisterGetClass(operand->reg.value) == class;
}

/* Mnemonics that have forms which are not emulated. */
static bool is_excepted(const struct zydis *zydis)
{
    const ZydisDecodedInstruction *insn = &zydis->insn;
    bool movsd = insn->opcode_map == ZYDIS_OPCODE_MAP_0F && (insn->opcode & 0xfe) == 0x10; /* of SSE */
    bool cmpsd = insn->opcode_map == ZYDIS_OPCODE_MAP_0F && insn->opcode == 0xc2;

    return movsd || cmpsd || insn->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY ||
           (insn->opcode == 0x8e &&
            insn->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT) || /* to a segment register */
           is_register_class(&zydis->operands[0], ZYDIS_REGCLASS_CONTROL) ||
           is_register_class(&zydis->operands[1], ZYDIS_REGCLASS_CONTROL) ||
           is_register_class(&zydis->operands[0], ZYDIS_REGCLASS_DEBUG) ||
           is_register_class(&zydis->operands[1], ZYDIS_REGCLASS_DEBUG) ||
           is_register_class(&zydis->operands[0], ZYDIS_REGCLASS_TEST) ||
           is_register_class(&zydis->operands[1], ZYDIS_REGCLASS_TEST) ||
           (insn->mnemonic == ZYDIS_MNEMONIC_MOVSXD && insn->operand_width == 16) ||
           ((insn->mnemonic == ZYDIS_MNEMONIC_PUSH || insn->mnemonic == ZYDIS_MNEMONIC_POP) &&
            is_register_class(&zydis->operands[0], ZYDIS_REGCLASS_SEGMENT));
}

static unsigned register_number(ZydisRegister reg)
{
    return reg == ZYDIS_REGISTER_NONE ? EMU_NO_REGISTER : (unsigned)ZydisRegisterGetId(reg);
}

static bool same_memory(const struct emu_insn *insn, const ZydisDecodedOperand *operand)
{
    bool relative = operand->mem.base == ZYDIS_REGISTER_RIP || operand->mem.base == ZYDIS_REGISTER_EIP;
    uint64_t mask = insn->address_size == 8 ? UINT64_MAX : (1ULL << 8 * insn->address_size) - 1;
    int scale = operand->mem.index == ZYDIS_REGISTER_NONE ? 0 : operand->mem.scale;

    if (operand->mem.base == ZYDIS_REGISTER_R13D && insn->modrm >> 6 == 0)
        return insn->base == EMU_NO_REGISTER; /* Zydis 4.0.0 is wrong, as test_native shows */
    return insn->segment == (unsigned)ZydisRegisterGetId(operand->mem.segment) &&
           insn->ip_relative == relative &&
           insn->base == (relative ? EMU_NO_REGISTER : register_number(operand->mem.base)) &&
           insn->index == register_number(operand->mem.index) &&
           (insn->index == EMU_NO_REGISTER || 1 << insn->scale == scale) &&
           ((insn->offset ^ (uint64_t)operand->mem.disp.value) & mask) == 0;
}

/* Explicit operands: kinds, registers, addresses, immediates. */
static bool same_operands(const struct emu_insn *insn, const struct zydis *zydis)
{
    bool good = true;

    for (unsigned i = 0; i < zydis->insn.operand_count_visible; i++) {
        const ZydisDecodedOperand *operand = &zydis->operands[i];
        unsigned kind = i == 0 ? insn->dst : insn->src;
        unsigned size = i == 0 ? insn->size : insn->src_size;
        bool bit = insn->op >= EMU_BT && insn->op <= EMU_BTC;
        uint64_t mask = bit ? 0xff : insn->size == 8 ? UINT64_MAX : (1ULL << 8 * insn->size) - 1;
        unsigned number;

        if (i == 0 && kind == EMU_NONE)
            kind = insn->src; /* PUSH with an immediate */
        switch (operand->type) {
        case ZYDIS_OPERAND_TYPE_MEMORY:
            good = good && insn->memory && (kind == EMU_RM || kind == EMU_OFFSET) &&
                   same_memory(insn, operand) && operand->size == 8 * size;
            break;
        case ZYDIS_OPERAND_TYPE_IMMEDIATE:
            good = good && kind == EMU_IMMEDIATE && ((insn->immediate ^ operand->imm.value.u) & mask) == 0;
            break;
        case ZYDIS_OPERAND_TYPE_REGISTER:
            number = (unsigned)ZydisRegisterGetId(operand->reg.value);
            if (kind == EMU_SEG) {
                good = good && is_register_class(operand, ZYDIS_REGCLASS_SEGMENT) &&
                       number == (insn->modrm >> 3 & 7);
            } else if (kind == EMU_RDX) {
                good = good && operand->reg.value == ZYDIS_REGISTER_DX;
            } else {
                bool high =
                    operand->reg.value >= ZYDIS_REGISTER_AH && operand->reg.value <= ZYDIS_REGISTER_BH;
                unsigned expected = kind == EMU_RAX ? 0 : kind == EMU_REG ? insn->reg : insn->rm;

                /* Zydis counts AL CL DL BL AH CH DH BH SPL ... */
                if (size == 1) {
                    number = (unsigned)(operand->reg.value - ZYDIS_REGISTER_AL);
                    number = number >= 8 ? number - 4 : number;
                    good = good && (expected < 4 || expected > 7 || high == !insn->rex);
                }
                good = good && number == expected && operand->size == 8 * size &&
                       (kind == EMU_RM || kind == EMU_REG || kind == EMU_RAX || kind == EMU_OPCODE);
            }
            break;
        default:
            good = false;
        }
    }
    return good;
}

static bool same_prefixes(const struct emu_insn *insn, const struct zydis *zydis)
{
    ZydisInstructionAttributes attributes = zydis->insn.attributes;
    bool repeats = insn->op >= EMU_MOVS && insn->op <= EMU_OUTS;
    uint8_t rep = attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE) ? 0xf3
                  : attributes & ZYDIS_ATTRIB_HAS_REPNE                       ? 0xf2
                                                                              : 0;
    bool compares = insn->op == EMU_CMPS || insn->op == EMU_SCAS;

    return insn->lock == ((attributes & ZYDIS_ATTRIB_HAS_LOCK) != 0) &&
           8 * insn->address_size == zydis->insn.address_width &&
           (!repeats || (compares ? insn->rep == rep : !insn->rep == !rep || insn->rep == 0xf2));
}

static void show(unsigned mode, const uint8_t *bytes, const char *what)
{
    static unsigned shown;

    if (shown++ < 20) {
        printf("# %u-bit:", 8 * mode);
        for (unsigned i = 0; i < EMU_INSN_MAX; i++)
            printf(" %02x", bytes[i]);
        printf("  %s\n", what);
    }
}

/* Cut off anywhere, it is short, and nothing else. */
static bool is_short_when_cut(unsigned mode, const uint8_t *bytes, unsigned length)
{
    struct emu_insn insn;

    for (unsigned i = 0; i < length; i++)
        if (emu_decode(bytes, i, mode, &insn) != EMU_SHORT)
            return false;
    return true;
}

static bool compare_done(unsigned mode, const uint8_t *bytes, const struct emu_insn *insn,
                         const struct zydis *zydis)
{
    unsigned op = expected_op(zydis);

    done++;
    seen[insn->op]++;
    if (insn->op == EMU_CONTROL) {
        controls++;
        return !zydis->good ||
               (insn->length == zydis->insn.length && (op > EMU_CONTROL || is_excepted(zydis)));
    }
    if (!zydis->good || op != insn->op || insn->length != zydis->insn.length || !same_prefixes(insn, zydis))
        return false;
    if (insn->op >= EMU_MOVS && insn->op <= EMU_OUTS) {
        return insn->segment == (unsigned)ZydisRegisterGetId(zydis->operands[1].mem.segment) ||
               zydis->operands[1].type != ZYDIS_OPERAND_TYPE_MEMORY || insn->op == EMU_CMPS ||
               insn->op == EMU_SCAS;
    }
    return same_operands(insn, zydis) && (chance(4) || is_short_when_cut(mode, bytes, insn->length));
}

static bool compare(unsigned mode, const uint8_t *bytes)
{
    struct emu_insn insn;
    struct zydis zydis;
    enum emu_result result = emu_decode(bytes, EMU_INSN_MAX, mode, &insn);
    bool required = false;

    zydis_decode(mode, bytes, EMU_INSN_MAX, &zydis);
    if (zydis.good) {
        if (zydis.insn.mnemonic == ZYDIS_MNEMONIC_PAUSE && insn.op == EMU_XCHG)
            return insn.length == zydis.insn.length; /* with REX.B it is XCHG, as test_native finds too */
        required = expected_op(&zydis) <= EMU_CONTROL && !is_excepted(&zydis);
        for (unsigned i = 0; i < sizeof(intercepted) / sizeof(*intercepted); i++) {
            if (zydis.insn.mnemonic == intercepted[i]) {
                required = true;
                seen_intercepted[i]++;
            }
        }
    }
    switch (result) {
    case EMU_DONE:
        return compare_done(mode, bytes, &insn, &zydis);
    case EMU_FAULT:
        undefined++;
        return !zydis.good;
    case EMU_SHORT:
        return !zydis.good;
    default:
        unsupported++;
        return result == EMU_UNSUPPORTED && !required;
    }
}

static unsigned put_prefixes(unsigned mode, uint8_t *bytes)
{
    static const uint8_t prefixes[] = {0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65};
    unsigned n = 0, wanted = chance(3) ? 0 : chance(20) ? (unsigned)(any() % 15) : (unsigned)(any() % 4);

    while (n < wanted) {
        bytes[n++] =
            chance(16) && mode == 8 ? (uint8_t)(0x40 | any() % 16) : prefixes[any() % sizeof(prefixes)];
    }
    if (mode == 8 && n < 15 && chance(2))
        bytes[n++] = (uint8_t)(0x40 | any() % 16);
    return n;
}

/* Every opcode of three maps, with every ModRM. */
static void sweep(unsigned mode)
{
    for (unsigned map = 0; map < 3; map++) {
        for (unsigned code = 0; code < 0x10000; code++) {
            uint8_t bytes[32];
            unsigned n;

            for (unsigned i = 0; i < sizeof(bytes); i++)
                bytes[i] = (uint8_t)any();
            n = put_prefixes(mode, bytes);
            if (map)
                bytes[n++] = 0x0f;
            if (map == 2)
                bytes[n++] = 0x38;
            bytes[n++] = (uint8_t)(code >> 8);
            bytes[n++] = (uint8_t)code;
            if (!CHECK(compare(mode, bytes)))
                show(mode, bytes, "");
        }
    }
}

/* Memory for emu_length(): the instruction at linear address 0. */
static uint8_t code[32];

static void *code_ram(void *context, uint64_t gpa, uint64_t bytes)
{
    (void)context;
    return gpa + bytes <= sizeof(code) ? code + gpa : NULL;
}

static void check_length(unsigned mode, const char *text, unsigned length, const uint8_t *bytes, size_t count)
{
    static const struct emu_ops ops = {.ram = code_ram};
    struct nova_arch_state state = {.cs = {.ar = mode == 8   ? 0x200
                                                 : mode == 4 ? 0x400
                                                             : 0,
                                           .limit = 31},
                                    .cr0 = 1,
                                    .efer = mode == 8 ? 0x400 : 0};
    struct emu emu = {.state = &state, .ops = &ops};

    memset(code, 0xcc, sizeof(code));
    memcpy(code, bytes, count);
    ok(emu_length(&emu) == length, "length of %s in %u-bit code is %u", text, 8 * mode, length);
}

#define LENGTH(mode, text, length, ...)                                                                      \
    check_length(mode, text, length, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* Written down by hand. */
static void check_lengths(void)
{
    LENGTH(8, "CPUID", 2, 0x0f, 0xa2);
    LENGTH(2, "CPUID", 2, 0x0f, 0xa2);
    LENGTH(8, "CPUID with prefixes", 6, 0x66, 0xf3, 0x2e, 0x48, 0x0f, 0xa2);
    LENGTH(4, "HLT", 1, 0xf4);
    LENGTH(8, "VMMCALL", 3, 0x0f, 0x01, 0xd9);
    LENGTH(8, "XSETBV", 3, 0x0f, 0x01, 0xd1);
    LENGTH(8, "MOV CR8, R12", 4, 0x45, 0x0f, 0x22, 0xc4);
    LENGTH(4, "LOCK MOV EAX, CR0 (CR8 of AMD)", 4, 0xf0, 0x0f, 0x20, 0xc0);
    LENGTH(4, "MOV CR0, EAX with mod 0, r/m 5", 3, 0x0f, 0x22, 0x05);
    LENGTH(8, "INVLPG [RIP + disp32]", 7, 0x0f, 0x01, 0x3d, 0, 0, 0, 0);
    LENGTH(2, "LMSW [disp16]", 5, 0x0f, 0x01, 0x36, 0, 0);
    LENGTH(8, "IN AL, imm8", 2, 0xe4, 0x60);
    LENGTH(8, "REP OUTSB", 2, 0xf3, 0x6e);
    LENGTH(8, "PAUSE", 2, 0xf3, 0x90);
    LENGTH(8, "15 bytes of CPUID", 15, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e,
           0x2e, 0x0f, 0xa2);
    LENGTH(8, "16 bytes of CPUID", 0, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e,
           0x2e, 0x2e, 0x0f, 0xa2);
    LENGTH(8, "MULPS", 0, 0x0f, 0x59, 0xc0);
}

/* Registers of MOV to and from control registers, which a VMM needs where exits do not name them. */
static void check_control_registers(void)
{
    struct emu_insn insn;

    CHECK(emu_decode((const uint8_t[]){0x45, 0x0f, 0x22, 0xc4}, 4, 8, &insn) == EMU_DONE);
    CHECK(insn.opcode == 0x0f22 && insn.reg == 8 && insn.rm == 12 && !insn.memory);
    CHECK(emu_decode((const uint8_t[]){0x0f, 0x20, 0xd9}, 3, 4, &insn) == EMU_DONE);
    CHECK(insn.opcode == 0x0f20 && insn.reg == 3 && insn.rm == 1 && insn.op == EMU_CONTROL);
    CHECK(emu_decode((const uint8_t[]){0x0f, 0x01, 0xf3}, 3, 4, &insn) == EMU_DONE);
    CHECK(insn.opcode == 0x0f01 && (insn.modrm >> 3 & 7) == 6 && insn.rm == 3 && !insn.memory);
    ok_checks("operands of MOV CR and LMSW");
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 3;

    random_start(argc > 1 ? argv[1] : NULL);
    ZydisDecoderInit(&decoders[8], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisDecoderInit(&decoders[4], ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    ZydisDecoderInit(&decoders[2], ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
    for (unsigned mode = 8; mode >= 2; mode /= 2) {
        for (unsigned i = 0; i < rounds; i++)
            sweep(mode);
        ok_checks("%u-bit code as Zydis decodes it", 8 * mode);
    }
    printf("# %llu decoded, %llu of them intercepted ones; %llu undefined, %llu not emulated\n",
           (unsigned long long)done, (unsigned long long)controls, (unsigned long long)undefined,
           (unsigned long long)unsupported);
    for (unsigned i = 0; i <= EMU_CONTROL; i++)
        CHECK(seen[i]);
    for (unsigned i = 0; i < sizeof(intercepted) / sizeof(*intercepted); i++)
        if (!CHECK(seen_intercepted[i]))
            printf("# %s\n", ZydisMnemonicGetString(intercepted[i]));
    ok_checks("all operations were seen");
    check_lengths();
    check_control_registers();
    return tap_done();
}
