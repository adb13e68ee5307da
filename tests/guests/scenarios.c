/*
 * Guest test: what has brought down other hypervisors, or let their guests see what a CPU never shows: instructions at the edges of
 * address spaces, null segments, debug traps, exceptions that wait, pages that change their size. The 32-bit code is in
 * scenarios-code.S.
 *
 * SPDX-License-Identifier: MIT
 */

#include "lib/guest.h"

#define NOTHING 0x5678
#define VECTOR_NM 7
#define VECTOR_MF 16
#define VECTOR_XM 19
#define MSR_DEBUGCTL 0x1d9
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_FMASK 0xc0000084
#define CR0_EM 0x4UL
#define CR0_TS 0x8UL
#define CR4_UMIP 0x800UL
#define RFLAGS_NT 0x4000
#define NOT_CANONICAL 0x800000000000UL
#define LARGE 0x200000UL
#define SPARE 0x2000000UL /* RAM that nothing else uses: two large pages */

static volatile uint32_t *const tpr = (volatile uint32_t *)(APIC_BASE + APIC_TPR);

static void test_unknown(void)
{
    tap_is(TRY(".byte 0x0f, 0x01, 0xd4", , "a"(0), "c"(0)), VECTOR_UD, "VMFUNC: #UD");
    tap_is(TRY(".byte 0x0f, 0x01, 0xd4", , "a"(63), "c"(~0UL)), VECTOR_UD, "VMFUNC, another function: #UD");
}

/* A bit is kept, or it is refused and nothing changes; with those that there are, branches work as ever. */
static void test_debugctl(void)
{
    static const uint8_t bits[] = {0, 1, 6, 7, 8, 9, 10};
    uint64_t before, value;
    bool good = true;

    if (try_rdmsr(MSR_DEBUGCTL, &before) != NO_FAULT) {
        tap_skip("no such register", "DEBUGCTL");
        return;
    }
    for (unsigned i = 0; i < sizeof bits; i++) {
        uint64_t vector = try_wrmsr(MSR_DEBUGCTL, 1UL << bits[i]);

        try_rdmsr(MSR_DEBUGCTL, &value);
        good &= vector == NO_FAULT ? value == 1UL << bits[i] : vector == VECTOR_GP && value == before;
        for (volatile unsigned j = 0; j < 100; j++)
            inb(NOTHING);
        try_wrmsr(MSR_DEBUGCTL, before);
    }
    tap_ok(good, "DEBUGCTL: a bit reads as written, or is refused");
    tap_is(try_wrmsr(MSR_DEBUGCTL, 1UL << 40), VECTOR_GP, "DEBUGCTL: reserved bit");
    tap_is(rdmsr(MSR_DEBUGCTL), before, "DEBUGCTL is as before");
}

static unsigned traps;
static uint64_t trap_rip;

static void trap(struct frame *frame)
{
    traps++;
    trap_rip = frame->rip;
    frame->rflags &= ~(uint64_t)RFLAGS_TF;
}

extern char syscall_entry[];

/* SYSCALL at CPL 3: whether its debug trap comes depends on the flags that it has loaded. */
static void test_syscall(void)
{
    uint8_t *page = user_page(0);

    page[0] = 0x0f, page[1] = 0x05;
    try_wrmsr(MSR_STAR, (uint64_t)SEL_CODE64 << 32);
    try_wrmsr(MSR_LSTAR, (uint64_t)syscall_entry);
    handle(VECTOR_DB, trap);
    traps = 0;
    try_wrmsr(MSR_FMASK, RFLAGS_TF | RFLAGS_IF);
    tap_ok(user_run(page, SEL_USER64, RFLAGS_TF) == NO_FAULT && traps == 0,
           "SYSCALL, single-stepped, TF masked: no trap");
    traps = 0;
    try_wrmsr(MSR_FMASK, RFLAGS_IF);
    tap_ok(user_run(page, SEL_USER64, RFLAGS_TF) == NO_FAULT && traps == 1 &&
               trap_rip == (uint64_t)syscall_entry,
           "SYSCALL, single-stepped: a trap at the first instruction of the kernel");
    handle(VECTOR_DB, NULL);
    tap_is(try_wrmsr(MSR_LSTAR, NOT_CANONICAL), VECTOR_GP, "LSTAR: not canonical");
    try_wrmsr(MSR_FMASK, 0);
}

static struct exchange {
    uint64_t rax, rdx;
} exchange;

static uint64_t memory[4] __attribute__((aligned(16)));

#define LOW 0x5555555566666666UL
#define HIGH 0x7777777788888888UL

/* RDX:RAX are what is there, or they are not; RCX:RBX is what shall be there. */
#define EXCHANGE(bytes, prefix, where, match)                                                                \
    __extension__({                                                                                          \
        uint64_t mask_ = (bytes) == 8 ? UINT32_MAX : UINT64_MAX, rbx_ = 0x1111111122222222;                  \
        exchange = (struct exchange){((match) ? LOW : ~LOW) & mask_, HIGH & mask_};                          \
        TRY(prefix "0x0f, 0xc7, 0x0f", OUTPUT("+a"(exchange.rax), "+d"(exchange.rdx), "+b"(rbx_)),           \
            "c"(0x3333333344444444), "D"(where));                                                            \
    })

/* Prefixes do not change how much CMPXCHG8B and CMPXCHG16B take, but for REX.W. */
#define TEST_EXCHANGE(bytes, prefix, name)                                                                   \
    do {                                                                                                     \
        uint64_t vector_;                                                                                    \
                                                                                                             \
        memory[0] = (bytes) == 16 ? LOW : (LOW & UINT32_MAX) | HIGH << 32;                                   \
        memory[1] = (bytes) == 16 ? HIGH : 0x99, memory[2] = 0xaa;                                           \
        vector_ = EXCHANGE(bytes, prefix, memory, true);                                                     \
        tap_ok(vector_ == NO_FAULT && memory[2] == 0xaa &&                                                   \
                   memory[0] == ((bytes) == 16 ? 0x1111111122222222 : 0x4444444422222222) &&                 \
                   memory[1] == ((bytes) == 16 ? 0x3333333344444444 : 0x99),                                 \
               "%s", name);                                                                                  \
    } while (0)

static void test_exchange(void)
{
    TEST_EXCHANGE(8, ".byte ", "CMPXCHG8B");
    TEST_EXCHANGE(8, ".byte 0x66, ", "CMPXCHG8B with 66");
    TEST_EXCHANGE(8, ".byte 0xf2, ", "CMPXCHG8B with F2");
    TEST_EXCHANGE(8, ".byte 0xf0, 0x66, ", "CMPXCHG8B with LOCK and 66");
    TEST_EXCHANGE(16, ".byte 0x48, ", "CMPXCHG16B");
    TEST_EXCHANGE(16, ".byte 0x66, 0x48, ", "CMPXCHG16B with 66");
    TEST_EXCHANGE(16, ".byte 0xf2, 0xf0, 0x48, ", "CMPXCHG16B with F2 and LOCK");
    tap_is(EXCHANGE(16, ".byte 0x48, ", memory + 1, false), VECTOR_GP, "CMPXCHG16B, not aligned: #GP");
    if (!in_vm()) { /* for a LAPIC, accesses of more than 4 bytes are undefined (Intel SDM volume 3, 11.4.1) */
        tap_skip("not on the bare machine", "CMPXCHG8B at the memory of a device: #UD, without effect");
        tap_skip("not on the bare machine", "CMPXCHG16B at the memory of a device: #UD, without effect");
        return;
    }
    wait_a_little(); /* lest the VMM's message splits a line */
    *tpr = 0x21;
    tap_ok(EXCHANGE(8, ".byte 0x66, ", tpr, false) == VECTOR_UD && exchange.rax == (uint32_t)~LOW &&
               exchange.rdx == (uint32_t)HIGH && *tpr == 0x21,
           "CMPXCHG8B at the memory of a device: #UD, without effect");
    wait_a_little();
    tap_ok(EXCHANGE(16, ".byte 0xf2, 0x48, ", tpr, false) == VECTOR_UD && exchange.rax == ~LOW &&
               exchange.rdx == HIGH && *tpr == 0x21,
           "CMPXCHG16B at the memory of a device: #UD, without effect");
    *tpr = 0;
}

/* Code of scenarios-code.S: runs 32-bit code at CPL 0 until it faults; and IRET. */
void compatibility_run(const void *code, uint64_t ss);
void iret_to(uint64_t rip, uint64_t rflags);
extern char compatibility_leave[];

/* Where each of them starts, and where it faults. */
#define CODE(name) extern const char name[], name##_at[]
CODE(outs_null_ds);
CODE(outs_null_fs);
CODE(outs_ss);
CODE(ins_null_es);
CODE(device_null_ds);
CODE(device_ss);
CODE(push_device);
CODE(outs_limit);

static struct frame fault;

static void leave(struct frame *frame)
{
    fault = *frame;
    frame->rip = (uint64_t)compatibility_leave;
    frame->cs = SEL_CODE64;
    frame->ss = SEL_DATA;
    frame->rflags = 2;
}

static void leave_by(handler_t *handler)
{
    handle(VECTOR_UD, handler);
    handle(VECTOR_SS, handler);
    handle(VECTOR_GP, handler);
}

static void test_null_segments(void)
{
    static const struct {
        const char *code, *at, *name;
        uint64_t ss, vector;
    } list[] = {
        {outs_null_ds, outs_null_ds_at, "OUTSB, DS null: #GP", SEL_DATA, VECTOR_GP},
        {outs_null_fs, outs_null_fs_at, "OUTSB, FS null: #GP", SEL_DATA, VECTOR_GP},
        {outs_ss, outs_ss_at, "OUTSB, SS null: #SS", 0, VECTOR_SS},
        {ins_null_es, ins_null_es_at, "INSB, ES null: #GP", SEL_DATA, VECTOR_GP},
        {device_null_ds, device_null_ds_at, "memory of a device, DS null: #GP", SEL_DATA, VECTOR_GP},
        {device_ss, device_ss_at, "memory of a device, SS null: #SS", 0, VECTOR_SS},
        {push_device, push_device_at, "PUSH of the memory of a device, SS null: #SS", 0, VECTOR_SS},
        {outs_limit, outs_limit_at, "OUTSB beyond a limit: #GP", SEL_DATA, VECTOR_GP},
    };

    leave_by(leave);
    *tpr = 0;
    for (unsigned i = 0; i < sizeof list / sizeof *list; i++) {
        compatibility_run(list[i].code, list[i].ss);
        if (!tap_ok(fault.vector == list[i].vector && fault.error == 0 && fault.rip == (uint64_t)list[i].at,
                    "%s", list[i].name))
            tap_diag("vector %lu, error %lu, at %d", fault.vector, fault.error,
                     (int)(fault.rip - (uint64_t)list[i].at));
    }
    tap_is(*tpr, 0, "... and nothing was written");
    leave_by(NULL);
}

/* Two bytes of code that leave the guest, and those that do not. */
static const struct {
    uint8_t code[2];
    const char *name;
} edges[] = {
    {{0x90, 0x90}, "NOP"},    {{0xe6, 0x80}, "OUT"},
    {{0x0f, 0xa2}, "CPUID"},  {{0x89, 0x07}, "MOV to a device"},
    {{0x0f, 0x09}, "WBINVD"}, {{0x0f, 0x32}, "RDMSR"},
};
#define EDGES (sizeof edges / sizeof *edges)

/* At the end of the lower half: the next instruction has no canonical address. */
static void test_canonical_end(void)
{
    static uint64_t tables[3][512] __attribute__((aligned(4096)));
    static volatile uint8_t code[4096] __attribute__((aligned(4096)));

    for (unsigned i = 0; i < 2; i++)
        tables[i][511] = (uint64_t)tables[i + 1] | PAGE_PRESENT | PAGE_WRITE;
    tables[2][511] = (uint64_t)code | PAGE_PRESENT | PAGE_WRITE;
    page_tables[0][255] = (uint64_t)tables[0] | PAGE_PRESENT | PAGE_WRITE;
    for (unsigned i = 0; i < EDGES; i++) {
        uint64_t rax = 0, rbx, rcx = 0x1b, rdx, vector;

        code[4094] = edges[i].code[0];
        code[4095] = edges[i].code[1];
        vector = TRY("jmp *%%rsi", OUTPUT("+a"(rax), "=b"(rbx), "+c"(rcx), "=d"(rdx)), "S"(NOT_CANONICAL - 2),
                     "D"(tpr));
        if (!tap_ok(vector == VECTOR_GP && cpu_self()->error == 0 && cpu_self()->rip == NOT_CANONICAL,
                    "%s at the end of the lower half: #GP behind it", edges[i].name))
            tap_diag("vector %lu at 0x%lx", vector, cpu_self()->rip);
    }
    page_tables[0][255] = 0;
    tap_is(TRY("jmp *%%rax", , "a"(NOT_CANONICAL)), VECTOR_GP,
           "JMP to an address that is not canonical: #GP");
    leave_by(leave);
    iret_to(NOT_CANONICAL, 2);
    tap_is(fault.vector, VECTOR_GP, "IRET to an address that is not canonical: #GP");
    fault.error = 1;
    iret_to((uint64_t)compatibility_leave, 2 | RFLAGS_NT);
    tap_ok(fault.vector == VECTOR_GP && fault.error == 0, "IRET with NT in 64-bit mode: #GP");
    leave_by(NULL);
}

/* 32-bit code at the end of 4 GiB: the next instruction is the one at 0. */
static void test_wrap(void)
{
    volatile uint8_t *code = (volatile uint8_t *)(SPARE + LARGE - 2), *low = (volatile uint8_t *)WINDOW;
    uint64_t before = page_tables[5][511];

    map_page(WINDOW, 0, PAGE_PRESENT | PAGE_WRITE);
    low[0] = 0x0f, low[1] = 0x0b;
    page_tables[5][511] = SPARE | 0x83;
    TRY_CR(3, READ_CR(3));
    leave_by(leave);
    for (unsigned i = 0; i < EDGES; i++) {
        code[0] = edges[i].code[0];
        code[1] = edges[i].code[1];
        compatibility_run((void *)0xfffffffe, SEL_DATA);
        if (!tap_ok(fault.vector == VECTOR_UD && fault.rip == 0, "%s at the end of 4 GiB: goes on at 0",
                    edges[i].name))
            tap_diag("vector %lu at 0x%lx", fault.vector, fault.rip);
    }
    leave_by(NULL);
    page_tables[5][511] = before;
    TRY_CR(3, READ_CR(3));
}

/* Exceptions of the x87 FPU wait for its next instruction, whatever leaves the guest before; those of SSE do not. */
static void test_fpu(void)
{
    uint16_t control = 0x37b; /* division by zero is not masked */
    uint32_t mxcsr = 0x1d80, one = 0x3f800000, zero = 0;
    uint64_t cr0 = READ_CR(0), vector;

#define DIVIDE_X87() __asm__ volatile("fninit; fldcw %0; fldz; fld1; fdivp %%st, %%st(1)" : : "m"(control))
    wait_a_little();
    DIVIDE_X87();
    vector = TRY("mov (%%rdi), %%eax; outb %%al, $0x80; mov %%eax, (%%rdi)", , "D"(tpr), "a"(0));
    cpuid(0, 0, (uint32_t[4]){0});
    tap_is(vector, NO_FAULT, "a pending exception of the x87 FPU, and exits");
    tap_is(TRY("fwait", , "a"(0)), VECTOR_MF, "... comes at FWAIT: #MF");
    tap_is(TRY("flds (%%rdi)", , "D"(&one)), VECTOR_MF, "... or at FLD: #MF");
    wait_a_little();
    tap_is(TRY("flds (%%rdi)", , "D"(tpr)), VECTOR_MF, "... from the memory of a device: #MF");
    TRY_CR(0, cr0 | CR0_TS);
    tap_is(TRY("flds (%%rdi)", , "D"(tpr)), VECTOR_NM, "... but with TS: #NM");
    tap_is(TRY("movups (%%rdi), %%xmm0", , "D"(tpr)), VECTOR_NM, "SSE with TS: #NM");
    TRY_CR(0, (cr0 & ~2UL) | CR0_EM);
    tap_is(TRY("flds (%%rdi)", , "D"(tpr)), VECTOR_NM, "x87 with EM: #NM");
    tap_is(TRY("movups (%%rdi), %%xmm0", , "D"(tpr)), VECTOR_UD, "SSE with EM: #UD");
    TRY_CR(0, cr0);
    __asm__ volatile("fninit; ldmxcsr %0; movss %1, %%xmm0; movss %2, %%xmm1"
                     :
                     : "m"(mxcsr), "m"(one), "m"(zero));
    tap_is(TRY("divss %%xmm1, %%xmm0", , "a"(0)), VECTOR_XM, "SSE: #XM");
    mxcsr = 0x1f80;
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
}

/* Instructions that tell where the tables of the system are, at CPL 3. */
static void test_umip(void)
{
    static const struct {
        uint8_t size, code[7]; /* memory is 0x800(%rdi) */
        const char *name;
    } list[] = {
        {7, {0x0f, 0x01, 0x87, 0, 8, 0, 0}, "SGDT"}, {7, {0x0f, 0x01, 0x8f, 0, 8, 0, 0}, "SIDT"},
        {7, {0x0f, 0x00, 0x87, 0, 8, 0, 0}, "SLDT"}, {7, {0x0f, 0x00, 0x8f, 0, 8, 0, 0}, "STR"},
        {7, {0x0f, 0x01, 0xa7, 0, 8, 0, 0}, "SMSW"}, {3, {0x0f, 0x00, 0xc0}, "SLDT, register"},
        {3, {0x0f, 0x00, 0xc8}, "STR, register"},    {3, {0x0f, 0x01, 0xe0}, "SMSW, register"},
    };
    uint8_t *page = user_page(0);
    uint32_t out[4];

    cpuid(7, 0, out);
    for (unsigned i = 0; i < sizeof list / sizeof *list; i++) {
        uint64_t vector;

        for (unsigned j = 0; j < list[i].size; j++)
            page[j] = list[i].code[j];
        page[list[i].size] = 0x0f, page[list[i].size + 1] = 0x0b;
        tap_ok(user_run(page, SEL_USER64, 0) == VECTOR_UD && cpu_self()->rip == (uint64_t)page + list[i].size,
               "%s at CPL 3", list[i].name);
        if (!(out[2] & 4)) {
            tap_skip("no UMIP", "%s at CPL 3 with CR4.UMIP: #GP", list[i].name);
            continue;
        }
        TRY_CR(4, READ_CR(4) | CR4_UMIP);
        vector = user_run(page, SEL_USER64, 0);
        tap_ok(vector == VECTOR_GP && cpu_self()->rip == (uint64_t)page && cpu_self()->error == 0,
               "%s at CPL 3 with CR4.UMIP: #GP", list[i].name);
        TRY_CR(4, READ_CR(4) & ~CR4_UMIP);
    }
    if (!(out[2] & 4))
        tap_is(TRY_CR(4, READ_CR(4) | CR4_UMIP), VECTOR_GP, "CR4: UMIP that there is not");
}

/* The same with caches off: SVM has such reads of CR0 exit. */
static void test_smsw(void)
{
    uint64_t cr0 = READ_CR(0), rax = ~0UL;
    static volatile uint16_t words[2];

    TRY_CR(0, cr0 | 0x40000000);
    __asm__ volatile("smsw %%ax" : "+a"(rax));
    tap_is(rax, 0xffffffffffff0000 | (cr0 & 0xffff), "SMSW with caches off");
    words[1] = 0x1234;
    tap_is(TRY("smsw (%%rdi)", , "D"(words)), NO_FAULT, "SMSW to memory with caches off");
    tap_ok(words[0] == (cr0 & 0xffff) && words[1] == 0x1234, "... writes 2 bytes");
    tap_is(TRY("smsw (%%rdi)", , "D"(NOT_CANONICAL)), VECTOR_GP,
           "... to an address that is not canonical: #GP");
    TRY_CR(0, cr0);
}

/* A large page becomes 512 small ones and one again, while code in it runs, and at last somewhere else. */
static void test_page_sizes(void)
{
    static uint64_t table[512] __attribute__((aligned(4096)));
    uint64_t *directory = (uint64_t *)(page_tables[1][WINDOW >> 30] & ~0xfffUL);
    uint64_t at = WINDOW + LARGE, value, sum = 0;
    volatile uint8_t *code = (volatile uint8_t *)SPARE;

    /* mov (%rsi), %eax; ret; in both large pages, and what it reads */
    for (unsigned i = 0; i < 2; i++) {
        code[i * LARGE] = 0x8b, code[i * LARGE + 1] = 0x06, code[i * LARGE + 2] = 0xc3;
        *(volatile uint32_t *)(SPARE + i * LARGE + 0x1000) = i + 1;
    }
#define USE(expected)                                                                                        \
    __asm__ volatile("call *%1" : "=a"(value) : "r"(at), "S"(at + 0x1000) : "memory");                       \
    sum += (uint32_t)value == (expected)
    for (unsigned i = 0; i < 200; i++) {
        uint64_t other = i % 2;

        for (unsigned j = 0; j < 512; j++)
            table[j] = (SPARE + other * LARGE + j * 0x1000UL) | PAGE_PRESENT | PAGE_WRITE;
        directory[1] = (SPARE + other * LARGE) | 0x83;
        __asm__ volatile("invlpg (%0)" : : "r"(at) : "memory");
        USE(other + 1);
        directory[1] = (uint64_t)table | PAGE_PRESENT | PAGE_WRITE; /* the same memory, no INVLPG yet */
        USE(other + 1);
        __asm__ volatile("invlpg (%0)" : : "r"(at) : "memory");
        __asm__ volatile("invlpg (%0)" : : "r"(at + 0x1000) : "memory");
        USE(other + 1);
        table[1] = (SPARE + (1 - other) * LARGE + 0x1000) | PAGE_PRESENT | PAGE_WRITE;
        __asm__ volatile("invlpg (%0)" : : "r"(at + 0x1000) : "memory");
        USE(2 - other);
    }
    tap_is(sum, 800, "a large page split and joined, 200 times: code and data are right");
    directory[1] = 0;
    TRY_CR(3, READ_CR(3));
}

void test(void)
{
    apic_enable();
    test_unknown();
    test_debugctl();
    test_syscall();
    test_exchange();
    test_null_segments();
    test_canonical_end();
    test_wrap();
    test_fpu();
    test_umip();
    test_smsw();
    test_page_sizes();
}
