/*
 * Fuzzer: random state of the vCPU, random page tables, random code, callers with and without hints; for some
 * seconds. No crash, no access outside, and the promises of emu.h hold: what is not emulated, and what
 * faults, changes nothing.
 *
 *   test_emu_fuzz [SECONDS [SEED]]
 *
 * Sources: emu/cache.c emu/decode.c emu/execute.c emu/memory.c emu/string.c emu/walk.c
 *
 * SPDX-License-Identifier: MIT
 */

#define _GNU_SOURCE
#include "guest.h"
#include "random.h"

#include <time.h>
#include <unistd.h>

/* Small, or near a limit, or anything. */
static uint64_t any_address(void)
{
    switch (any() % 4) {
    case 0:
        return any() % sizeof(guest.ram);
    case 1:
        return GUEST_DEVICE - PAGE + any() % (sizeof(guest.device) + 2 * PAGE);
    case 2:
        return (1ULL << any() % 64) - any() % 16;
    default:
        return any();
    }
}

static struct nova_segment any_segment(void)
{
    struct nova_segment segment = {.sel = (uint16_t)any(),
                                   .ar = (uint16_t)any(),
                                   .limit = (uint32_t)any_address(),
                                   .base = any_address()};

    if (chance(2)) {
        segment.ar = 0xc93 | (uint16_t)(any() & 0x60);
        segment.base = 0;
        segment.limit = UINT32_MAX;
    }
    return segment;
}

/* Tables in which many walks come through: entries point to RAM and are mostly good. */
static void fill(void)
{
    for (size_t i = 0; i < sizeof(guest.ram) / 8; i++) {
        uint64_t entry = (any() % GUEST_RAM_PAGES) << 12 | 0x67;

        if (chance(8))
            entry = chance(4) ? any() : entry | 1ULL << any() % 64;
        else if (chance(8))
            entry = any_address() << 12 | 7;
        guest_put(i * 8, entry);
    }
}

static void any_state(struct nova_arch_state *state)
{
    static const uint64_t efer[] = {0, 0x500, 0xd00, 0x800};

    memset(state, 0, sizeof(*state));
    for (unsigned i = 0; i < 16; i++)
        state->gpr[i] = any_address();
    state->rip = chance(2) ? any() % sizeof(guest.ram) : any_address();
    state->rflags = any() & 0x3f7fd7;
    state->cs = any_segment();
    state->ss = any_segment();
    state->ds = any_segment();
    state->es = any_segment();
    state->fs = any_segment();
    state->gs = any_segment();
    state->tr = any_segment();
    state->tr.ar = chance(2) ? 0x8b : state->tr.ar;
    state->cr0 = chance(2) ? 0x80000001 | any() : any();
    state->cr3 = any_address();
    state->cr4 = any();
    state->efer = efer[any() % 4];
    state->cs.ar = state->efer & 0x400 && chance(2) ? 0x29b : state->cs.ar;
    state->rflags &= chance(2) ? ~(1ULL << 17) : ~0ULL;
    for (unsigned i = 0; i < 4; i++)
        state->pdpte[i] = any_address();
}

/* Instructions that have memory operands are more likely than in random bytes. */
static void any_code(uint8_t *bytes)
{
    static const uint8_t prefixes[] = {0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x64, 0x65, 0x48, 0x41};
    unsigned n = 0;

    for (unsigned i = 0; i < EMU_INSN_MAX; i++)
        bytes[i] = (uint8_t)any();
    while (n < 4 && chance(2))
        bytes[n++] = prefixes[any() % sizeof(prefixes)];
    if (chance(4))
        bytes[n] = 0x0f;
    else if (chance(4))
        bytes[n] = (uint8_t)(0xa4 + any() % 12);
}

static bool is_string(const struct emu_insn *insn)
{
    return insn->op >= EMU_MOVS && insn->op <= EMU_OUTS;
}

static uint64_t results[EMU_SHORT + 1];

static void one(void)
{
    struct nova_arch_state state, before;
    struct emu_ops ops = guest_ops;
    static struct emu_cache cache;
    struct emu emu = {.state = &state, .ops = &ops, .context = &guest, .cache = &cache};
    enum emu_result result;

    any_state(&state);
    before = state;
    ops.physical_bits = (uint8_t)(32 + any() % 21);
    ops.pages_1g = chance(2);
    ops.pdpte_registers = chance(2);
    if (chance(4)) {
        emu.hint = chance(2) ? EMU_HINT_READ : EMU_HINT_WRITE;
        emu.hint_gpa = any_address();
    }
    if (!chance(4)) {
        emu.available = (uint8_t)(any() % (EMU_INSN_MAX + 1));
        any_code(emu.bytes);
    }
    result = emu_run(&emu);
    CHECK(result < EMU_SHORT);
    results[result]++;
    CHECK(emu.available <= EMU_INSN_MAX && emu.insn.length <= EMU_INSN_MAX);
    if (result == EMU_UNSUPPORTED || ((result == EMU_FAULT || result == EMU_AGAIN) && !is_string(&emu.insn)))
        CHECK(!memcmp(&state, &before, sizeof(state)) || is_string(&emu.insn));
    if (result == EMU_DONE) {
        uint64_t mask = emu_mode(&state) == 8 ? UINT64_MAX : UINT32_MAX;

        CHECK(state.rip == ((before.rip + emu.insn.length) & mask));
    } else {
        CHECK(state.rip == before.rip);
    }
    if (result == EMU_FAULT) {
        CHECK(emu.fault.vector == 6 || (emu.fault.vector >= 12 && emu.fault.vector <= 14) ||
              emu.fault.vector == 17);
        CHECK(emu.fault.vector == 14 || !emu.fault.error);
    }
    memcpy(state.gpr, before.gpr, sizeof(state.gpr));
    state.rip = before.rip;
    state.rflags = before.rflags;
    CHECK(!memcmp(&state, &before, sizeof(state))); /* nothing else ever changes */
}

int main(int argc, char **argv)
{
    time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 8);
    uint64_t count = 0, seed = random_start(argc > 2 ? argv[2] : NULL);

    alarm((argc > 1 ? (unsigned)atoi(argv[1]) : 8) + 300); /* nothing may hang */
    while (count < 100000 || time(NULL) < end) {
        if (count++ % 4096 == 0)
            fill();
        one();
    }
    printf("# %llu done, %llu to be continued, %llu faults, %llu not emulated\n",
           (unsigned long long)results[EMU_DONE], (unsigned long long)results[EMU_AGAIN],
           (unsigned long long)results[EMU_FAULT], (unsigned long long)results[EMU_UNSUPPORTED]);
    for (unsigned i = 0; i < EMU_SHORT; i++)
        CHECK(results[i] > count / 10000);
    ok_checks("%llu random instructions in random states (seed %llu)", (unsigned long long)count,
              (unsigned long long)seed);
    return tap_done();
}
