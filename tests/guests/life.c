/*
 * Guest test: the ways to end a machine, or to start it anew. With `typed=1' on the command line it does what is typed on the serial
 * line, one letter at a time, and says at each start whether the machine is as after power-on; otherwise all of its CPUs keep the
 * VMM busy until the machine ends. With `fall=1' it causes a triple fault, with `task=1' a hardware task switch; with `step=1' it
 * steps itself, and powers the machine off; with `rest=1' it halts again and again, until something is typed.
 *
 * SPDX-License-Identifier: MIT
 */

#include "lib/guest.h"

#define LINE_STATUS (SERIAL_PORT + 5)
#define SCRATCH (SERIAL_PORT + 7)
#define VECTOR_WAKE 0x40
#define TIMER_TICKS 20000
#define KERNEL_GS_BASE 0xc0000102
#define PAT 0x277
#define PAT_RESET 0x0007040600070406
#define MARK 0x5a

extern char reset_vector[], task_switch[];
uint32_t call_32(uint32_t function);

/* Where no image and no table is. */
static volatile uint64_t *const memory = (uint64_t *)0x2000000;

static void wake(struct frame *frame)
{
    (void)frame;
    apic_write(APIC_EOI, 0);
}

/* Exits of all kinds, on all CPUs, for ever: nothing here has an end of its own. */
static void work(void)
{
    uint32_t out[4], id = apic_id();

    for (uint32_t i = 0;; i++) {
        cpuid(i % 8, 0, out);
        memory[id]++;
        inb(LINE_STATUS);
        inl(SCRATCH + 1);
        apic_ipi((id + 1) % cpu_count, VECTOR_WAKE);
        apic_write(APIC_TIMER, VECTOR_WAKE);
        apic_write(APIC_INITIAL, TIMER_TICKS);
        if (i % 1024 == 0)
            serial_putc('.');
        __asm__ volatile("sti; hlt; cli" : : : "memory");
    }
}

/* No exception has a handler any more. */
static void fall(void)
{
    const uint8_t none[10] = {0};

    __asm__ volatile("lidt %0; ud2" : : "m"(none));
}

static void ignore(struct frame *frame)
{
    (void)frame;
}

/* Debug traps, some of them behind exits; how many of them come is for step.c. */
static void step(void)
{
    handle(VECTOR_DB, ignore);
    for (unsigned i = 0; i < 1000; i++)
        __asm__ volatile("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\tcpuid\n\tinb $0x80, %%al\n\tpushfq\n\t"
                         "andq $~0x100, (%%rsp)\n\tpopfq"
                         :
                         :
                         : "rax", "rbx", "rcx", "rdx", "memory", "cc");
    power_off();
}

/* Each time a single interrupt is to come: if HLT is carried out behind it, this is the end. */
static void rest(void)
{
    apic_enable();
    while (!(inb(LINE_STATUS) & 1)) {
        apic_write(APIC_TIMER, VECTOR_WAKE);
        apic_write(APIC_INITIAL, TIMER_TICKS);
        __asm__ volatile("sti; hlt; cli" : : : "memory");
    }
    power_off();
}

static void fall_elsewhere(void)
{
    if (apic_id() == 1)
        fall();
}

/* ACPI 6.4, 5.2.9: the reset register and its value. */
static void acpi_reset(void)
{
    const uint8_t *fadt = acpi_table("FACP");

    if (fadt)
        outb((uint16_t)(fadt[120] | fadt[121] << 8), fadt[128]);
}

static bool is_fresh(void)
{
    return memory[0] == 0 && inb(SCRATCH) == 0 && apic_read(APIC_TPR) == 0 &&
           !(apic_read(APIC_SVR) & 0x100) && rdmsr(KERNEL_GS_BASE) == 0 && rdmsr(PAT) == PAT_RESET &&
           READ_CR(8) == 0 && READ_CR(2) == 0;
}

static void make_stale(void)
{
    memory[0] = MARK;
    outb(SCRATCH, MARK);
    apic_enable();
    apic_write(APIC_TPR, MARK);
    try_wrmsr(KERNEL_GS_BASE, MARK);
    try_wrmsr(PAT, 0x0606060606060606);
    TRY_CR(2, MARK);
}

static uint8_t typed(void)
{
    while (!(inb(LINE_STATUS) & 1))
        __builtin_ia32_pause();
    return inb(SERIAL_PORT);
}

static void obey(void)
{
    tap_ok(is_fresh(), "the machine is as after power-on");
    make_stale();
    for (;;) {
        switch (typed()) {
        case 'r':
            acpi_reset();
            break;
        case 'v':
            call_32((uint32_t)(uint64_t)reset_vector);
            break;
        case 't':
            fall();
            break;
        case 'u':
            smp_start(fall_elsewhere);
            break;
        case 'i':
            apic_ipi(apic_id(), ICR_INIT | ICR_ASSERT | ICR_LEVEL);
            break;
        case 'p':
            power_off();
        }
    }
}

void test(void)
{
    handle(VECTOR_WAKE, wake);
    if (option("typed", 0))
        obey();
    if (option("rest", 0))
        rest();
    if (option("fall", 0))
        fall();
    if (option("step", 0))
        step();
    if (option("task", 0))
        call_32((uint32_t)(uint64_t)task_switch);
    smp_start(work);
    work();
}
