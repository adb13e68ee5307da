/*
 * Guest test: software interrupts and exceptions with gates that are wrong: privilege, presence, limit, type; from CPL 0 and 3,
 * where the event has to arrive with the right error code at the right instruction.
 *
 * SPDX-License-Identifier: MIT
 */

#include "lib/guest.h"

#define VECTOR 0x80
#define GATE_USER 0xee
#define GATE_TRAP 0x8f
#define ERROR_IDT 2 /* error code: the selector is one of the IDT */

static unsigned calls;
static struct frame last;

static void count(struct frame *frame)
{
    calls++;
    last = *frame;
}

/* Copies code to the user page, and runs it at CPL 3: what it ends with. */
static uint64_t user(const uint8_t *code, size_t size, uint64_t selector)
{
    uint8_t *page = user_page(0);

    for (size_t i = 0; i < size; i++)
        page[i] = code[i];
    return user_run(page, selector, 0);
}

#define USER(selector, ...)                                                                                  \
    __extension__({                                                                                          \
        static const uint8_t code_[] = {__VA_ARGS__};                                                        \
        user(code_, sizeof code_, selector);                                                                 \
    })

static uint64_t offset(void)
{
    return cpu_self()->rip - (uint64_t)user_page(0);
}

static void test_kernel(void)
{
    uint64_t after, vector;

    handle(VECTOR, count);
    __asm__ volatile("lea 1f(%%rip), %0; int $0x80; 1:" : "=r"(after) : : "memory");
    tap_ok(calls == 1 && last.rip == after && last.error == 0, "INT n returns behind itself");
    handle(VECTOR_BP, count);
    __asm__ volatile("lea 1f(%%rip), %0; int3; 1:" : "=r"(after) : : "memory");
    tap_ok(calls == 2 && last.rip == after, "INT3 returns behind itself");
    handle(VECTOR_BP, NULL);
    handle(VECTOR, NULL);
    idt[VECTOR].type = 0x0e; /* not present */
    vector = TRY("int $0x80", , "a"(0));
    tap_ok(vector == VECTOR_NP && cpu_self()->error == VECTOR * 8 + ERROR_IDT,
           "INT n, gate not present: #NP");
    idt[VECTOR].type = 0x85; /* a task gate */
    vector = TRY("int $0x80", , "a"(0));
    tap_ok(vector == VECTOR_GP && cpu_self()->error == VECTOR * 8 + ERROR_IDT,
           "INT n, gate of a wrong type: #GP");
    idt[VECTOR].type = GATE_TRAP;
    idt[VECTOR].selector = SEL_DATA;
    vector = TRY("int $0x80", , "a"(0));
    tap_ok(vector == VECTOR_GP && cpu_self()->error == SEL_DATA, "INT n, gate to a data segment: #GP");
    idt[VECTOR].selector = 0;
    vector = TRY("int $0x80", , "a"(0));
    tap_ok(vector == VECTOR_GP && cpu_self()->error == 0, "INT n, gate to a null selector: #GP");
    idt[VECTOR].selector = SEL_CODE64;
    idt_load(0x80);
    vector = TRY("int $0x80", , "a"(0));
    tap_ok(vector == VECTOR_GP && cpu_self()->error == VECTOR * 8 + ERROR_IDT, "INT n beyond the limit: #GP");
    idt_load(256);
    tap_is(TRY(".byte 0xf1", , "a"(0)), VECTOR_DB, "ICEBP: #DB");
}

static void test_user(void)
{
    uint64_t vector;

    idt[VECTOR].type = 0x8e;
    vector = USER(SEL_USER64, 0xcd, VECTOR);
    tap_ok(vector == VECTOR_GP && cpu_self()->error == VECTOR * 8 + ERROR_IDT && offset() == 0,
           "INT n at CPL 3, gate with DPL 0: #GP");
    idt[VECTOR].type = GATE_USER;
    vector = USER(SEL_USER64, 0x90, 0xcd, VECTOR);
    tap_ok(vector == VECTOR && offset() == 3, "INT n at CPL 3, gate with DPL 3");
    idt[VECTOR].type = 0x6e;
    vector = USER(SEL_USER64, 0xcd, VECTOR);
    tap_ok(vector == VECTOR_NP && cpu_self()->error == VECTOR * 8 + ERROR_IDT,
           "INT n at CPL 3, not present: #NP");
    vector = USER(SEL_USER64, 0xcc);
    tap_ok(vector == VECTOR_GP && cpu_self()->error == VECTOR_BP * 8 + ERROR_IDT && offset() == 0,
           "INT3 at CPL 3, gate with DPL 0: #GP");
    idt[VECTOR_BP].type = GATE_USER;
    vector = USER(SEL_USER64, 0xcc);
    tap_ok(vector == VECTOR_BP && offset() == 1, "INT3 at CPL 3, gate with DPL 3");
    tap_is(USER(SEL_USER64, 0xce), VECTOR_UD, "INTO in 64-bit mode: #UD");
    idt[4].type = GATE_USER;
    vector = USER(SEL_USER32, 0xb0, 0x7f, 0x04, 0x01, 0xce); /* mov $127, %al; add $1, %al; into */
    tap_ok(vector == 4 && offset() == 5, "INTO in compatibility mode");
    vector = USER(SEL_USER64, 0xf1);
    tap_ok(vector == VECTOR_DB && offset() == 1, "ICEBP at CPL 3: #DB, whatever the DPL");
    vector = USER(SEL_USER64, 0x0f, 0x0b);
    tap_ok(vector == VECTOR_UD && offset() == 0, "UD2 at CPL 3: no check of the DPL");
}

/* What only the kernel may do does not reach the VMM from CPL 3. */
static void test_privilege(void)
{
    static const struct {
        uint8_t code[10], size;
        const char *name;
    } list[] = {
        {{0xf4}, 1, "HLT"},
        {{0xfa}, 1, "CLI"},
        {{0xe4, 0x71}, 2, "IN"},
        {{0xe6, 0x80}, 2, "OUT"},
        {{0x6e}, 1, "OUTSB"},
        {{0x0f, 0x32}, 2, "RDMSR"},
        {{0x0f, 0x30}, 2, "WRMSR"},
        {{0x0f, 0x20, 0xc0}, 3, "MOV from CR0"},
        {{0x0f, 0x22, 0xd8}, 3, "MOV to CR3"},
        {{0x44, 0x0f, 0x20, 0xc0}, 4, "MOV from CR8"},
        {{0x0f, 0x23, 0xf8}, 3, "MOV to DR7"},
        {{0x0f, 0x08}, 2, "INVD"},
        {{0x0f, 0x09}, 2, "WBINVD"},
        {{0x0f, 0x01, 0x38}, 3, "INVLPG"},
        {{0x0f, 0x01, 0x10}, 3, "LGDT"},
        {{0x0f, 0x00, 0xd8}, 3, "LTR"},
        {{0x0f, 0x06}, 2, "CLTS"},
        {{0x0f, 0x07}, 2, "SYSRET"},
    };

    for (unsigned i = 0; i < sizeof list / sizeof *list; i++) {
        uint64_t vector = user(list[i].code, list[i].size, SEL_USER64);

        tap_ok(vector == VECTOR_GP && cpu_self()->error == 0 && offset() == 0, "%s at CPL 3: #GP",
               list[i].name);
    }
    tap_ok(USER(SEL_USER64, 0x0f, 0xa2, 0x0f, 0x0b) == VECTOR_UD && offset() == 2, "CPUID at CPL 3");
    tap_ok(USER(SEL_USER64, 0x0f, 0x31, 0x0f, 0x0b) == VECTOR_UD && offset() == 2, "RDTSC at CPL 3");
    TRY_CR(4, READ_CR(4) | 4);
    tap_is(USER(SEL_USER64, 0x0f, 0x31), VECTOR_GP, "RDTSC at CPL 3 with CR4.TSD: #GP");
    TRY_CR(4, READ_CR(4) & ~4UL);
}

/* Segments whose limits and presence instructions have to respect. */
static void test_segments(void)
{
    tap_ok(TRY("mov %w[s], %%fs", , [s] "r"(SEL_ABSENT)) == VECTOR_NP && cpu_self()->error == SEL_ABSENT,
           "a segment that is not present: #NP");
    tap_ok(TRY("mov %w[s], %%ss", , [s] "r"(SEL_ABSENT)) == VECTOR_SS && cpu_self()->error == SEL_ABSENT,
           "a stack that is not present: #SS");
    tap_ok(TRY("mov %w[s], %%ds", , [s] "r"(0xfff8)) == VECTOR_GP && cpu_self()->error == 0xfff8,
           "a segment beyond the GDT: #GP");
    /* 32-bit code reads FS with limit 0xfff: mov SEL_SMALL, %eax; mov %eax, %fs; mov %fs:0x1000, %eax */
    tap_ok(USER(SEL_USER32, 0xb8, SEL_SMALL | 3, 0, 0, 0, 0x8e, 0xe0, 0x64, 0xa1, 0x00, 0x10, 0x00, 0x00) ==
               VECTOR_GP,
           "a segment of the kernel at CPL 3: #GP");
}

void test(void)
{
    test_kernel();
    test_user();
    test_privilege();
    test_segments();
}
