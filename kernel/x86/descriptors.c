/*
 * Segments, task state segment and interrupt descriptors.
 *
 * SPDX-License-Identifier: MIT
 */

#include "x86/descriptors.h"

#include "core/cpu.h"
#include "x86/cpu.h"

/*
 * Interrupt descriptors (Intel SDM volume 3, figure 6-8), the high word first:
 *
 *   | 0                                                           | offset 63:32           |
 *   | offset 31:16 | type 47:40 | IST 34:32                       | selector | offset 15:0 |
 */
uint64_t idt[256][2] __attribute__((aligned(16)));

extern char vector_stubs[], syscall_stubs[];
#define VECTOR_STUB 16
#define SYSCALL_STUB 32

#define GATE_KERNEL 0x8e /* present, DPL 0, interrupt gate */
#define GATE_USER 0xee   /* present, DPL 3, interrupt gate */

/* Flat 64-bit segments; in 64-bit mode only type, DPL, P and L count. */
#define CODE(dpl) (0x00209b0000000000UL | (uint64_t)(dpl) << 45)
#define DATA(dpl) (0x0000930000000000UL | (uint64_t)(dpl) << 45)

/* SYSCALL clears IF, TF, DF, IOPL, NT, AC, and everything else that could be set. */
#define FMASK_ALL 0x3f7fd5UL

#define TSS_BUSY BIT(41)

struct pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

void descriptors_init(void)
{
    static const uint8_t ist[] = {[2] = 1, [8] = 2, [18] = 3}; /* NMI, #DF, #MC */

    for (unsigned i = 0; i < 256; i++) {
        uint64_t stub = (uintptr_t)vector_stubs + i * VECTOR_STUB;
        uint64_t type = i == 3 || i == 4 ? GATE_USER : GATE_KERNEL; /* INT3, INTO */
        uint64_t stack = i < ARRAY_SIZE(ist) ? ist[i] : 0;
        idt[i][0] =
            (stub & 0xffff) | SEL_KERNEL_CODE << 16 | stack << 32 | type << 40 | (stub >> 16 & 0xffff) << 48;
        idt[i][1] = stub >> 32;
    }
}

void descriptors_load(struct cpu *cpu)
{
    uint64_t base = (uintptr_t)&cpu->tss, area = (uintptr_t)cpu - CPU_DATA;
    uint64_t limit =
        area + CPU_IO_BITMAP_END - base; /* with one byte behind the bitmap, which the CPU reads */

    cpu->gdt[SEL_KERNEL_CODE / 8] = CODE(0);
    cpu->gdt[SEL_KERNEL_DATA / 8] = DATA(0);
    cpu->gdt[SEL_USER_DATA / 8] = DATA(3);
    cpu->gdt[SEL_USER_CODE / 8] = CODE(3);
    cpu->gdt[SEL_TSS / 8] = limit | (base & 0xffffff) << 16 | 0x89UL << 40 | (base >> 24 & 0xff) << 56;
    cpu->gdt[SEL_TSS / 8 + 1] = base >> 32;
    cpu->tss.ist[0] = area + 0x9000;
    cpu->tss.ist[1] = area + 0xb000;
    cpu->tss.ist[2] = area + 0xd000;
    cpu->tss.io_bitmap = IO_MAP_NONE;

    struct pointer idtr = {sizeof(idt) - 1, (uintptr_t)idt};
    descriptors_reload(cpu);
    /* CS and SS stay: boot/start.S has loaded the same selectors and, as to what counts, descriptors. */
    __asm__ volatile("lidt %0; lldt %w1" : : "m"(idtr), "r"(0) : "memory");
    clear_selectors();
}

void descriptors_reload(struct cpu *cpu)
{
    struct pointer gdtr = {sizeof(cpu->gdt) - 1, (uintptr_t)cpu->gdt};

    cpu->gdt[SEL_TSS / 8] &= ~TSS_BUSY; /* LTR sets it, and faults if it is set */
    __asm__ volatile("lgdt %0; ltr %w1" : : "m"(gdtr), "r"(SEL_TSS) : "memory");

    /* SYSRET takes SS from [63:48] + 8 and CS from [63:48] + 16. */
    wrmsr(MSR_STAR, (uint64_t)(SEL_USER_CODE - 16) << 48 | (uint64_t)SEL_KERNEL_CODE << 32);
    wrmsr(MSR_LSTAR, (uintptr_t)syscall_stubs + cpu->id * SYSCALL_STUB);
    wrmsr(MSR_FMASK, FMASK_ALL);
}
