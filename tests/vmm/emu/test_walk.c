/*
 * Page walker against a second one, written bit by bit from the rules of the Intel SDM (volume 3, chapter 4):
 * random tables, addresses, rights and modes; results, error codes, accessed and dirty bits. Then what other
 * vCPUs do meanwhile, and tables that are not in RAM.
 *
 *   test_walk [SEED [WALKS]]
 *
 * Sources: emu/cache.c emu/decode.c emu/execute.c emu/memory.c emu/string.c emu/walk.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "guest.h"
#include "random.h"

#include <pthread.h>

#define P 0x01U
#define W 0x02U
#define U 0x04U
#define A 0x20U
#define D 0x40U
#define PS 0x80U
#define NX (1ULL << 63)
#define ADDRESS 0xffffffffff000ULL

enum mode { OFF, BITS_32, PAE, PAE_REGISTERS, LEVELS_4, LEVELS_5, MODES };

/* One question to both. */
struct walk {
    enum mode mode;
    bool pse, smep, smap, wp, nxe, ac, user, system, pages_1g, write, execute;
    unsigned physical_bits;
    uint64_t cr3, pdpte[4], linear;
};

struct answer {
    enum emu_result result;
    uint64_t gpa;
    uint32_t error;
};

static uint8_t before[sizeof(guest.ram)], expected[sizeof(guest.ram)];

/* The reference: 4.3 to 4.5, and AMD APM volume 2, 5.3. Whether a bit of a present entry must be zero. */
static bool must_be_zero(const struct walk *walk, unsigned level, bool page, unsigned bit)
{
    if (walk->mode == BITS_32) {
        return level == 2 && page &&
               (bit == 21 || (bit >= 13 && bit <= 20 && bit + 19 >= walk->physical_bits));
    }
    if (walk->mode == PAE || walk->mode == PAE_REGISTERS) {
        if (bit >= 52 && bit <= 62)
            return true;
        if (level == 3 && bit == 5 && walk->mode == PAE)
            return false; /* QEMU sets it in memory: see read_pointer() */
        if (level == 3 && (bit == 63 || bit == 1 || bit == 2 || (bit >= 5 && bit <= 8)))
            return true;
    }
    if (bit == 63)
        return !walk->nxe;
    if (bit >= walk->physical_bits && bit < 52)
        return true;
    if (bit == 7)
        return level >= 4 || (level == 3 && !walk->pages_1g);
    return page && ((level == 2 && bit >= 13 && bit <= 20) || (level == 3 && bit >= 13 && bit <= 29));
}

/* 4.7. */
static uint32_t error_code(const struct walk *walk, uint32_t cause)
{
    bool user = walk->user && !walk->system;
    bool pae = walk->mode != BITS_32;

    return cause | (walk->write ? 2 : 0) | (user ? 4 : 0) |
           (walk->execute && ((walk->nxe && pae) || walk->smep) ? 16 : 0);
}

/* 4.6.1. */
static bool may(const struct walk *walk, bool user_page, bool writable, bool never_execute)
{
    bool user = walk->user && !walk->system;

    if (!user) {
        if (walk->execute)
            return !never_execute && !(user_page && walk->smep);
        if (user_page && walk->smap && (walk->system || !walk->ac))
            return false;
        return !walk->write || writable || !walk->wp;
    }
    if (!user_page)
        return false;
    if (walk->execute)
        return !never_execute;
    return !walk->write || writable;
}

static bool may_be_page(const struct walk *walk, unsigned level)
{
    switch (walk->mode) {
    case BITS_32:
        return level == 2 && walk->pse;
    case PAE:
    case PAE_REGISTERS:
        return level == 2;
    default:
        return level == 2 || (level == 3 && walk->pages_1g);
    }
}

/* Follows the tables in `before`, sets accessed and dirty bits in `expected`. */
static struct answer refer(const struct walk *walk)
{
    unsigned width = walk->mode == BITS_32 ? 10 : 9, bytes = walk->mode == BITS_32 ? 4 : 8;
    unsigned levels = walk->mode == BITS_32         ? 2
                      : walk->mode <= PAE_REGISTERS ? 3
                      : walk->mode == LEVELS_4      ? 4
                                                    : 5;
    uint64_t table = walk->mode == BITS_32         ? walk->cr3 & 0xfffff000
                     : walk->mode <= PAE_REGISTERS ? walk->cr3 & 0xffffffe0
                                                   : walk->cr3 & ADDRESS;
    bool user_page = true, writable = true, never_execute = false;
    uint64_t entry;

    if (walk->mode == OFF)
        return (struct answer){EMU_DONE, walk->linear, 0};
    for (unsigned level = levels;; level--) {
        unsigned shift = 12 + width * (level - 1);
        uint64_t at = table + (walk->linear >> shift) % (1U << width) * bytes;
        bool directory_pointer = walk->mode <= PAE_REGISTERS && level == 3, page;

        entry = 0;
        if (directory_pointer && walk->mode == PAE_REGISTERS)
            entry = walk->pdpte[walk->linear >> 30 & 3];
        else if (at + bytes > sizeof(before))
            return (struct answer){EMU_UNSUPPORTED, 0, 0};
        else
            memcpy(&entry, before + at, bytes);
        if (!(entry & P))
            return (struct answer){EMU_FAULT, 0, error_code(walk, 0)};
        page = level == 1 || (may_be_page(walk, level) && entry & PS);
        for (unsigned bit = 1; bit < 8 * bytes; bit++)
            if (entry >> bit & 1 && must_be_zero(walk, level, page, bit))
                return (struct answer){EMU_FAULT, 0, error_code(walk, 1 | 8)};
        if (!directory_pointer) {
            user_page &= (entry & U) != 0;
            writable &= (entry & W) != 0;
            never_execute |= entry >> 63;
        }
        if (page) {
            uint64_t base = entry & ADDRESS, size = 1ULL << shift;

            if (!may(walk, user_page, writable, never_execute))
                return (struct answer){EMU_FAULT, 0, error_code(walk, 1)};
            if (walk->mode == BITS_32 && level == 2)
                base = (entry & 0xffc00000) + (((entry >> 13) & 0xff) << 32);
            expected[at] |= A | (walk->write ? D : 0);
            return (struct answer){EMU_DONE, base - base % size + walk->linear % size, 0};
        }
        if (!directory_pointer)
            expected[at] |= A;
        table = entry & ADDRESS;
    }
}

/* The one under test. */
static struct answer translate(const struct walk *walk)
{
    struct nova_arch_state state = {
        .cr0 = (walk->mode == OFF ? 1 : 0x80000001) | (walk->wp ? 1U << 16 : 0),
        .cr3 = walk->cr3,
        .cr4 = (walk->pse ? 1U << 4 : 0) | (walk->mode >= PAE ? 1U << 5 : 0) |
               (walk->mode == LEVELS_5 ? 1U << 12 : 0) | (walk->smep ? 1U << 20 : 0) |
               (walk->smap ? 1U << 21 : 0),
        .efer = (walk->mode >= LEVELS_4 ? 0x500 : 0) | (walk->nxe ? 1U << 11 : 0),
        .rflags = walk->ac ? 1U << 18 : 0,
        .ss = {.ar = walk->user ? 0xf3 : 0x93},
    };
    struct emu_ops ops = guest_ops;
    struct emu emu = {.state = &state, .ops = &ops, .context = &guest};
    struct answer answer = {EMU_DONE, 0, 0};
    unsigned access =
        (walk->write ? EMU_WRITE : 0) | (walk->execute ? EMU_EXECUTE : 0) | (walk->system ? EMU_SYSTEM : 0);

    ops.physical_bits = (uint8_t)walk->physical_bits;
    ops.pages_1g = walk->pages_1g;
    ops.pdpte_registers = walk->mode == PAE_REGISTERS;
    memcpy(state.pdpte, walk->pdpte, sizeof(state.pdpte));
    answer.result = emu_translate(&emu, walk->linear, access, &answer.gpa);
    if (answer.result == EMU_FAULT) {
        CHECK(emu.fault.vector == 14 && emu.fault.has_error && emu.fault.cr2 == walk->linear);
        answer.error = emu.fault.error;
    }
    if (answer.result != EMU_DONE)
        answer.gpa = 0;
    return answer;
}

/* An entry: mostly good, now and then with a bit that is not; points to a page of RAM, or beyond. */
static uint64_t any_entry(const struct walk *walk, bool directory_pointer)
{
    uint64_t entry = chance(16) ? any() : (any() % GUEST_RAM_PAGES) << 12;

    entry &= ADDRESS;
    entry |= (chance(24) ? 0 : P) | (chance(5) ? 0 : W) | (chance(5) ? 0 : U) | (any() & (A | D | 0xe18));
    entry |= chance(3) ? PS : 0;
    if (directory_pointer && !chance(8))
        entry &= ~(uint64_t)(W | U | A | D | PS | 0x100);
    if (chance(6))
        entry |= NX;
    if (chance(12))
        entry |= 1ULL << any() % 64;
    if (entry & PS && !chance(8))
        entry &= walk->mode == BITS_32 ? ~0x3fe000ULL : ~0x3fffe000ULL;
    return entry;
}

static struct walk any_walk(void)
{
    static const unsigned widths[] = {32, 36, 39, 40, 46, 52};
    uint64_t bits = any();
    struct walk walk = {
        .mode = (enum mode)(any() % MODES),
        .pse = bits & 1,
        .smep = bits & 2,
        .smap = bits & 4,
        .wp = bits & 8,
        .nxe = bits & 16 || bits & 32,
        .ac = bits & 64,
        .user = bits & 128,
        .system = chance(8),
        .pages_1g = bits & 256,
        .physical_bits = widths[any() % 6],
        .cr3 = (any() % GUEST_RAM_PAGES) << 12 | any() % 4096,
        .linear = any(),
    };

    switch (any() % 3) {
    case 0:
        walk.write = true;
        break;
    case 1:
        walk.execute = true;
        break;
    }
    walk.linear = walk.mode <= PAE_REGISTERS ? (uint32_t)walk.linear : walk.linear;
    for (unsigned i = 0; i < 4; i++)
        walk.pdpte[i] = any_entry(&walk, true);
    return walk;
}

static void compare(const struct walk *walk, uint64_t counts[])
{
    struct answer right, answer;

    memcpy(before, guest.ram, sizeof(before));
    memcpy(expected, before, sizeof(before));
    right = refer(walk);
    answer = translate(walk);
    counts[right.result]++;
    if (!CHECK(answer.result == right.result && answer.error == right.error && answer.gpa == right.gpa) ||
        !CHECK(!memcmp(guest.ram, expected, sizeof(expected)))) {
        printf("# mode %u linear %llx cr3 %llx: result %d (%d) gpa %llx (%llx) error %x (%x)\n", walk->mode,
               (unsigned long long)walk->linear, (unsigned long long)walk->cr3, answer.result, right.result,
               (unsigned long long)answer.gpa, (unsigned long long)right.gpa, answer.error, right.error);
    }
}

static void random_walks(unsigned walks)
{
    uint64_t counts[EMU_SHORT + 1] = {0};

    for (unsigned i = 0; i < walks; i++) {
        struct walk walk = any_walk();

        for (unsigned round = 0; i % 64 == 0 && round < sizeof(guest.ram) / 8; round++) {
            /* Tables serve all modes: as 32-bit ones they have random entries, too. */
            guest_put(round * 8, any_entry(&walk, chance(3)));
            if (chance(2)) {
                uint32_t halves[2] = {(uint32_t)any_entry(&walk, false), (uint32_t)any_entry(&walk, false)};

                memcpy(guest.ram + round * 8, halves, 8);
            }
        }
        compare(&walk, counts);
    }
    ok_checks("%u random walks: %llu translated, %llu faults, %llu not in RAM", walks,
              (unsigned long long)counts[EMU_DONE], (unsigned long long)counts[EMU_FAULT],
              (unsigned long long)counts[EMU_UNSUPPORTED]);
    CHECK(counts[EMU_DONE] > walks / 8);
    CHECK(counts[EMU_FAULT] > walks / 8);
    ok_checks("enough of each");
}

/* Four levels: 0x1000, 0x2000, 0x3000, 0x4000 for linear address 0x8080604abc, to 0x5000. */
#define LINEAR 0x8080604abcULL
static void build(void)
{
    memset(guest.ram, 0, sizeof(guest.ram));
    guest_put(0x1008, 0x2000 | P | W | U);
    guest_put(0x2010, 0x3000 | P | W | U);
    guest_put(0x3018, 0x4000 | P | W | U);
    guest_put(0x4020, 0x5000 | P | W | U);
}

static uint64_t entry_at(uint64_t gpa)
{
    uint64_t entry;

    memcpy(&entry, guest.ram + gpa, 8);
    return entry;
}

static void known_walk(void)
{
    struct walk walk = {
        .mode = LEVELS_4, .cr3 = 0x1000, .linear = LINEAR, .physical_bits = 40, .write = true};
    struct answer answer;

    build();
    answer = translate(&walk);
    CHECK(answer.result == EMU_DONE && answer.gpa == 0x5abc);
    CHECK(entry_at(0x1008) == (0x2000 | P | W | U | A));
    CHECK(entry_at(0x4020) == (0x5000 | P | W | U | A | D));
    walk.linear += 0x1000;
    answer = translate(&walk);
    CHECK(answer.result == EMU_FAULT && answer.error == 2);
    ok_checks("a walk worked out by hand");
}

/* Another vCPU changes an entry that has been read already. */
static unsigned lookups;

static void make_writable(uint64_t gpa)
{
    if (gpa == 0x4020 && lookups++ == 0)
        guest_put(0x3018, 0x4000 | P | W | U);
}

static void late_change(void)
{
    struct walk walk = {
        .mode = LEVELS_4, .cr3 = 0x1000, .linear = LINEAR, .physical_bits = 40, .write = true, .wp = true};
    struct answer answer;

    build();
    guest_put(0x3018, 0x4000 | P | U);
    guest.on_ram = make_writable;
    answer = translate(&walk);
    CHECK(answer.result == EMU_FAULT && answer.error == 3);
    answer = translate(&walk);
    CHECK(answer.result == EMU_DONE && answer.gpa == 0x5abc);
    guest.on_ram = NULL;
    ok_checks("entries are read once");
}

/* Another vCPU counts in the ignored bits 62:52 of all four entries, without pause. */
#define COUNT_ONE (1ULL << 52)
#define COUNT_MASK (0x7ffULL << 52)

static const uint64_t path[] = {0x1008, 0x2010, 0x3018, 0x4020};
static bool stop;

static void *count_on(void *rounds)
{
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        for (unsigned i = 0; i < 4; i++) {
            uint64_t *entry = (uint64_t *)(void *)(guest.ram + path[i]);
            uint64_t old = __atomic_load_n(entry, __ATOMIC_RELAXED), new;

            do
                new = (old & ~COUNT_MASK) | ((old + COUNT_ONE) & COUNT_MASK);
            while (!__atomic_compare_exchange_n(entry, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
        }
        ++*(uint64_t *)rounds;
    }
    return NULL;
}

static void other_cpu(void)
{
    struct walk walk = {
        .mode = LEVELS_4, .cr3 = 0x1000, .linear = LINEAR, .physical_bits = 40, .write = true};
    uint64_t rounds = 0, again = 0;
    pthread_t thread;

    build();
    stop = false;
    if (pthread_create(&thread, NULL, count_on, &rounds)) {
        ok(false, "a thread");
        return;
    }
    for (unsigned i = 0; i < 200000; i++) {
        struct answer answer = translate(&walk);

        again += answer.result == EMU_AGAIN;
        CHECK(answer.result == EMU_AGAIN || (answer.result == EMU_DONE && answer.gpa == 0x5abc));
        for (unsigned j = 0; j < 4; j++)
            __atomic_fetch_and((uint64_t *)(void *)(guest.ram + path[j]), ~(uint64_t)(A | D),
                               __ATOMIC_SEQ_CST);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < 4; i++)
        CHECK((entry_at(path[i]) & COUNT_MASK) == (rounds * COUNT_ONE & COUNT_MASK));
    ok_checks("no change by another vCPU is lost (%llu of them, %llu walks given up)",
              (unsigned long long)rounds, (unsigned long long)again);
}

/* The last table is mapped by itself: its entry serves two levels. */
static void recursive(void)
{
    struct walk walk = {
        .mode = LEVELS_4, .cr3 = 0x1000, .linear = 0xffffff7fbfdfe123, .physical_bits = 40, .write = true};
    struct answer answer;

    memset(guest.ram, 0, sizeof(guest.ram));
    guest_put(0x1ff0, 0x1000 | P | W | U); /* entry 510 */
    walk.linear = 0xffffff7fbfdfe000 + 0x123;
    answer = translate(&walk);
    CHECK(answer.result == EMU_DONE && answer.gpa == 0x1123);
    CHECK(entry_at(0x1ff0) == (0x1000 | P | W | U | A | D));
    ok_checks("tables that map themselves");
}

int main(int argc, char **argv)
{
    unsigned walks = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 20000;

    random_start(argc > 1 ? argv[1] : NULL);
    random_walks(walks);
    known_walk();
    late_change();
    other_cpu();
    recursive();
    return tap_done();
}
