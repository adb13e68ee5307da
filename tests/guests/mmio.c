/*
 * Guest test: every form of instruction that may touch the registers of a device, at page boundaries, through aliases, modified
 * just before. The device is the local APIC, whose registers take 32 bits at a time; for other sizes, the configuration space
 * of the first PCI function.
 *
 * SPDX-License-Identifier: MIT
 */

#include "lib/guest.h"

#define MARK 0xa5a55a5aU
#define REGISTER (APIC_BASE + APIC_LDR) /* takes bits 31:24 */
#define PRIORITY (APIC_BASE + APIC_TPR) /* takes bits 7:0 */

static volatile uint32_t *const tpr = (volatile uint32_t *)PRIORITY;
static volatile uint32_t *const ldr = (volatile uint32_t *)REGISTER;

/* One instruction with the register's address in RDI: what RAX is after it. */
#define RUN(instruction, rax_)                                                                               \
    __extension__({                                                                                          \
        uint64_t value_ = (rax_);                                                                            \
        uint64_t vector_ = TRY(instruction, OUTPUT("+a"(value_)), "D"(PRIORITY), "c"(0x11UL), "S"(0x8UL),    \
                               "b"(PRIORITY - 0x40));                                                        \
        if (vector_ != NO_FAULT)                                                                             \
            tap_diag("vector %lu", vector_);                                                                 \
        value_;                                                                                              \
    })

/* An instruction that writes the priority: its value before and after. */
#define WRITES(before, instruction, rax, after)                                                              \
    do {                                                                                                     \
        *tpr = (before);                                                                                     \
        RUN(instruction, rax);                                                                               \
        tap_is(*tpr, (after), "%s", instruction);                                                            \
    } while (0)

/* An instruction that reads it: RAX before and after. */
#define READS(value, instruction, rax, after)                                                                \
    do {                                                                                                     \
        *tpr = (value);                                                                                      \
        tap_is(RUN(instruction, rax), (after), "%s", instruction);                                           \
    } while (0)

#define FLAGS "; pushf; pop %%rax"
#define CF 0x1
#define ZF 0x40

static void test_moves(void)
{
    WRITES(0, "mov %%eax, (%%rdi)", 0x35, 0x35);
    WRITES(0, "movl $0x47, (%%rdi)", 0, 0x47);
    WRITES(0, "mov %%eax, %%r9d; mov %%r9d, (%%rdi)", 0x48, 0x48);
    READS(0x21, "mov (%%rdi), %%eax", ~0UL, 0x21);
    READS(0x22, "mov (%%rdi), %%r9d; mov %%r9, %%rax", ~0UL, 0x22);
    READS(0x23, "mov 0x40(%%rbx), %%eax", 0, 0x23);
    READS(0x24, "mov -8(%%rdi, %%rsi), %%eax", 0, 0x24);
    READS(0x25, "mov -0x20(%%rdi, %%rsi, 4), %%eax", 0, 0x25);
    READS(0x26, "addr32 mov (%%edi), %%eax", 0, 0x26);
    READS(0x27, "xchg %%rdi, %%r12; mov (%%r12), %%eax; xchg %%rdi, %%r12", 0, 0x27);
    READS(0x28, "xchg %%rdi, %%r13; mov (%%r13), %%eax; xchg %%rdi, %%r13", 0, 0x28);
    READS(0x29, "movslq (%%rdi), %%rax", ~0UL, 0x29);
    READS(0x2a, "mov %%ds:0xfee00080, %%eax", 0, 0x2a); /* absolute, 32 bits sign-extended: see below */
    READS(0x2b, "movabs 0xfee00080, %%eax", 0, 0x2b);
    WRITES(0, "movabs %%eax, 0xfee00080", 0x2c, 0x2c);
}

static void test_arithmetic(void)
{
    WRITES(0x10, "orl $0x21, (%%rdi)", 0, 0x31);
    WRITES(0x37, "andl $0x1c, (%%rdi)", 0, 0x14);
    WRITES(0x37, "xorl %%eax, (%%rdi)", 0x11, 0x26);
    WRITES(0x10, "addl $3, (%%rdi)", 0, 0x13);
    WRITES(0x10, "subl %%ecx, (%%rdi)", 0, 0xff);
    WRITES(0x10, "incl (%%rdi)", 0, 0x11);
    WRITES(0x10, "decl (%%rdi)", 0, 0x0f);
    WRITES(0x10, "notl (%%rdi)", 0, 0xef);
    WRITES(0x10, "negl (%%rdi)", 0, 0xf0);
    WRITES(0x10, "stc; adcl $1, (%%rdi)", 0, 0x12);
    WRITES(0x10, "stc; sbbl $1, (%%rdi)", 0, 0x0e);
    WRITES(0x10, "lock; orl $1, (%%rdi)", 0, 0x11);
    WRITES(0x10, "lock; btsl $1, (%%rdi)", 0, 0x12);
    WRITES(0x1f, "btrl $0, (%%rdi)", 0, 0x1e);
    WRITES(0x1f, "btcl $5, (%%rdi)", 0, 0x3f);
    WRITES(0x12, "xchg %%eax, (%%rdi)", 0x34, 0x34);
    READS(0x12, "xchg %%eax, (%%rdi)", 0x34, 0x12);
    WRITES(0x12, "lock; cmpxchg %%ecx, (%%rdi)", 0x12, 0x11);
    READS(0x13, "lock; cmpxchg %%ecx, (%%rdi)", 0x12, 0x13);
    WRITES(0x12, "lock; xadd %%eax, (%%rdi)", 3, 0x15);
    READS(0x12, "lock; xadd %%eax, (%%rdi)", 3, 0x12);
    READS(0x12, "add (%%rdi), %%eax", 0x30, 0x42);
    READS(0x12, "and (%%rdi), %%eax", 0x33, 0x12);
    READS(0x12, "sub (%%rdi), %%eax", 0x33, 0x21);
    READS(0x12, "cmpl $0x12, (%%rdi)" FLAGS "; and $0x40, %%eax", 0, ZF);
    READS(0x12, "cmpl $0x13, (%%rdi)" FLAGS "; and $1, %%eax", 0, CF);
    READS(0x12, "cmp (%%rdi), %%ecx" FLAGS "; and $1, %%eax", 0, CF);
    READS(0x12, "testl $0x20, (%%rdi)" FLAGS "; and $0x40, %%eax", 0, ZF);
    READS(0x12, "test %%eax, (%%rdi)" FLAGS "; and $0x40, %%eax", 0x10, 0);
    READS(0x12, "btl $4, (%%rdi)" FLAGS "; and $1, %%eax", 0, CF);
    READS(0x12, "bt %%ecx, (%%rdi)" FLAGS "; and $1, %%eax", 0, 0); /* bit 17 */
    /* A bit offset in a register reaches beyond the operand, in both directions. */
    *tpr = 0x10;
    __asm__ volatile("btsl %0, (%1)"
                     :
                     : "r"((int)(PRIORITY - REGISTER) * 8 + 1), "r"(REGISTER)
                     : "memory", "cc");
    tap_is(*tpr, 0x12, "BTS with a negative bit offset");
}

static void test_strings(void)
{
    static uint32_t memory[4];
    uint64_t rsi, rdi, rcx;

    *tpr = 0x19;
    rsi = PRIORITY, rdi = (uint64_t)memory;
    __asm__ volatile("movsl" : "+S"(rsi), "+D"(rdi) : : "memory");
    tap_ok(memory[0] == 0x19 && rsi == PRIORITY + 4 && rdi == (uint64_t)(memory + 1), "MOVS from a device");
    memory[1] = 0x1d;
    rsi = (uint64_t)(memory + 1), rdi = PRIORITY;
    __asm__ volatile("movsl" : "+S"(rsi), "+D"(rdi) : : "memory");
    tap_ok(*tpr == 0x1d && rdi == PRIORITY + 4, "MOVS to a device");
    rsi = PRIORITY, rdi = REGISTER;
    *tpr = 0x44;
    *ldr = 0x12000000;
    __asm__ volatile("movsl" : "+S"(rsi), "+D"(rdi) : : "memory");
    tap_is(*ldr & 0xff000000, 0, "MOVS from a device to a device");
    rdi = PRIORITY, rcx = 1;
    __asm__ volatile("rep stosl" : "+D"(rdi), "+c"(rcx) : "a"(0x51) : "memory");
    tap_ok(*tpr == 0x51 && rcx == 0 && rdi == PRIORITY + 4, "REP STOS");
    rsi = PRIORITY;
    __asm__ volatile("lodsl" : "+S"(rsi), "=a"(rcx) : : "memory");
    tap_ok((uint32_t)rcx == 0x51 && rsi == PRIORITY + 4, "LODS");
    rdi = PRIORITY, rcx = 0;
    __asm__ volatile("rep stosl" : "+D"(rdi), "+c"(rcx) : "a"(0x52) : "memory");
    tap_ok(*tpr == 0x51 && rdi == PRIORITY, "REP STOS with RCX 0");
    rdi = PRIORITY, rcx = 1;
    __asm__ volatile("std; rep stosl; cld" : "+D"(rdi), "+c"(rcx) : "a"(0x53) : "memory", "cc");
    tap_ok(*tpr == 0x53 && rdi == PRIORITY - 4, "REP STOS downwards");
    rdi = PRIORITY;
    *tpr = 0x60;
    __asm__ volatile("scasl; pushf; pop %0" : "=r"(rcx), "+D"(rdi) : "a"(0x60) : "memory", "cc");
    tap_ok((rcx & ZF) && rdi == PRIORITY + 4, "SCAS");
}

/* Code copied to the end of a page, so that its last bytes are in the next one, which is elsewhere in physical memory. */
static void test_page_boundary(void)
{
    static uint8_t code[3][4096] __attribute__((aligned(4096)));
    static const uint8_t instruction[] = {0xc7, 0x87, 0x80, 0, 0,   0,
                                          0x3b, 0,    0,    0, 0xc3}; /* movl $0x3b, 0x80(%rdi); ret */
    bool good = true;

    map_page(WINDOW, (uint64_t)code[2], PAGE_PRESENT | PAGE_WRITE);
    map_page(WINDOW + 4096, (uint64_t)code[0], PAGE_PRESENT | PAGE_WRITE);
    for (unsigned before = 1; before < sizeof instruction; before++) {
        volatile uint8_t *at = (volatile uint8_t *)(WINDOW + 4096 - before);

        for (unsigned i = 0; i < sizeof instruction; i++)
            at[i] = instruction[i];
        at[6] = (uint8_t)(0x30 + before);
        *tpr = 0;
        __asm__ volatile("call *%0" : : "r"(at), "D"(APIC_BASE) : "memory");
        good &= *tpr == 0x30 + before;
    }
    tap_ok(good, "an instruction across two pages, at each of its bytes");

    map_page(WINDOW + 4096, 0, 0);
    tap_ok(TRY("call *%[at]; add $8, %%rsp", , [at] "r"(WINDOW + 4096 - 4), "D"(APIC_BASE)) == VECTOR_PF &&
               cpu_self()->cr2 == WINDOW + 4096,
           "an instruction whose second page is not there: #PF");
    __asm__ volatile("add $8, %%rsp" : : : "memory"); /* of the call */
}

/* The same address, another instruction each time; and an instruction that changes the next one. */
static void test_modified_code(void)
{
    static volatile uint8_t code[] = {0xc7, 0x07, 0,    0,   0,
                                      0,    0x89, 0x07, 0xc3}; /* movl $n, (%rdi); mov %eax, (%rdi); ret */
    bool good = true;
    uint64_t rax;

    for (unsigned i = 0; i < 64; i++) {
        code[2] = (uint8_t)i;
        code[6] = i & 1 ? 0x89 : 0x8b; /* to memory, or from it */
        *tpr = 0;
        rax = 0x70;
        __asm__ volatile("call *%1" : "+a"(rax) : "r"(code), "D"(PRIORITY) : "memory");
        good &= *tpr == (i & 1 ? 0x70 : i) && rax == (i & 1 ? 0x70 : i);
    }
    tap_ok(good, "code that changes is executed as it is now");
}

static void test_aliases(void)
{
    volatile uint32_t *alias = (volatile uint32_t *)(WINDOW + 0x10000 + APIC_TPR);

    map_page(WINDOW + 0x10000, APIC_BASE, PAGE_PRESENT | PAGE_WRITE | PAGE_UNCACHED);
    *tpr = 0x44;
    tap_is(*alias, 0x44, "the device at another virtual address");
    *alias = 0x33;
    tap_is(*tpr, 0x33, "... written");
    map_page(WINDOW + 0x10000, APIC_BASE, PAGE_PRESENT | PAGE_UNCACHED);
    TRY_CR(0, READ_CR(0) | 0x10000);
    tap_is(TRY("mov %%eax, (%[a])", , "a"(0), [a] "r"(alias)), VECTOR_PF, "... read-only: #PF");
    tap_is(TRY("orl $1, (%[a])", , "a"(0), [a] "r"(alias)), VECTOR_PF,
           "... read-only, read and written: #PF");
    tap_ok(*alias == 0x33, "... and nothing was written");
    TRY_CR(0, READ_CR(0) & ~0x10000UL);
    map_page(WINDOW + 0x10000, APIC_BASE, PAGE_PRESENT | PAGE_WRITE | PAGE_UNCACHED | PAGE_USER);
    {
        static const uint8_t code[] = {0xc7, 0x87, 0x80, 0, 0, 0, 0x29, 0, 0, 0, 0x0f, 0x0b};
        uint8_t *page = user_page(0);

        /* mov $WINDOW + 0x10000, %edi; then the instruction; UD2 */
        page[0] = 0xbf, page[1] = 0, page[2] = 0, page[3] = 1, page[4] = WINDOW >> 24;
        for (unsigned i = 0; i < sizeof code; i++)
            page[5 + i] = code[i];
        tap_ok(user_run(page, SEL_USER64, 0) == VECTOR_UD && *tpr == 0x29,
               "the device written at CPL 3, if it is mapped so");
        tap_ok(user_run(page, SEL_USER32, 0) == VECTOR_UD && *tpr == 0x29, "... by 32-bit code");
        *tpr = 0;
        page[0] = 0x64, page[1] = 0xc7, page[2] = 4, page[3] = 0x25, page[4] = 0x80, page[5] = 0, page[6] = 0,
        page[7] = 0;
        page[8] = 0x61, page[9] = 0, page[10] = 0, page[11] = 0, page[12] = 0x0f,
        page[13] = 0x0b; /* movl $0x61, %fs:0x80 */
        try_wrmsr(0xc0000100, WINDOW + 0x10000);
        tap_ok(user_run(page, SEL_USER64, 0) == VECTOR_UD && *tpr == 0x61, "... through FS");
    }
}

/* Other sizes: register 0x3c of the first function, the interrupt line, which is for the guest to write. */
static void test_sizes(void)
{
    uint64_t config = pci_ecam();
    volatile uint8_t *line = (volatile uint8_t *)(config + 0x3c);

    if (!config || *(volatile uint16_t *)config == 0xffff) {
        tap_skip("no configuration space in memory", "accesses of 1, 2 and 8 bytes");
        return;
    }
    tap_is(*(volatile uint32_t *)config,
           *(volatile uint16_t *)config | (uint32_t) * (volatile uint16_t *)(config + 2) << 16,
           "configuration space: 2 and 4 bytes");
    tap_is(*(volatile uint64_t *)config,
           *(volatile uint32_t *)config | (uint64_t) * (volatile uint32_t *)(config + 4) << 32,
           "configuration space: 4 and 8 bytes");
    *line = 0x5a;
    if (*line != 0x5a) {
        tap_skip("the interrupt line cannot be written", "writes of other sizes");
        return;
    }
    tap_ok(true, "a byte");
    *(volatile uint16_t *)line = 0x1234;
    tap_is(*line, 0x34, "a word");
    *(volatile uint32_t *)line = 0x11223344;
    tap_is(*line, 0x44, "four bytes");
    __asm__ volatile("orb $0x80, %0" : "+m"(*line));
    tap_is(*line, 0xc4, "OR of a byte");
    __asm__ volatile("movb %%ah, %0" : "=m"(*line) : "a"(0x7700));
    tap_is(*line, 0x77, "MOV of AH");
    {
        uint64_t value;

        __asm__ volatile("movzbl %1, %k0" : "=r"(value) : "m"(*line));
        tap_is(value, 0x77, "MOVZX of a byte");
        *line = 0x88;
        __asm__ volatile("movsbq %1, %0" : "=r"(value) : "m"(*line));
        tap_is(value, 0xffffffffffffff88, "MOVSX of a byte");
        __asm__ volatile("movzwl %1, %k0" : "=r"(value) : "m"(*(volatile uint16_t *)line));
        tap_is(value & 0xff, 0x88, "MOVZX of a word");
    }
    *line = 0;
}

void test(void)
{
    apic_enable();
    tap_diag("TPR at 0x%lx", PRIORITY);
    test_moves();
    test_arithmetic();
    test_strings();
    *tpr = 0;
    test_page_boundary();
    test_modified_code();
    test_aliases();
    test_sizes();
    *tpr = 0;
}
