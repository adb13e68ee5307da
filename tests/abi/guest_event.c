/*
 * Events of guests: injection of each type, windows for interrupts and NMIs, deliveries that are interrupted, exceptions
 * that the VMM wants or not, recall.
 *
 * SPDX-License-Identifier: MIT
 */

#include "guest.h"
#include "system.h"
#include "tap.h"

#define VALID (1U << 31)
#define TYPE(n) ((unsigned)(n) << 8)
#define ERROR (1U << 11)
#define WINDOW (1U << 12)
#define NMI_WINDOW (1U << 13)
enum { EXTERNAL, RESERVED, NMI, EXCEPTION, SOFTWARE, PRIVILEGED, SOFTWARE_EXCEPTION, OTHER };

#define IF 0x200
#define TF 0x100

static struct guest g;
static struct guest_cpu v;

/* A loop for injections to come into; code for windows. */
GUEST_PROGRAM(loop, ".code64", "jmp .");

/* The state for a program. */
#define LOAD(name, flags)                                                                                    \
    do {                                                                                                     \
        guest_load(&g, GUEST_CODE, name, name##_end);                                                        \
        guest_long(&v, GUEST_CODE);                                                                          \
        v.state.rflags = 2 | (flags);                                                                        \
        v.state.cr4 |= 0x600;                                                                                \
    } while (0)

/* -- Injection -- */

static void inject(const char *what, uint32_t info, uint32_t error, uint64_t want_error, unsigned length)
{
    const struct guest_record *record;

    LOAD(loop, IF);
    guest_idt(&v, true);
    v.state.inj_info = VALID | info;
    v.state.inj_error = error;
    v.state.inst_len = length;
    v.state.cr2 = 0x123456789;
    guest_is(&v, guest_run(&v, v.mtd), GUEST_HLT, what);
    record = guest_last(&v);
    tap_ok(guest_interrupts(&v) == 1 && record->vector == (info & 0xff) && record->error == want_error,
           "%s: vector %lu, error 0x%lx", what, record->vector, record->error);
    tap_is(record->rip, GUEST_CODE + (guest_vmx() ? length : 0), "%s: return address", what);
    tap_is(record->cr2, 0x123456789, "%s: CR2", what);
    tap_is(v.state.inj_info & VALID, 0, "%s: is not pending any more", what);
}

static void injections(void)
{
    inject("external interrupt", TYPE(EXTERNAL) | 0x30, 0, 0, 0);
    inject("external interrupt 255", TYPE(EXTERNAL) | 0xff, 0, 0, 0);
    inject("NMI", TYPE(NMI) | 2, 0, 0, 0);
    inject("#UD", TYPE(EXCEPTION) | 6, 0, 0, 0);
    inject("#GP", TYPE(EXCEPTION) | ERROR | 13, 0x1234, 0x1234, 0);
    inject("#PF", TYPE(EXCEPTION) | ERROR | 14, 6, 6, 0);
    inject("#DB", TYPE(EXCEPTION) | 1, 0, 0, 0); /* this and the next two exit if the guest raises them */
    inject("#AC", TYPE(EXCEPTION) | ERROR | 17, 0, 0, 0);
    inject("#MC", TYPE(EXCEPTION) | 18, 0, 0, 0);
    inject("INT 0x80", TYPE(SOFTWARE) | 0x80, 0, 0, 2);
    inject("INT3", TYPE(SOFTWARE_EXCEPTION) | 3, 0, 0, 1);
}

/* What no CPU would inject. */
static void refused(void)
{
    static const struct {
        uint32_t info;
        const char *what;
    } bad[] = {
        {TYPE(RESERVED) | 0x30, "reserved type"}, {TYPE(EXCEPTION) | 32, "exception 32"},
        {TYPE(EXCEPTION) | 255, "exception 255"}, {TYPE(NMI) | 3, "NMI with vector 3"},
        {TYPE(OTHER) | 1, "other event"},
    };

    for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        LOAD(loop, IF);
        guest_idt(&v, true);
        v.state.inj_info = VALID | bad[i].info;
        guest_is(&v, guest_run(&v, v.mtd), GUEST_INVALID, bad[i].what);
        tap_is(v.state.inj_info, 0, "%s: is forgotten", bad[i].what);
    }
}

/* An event that is to come is shown to who is asked in between, and comes even so. */
static void pending(void)
{
    LOAD(loop, IF);
    guest_idt(&v, true);
    v.state.inj_info = VALID | TYPE(EXTERNAL) | 0x55;
    ctrl_ec(v.ec, 0);
    guest_is(&v, guest_run(&v, v.mtd), GUEST_RECALL, "injection and recall");
    tap_is(v.state.inj_info, VALID | TYPE(EXTERNAL) | 0x55, "the injection is pending");
    guest_is(&v, guest_run(&v, 0), GUEST_HLT, "after the recall");
    tap_ok(guest_interrupts(&v) == 1 && guest_last(&v)->vector == 0x55, "the interrupt has come");
}

/* -- Windows -- */

/* Each enables interrupts in another way, then counts. */
#define COUNT_UP "1: incq 0x10000; jmp 1b"
GUEST_PROGRAM(by_sti, ".code64", "cpuid; mov $1000, %ecx; 2: dec %ecx; jnz 2b; sti; nop;" COUNT_UP);
GUEST_PROGRAM(by_popf, ".code64", "cpuid; push $0x202; popf;" COUNT_UP);
GUEST_PROGRAM(
    by_iret, ".code64",
    "cpuid; mov %rsp, %rax; push $0x10; push %rax; push $0x202; push $8; lea 1f(%rip), %rax; push %rax; iretq;" COUNT_UP);
GUEST_PROGRAM(
    by_loop, ".code64",
    "cpuid; mov $3, %ecx; 3: cli; mov $1000, %eax; 2: dec %eax; jnz 2b; sti; dec %ecx; jnz 3b;" COUNT_UP);
GUEST_PROGRAM(enabled, ".code64", "cpuid;" COUNT_UP);
GUEST_PROGRAM(halts, ".code64", "cpuid; sti; hlt; jmp .");

static uint64_t *counter(void)
{
    return (uint64_t *)(void *)(g.memory + 0x10000);
}

static void window(const char *what, const char *start, const char *end, uint64_t flags)
{
    guest_load(&g, GUEST_CODE, start, end);
    guest_idt(&v, true);
    guest_long(&v, GUEST_CODE);
    v.state.rflags = 2 | flags;
    *counter() = 0;
    guest_run(&v, v.mtd);
    v.state.inj_info = WINDOW;
    guest_is(&v, guest_skip(&v, 2, NOVA_MTD_INJ), GUEST_WINDOW, what);
    tap_ok(v.state.rflags & IF && !(v.state.intr_state & 3), "%s: interrupts can come", what);
    tap_ok(*counter() < 3, "%s: at once (%lu)", what, *counter());
    tap_is(v.state.inj_info, WINDOW, "%s: it is still wanted", what);
    guest_is(&v, guest_run(&v, 0), GUEST_WINDOW, what);
    v.state.inj_info = VALID | TYPE(EXTERNAL) | 0x77;
    guest_is(&v, guest_run(&v, NOVA_MTD_INJ), GUEST_HLT, what);
    tap_ok(guest_interrupts(&v) == 1 && guest_last(&v)->vector == 0x77, "%s: the interrupt has come", what);
}

#define WINDOW_BY(name, flags) window(#name, name, name##_end, flags)

static void windows(void)
{
    WINDOW_BY(by_sti, 0);
    WINDOW_BY(by_popf, 0);
    WINDOW_BY(by_iret, 0);
    WINDOW_BY(by_loop, 0);
    WINDOW_BY(enabled, IF);

    LOAD(halts, 0);
    guest_run(&v, v.mtd);
    v.state.inj_info = WINDOW;
    guest_is(&v, guest_skip(&v, 2, NOVA_MTD_INJ), GUEST_HLT, "STI, HLT: no window between");

    /* What an interrupt of the host behind the STI leaves to be resumed. */
    LOAD(halts, 0);
    guest_run(&v, v.mtd);
    v.state.rflags |= IF;
    v.state.intr_state = 1;
    v.state.inj_info = WINDOW;
    guest_is(&v, guest_skip(&v, 3, NOVA_MTD_RFLAGS | NOVA_MTD_STA | NOVA_MTD_INJ), GUEST_HLT,
             "HLT in the shadow of STI: no window");

    /* An interrupt that is injected while a window is wanted: the next window is behind its handler. */
    LOAD(enabled, IF);
    guest_idt(&v, false);
    *counter() = 0;
    guest_run(&v, v.mtd);
    v.state.inj_info = VALID | WINDOW | TYPE(EXTERNAL) | 0x66;
    guest_is(&v, guest_skip(&v, 2, NOVA_MTD_INJ), GUEST_WINDOW, "window behind a handler");
    tap_ok(guest_interrupts(&v) == 1 && v.state.rip >= GUEST_CODE && v.state.rip < GUEST_CODE + 0x100,
           "the handler has run");
    tap_ok(*counter() < 3, "at once (%lu)", *counter());
}

static void nmi_windows(void)
{
    /* Open. */
    LOAD(enabled, IF);
    *counter() = 0;
    guest_idt(&v, true);
    guest_run(&v, v.mtd);
    v.state.inj_info = NMI_WINDOW;
    guest_is(&v, guest_skip(&v, 2, NOVA_MTD_INJ), GUEST_NMI_WINDOW, "NMI window, open");
    tap_is(*counter(), 0, "NMI window, open: at once");
    guest_is(&v, guest_run(&v, 0), GUEST_NMI_WINDOW, "NMI window, still wanted");

    /* In the handler of an NMI. */
    v.state.inj_info = VALID | NMI_WINDOW | TYPE(NMI) | 2;
    guest_is(&v, guest_run(&v, NOVA_MTD_INJ), GUEST_HLT, "NMI window, in a handler");
    tap_ok(v.state.intr_state & 8, "NMIs are blocked");
    tap_is(guest_interrupts(&v), 1, "the NMI has come");
    guest_is(&v, guest_skip(&v, 1, 0), GUEST_NMI_WINDOW, "NMI window, behind the handler");
    tap_ok(v.state.rip >= GUEST_CODE && v.state.rip < GUEST_CODE + 0x100, "it is behind the IRET, RIP 0x%lx",
           v.state.rip);
    tap_ok(*counter() < 3 && !(v.state.intr_state & 8), "at once (%lu)", *counter());
    tap_is(v.state.rflags & TF, 0, "RFLAGS.TF is clear");
    tap_is(guest_last(&v)->rflags & TF, 0, "RFLAGS.TF was clear");
    v.state.inj_info = VALID | TYPE(NMI) | 2;
    guest_is(&v, guest_run(&v, NOVA_MTD_INJ), GUEST_HLT, "a second NMI");
    tap_is(guest_interrupts(&v), 2, "the second NMI has come");

    /* Without a wish for a window, the IRET ends the blocking as well. */
    v.state.inj_info = 0;
    v.state.rip++;
    *counter() = 0;
    guest_reply(&v, NOVA_MTD_INJ | NOVA_MTD_RIP);
    for (unsigned i = 0; i < 1000 && !*(volatile uint64_t *)counter(); i++)
        sleep_us(20000);
    ctrl_ec(v.ec, 0);
    guest_is(&v, guest_wait(&v, 10000), GUEST_RECALL, "after the second NMI");
    tap_is(v.state.intr_state & 8, 0, "NMIs are not blocked any more");
}

/* Behind MOV SS, NMIs have to wait for one instruction. */
static void nmi_shadow(void)
{
    LOAD(enabled, 0);
    *counter() = 0;
    guest_run(&v, v.mtd);
    v.state.intr_state = 2;
    v.state.inj_info = NMI_WINDOW;
    guest_is(&v, guest_skip(&v, 2, NOVA_MTD_INJ | NOVA_MTD_STA), GUEST_NMI_WINDOW,
             "NMI window behind MOV SS");
    tap_is(*counter(), 1, "one instruction has been executed");
    tap_is(v.state.rflags & TF, 0, "RFLAGS.TF is clear");
}

/* -- Deliveries that end in a violation of the nested page tables -- */

#define FAR_STACK 0x40001000

static void interrupted(const char *what, uint32_t info, uint32_t error)
{
    LOAD(loop, IF);
    guest_idt(&v, true);
    v.state.gpr[4] = FAR_STACK;
    v.state.inj_info = VALID | info;
    v.state.inj_error = error;
    guest_is(&v, guest_run(&v, v.mtd), GUEST_MEMORY, what);
    tap_is(v.state.qual[2] / PAGE_SIZE, FAR_STACK / PAGE_SIZE - 1, "%s: the address", what);
    tap_is(v.state.vect_info & 0x80000fff, VALID | info, "%s: the delivery was interrupted", what);
    tap_is(v.state.vect_error, error, "%s: the error code", what);
    guest_map(&g, FAR_STACK - PAGE_SIZE, g.memory + 0x20000, 0, NOVA_PERM_ALL);
    v.state.inj_info = v.state.vect_info;
    v.state.inj_error = v.state.vect_error;
    guest_is(&v, guest_run(&v, NOVA_MTD_INJ), GUEST_HLT, what);
    tap_ok(guest_interrupts(&v) == 1 && guest_last(&v)->vector == (info & 0xff) &&
               guest_last(&v)->error == error,
           "%s: has come in the end", what);
    guest_map(&g, FAR_STACK - PAGE_SIZE, g.memory, 0, 0);
}

GUEST_PROGRAM(iret, ".code64", "iretq; hlt");

/* An IRET that has begun, but not been executed, has not let in NMIs: they would overwrite its frame. */
static void interrupted_iret(void)
{
    uint64_t *frame = (uint64_t *)(void *)(g.memory + 0x20000);

    LOAD(iret, 0);
    v.state.gpr[4] = FAR_STACK;
    v.state.intr_state = 8;
    guest_is(&v, guest_run(&v, v.mtd), GUEST_MEMORY, "IRET");
    tap_is(v.state.rip, GUEST_CODE, "IRET: not executed");
    tap_ok(v.state.intr_state & 8, "IRET: NMIs are still blocked");
    v.state.rip = GUEST_CODE + 2;
    guest_is(&v, guest_run(&v, NOVA_MTD_RIP | NOVA_MTD_STA), GUEST_HLT, "IRET, skipped");
    tap_ok(v.state.intr_state & 8, "IRET, skipped: NMIs are still blocked");
    v.state.rip = GUEST_CODE;
    guest_is(&v, guest_run(&v, NOVA_MTD_RIP | NOVA_MTD_STA), GUEST_MEMORY, "IRET once more");
    frame[0] = GUEST_CODE + 2;
    frame[1] = GUEST_CS;
    frame[2] = 2;
    frame[3] = GUEST_STACK;
    frame[4] = GUEST_DS;
    guest_map(&g, FAR_STACK, g.memory + 0x20000, 0, NOVA_PERM_ALL);
    guest_is(&v, guest_run(&v, 0), GUEST_HLT, "IRET, executed");
    tap_is(v.state.intr_state & 8, 0, "IRET: NMIs are not blocked any more");
    guest_map(&g, FAR_STACK, g.memory, 0, 0);
}

static void interruptions(void)
{
    interrupted_iret();
    interrupted("external interrupt", TYPE(EXTERNAL) | 0x99, 0);
    interrupted("#GP", TYPE(EXCEPTION) | ERROR | 13, 0x58);
    interrupted("NMI", TYPE(NMI) | 2, 0);
}

/* Instructions with the vectors of exceptions that mean something to the host. */
GUEST_PROGRAM(int_nmi, ".code64", "int $2; jmp .");
GUEST_PROGRAM(int_mc, ".code64", "int $18; jmp .");

static void software(const char *what, const char *start, const char *end, unsigned vector)
{
    guest_load(&g, GUEST_CODE, start, end);
    guest_long(&v, GUEST_CODE);
    guest_idt(&v, true);
    guest_is(&v, guest_run(&v, v.mtd), GUEST_HLT, what);
    tap_ok(guest_interrupts(&v) == 1 && guest_last(&v)->vector == vector, "%s: the guest has got it", what);
}

/* -- Exceptions of the guest -- */

GUEST_PROGRAM(ud2, ".code64", "ud2");
GUEST_PROGRAM(read_far, ".code64", "mov $0xc0000010, %eax; mov (%rax), %eax");
GUEST_PROGRAM(step, ".code64", "push $0x302; popf; nop; nop; jmp .");
GUEST_PROGRAM(int3, ".code64", "int3; jmp .");
GUEST_PROGRAM(alignment, ".code64",
              "push $0x23; push $0x12000; push $0x40202; push $0x1b; lea 1f(%rip), %rax; push %rax; iretq;"
              "1: mov 0x10001, %eax; jmp .");

static void exception(const char *what, const char *start, const char *end, unsigned vector)
{
    for (unsigned wanted = 0; wanted < 2; wanted++) {
        guest_load(&g, GUEST_CODE, start, end);
        guest_idt(&v, true);
        guest_long(&v, GUEST_CODE);
        v.state.cr0 |= 1 << 18; /* AM */
        v.state.exc_intercepts = wanted << vector;
        guest_is(&v, guest_run(&v, v.mtd), wanted ? GUEST_EXCEPTION : GUEST_HLT, what);
        if (wanted)
            tap_is(v.vector, vector, "%s: the VMM has got it", what);
        else
            tap_ok(guest_interrupts(&v) == 1 && guest_last(&v)->vector == vector, "%s: the guest has got it",
                   what);
        tap_is(guest_interrupts(&v), !wanted, "%s: nobody else", what);
    }
}

/*
 * In 32-bit mode, at privilege level 3, on a stack that is not aligned: to deliver #AC raises #AC, for ever. The
 * CPU belongs to others all the same.
 */
GUEST_PROGRAM(misaligned, ".code32", "mov 0x10001, %eax; jmp .");

static void endless_alignment(void)
{
    uint64_t *gdt = (uint64_t *)(void *)(g.memory + GUEST_GDT);
    uint64_t *gate = (uint64_t *)(void *)(g.memory + GUEST_IDT + 17 * 8);
    enum guest_exit exit;

    GUEST_LOAD(&g, misaligned);
    guest_long(&v, GUEST_CODE);
    gdt[GUEST_USER_CS / 8] = 0x00cffb000000ffff;
    *gate = 0xee00UL << 32 | GUEST_USER_CS << 16 | GUEST_CODE;
    v.state.cs = (struct nova_segment){.sel = GUEST_USER_CS, .ar = 0xcfb, .limit = 0xffffffff};
    v.state.ss = (struct nova_segment){.sel = GUEST_USER_DS, .ar = 0xcf3, .limit = 0xffffffff};
    v.state.ds = v.state.es = v.state.ss;
    v.state.cr0 = 0x40031; /* AM, no paging */
    v.state.cr4 = v.state.efer = 0;
    v.state.rflags = 0x40002 | IF; /* AC */
    v.state.gpr[4] = 0x12002;
    guest_reply(&v, v.mtd);
    sleep_us(20000);
    ctrl_ec(v.ec, 0);
    exit = guest_wait(&v, 20000);
    tap_ok(exit == GUEST_RECALL || (exit == GUEST_EXCEPTION && v.vector == 17), "#AC for ever: %s",
           guest_name(exit));
    if (exit != GUEST_RECALL) /* that still is to come */
        guest_is(&v, guest_run(&v, 0), GUEST_RECALL, "#AC for ever, again");
}

/* The same with #DB: its handler has a stack of its own, and a breakpoint is where the frame goes. */
GUEST_PROGRAM(watched, ".code64",
              "jmp 1f; 2: jmp 2b; 1: mov $0x13ff8, %eax; mov %rax, %dr0; mov $0x90401, %eax; mov %rax, %dr7;"
              "mov %rax, 0x13ff8; nop; jmp .");

static void endless_breakpoint(void)
{
    uint64_t *gate = (uint64_t *)(void *)(g.memory + GUEST_IDT + 16);

    GUEST_LOAD(&g, watched);
    guest_long(&v, GUEST_CODE);
    gate[0] = 0x8e01UL << 32 | GUEST_CS << 16 | (GUEST_CODE + 2);
    gate[1] = 0;
    *(uint64_t *)(void *)(g.memory + GUEST_TSS + 0x24) = 0x14000; /* IST1 */
    v.state.rflags = 2 | IF;
    guest_reply(&v, v.mtd);
    sleep_us(20000);
    ctrl_ec(v.ec, 0);
    guest_is(&v, guest_wait(&v, 20000), GUEST_RECALL, "#DB for ever");
}

#define EXCEPTION_BY(name, vector) exception(#name, name, name##_end, vector)

static void exceptions(void)
{
    software("INT 2", int_nmi, int_nmi_end, 2);
    software("INT 18", int_mc, int_mc_end, 18);
    EXCEPTION_BY(ud2, 6);
    EXCEPTION_BY(read_far, 14);
    if (guest_tcg())
        tap_skip("QEMU does not intercept it", "int3");
    else
        EXCEPTION_BY(int3, 3);
    EXCEPTION_BY(step, 1);
    tap_is(guest_last(&v)->vector, 0, "the VMM's #DB was not the guest's");
    if (guest_tcg())
        tap_skip("QEMU does not check alignment", "#AC");
    else
        EXCEPTION_BY(alignment, 17);
    endless_alignment();
    if (guest_tcg())
        tap_skip("QEMU fails at breakpoints that a delivery meets", "#DB for ever");
    else
        endless_breakpoint();

    LOAD(step, IF);
    guest_idt(&v, false);
    guest_reply(&v, v.mtd);
    for (unsigned i = 0; i < 100 && guest_interrupts(&v) < 2; i++)
        sleep_us(50000);
    ctrl_ec(v.ec, 0);
    guest_is(&v, guest_wait(&v, 20000), GUEST_RECALL, "endless single steps");
    tap_ok(guest_interrupts(&v) > 1 && (guest_last(&v)->dr6 & 1 << 14 || option("bochs", 0)),
           "the guest has got them: %lu, DR6 0x%lx", guest_interrupts(&v), guest_last(&v)->dr6);
}

/* -- Recall -- */

GUEST_PROGRAM(writes_far, ".code64", "mov $0x40002000, %eax; mov %eax, (%rax)");

static void recall(void)
{
    unsigned wrong = 0;

    LOAD(loop, IF);
    guest_reply(&v, v.mtd);
    sleep_us(10000);
    tap_is(ctrl_ec(v.ec, NOVA_EC_STRONG), NOVA_SUCCESS, "strong recall of a running guest");
    guest_is(&v, guest_wait(&v, 10000), GUEST_RECALL, "strong recall");
    for (unsigned i = 0; i < 500; i++) {
        guest_reply(&v, 0);
        if (i % 2)
            sleep_us(100);
        wrong += ctrl_ec(v.ec, i % 3 ? 0 : NOVA_EC_STRONG) != NOVA_SUCCESS;
        wrong += guest_wait(&v, 10000) != GUEST_RECALL;
    }
    tap_is(wrong, 0, "500 recalls");
    guest_reply(&v, 0);
    tap_is(guest_wait(&v, 100), GUEST_TIMEOUT, "no recall without a call");
    ctrl_ec(v.ec, 0);
    guest_wait(&v, 10000);

    if (option("bochs", 0) && !guest_vmx()) {
        tap_skip("Bochs masks the host's interrupts, too, until the guest changes RFLAGS.IF",
                 "recall of a guest with interrupts off");
    } else {
        LOAD(loop, 0);
        guest_reply(&v, v.mtd);
        sleep_us(10000);
        ctrl_ec(v.ec, 0);
        guest_is(&v, guest_wait(&v, 10000), GUEST_RECALL, "recall of a guest with interrupts off");
    }

    LOAD(writes_far, 0);
    guest_is(&v, guest_run(&v, v.mtd), GUEST_MEMORY, "an exit");
    tap_ok(v.state.qual[2] != 0, "has qualifications");
    ctrl_ec(v.ec, 0);
    guest_is(&v, guest_run(&v, 0), GUEST_RECALL, "recall behind it");
    tap_is(v.state.qual[0] | v.state.qual[1] | v.state.qual[2] | v.state.inst_len | v.state.inst_info |
               v.state.vect_info | v.state.vect_error,
           0, "has none");
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    (void)hip;
    (void)magic;
    (void)mbi;
    if (!guest_possible()) {
        tap_skip("no virtualization", "events of guests");
        return;
    }
    guest_create(&g);
    for (unsigned cpu = 0; cpu < sys.cpus && cpu < 2; cpu++) {
        tap_diag("CPU %u", cpu);
        guest_cpu_create(&v, &g, cpu, NOVA_EC_FPU);
        injections();
        refused();
        pending();
        windows();
        nmi_windows();
        nmi_shadow();
        interruptions();
        exceptions();
        recall();
        guest_cpu_destroy(&v);
    }
    guest_destroy(&g);
}
