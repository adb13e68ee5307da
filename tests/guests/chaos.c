/*
 * Guest test, in a VM only: all CPUs run code at random, in every mode of the CPU, with page tables, descriptors and control registers
 * that are damaged at random, until the machine ends: by triple faults, by being stopped, or because somebody resets it. Nothing but
 * this VM may suffer. There are no results but lines of the log: seeds, which make CPU 0 do the same again with `seed=' on the
 * command line.
 *
 * SPDX-License-Identifier: MIT
 */

#include "lib/guest.h"

#define CODE_SIZE 512U
#define PAGES 16U

uint32_t call_32(uint32_t function);
extern char real_16[], protected_16[];

static uint64_t seed, ecam;
static bool svm; /* the CPU is AMD's */
static uint8_t code[MAX_CPUS][CODE_SIZE] __attribute__((aligned(4096)));
/* A PML4, a PDPT and directories that are copies of those in use, and tables behind them. */
static uint64_t tables[MAX_CPUS][PAGES][512] __attribute__((aligned(4096)));
static uint64_t states[MAX_CPUS];
static uint8_t stacks[MAX_CPUS][STACK_SIZE] __attribute__((aligned(16)));

static uint64_t next(void)
{
    uint64_t *state = &states[cpu_self()->number];

    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state >> 8;
}

/* What may be in a register: addresses of interest, edges, anything. */
static uint64_t value(void)
{
    const uint64_t some[] = {APIC_BASE + 0x300,
                             ecam,
                             ecam + 0x1000000,
                             0xfec00000,
                             (uint64_t)tables[0],
                             (uint64_t)code[0],
                             0x7ffffffffffe,
                             0x800000000000,
                             0xfffffffffffff000,
                             0xffffffff,
                             0x3f8,
                             0xc0000080,
                             0x80000011,
                             0x20,
                             0};
    uint64_t random = next();

    return random & 3 ? some[next() % (sizeof some / sizeof *some)] + (random >> 2 & 15)
                      : next() << (random >> 2 & 15);
}

/* Bytes of an instruction that exits, or changes what the CPU runs with; what follows is its operand. */
static unsigned put_instruction(uint8_t *at)
{
    static const uint8_t some[][4] = {
        {2, 0x0f, 0xa2},       /* CPUID */
        {2, 0x0f, 0x32},       /* RDMSR */
        {2, 0x0f, 0x30},       /* WRMSR */
        {1, 0xec},             /* IN */
        {1, 0xef},             /* OUT */
        {2, 0xf3, 0x6c},       /* REP INSB */
        {2, 0xf3, 0x6f},       /* REP OUTSD */
        {3, 0x0f, 0x22, 0xc0}, /* MOV CR0 */
        {3, 0x0f, 0x22, 0xd9}, /* MOV CR3 */
        {3, 0x0f, 0x22, 0xe2}, /* MOV CR4 */
        {3, 0x0f, 0x22, 0xc3},
        {3, 0x0f, 0x01, 0x10}, /* LGDT */
        {3, 0x0f, 0x01, 0x18}, /* LIDT */
        {3, 0x0f, 0x01, 0x38}, /* INVLPG */
        {3, 0x0f, 0x00, 0xd0}, /* LLDT */
        {2, 0x8e, 0xd0},       /* MOV SS */
        {2, 0x8e, 0xe1},       /* MOV FS */
        {1, 0xcf},             /* IRET */
        {1, 0xcb},             /* RETF */
        {1, 0x9d},             /* POPF */
        {1, 0xfb},             /* STI */
        {1, 0xcc},             /* INT3 */
        {2, 0xcd, 0x80},       /* INT */
        {1, 0xf1},             /* ICEBP */
        {2, 0x0f, 0x05},       /* SYSCALL */
        {2, 0x0f, 0x07},       /* SYSRET */
        {2, 0x0f, 0x34},       /* SYSENTER */
        {3, 0x0f, 0x01, 0xf8}, /* SWAPGS */
        {3, 0x0f, 0x01, 0xc1}, /* VMCALL */
        {3, 0x0f, 0x01, 0xd9}, /* VMMCALL */
        {3, 0x0f, 0x01, 0xd8}, /* VMRUN */
        {3, 0x0f, 0x01, 0xd1}, /* XSETBV */
        {2, 0x0f, 0x09},       /* WBINVD */
        {2, 0x0f, 0xaa},       /* RSM */
        {2, 0xf3, 0x90},       /* PAUSE */
        {2, 0xf3, 0xa5},       /* REP MOVS */
        {2, 0x89, 0x03},       /* to and from memory */
        {2, 0x8b, 0x06},
        {3, 0x0f, 0xc7, 0x0f}, /* CMPXCHG8B */
        {2, 0xff, 0x2b},       /* far JMP */
        {2, 0xff, 0x1e},       /* far CALL */
        /* The last two can end QEMU 7.2 itself, which has SVM. */
        {3, 0x0f, 0x00,
         0xd8}, /* LTR: it takes a null selector, and stops when the stack of an interrupt is to come from it */
        {3, 0x0f, 0x23, 0xf8}, /* MOV DR7: breakpoints that were set when a VM exit came */
    };
    const uint8_t *one = some[next() % (sizeof some / sizeof *some - (svm ? 2 : 0))];

    for (unsigned i = 0; i < one[0]; i++)
        at[i] = one[1 + i];
    return one[0];
}

/* Values for registers, then instructions at random; `size` of immediate values, in bytes. */
static void fill_code(uint8_t *at, unsigned size)
{
    const uint8_t *end = at + CODE_SIZE - 16;

    for (unsigned reg = 0; reg < 8; reg++) {
        uint64_t immediate = value();

        if (reg == 4) /* the stack stays, most times */
            continue;
        if (size == 8)
            *at++ = 0x48;
        *at++ = (uint8_t)(0xb8 + reg);
        for (unsigned i = 0; i < size; i++)
            *at++ = (uint8_t)(immediate >> 8 * i);
    }
    while (at < end)
        if (next() % 4)
            at += put_instruction(at);
        else
            *at++ = (uint8_t)next();
}

/* Of each byte of the tables in use, some are others: entries with reserved bits, devices, memory that is not there, loops. */
static uint64_t damaged_tables(uint64_t (*copy)[512])
{
    for (unsigned page = 0; page < PAGES; page++)
        for (unsigned i = 0; i < 512; i++)
            copy[page][i] = page < 6 ? page_tables[page][i] : (i << 12 | 7);
    copy[0][0] = (uint64_t)copy[1] | 7;
    for (unsigned i = 0; i < 4; i++)
        copy[1][i] = (uint64_t)copy[2 + i] | 7;
    for (uint64_t n = next() % 64; n; n--) {
        uint64_t random = next(), where = random % 8 ? (uint64_t)copy[next() % PAGES] : value() & ~0xfffUL;
        copy[next() % 6][next() % 8 ? next() % 16 : next() % 512] =
            random & 0x100 ? where | 7 : where | (random >> 12 & 0xfff) | (next() << 52 & random);
    }
    return (uint64_t)copy | (next() % 8 ? 0 : next() & 0xfff);
}

static void step(void)
{
    unsigned number = cpu_self()->number;
    uint8_t *at = code[number];
    uint64_t random = next();

    if (random % 4 == 0)
        TRY_CR(3, damaged_tables(tables[number]));
    if (random >> 4 & 1)
        TRY_CR(4, READ_CR(4) ^ 1UL << next() % 24);
    if (random >> 5 & 1)
        TRY_CR(0, READ_CR(0) ^ 1UL << next() % 32);
    if ((random >> 8) % 16 == 0)
        try_wrmsr(0xc0000080, rdmsr(0xc0000080) ^ 1UL << next() % 16);
    switch ((random >> 16) % 4) {
    case 0:
    case 1:
        fill_code(at, 8);
        ((void (*)(void))at)();
        break;
    case 2:
        fill_code(at, 4);
        call_32((uint32_t)(uint64_t)at);
        break;
    default: {
        /* MOV EBX, offset; MOV EAX, function; JMP *EAX. The code is behind what is there for 16-bit mode. */
        uint32_t function = (uint32_t)(uint64_t)(random >> 20 & 1 ? real_16 : protected_16), offset = 0x4000;

        fill_code((uint8_t *)LOW_BASE + offset, 2);
        at[0] = 0xbb;
        at[5] = 0xb8;
        at[10] = 0xff;
        at[11] = 0xe0;
        for (unsigned i = 0; i < 4; i++) {
            at[1 + i] = (uint8_t)(offset >> 8 * i);
            at[6 + i] = (uint8_t)(function >> 8 * i);
        }
        call_32((uint32_t)(uint64_t)at);
    }
    }
}

static _Noreturn void run(void)
{
    for (;;)
        step();
}

/* After an exception: from the beginning, with what the registers are now. */
static void restart(struct frame *frame)
{
    frame->rip = (uint64_t)run;
    frame->cs = SEL_CODE64;
    frame->ss = SEL_DATA;
    frame->rsp = (uint64_t)stacks[cpu_self()->number] + STACK_SIZE - 8;
    frame->rflags = 2;
}

static void begin(void)
{
    states[cpu_self()->number] = (seed + cpu_self()->number + 1) * 0x9e3779b97f4a7c15;
    run();
}

void test(void)
{
    uint32_t vendor[4];

    if (!in_vm()) {
        tap_skip("not in a VM", "code at random");
        return;
    }
    cpuid(0, 0, vendor);
    svm = vendor[1] == 0x68747541; /* "Auth" */
    ecam = pci_ecam();
    seed = option("seed", rdtsc());
    tap_diag("seed=%lu", seed);
    for (unsigned vector = 0; vector < 256; vector++)
        handle((uint8_t)vector, restart);
    smp_start(begin);
    begin();
}
