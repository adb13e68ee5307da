/*
 * Executor against the processor of this machine: random instructions of all forms, with random prefixes,
 * addresses and operands, in 64-, 32- and 16-bit code, with segments of all kinds, on pages that are
 * writable, read-only or absent, in RAM or in a device. Registers, flags, memory and faults must be the same.
 *
 *   test_native [SEED [INSTRUCTIONS]]     all of them; a failure prints what repeats it
 *
 * Sources: emu/cache.c emu/decode.c emu/execute.c emu/memory.c emu/string.c emu/walk.c
 * Fakes: vmm/emu/native.c
 *
 * SPDX-License-Identifier: MIT
 */

#define _GNU_SOURCE
#include "guest.h"
#include "random.h"
#include "native.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * One 2 MiB region of linear addresses, reserved as a whole. Its pages, by number:
 *   32 33     read-write        34 absent      35 read-only      36 read-write
 *   128       code              all others absent
 */
#define REGION 0x10000000UL
#define REGION_SIZE 0x200000UL
#define DATA_FIRST 32U
#define DATA_LAST 36U
#define PAGE_ABSENT 34U
#define PAGE_READ_ONLY 35U
#define PAGE_CODE 128U
#define LINEAR(page) (REGION + (page) * (uint64_t)PAGE)
#define GS_BASE_64 (LINEAR(33) + 0x123)

#define CF 0x001U
#define PF 0x004U
#define AF 0x010U
#define ZF 0x040U
#define SF 0x080U
#define DF 0x400U
#define OF 0x800U
#define AC 0x40000U
#define STATUS (CF | PF | AF | ZF | SF | OF)

/* Access rights of segments, compact: DPL 3, present. */
#define AR_DATA 0xf3U
#define AR_READ_ONLY 0xf1U
#define AR_EXPAND_DOWN 0xf7U
#define AR_CODE 0xfbU
#define AR_EXECUTE_ONLY 0xf9U
#define AR_L 0x200U
#define AR_DB 0x400U
#define AR_G 0x800U
#define AR_NULL 0x1000U

enum { ES, CS, SS, DS, FS, GS };

struct config {
    const char *name;
    unsigned mode;
    unsigned share; /* of all instructions, in percent */
    struct nova_segment segment[6];
};

#define FLAT                                                                                                 \
    {                                                                                                        \
        NATIVE_DS, AR_DATA | AR_DB | AR_G, 0xffffffff, 0                                                     \
    }
#define LDT(n, ar, limit, base)                                                                              \
    {                                                                                                        \
        NATIVE_LDT(n), ar, limit, base                                                                       \
    }
#define NONE                                                                                                 \
    {                                                                                                        \
        0, AR_NULL, 0, 0                                                                                     \
    }

static const struct config configs[] = {
    {"64-bit code",
     8,
     50,
     {NONE,
      {NATIVE_CS_64, AR_CODE | AR_L | AR_G, 0xffffffff, 0},
      FLAT,
      NONE,
      NONE,
      {0, AR_NULL, 0, GS_BASE_64}}},
    {"32-bit code, flat segments",
     4,
     15,
     {FLAT,
      {NATIVE_CS_32, AR_CODE | AR_DB | AR_G, 0xffffffff, 0},
      FLAT,
      FLAT,
      NONE,
      LDT(0, AR_DATA, 0x2fff, LINEAR(33))}},
    {"32-bit code, segments with limits",
     4,
     10,
     {LDT(0, AR_DATA | AR_DB, 0x1fff, LINEAR(32)), LDT(1, AR_CODE | AR_DB, 0x1fff, LINEAR(PAGE_CODE)),
      LDT(2, AR_DATA | AR_DB, 0x27ff, LINEAR(32)), LDT(3, AR_DATA | AR_DB | AR_G, 0x4fff, LINEAR(32)), NONE,
      LDT(4, AR_READ_ONLY | AR_DB, 0xfff, LINEAR(36))}},
    {"32-bit code, segments of all types",
     4,
     10,
     {LDT(0, AR_EXPAND_DOWN | AR_DB, 0x17ff, LINEAR(32)),
      LDT(1, AR_EXECUTE_ONLY | AR_DB | AR_G, 0xffffffff, 0),
      LDT(2, AR_EXPAND_DOWN | AR_DB, 0x7ff, LINEAR(32)), LDT(3, AR_CODE, 0x1fff, LINEAR(32)), NONE, NONE}},
    {"16-bit code, segments with limits",
     2,
     10,
     {LDT(0, AR_DATA, 0x1fff, LINEAR(32)), LDT(1, AR_CODE, 0xffff, LINEAR(PAGE_CODE)), FLAT,
      LDT(2, AR_DATA, 0xffff, LINEAR(31)), NONE, LDT(3, AR_EXPAND_DOWN, 0x7ff, LINEAR(32))}},
    {"16-bit code, segments of all types",
     2,
     5,
     {LDT(0, AR_EXPAND_DOWN, 0x7ff, LINEAR(32)), LDT(1, AR_CODE, 0x1fff, LINEAR(PAGE_CODE)),
      LDT(2, AR_EXPAND_DOWN | AR_DB, 0xfff, LINEAR(32)), LDT(3, AR_READ_ONLY, 0xffff, LINEAR(32)), NONE,
      LDT(4, AR_DATA | AR_DB | AR_G, 0xffffffff, 0)}},
};

#define CONFIGS (sizeof(configs) / sizeof(*configs))

/* Opcodes to draw from: map (0, 0x0f, 0x38), first, last, whether they have ModRM. */
static const struct opcodes {
    uint8_t map, first, last;
    bool modrm;
} opcodes[] = {
    {0, 0x00, 0x03, true},    {0, 0x04, 0x05, false},   {0, 0x08, 0x0b, true},    {0, 0x0c, 0x0d, false},
    {0, 0x10, 0x13, true},    {0, 0x14, 0x15, false},   {0, 0x18, 0x1b, true},    {0, 0x1c, 0x1d, false},
    {0, 0x20, 0x23, true},    {0, 0x24, 0x25, false},   {0, 0x28, 0x2b, true},    {0, 0x2c, 0x2d, false},
    {0, 0x30, 0x33, true},    {0, 0x34, 0x35, false},   {0, 0x38, 0x3b, true},    {0, 0x3c, 0x3d, false},
    {0, 0x40, 0x4f, false},   {0, 0x50, 0x5f, false},   {0, 0x63, 0x63, true},    {0, 0x68, 0x68, false},
    {0, 0x6a, 0x6a, false},   {0, 0x6c, 0x6f, false},   {0, 0x80, 0x83, true},    {0, 0x84, 0x85, true},
    {0, 0x86, 0x87, true},    {0, 0x88, 0x8b, true},    {0, 0x88, 0x8c, true},    {0, 0x8f, 0x8f, true},
    {0, 0x90, 0x97, false},   {0, 0xa0, 0xa3, false},   {0, 0xa4, 0xa7, false},   {0, 0xa4, 0xa7, false},
    {0, 0xa8, 0xa9, false},   {0, 0xaa, 0xaf, false},   {0, 0xaa, 0xaf, false},   {0, 0xb0, 0xbf, false},
    {0, 0xc6, 0xc7, true},    {0, 0xc6, 0xc7, true},    {0, 0xe4, 0xe7, false},   {0, 0xec, 0xef, false},
    {0, 0xf6, 0xf7, true},    {0, 0xf6, 0xf7, true},    {0, 0xfe, 0xff, true},    {0, 0xff, 0xff, true},
    {0x0f, 0xa3, 0xa3, true}, {0x0f, 0xab, 0xab, true}, {0x0f, 0xb0, 0xb1, true}, {0x0f, 0xb0, 0xb1, true},
    {0x0f, 0xb3, 0xb3, true}, {0x0f, 0xb6, 0xb7, true}, {0x0f, 0xba, 0xba, true}, {0x0f, 0xba, 0xba, true},
    {0x0f, 0xbb, 0xbb, true}, {0x0f, 0xbe, 0xbf, true}, {0x0f, 0xc0, 0xc1, true}, {0x0f, 0xc3, 0xc3, true},
    {0x38, 0xf0, 0xf1, true},
};

/* Where the emulation has the data pages: by turns in RAM and in the device, not in order. */
static const uint64_t data_gpa[DATA_LAST - DATA_FIRST + 1] = {0x9000, GUEST_DEVICE + 0x3000, 0, GUEST_DEVICE,
                                                              0x6000};

/* Shared with the process that does the work. */
struct counts {
    uint64_t done, faults, unsupported, unsafe, again, wrong, checks;
    uint64_t by_op[EMU_CONTROL + 1];
    uint64_t current;
};

static struct counts *counts;
static const struct config *config;

static uint64_t below(uint64_t limit)
{
    return any() % limit;
}

/* Values at which flags change, and others. */
static uint64_t any_value(void)
{
    static const uint64_t special[] = {0,          1,         0x7f,       0x80,       0xff,
                                       0x7fff,     0x8000,    0xffff,     0x7fffffff, 0x80000000,
                                       0xffffffff, INT64_MAX, 1ULL << 63, UINT64_MAX};

    return chance(2) ? any()
                     : special[below(sizeof(special) / sizeof(*special))] + (chance(4) ? any() << 32 : 0);
}

/* Native and emulated memory. */
static uint8_t *native_page(unsigned page)
{
    return (uint8_t *)LINEAR(page);
}

static uint8_t *emulated_page(unsigned page)
{
    uint64_t gpa = page == PAGE_CODE ? 0x5000 : data_gpa[page - DATA_FIRST];

    return gpa >= GUEST_DEVICE ? guest.device + (gpa - GUEST_DEVICE) : guest.ram + gpa;
}

static void build_memory(void)
{
    void *region = mmap((void *)REGION, REGION_SIZE, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    if (region != (void *)REGION) {
        perror("mmap");
        _exit(2);
    }
    guest_put(0x0, 0x1000 | 7); /* page tables of the guest: 4 levels for one region */
    guest_put(0x1000 + (REGION >> 30 & 511) * 8, 0x2000 | 7);
    guest_put(0x2000 + (REGION >> 21 & 511) * 8, 0x3000 | 7);
    for (unsigned page = DATA_FIRST; page <= DATA_LAST; page++) {
        if (page == PAGE_ABSENT)
            continue;
        mprotect(native_page(page), PAGE, PROT_READ | PROT_WRITE);
        for (unsigned i = 0; i < PAGE; i++)
            native_page(page)[i] = (uint8_t)any();
        memcpy(emulated_page(page), native_page(page), PAGE);
        guest_put(0x3000 + page * 8, data_gpa[page - DATA_FIRST] | (page == PAGE_READ_ONLY ? 5 : 7));
    }
    mprotect(native_page(PAGE_READ_ONLY), PAGE, PROT_READ);
    mprotect(native_page(PAGE_CODE), PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
    memset(native_page(PAGE_CODE), 0xcc, PAGE);
    guest_put(0x3000 + PAGE_CODE * 8, 0x5000 | 7);
}

static void load_segments(void)
{
    for (unsigned i = 0; i < 6; i++) {
        const struct nova_segment *segment = &config->segment[i];

        if (segment->sel & 4 &&
            native_set_ldt(segment->sel >> 3, (uint32_t)segment->base, segment->limit, segment->ar))
            _exit(77);
    }
    if (config->mode == 8)
        native_set_gs_base(GS_BASE_64);
    else
        native_set_segments(config->segment[ES].sel, config->segment[DS].sel, config->segment[GS].sel);
}

/* An instruction before it is placed. */
struct draft {
    uint8_t bytes[20];
    unsigned displacement_at; /* of an absolute or RIP-relative address */
    struct emu_insn insn;
    enum emu_result decoded;
};

static unsigned put_prefixes(uint8_t *bytes)
{
    static const uint8_t prefixes[] = {0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x36, 0x3e, 0x26, 0x65};
    unsigned n = 0, wanted = chance(2) ? 0 : chance(50) ? (unsigned)below(13) : (unsigned)below(4);

    while (n < wanted) {
        bytes[n] = chance(4) ? prefixes[below(2)] : prefixes[below(sizeof(prefixes))];
        n += bytes[n] != 0xf0 || chance(3);
        if (config->mode == 8 && chance(8))
            bytes[n++] = (uint8_t)(0x40 | below(16)); /* has no effect unless it is the last */
    }
    if (config->mode == 8 && chance(2))
        bytes[n++] = (uint8_t)(0x40 | below(16));
    return n < 12 ? n : 12;
}

static void decode(struct draft *draft)
{
    draft->decoded = emu_decode(draft->bytes, EMU_INSN_MAX, config->mode, &draft->insn);
}

static void draw(struct draft *draft)
{
    const struct opcodes *row;
    unsigned n;

    do {
        row = &opcodes[below(sizeof(opcodes) / sizeof(*opcodes))];
    } while (config->mode == 8 && row->first == 0x40); /* there it is REX */
    for (unsigned i = 0; i < sizeof(draft->bytes); i++)
        draft->bytes[i] = (uint8_t)any();
    n = put_prefixes(draft->bytes);
    if (row->map)
        draft->bytes[n++] = 0x0f;
    if (row->map == 0x38)
        draft->bytes[n++] = 0x38;
    draft->bytes[n++] = (uint8_t)(row->first + below(row->last - row->first + 1U));
    if (row->modrm) {
        if (chance(2))
            draft->bytes[n] &= 0x7f; /* fewer registers */
        if (row->first == 0x8f)
            draft->bytes[n] &= 0xc7; /* POP */
        if (chance(8))
            draft->bytes[n + 1] = 0x24; /* if it is SIB: RSP alone */
        decode(draft);
        n += draft->insn.address_size != 2 && (draft->bytes[n] & 7) == 4 ? 2 : 1;
    }
    draft->displacement_at = n;
    decode(draft);
}

/* Linear address of an operand; often near the end of a page. */
static uint64_t any_target(void)
{
    static const unsigned writable[] = {32, 33, 36};
    unsigned page =
        chance(3) ? (unsigned)(DATA_FIRST + below(DATA_LAST - DATA_FIRST + 1)) : writable[below(3)];
    uint64_t target = LINEAR(page) + below(PAGE);

    if (chance(3))
        target = (target & ~(uint64_t)(PAGE - 1)) - 9 + below(12);
    return chance(2) ? target & ~7ULL : target;
}

static uint64_t mask_of(unsigned bytes)
{
    return bytes == 8 ? UINT64_MAX : (1ULL << 8 * bytes) - 1;
}

static uint64_t segment_base(unsigned segment)
{
    return config->mode == 8 && segment < FS ? 0 : config->segment[segment].base;
}

/* Sets a register as far as the address uses it; the rest is random. */
static void set_address(uint64_t *gpr, unsigned number, unsigned bytes, uint64_t value)
{
    gpr[number] = (any() & ~mask_of(bytes)) | (value & mask_of(bytes));
}

/* Makes the instruction's address come out at `target`, by registers or by its displacement. */
static void steer(struct draft *draft, uint64_t *gpr, uint64_t next_rip, uint64_t target)
{
    const struct emu_insn *insn = &draft->insn;
    uint64_t offset = target - segment_base(insn->segment);
    uint64_t rest = offset - insn->offset;
    bool base = insn->base != EMU_NO_REGISTER, index = insn->index != EMU_NO_REGISTER;

    if (base && index && insn->base != insn->index) {
        set_address(gpr, insn->base, insn->address_size, rest - (gpr[insn->index] << insn->scale));
    } else if (base && index) {
        set_address(gpr, insn->base, insn->address_size,
                    (rest & mask_of(insn->address_size)) / (1 + (1U << insn->scale)));
    } else if (base) {
        set_address(gpr, insn->base, insn->address_size, rest);
    } else if (index) {
        set_address(gpr, insn->index, insn->address_size,
                    (rest & mask_of(insn->address_size)) >> insn->scale);
    } else {
        bool moffs = insn->src == EMU_OFFSET || insn->dst == EMU_OFFSET;
        unsigned bytes = moffs || insn->address_size == 2 ? insn->address_size : 4;

        offset -= insn->ip_relative ? next_rip : 0;
        memcpy(draft->bytes + draft->displacement_at, &offset, bytes);
        decode(draft);
    }
}

/* The address as the manual defines it. */
static uint64_t address_of(const struct emu_insn *insn, const uint64_t *gpr, uint64_t next_rip)
{
    uint64_t offset = insn->offset + (insn->ip_relative ? next_rip : 0);

    if (insn->base != EMU_NO_REGISTER)
        offset += gpr[insn->base];
    if (insn->index != EMU_NO_REGISTER)
        offset += gpr[insn->index] * (1U << insn->scale);
    if (insn->op >= EMU_BT && insn->op <= EMU_BTC && insn->src == EMU_REG) {
        int64_t bit = insn->size == 2   ? (int16_t)gpr[insn->reg]
                      : insn->size == 4 ? (int32_t)gpr[insn->reg]
                                        : (int64_t)gpr[insn->reg];

        offset += (uint64_t)((bit < 0 ? (bit - 7) / 8 : bit / 8) & -(int64_t)insn->size);
    }
    offset &= mask_of(insn->address_size);
    return config->mode == 8 ? offset + segment_base(insn->segment)
                             : (offset + segment_base(insn->segment)) & 0xffffffff;
}

/* Whether nothing but the region is at stake: else the test program itself could be hit. */
static bool is_safe(uint64_t linear)
{
    return (linear >= REGION + 64 * 64 && linear < REGION + REGION_SIZE - 64 * 64) || linear < 0xff00 ||
           (linear >> 47 != 0 && linear >> 47 != 0x1ffff && linear + 64 > linear) || (linear + 10) >> 47 == 1;
}

static bool is_string(const struct emu_insn *insn)
{
    return insn->op >= EMU_MOVS && insn->op <= EMU_OUTS;
}

static bool uses_stack(const struct emu_insn *insn)
{
    return insn->op == EMU_PUSH || insn->op == EMU_POP;
}

/* Random registers with which the instruction works in the region; false: cannot be had. */
static bool prepare(struct draft *draft, struct nova_arch_state *state)
{
    const struct emu_insn *insn = &draft->insn;
    uint64_t *gpr = state->gpr, target = any_target(), next = state->rip + insn->length;

    for (unsigned i = 0; i < 16; i++)
        gpr[i] = any_value();
    if (draft->decoded != EMU_DONE)
        return true;
    if (insn->op >= EMU_BT && insn->op <= EMU_BTC && insn->src == EMU_REG && insn->memory)
        set_address(gpr, insn->reg, insn->size, below(65536) - 32768);
    if (uses_stack(insn))
        set_address(gpr, 4, config->mode == 8 ? 8 : 4, any_target() - segment_base(SS));
    if (is_string(insn)) {
        unsigned bytes = insn->address_size;

        set_address(gpr, 6, bytes, target - segment_base(insn->segment));
        set_address(gpr, 7, bytes, any_target() - (config->mode == 8 ? 0 : segment_base(ES)));
        set_address(gpr, 1, bytes, chance(8) ? 0 : chance(8) ? below(600) : below(20));
        if (!(gpr[1] & mask_of(bytes)) && bytes == 4) {
            /* With nothing to do, some processors clear the upper halves. */
            gpr[1] = 0;
            gpr[6] &= 0xffffffff;
            gpr[7] &= 0xffffffff;
        }
    } else if (insn->op == EMU_CMPXCHG && !insn->memory) {
        gpr[insn->rm] &= mask_of(insn->size); /* without equality, some clear the upper half */
    } else if (insn->memory) {
        if (config->mode == 8 && chance(50))
            target = chance(2) ? any() | 1ULL << 47 : (1ULL << 47) - below(10);
        steer(draft, gpr, next, target);
        target = address_of(insn, gpr, next);
    }
    if (uses_stack(insn) && !is_safe((gpr[4] & mask_of(config->mode == 8 ? 8 : 4)) + segment_base(SS)))
        return false;
    if (is_string(insn)) {
        uint64_t mask = mask_of(insn->address_size);

        return is_safe((gpr[6] & mask) + segment_base(insn->segment)) &&
               is_safe((gpr[7] & mask) + (config->mode == 8 ? 0 : segment_base(ES)));
    }
    return !insn->memory || is_safe(target);
}

/* Byte of the emulated memory, 0 where there is none. */
static uint8_t peek(uint64_t linear)
{
    uint64_t page = (linear - REGION) / PAGE;

    return page < DATA_FIRST || page > DATA_LAST || page == PAGE_ABSENT
               ? 0
               : emulated_page((unsigned)page)[linear % PAGE];
}

static void poke(uint64_t linear, uint8_t value)
{
    uint64_t page = (linear - REGION) / PAGE;

    if (page >= DATA_FIRST && page <= DATA_LAST && page != PAGE_ABSENT && page != PAGE_READ_ONLY)
        emulated_page((unsigned)page)[linear % PAGE] = native_page((unsigned)page)[linear % PAGE] = value;
}

/* Makes equal operands likely, where equality decides. */
static void make_equal(const struct emu_insn *insn, struct nova_arch_state *state)
{
    uint64_t mask = mask_of(insn->address_size ? insn->address_size : 8);
    uint64_t target = is_string(insn) ? (state->gpr[7] & mask) + (config->mode == 8 ? 0 : segment_base(ES))
                                      : address_of(insn, state->gpr, state->rip + insn->length);

    if (is_string(insn)) {
        uint8_t byte = (uint8_t)any();

        for (uint64_t i = 0; i < 40; i++) {
            poke(target + i, byte);
            poke((state->gpr[6] & mask) + segment_base(insn->segment) + i, byte);
        }
    }
    if (insn->base != 0 && insn->index != 0 && !(insn->src == EMU_REG && insn->reg == 0))
        for (unsigned i = 0; i < 8; i++)
            state->gpr[0] = state->gpr[0] << 8 | peek(target + 7 - i);
}

/* The emulator goes on until the instruction is over. */
static enum emu_result emulate(struct emu *emu)
{
    enum emu_result result;

    for (;;) {
        emu->available = 0;
        result = emu_run(emu);
        if (result != EMU_AGAIN)
            return result;
        counts->again++;
    }
}

static uint64_t undefined_flags(const struct emu_insn *insn)
{
    switch (insn->op) {
    case EMU_AND:
    case EMU_OR:
    case EMU_XOR:
    case EMU_TEST:
        return AF;
    case EMU_BT:
    case EMU_BTS:
    case EMU_BTR:
    case EMU_BTC:
        return OF | SF | AF | PF;
    default:
        return 0;
    }
}

static void show(const char *what, uint64_t emulated, uint64_t native)
{
    printf("#   %-8s emulated %016llx, native %016llx\n", what, (unsigned long long)emulated,
           (unsigned long long)native);
}

static bool same_memory(bool print)
{
    bool same = true;

    for (unsigned page = DATA_FIRST; page <= DATA_LAST; page++) {
        if (page == PAGE_ABSENT || !memcmp(native_page(page), emulated_page(page), PAGE))
            continue;
        same = false;
        for (unsigned i = 0; i < PAGE && print; i++) {
            if (native_page(page)[i] != emulated_page(page)[i]) {
                printf("#   at %llx: emulated %02x, native %02x\n", (unsigned long long)(LINEAR(page) + i),
                       emulated_page(page)[i], native_page(page)[i]);
            }
        }
    }
    return same;
}

/* Compares outcomes; prints the differences on request. */
static bool same(const struct emu *emu, enum emu_result result, const struct nova_arch_state *before,
                 const struct native *native, bool print)
{
    const struct nova_arch_state *state = emu->state;
    uint64_t mask = config->mode == 8 ? UINT64_MAX : 0xffffffff;
    uint64_t flags = (STATUS | DF | AC) & ~undefined_flags(&emu->insn);
    uint64_t vector = result == EMU_FAULT ? emu->fault.vector : 3, trap = native->trap;
    uint64_t rip = native->rip - (trap == 3);
    /* Linux says of addresses that no process has, here the last page before the gap, that they are
     * present. */
    uint64_t error_bits = native->cr2 >= (1ULL << 47) - PAGE ? ~1ULL : ~0ULL;
    bool good = true;

    if (trap == 14 && native->rip != before->rip)
        trap = 3; /* it is done; what follows is in the absent page */
    for (unsigned i = 0; i < (config->mode == 8 ? 16 : 8); i++) {
        if ((state->gpr[i] ^ native->gpr[i]) & mask) {
            good = false;
            if (print) {
                char name[8];

                snprintf(name, sizeof(name), "gpr %u", i);
                show(name, state->gpr[i], native->gpr[i]);
            }
        }
    }
    if ((emu->insn.op == EMU_CMPS || before->rflags & AC) && result == EMU_FAULT && trap != 3)
        return same_memory(print) && good; /* of two faults, the first is the processor's choice */
    if (state->rip != rip || (state->rflags ^ native->rflags) & flags || vector != trap ||
        (result == EMU_FAULT && (emu->fault.error ^ native->error) & error_bits) ||
        (vector == 14 && emu->fault.cr2 != native->cr2)) {
        good = false;
        if (print) {
            show("rip", state->rip, rip);
            show("rflags", state->rflags & flags, native->rflags & flags);
            show("vector", vector, trap);
            show("error", result == EMU_FAULT ? emu->fault.error : 0, native->error);
            show("cr2", emu->fault.cr2, native->cr2);
        }
    }
    return same_memory(print) && good;
}

static void report(const struct draft *draft, const struct nova_arch_state *before, uint64_t number)
{
    printf("# %s, instruction %llu:", config->name, (unsigned long long)number);
    for (unsigned i = 0; i < EMU_INSN_MAX; i++)
        printf("%s%02x", i == draft->insn.length ? " | " : " ", draft->bytes[i]);
    printf("\n");
    for (unsigned i = 0; i < 16; i++) {
        printf("%s%016llx%s", i % 4 ? " " : "#   ", (unsigned long long)before->gpr[i],
               i % 4 == 3 ? "\n" : "");
    }
    printf("#   rip %llx rflags %llx\n", (unsigned long long)before->rip, (unsigned long long)before->rflags);
}

static void start_state(struct nova_arch_state *state)
{
    unsigned at = chance(8) ? PAGE - 1 - (unsigned)below(16) : (unsigned)below(PAGE - 32);

    memset(state, 0, sizeof(*state));
    state->cr0 = 0x80050033; /* PE MP ET NE WP AM PG */
    state->cr4 = 0x3000a0;   /* PAE PGE SMEP SMAP, which concern no user page */
    state->efer = 0xd01;
    state->es = config->segment[ES];
    state->cs = config->segment[CS];
    state->ss = config->segment[SS];
    state->ds = config->segment[DS];
    state->fs = config->segment[FS];
    state->gs = config->segment[GS];
    state->rip = LINEAR(PAGE_CODE) + at - segment_base(CS);
    state->rflags = 0x202 | (any() & (STATUS | DF)) | (chance(16) ? AC : 0);
}

static void one(uint64_t number)
{
    struct nova_arch_state state, before;
    static struct emu_cache cache;
    struct emu emu = {.state = &state, .ops = &guest_ops, .context = &guest, .cache = &cache};
    struct native native;
    struct draft draft;
    enum emu_result result;
    uint64_t at;
    unsigned room;

    start_state(&state);
    draw(&draft);
    if (draft.decoded == EMU_UNSUPPORTED || (draft.decoded == EMU_DONE && draft.insn.op == EMU_CONTROL) ||
        (draft.insn.opcode == 0x8f && draft.insn.modrm & 0x38)) { /* XOP of AMD, cut off */
        counts->unsupported++;
        return;
    }
    if (!prepare(&draft, &state)) {
        counts->unsafe++;
        return;
    }
    if (draft.decoded == EMU_DONE && (draft.insn.memory || is_string(&draft.insn)) && chance(2))
        make_equal(&draft.insn, &state);
    at = (state.rip + segment_base(CS)) % PAGE;
    room = draft.decoded == EMU_DONE ? draft.insn.length : EMU_INSN_MAX;
    room = room < PAGE - at ? room : (unsigned)(PAGE - at);
    memcpy(native_page(PAGE_CODE) + at, draft.bytes, room);
    memcpy(emulated_page(PAGE_CODE), native_page(PAGE_CODE), PAGE);
    before = state;
    memcpy(native.gpr, state.gpr, sizeof(native.gpr));
    native.rip = state.rip;
    native.rflags = state.rflags;
    native.cs = config->segment[CS].sel;
    native.ss = config->segment[SS].sel;
    native_run(&native);
    memset(native_page(PAGE_CODE) + at, 0xcc, room);
    result = emulate(&emu);
    if (!same(&emu, result, &before, &native, false)) {
        if (counts->wrong++ < 5) {
            report(&draft, &before, number);
            same(&emu, result, &before, &native, true);
            fflush(stdout);
        }
        for (unsigned page = DATA_FIRST; page <= DATA_LAST; page++)
            if (page != PAGE_ABSENT)
                memcpy(emulated_page(page), native_page(page), PAGE);
        return;
    }
    counts->by_op[result == EMU_DONE ? emu.insn.op : EMU_CONTROL]++;
    counts->done += result == EMU_DONE;
    counts->faults += result == EMU_FAULT;
}

/* A configuration in a process of its own: what goes wrong in it cannot hurt the others. */
static void run(uint64_t seed, uint64_t instructions)
{
    int status;
    pid_t child;

    memset(counts, 0, sizeof(*counts));
    fflush(stdout);
    child = fork();
    if (child == 0) {
        state_of_random = seed * 2654435761U + config->mode + (uint64_t)(config - configs) + 1;
        native_init();
        build_memory();
        load_segments();
        while (counts->done + counts->faults + counts->wrong < instructions)
            one(counts->current++);
        counts->checks = tap_wrong;
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, &status, 0);
    printf("# %s: %llu done, %llu faults, %llu again, %llu not emulated, %llu not tried\n", config->name,
           (unsigned long long)counts->done, (unsigned long long)counts->faults,
           (unsigned long long)counts->again, (unsigned long long)counts->unsupported,
           (unsigned long long)counts->unsafe);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        ok(true, "%s # SKIP this kernel has no LDT", config->name);
        return;
    }
    ok(status == 0 && !counts->wrong && !counts->checks && counts->done + counts->faults == instructions,
       "%s: %llu instructions as on this processor (seed %llu, status %x, at %llu)", config->name,
       (unsigned long long)instructions, (unsigned long long)seed, (unsigned)status,
       (unsigned long long)counts->current);
}

int main(int argc, char **argv)
{
    uint64_t seed = random_start(argc > 1 ? argv[1] : NULL),
             instructions = argc > 2 ? strtoull(argv[2], NULL, 0) : 300000, seen[EMU_CONTROL] = {0};

    counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 0; i < CONFIGS; i++) {
        config = &configs[i];
        run(seed, instructions * config->share / 100);
        for (unsigned op = 0; op < EMU_CONTROL; op++)
            seen[op] += counts->by_op[op];
    }
    for (unsigned op = 0; op < EMU_INS; op++)
        if (!CHECK(seen[op] > instructions / 3000))
            printf("# operation %u: %llu\n", op, (unsigned long long)seen[op]);
    ok_checks("each operation was completed more than %llu times", (unsigned long long)instructions / 3000);
    return tap_done();
}
