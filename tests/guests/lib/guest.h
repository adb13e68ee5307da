/*
 * Runtime of guest test images: 64-bit, identity mapped, one CPU running, interrupts off; it knows no VMM and runs on the bare
 * machine as well. Results go to the serial port (tests/image/tap.h), and tap_done() powers the machine off.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../image/serial.h"
#include "../../image/tap.h"
#include "layout.h"

#define NO_FAULT UINT64_MAX
#define VECTOR_DB 1
#define VECTOR_NMI 2
#define VECTOR_BP 3
#define VECTOR_UD 6
#define VECTOR_NP 11
#define VECTOR_SS 12
#define VECTOR_GP 13
#define VECTOR_PF 14

#define RFLAGS_TF 0x100
#define RFLAGS_IF 0x200

/* Registers at an exception or interrupt, as start.S pushes them. */
struct frame {
    uint64_t rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

/* At GS of each CPU. The first three are known to assembly. */
struct cpu {
    uint64_t resume;   /* where to go on after a fault; 0: faults are not expected */
    uint64_t vector;   /* of that fault */
    uint64_t user_rsp; /* while user code runs: where the kernel goes on */
    uint64_t error, rip, cr2, dr6;
    struct cpu *self;
    unsigned number;
    struct frame frame; /* all of it */
};

extern struct cpu cpus[MAX_CPUS];
extern unsigned cpu_count; /* that run */
extern uint32_t boot_magic, boot_info;
extern uint64_t page_tables[6][512]; /* PML4, PDPT, 4 directories of 2 MiB pages */

static inline struct cpu *cpu_self(void)
{
    struct cpu *cpu;

    __asm__ volatile("mov %%gs:%c1, %0" : "=r"(cpu) : "i"(offsetof(struct cpu, self)));
    return cpu;
}

/* Each image's program, on CPU 0. */
void test(void);

/*
 * Runs an instruction that may fault: the vector, or NO_FAULT; more is in cpu_self(). The instruction leaves the stack pointer and
 * R11 alone.
 */
#define TRY(instruction, outputs, ...)                                                                          \
    __extension__({                                                                                             \
        __asm__ volatile(                                                                                       \
            "lea 1f(%%rip), %%r11\n\tmovq $-1, %%gs:%c[vector_]\n\tmov %%r11, %%gs:%c[resume_]\n\t" instruction \
            "\n1:\tmovq $0, %%gs:%c[resume_]"                                                                   \
            : outputs                                                                                           \
            : [resume_] "i"(CPU_RESUME), [vector_] "i"(CPU_VECTOR), ##__VA_ARGS__                               \
            : "r11", "memory", "cc");                                                                           \
        cpu_self()->vector;                                                                                     \
    })
#define OUTPUT(...) __VA_ARGS__

/*
 * Interrupts and exceptions: a handler for a vector, of all CPUs; it may change the frame. An exception that TRY does not expect
 * and that has no handler ends the test.
 */
typedef void handler_t(struct frame *frame);
void handle(uint8_t vector, handler_t *handler);

struct gate {
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
};
extern struct gate idt[256];
void idt_load(unsigned gates);

/*
 * Runs code at CPL 3 until it causes an exception: its vector, or that of a software interrupt; more is in cpu_self(). The page
 * of `code` must be accessible to users: use user_page().
 */
uint64_t user_run(const void *code, uint64_t selector, uint64_t rflags);

/* A page for user code and data, present in the page tables with all rights. The second one is not mapped at first. */
void *user_page(unsigned number);

/* Page tables: 4 KiB pages at 1 GiB (virtual), over any physical address. */
#define WINDOW 0x40000000UL
void map_page(uint64_t address, uint64_t physical, uint64_t flags);
#define PAGE_PRESENT 0x1
#define PAGE_WRITE 0x2
#define PAGE_USER 0x4
#define PAGE_UNCACHED 0x18

/* Local APIC, in whichever mode it is. Registers by their xAPIC offset. */
#define APIC_ID 0x20
#define APIC_VERSION 0x30
#define APIC_TPR 0x80
#define APIC_EOI 0xb0
#define APIC_LDR 0xd0
#define APIC_DFR 0xe0
#define APIC_SVR 0xf0
#define APIC_ISR 0x100
#define APIC_TMR 0x180
#define APIC_IRR 0x200
#define APIC_ESR 0x280
#define APIC_ICR 0x300
#define APIC_ICR_HIGH 0x310
#define APIC_TIMER 0x320
#define APIC_LINT0 0x350
#define APIC_LINT1 0x360
#define APIC_INITIAL 0x380
#define APIC_CURRENT 0x390
#define APIC_DIVIDE 0x3e0
#define APIC_BASE 0xfee00000UL
uint32_t apic_read(unsigned offset);
void apic_write(unsigned offset, uint32_t value);
void apic_enable(void);
void apic_ipi(uint32_t destination, uint32_t command);
bool apic_set_x2(bool on); /* false: there is no such mode */
uint32_t apic_id(void);
#define ICR_NMI 0x400
#define ICR_INIT 0x500
#define ICR_STARTUP 0x600
#define ICR_ASSERT 0x4000
#define ICR_LEVEL 0x8000
#define ICR_SELF 0x40000
#define ICR_ALL 0x80000
#define ICR_OTHERS 0xc0000
#define ICR_LOGICAL 0x800

/* Starts all CPUs that the ACPI tables name; each runs `program`, interrupts off, and halts after it. */
void smp_start(void (*program)(void));

/* A table of the ACPI tables; null: there is none. */
const uint8_t *acpi_table(const char *signature);

/* Base of the configuration space of bus 0; 0: none. */
uint64_t pci_ecam(void);

static inline uint64_t rdtsc(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return low | (uint64_t)high << 32;
}

static inline void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[static 4])
{
    __asm__ volatile("cpuid"
                     : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
                     : "0"(leaf), "2"(subleaf));
}

static inline uint64_t try_rdmsr(uint32_t msr, uint64_t *value)
{
    uint32_t low = 0, high = 0;
    uint64_t vector = TRY("rdmsr", OUTPUT("+a"(low), "+d"(high)), "c"(msr));

    *value = low | (uint64_t)high << 32;
    return vector;
}

static inline uint64_t try_wrmsr(uint32_t msr, uint64_t value)
{
    return TRY("wrmsr", , "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(msr));
}

static inline uint64_t rdmsr(uint32_t msr)
{
    uint64_t value;

    try_rdmsr(msr, &value);
    return value;
}

static inline uint16_t inw(uint16_t port)
{
    uint16_t value;

    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint32_t inl(uint16_t port)
{
    uint32_t value;

    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline void outw(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline void outl(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline void interrupts(bool on)
{
    if (on)
        __asm__ volatile("sti" ::: "memory");
    else
        __asm__ volatile("cli" ::: "memory");
}

#define READ_CR(number)                                                                                      \
    __extension__({                                                                                          \
        uint64_t cr_;                                                                                        \
        __asm__ volatile("mov %%cr" #number ", %0" : "=r"(cr_));                                             \
        cr_;                                                                                                 \
    })
#define TRY_CR(number, value) TRY("mov %[cr_], %%cr" #number, , [cr_] "r"((uint64_t)(value)))

/* Waits for a condition, with interrupts open; false after a generous time. */
#define WAIT_FOR(condition)                                                                                  \
    __extension__({                                                                                          \
        uint64_t end_ = rdtsc() + 30000000000UL;                                                             \
        interrupts(true);                                                                                    \
        while (!(condition) && rdtsc() < end_)                                                               \
            __builtin_ia32_pause();                                                                          \
        interrupts(false);                                                                                   \
        (condition);                                                                                         \
    })

/* Gives interrupts some time in which none should come; and more of it than LATER, which is too late to be overtaken. */
#define LATER (option("strict", 0) ? 50000000U : 1000000000U) /* Bochs: fewer, and not in real time */
void wait_a_little(void);
void wait_until_later(void);

/* Running in a virtual machine of this project, or bare. */
bool in_vm(void);

/* The first text in the command line of the boot loader after `name=', as a number. */
uint64_t option(const char *name, uint64_t otherwise);

void power_off(void) __attribute__((noreturn));
