/*
 * Guest test: single steps over instructions that leave the guest, and the shadows of STI and MOV SS. A debugger in the guest
 * must not notice who executes an instruction.
 *
 * SPDX-License-Identifier: MIT
 */

#include "lib/guest.h"

#define SCRATCH 0x3ff
#define DR6_BS 0x4000

static uint64_t trace[64], trace_dr6;
static unsigned steps;

static void step(struct frame *frame)
{
    uint64_t dr6;

    __asm__ volatile("mov %%dr6, %0; mov %1, %%dr6" : "=&r"(dr6) : "r"(0xffff0ff0UL));
    trace_dr6 |= dr6;
    if (steps < 64)
        trace[steps++] = frame->rip;
}

/*
 * Steps over instructions with one POPF before and one after: #DB has to come at the end of each, so at `3:', after the
 * instructions named 2, and so on. The addresses of the ends, relative to the first instruction, are compared.
 */
#define STEP(name, ends, instructions, outputs, ...)                                                                \
    do {                                                                                                            \
        static const uint8_t ends_[] = ends;                                                                        \
        uint64_t first_;                                                                                            \
        bool same_ = true;                                                                                          \
                                                                                                                    \
        steps = 0, trace_dr6 = 0;                                                                                   \
        __asm__ volatile(                                                                                           \
            "lea 2f(%%rip), %%r11; mov %%r11, %[first]; pushf; pushf; orl $0x100, (%%rsp); popf\n2:\t" instructions \
            "\n\tpopf"                                                                                              \
            : [first] "=m"(first_)outputs:__VA_ARGS__                                                               \
            : "r11", "memory", "cc");                                                                               \
        for (unsigned i_ = 0; i_ < sizeof ends_; i_++)                                                              \
            same_ &= trace[i_] == first_ + ends_[i_];                                                               \
        /* the last step is the one behind POPF, which clears TF */                                                 \
        tap_ok(same_ &&steps == sizeof ends_ + 1 && (trace_dr6 & DR6_BS), "%s: a step for each instruction",        \
               name);                                                                                               \
        for (unsigned i_ = 0; !same_ && i_ < steps; i_++)                                                           \
            tap_diag("step at +%d", (int)(trace[i_] - first_));                                                     \
    } while (0)
#define ENDS(...)                                                                                            \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }

static void test_steps(void)
{
    static uint8_t text[8];
    uint64_t rax, rbx, rcx, rdx, rsi = (uint64_t)text;
    volatile uint32_t *tpr = (volatile uint32_t *)(APIC_BASE + APIC_TPR);

    handle(VECTOR_DB, step);
    STEP("NOP", ENDS(1, 2), "nop; nop", , "a"(0));
    STEP("CPUID", ENDS(2, 3), "cpuid; nop", OUTPUT(, "=a"(rax), "=b"(rbx), "=c"(rcx), "=d"(rdx)), "a"(0),
         "c"(0));
    STEP("two CPUID", ENDS(2, 4), "cpuid; cpuid", OUTPUT(, "=a"(rax), "=b"(rbx), "=c"(rcx), "=d"(rdx)),
         "a"(0), "c"(0));
    STEP("OUT, IN", ENDS(1, 2, 3), "out %%al, %%dx; in %%dx, %%al; nop", OUTPUT(, "=a"(rax)), "a"(0),
         "d"(SCRATCH));
    rcx = 3;
    STEP("REP OUTSB", ENDS(0, 0, 2, 3), "rep outsb; nop", OUTPUT(, "+S"(rsi), "+c"(rcx)), "d"(SCRATCH));
    STEP("RDMSR", ENDS(2, 3), "rdmsr; nop", OUTPUT(, "=a"(rax), "=d"(rdx)), "c"(0x1b));
    STEP("WRMSR", ENDS(2, 3), "wrmsr; nop", , "c"(0xc0000102), "a"(0), "d"(0));
    STEP("MOV to CR0", ENDS(3, 4), "mov %%rax, %%cr0; nop", , "a"(READ_CR(0)));
    STEP("MOV to CR8", ENDS(4, 5), "mov %%rax, %%cr8; nop", , "a"(0UL));
    STEP("MOV to memory of a device", ENDS(2, 4, 5), "mov %%eax, (%%rdi); mov (%%rdi), %%eax; nop",
         OUTPUT(, "=a"(rax)), "a"(0), "D"(tpr));
    STEP("OR in memory of a device", ENDS(3, 4), "orl $0x10, (%%rdi); nop", , "D"(tpr));
    STEP("INVLPG", ENDS(3, 4), "invlpg (%%rdi); nop", , "D"(tpr));
    STEP("WBINVD", ENDS(2, 3), "wbinvd; nop", , "a"(0));
    STEP("RDTSC", ENDS(2, 3), "rdtsc; nop", OUTPUT(, "=a"(rax), "=d"(rdx)), "a"(0));
    /* The trap behind MOV SS is lost; the next instruction's is not (Intel SDM volume 3, 6.8.3). */
    STEP("MOV SS, then CPUID", ENDS(4, 5), "mov %%eax, %%ss; cpuid; nop",
         OUTPUT(, "=a"(rax), "=b"(rbx), "=c"(rcx), "=d"(rdx)), "a"(SEL_DATA), "c"(0));
    STEP("MOV SS, then OUT", ENDS(3, 4), "mov %%eax, %%ss; out %%al, %%dx; nop", , "a"(SEL_DATA),
         "d"(SCRATCH));
    STEP("MOV SS, then IN", ENDS(3, 4), "mov %%eax, %%ss; in %%dx, %%al; nop", OUTPUT(, "=a"(rax)),
         "a"(SEL_DATA), "d"(SCRATCH));
    STEP("MOV SS, then MOV from memory of a device", ENDS(4, 5), "mov %%eax, %%ss; mov (%%rdi), %%eax; nop",
         OUTPUT(, "=a"(rax)), "a"(SEL_DATA), "D"(tpr));
    STEP("MOV SS, then MOV to memory of a device", ENDS(4, 5), "mov %%eax, %%ss; mov %%eax, (%%rdi); nop", ,
         "a"(SEL_DATA), "D"(tpr));
    if (option("strict", 0)) /* QEMU does not know it */
        STEP("MOV SS, then ICEBP", ENDS(3, 4), "mov %%eax, %%ss; .byte 0xf1; nop", , "a"(SEL_DATA));
    STEP("STI", ENDS(1, 2, 3), "sti; nop; cli", , "a"(0));
    STEP("STI, then CPUID", ENDS(1, 3, 4), "sti; cpuid; cli",
         OUTPUT(, "=a"(rax), "=b"(rbx), "=c"(rcx), "=d"(rdx)), "a"(0), "c"(0));
    STEP("STI, then OUT", ENDS(1, 2, 3), "sti; out %%al, %%dx; cli", , "a"(0), "d"(SCRATCH));
    STEP("STI, then MOV from memory of a device", ENDS(1, 3, 4), "sti; mov (%%rdi), %%eax; cli",
         OUTPUT(, "=a"(rax)), "D"(tpr));
    handle(VECTOR_DB, NULL);
    apic_write(APIC_TPR, 0);
}

/* The trap of a breakpoint at MOV SS waits for the next instruction, which leaves the guest. */
static void test_blocked_breakpoint(void)
{
    static volatile uint64_t selector = SEL_DATA;
    uint64_t rip, rbx, rcx, rdx;

    handle(VECTOR_DB, step);
    for (unsigned i = 0; i < 3; i++) {
        steps = 0, trace_dr6 = 0;
        __asm__ volatile("mov %0, %%dr0; mov %1, %%dr7"
                         :
                         : "r"(&selector), "r"(0xf0702UL)
                         : "memory"); /* reads, 4 bytes */
        switch (i) {
        case 0:
            __asm__ volatile("lea 1f(%%rip), %0; mov (%1), %%ss; nop; 1: nop"
                             : "=&r"(rip)
                             : "r"(&selector)
                             : "memory");
            break;
        case 1:
            __asm__ volatile("lea 1f(%%rip), %0; mov (%4), %%ss; cpuid; 1: nop"
                             : "=&r"(rip), "=&b"(rbx), "=&c"(rcx), "=&d"(rdx)
                             : "r"(&selector), "a"(0)
                             : "memory");
            break;
        default:
            __asm__ volatile("lea 1f(%%rip), %0; mov (%1), %%ss; out %%al, %%dx; 1: nop"
                             : "=&r"(rip)
                             : "r"(&selector), "a"(0), "d"(SCRATCH)
                             : "memory");
        }
        __asm__ volatile("mov %0, %%dr7" : : "r"(0x400UL));
        tap_ok(steps == 1 && trace[0] == rip && trace_dr6 & 1, "a breakpoint at MOV SS, then %s",
               (const char *[]){"NOP", "CPUID", "OUT"}[i]);
        if (steps != 1 || trace[0] != rip)
            tap_diag("%u traps, at %d", steps, (int)(trace[0] - rip));
    }
    handle(VECTOR_DB, NULL);
}

/* The handler of a breakpoint at an instruction lets it be carried out: RF is for that one only. */
static void resume(struct frame *frame)
{
    step(frame);
    frame->rflags |= 0x10000;
}

static void test_breakpoints(void)
{
    uint64_t first, second, rbx, rcx, rdx;

    handle(VECTOR_DB, resume);
#define BREAK(name, instruction)                                                                             \
    do {                                                                                                     \
        steps = 0;                                                                                           \
        __asm__ volatile("lea 1f(%%rip), %0; lea 2f(%%rip), %1; mov %0, %%dr0; mov %1, %%dr1\n\t"            \
                         "mov %5, %%dr7; xor %%eax, %%eax\n"                                                 \
                         "1:\t" instruction "\n2:\tnop\n\t"                                                  \
                         "mov $0x400, %%eax; mov %%rax, %%dr7"                                               \
                         : "=&r"(first), "=&r"(second), "=&b"(rbx), "=&c"(rcx), "=&d"(rdx)                   \
                         : "r"(0x405UL)                                                                      \
                         : "rax", "memory");                                                                 \
        tap_ok(steps == 2 && trace[0] == first && trace[1] == second, "breakpoints at %s and behind it",     \
               name);                                                                                        \
        if (steps != 2)                                                                                      \
            tap_diag("%u traps", steps);                                                                     \
    } while (0)
    BREAK("NOP", "nop");
    BREAK("CPUID", "cpuid");
    BREAK("WBINVD", "wbinvd");
    BREAK("IN", "in $0x80, %%al");
    BREAK("MOV from CR0", "mov %%cr0, %%rax");
    handle(VECTOR_DB, NULL);
}

/* A fault in an instruction that would be stepped over comes instead of the step. */
static void test_step_and_fault(void)
{
    uint64_t vector;

    vector = TRY("pushf; orl $0x100, (%%rsp); popf; nop", , "a"(0));
    tap_ok(vector == VECTOR_DB, "a step without handler");
    vector = TRY_CR(4, READ_CR(4));
    tap_is(vector, NO_FAULT, "... and TF is gone behind it");
    handle(VECTOR_DB, step);
    steps = 0;
    vector = TRY("pushf; orl $0x100, (%%rsp); popf; rdmsr", , "c"(0x12345), "a"(0), "d"(0));
    tap_ok((vector == VECTOR_GP && steps == 0) || (vector == NO_FAULT && steps > 0),
           "RDMSR that faults, single-stepped");
    __asm__ volatile("pushf; andl $~0x100, (%%rsp); popf" : : : "memory", "cc");
    handle(VECTOR_DB, NULL);
}

static volatile unsigned interrupts_seen;
static volatile uint64_t interrupt_rip;

static void seen(struct frame *frame)
{
    interrupts_seen++;
    interrupt_rip = frame->rip;
    apic_write(APIC_EOI, 0);
}

/* Should the interrupt be lost, it is the timer that ends HLT. */
static void rescue(struct frame *frame)
{
    (void)frame;
    apic_write(APIC_EOI, 0);
}

/* A pending interrupt waits for the end of the instruction behind STI, of the two behind STI and MOV SS. */
static void test_shadows(void)
{
    uint64_t rip, rax, rbx, rcx, rdx;

    handle(0x41, seen);
    handle(0x42, rescue);
    apic_write(APIC_DIVIDE, 0xb);
    apic_write(APIC_TIMER, 0x42);
#define SHADOW(name, instructions, outputs, ...)                                                             \
    do {                                                                                                     \
        interrupts_seen = 0;                                                                                 \
        apic_write(APIC_INITIAL, 1000000000);                                                                \
        apic_write(APIC_ICR, ICR_SELF | ICR_ASSERT | 0x41);                                                  \
        wait_a_little();                                                                                     \
        __asm__ volatile("lea 1f(%%rip), %%r11; mov %%r11, %[rip]; " instructions "\n1:\tnop; nop; cli"      \
                         : [rip] "=m"(rip)outputs:__VA_ARGS__                                                \
                         : "r11", "memory", "cc");                                                           \
        tap_ok(interrupts_seen == 1 && interrupt_rip == rip, "%s", name);                                    \
        if (interrupts_seen != 1 || interrupt_rip != rip)                                                    \
            tap_diag("%u interrupts, at %d", interrupts_seen, (int)(interrupt_rip - rip));                   \
    } while (0)
    SHADOW("STI, NOP", "sti; nop", , "a"(0));
    SHADOW("STI, CPUID", "sti; cpuid", OUTPUT(, "=a"(rax), "=b"(rbx), "=c"(rcx), "=d"(rdx)), "a"(0), "c"(0));
    SHADOW("STI, OUT", "sti; out %%al, %%dx", , "a"(0), "d"(SCRATCH));
    SHADOW("STI, MOV from memory of a device", "sti; mov (%%rdi), %%eax", OUTPUT(, "=a"(rax)),
           "D"(APIC_BASE + APIC_VERSION));
    SHADOW("STI, HLT", "sti; hlt", , "a"(0));
    SHADOW("STI, MOV SS from memory", "sti; mov %%eax, %%ss; nop", , "a"(SEL_DATA));
    SHADOW("MOV SS, STI, HLT", "mov %%eax, %%ss; sti; hlt", , "a"(SEL_DATA));
    SHADOW("POPF", "pushf; orl $0x200, (%%rsp); popf", , "a"(0));
    apic_write(APIC_INITIAL, 0);
}

void test(void)
{
    apic_enable();
    test_steps();
    test_blocked_breakpoint();
    test_breakpoints();
    test_step_and_fault();
    test_shadows();
}
