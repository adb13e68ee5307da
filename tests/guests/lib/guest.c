/*
 * Start of a guest image and of further CPUs, memory, command line, the end.
 *
 * SPDX-License-Identifier: MIT
 */

#include "guest.h"

#define EFER 0xc0000080
#define EFER_SCE_NXE 0x801
#define MSR_GS_BASE 0xc0000101
#define GATE_INTERRUPT 0x8e

uint32_t boot_magic, boot_info;
struct cpu cpus[MAX_CPUS];
unsigned cpu_count = 1;
struct gate idt[256];

extern uint64_t gdt[];
extern const struct {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed)) gdt_pointer;
extern char vectors[], stacks[];

static struct {
    uint32_t reserved0;
    uint64_t rsp[3], reserved1, ist[7];
    uint32_t reserved2, reserved3;
} __attribute__((packed)) tss[MAX_CPUS];
static char ist_stacks[MAX_CPUS][STACK_SIZE];
static uint64_t windows[2][512] __attribute__((aligned(4096))); /* directory of WINDOW, its first table */
static char user_pages[4][4096] __attribute__((aligned(4096)));
static void (*ap_program)(void);

void idt_load(unsigned gates)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) pointer = {(uint16_t)(gates * sizeof *idt - 1), (uint64_t)idt};

    __asm__ volatile("lidt %0" : : "m"(pointer));
}

/* Gates go through IST 1 where the stack may not be trusted: NMI and double fault. */
static void idt_fill(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint64_t address = (uint64_t)vectors + i * 16UL;

        idt[i] = (struct gate){
            .offset_low = (uint16_t)address,
            .selector = SEL_CODE64,
            .ist = i == VECTOR_NMI || i == 8,
            .type = GATE_INTERRUPT,
            .offset_middle = (uint16_t)(address >> 16),
            .offset_high = (uint32_t)(address >> 32),
        };
    }
}

static void cpu_init(unsigned number)
{
    struct cpu *cpu = &cpus[number];
    uint64_t base = (uint64_t)&tss[number];
    uint64_t *descriptor = &gdt[SEL_TSS / 8 + 2 * number];

    cpu->self = cpu;
    cpu->number = number;
    cpu->vector = NO_FAULT;
    __asm__ volatile("wrmsr" : : "c"(MSR_GS_BASE), "a"((uint32_t)(uint64_t)cpu), "d"(0));
    tss[number].rsp[0] = (uint64_t)ist_stacks[number] + STACK_SIZE / 2;
    tss[number].ist[0] = (uint64_t)ist_stacks[number] + STACK_SIZE;
    tss[number].reserved3 = sizeof *tss << 16; /* no I/O permission bitmap */
    descriptor[0] = (sizeof *tss - 1) | (base & 0xffffff) << 16 | 0x89UL << 40 | (base >> 24 & 0xff) << 56;
    descriptor[1] = base >> 32;
    __asm__ volatile("lgdt %0; ltr %w1" : : "m"(gdt_pointer), "r"(SEL_TSS + 16 * number));
    idt_load(256);
    try_wrmsr(EFER, rdmsr(EFER) | EFER_SCE_NXE);
}

void guest_start(void);
void guest_start_ap(void);

void guest_start(void)
{
    idt_fill();
    cpu_init(0);
    /* The window: the second GiB is mapped by 4 KiB pages, none at first; user pages are the end of it. */
    page_tables[1][WINDOW >> 30] = (uint64_t)windows[0] | PAGE_PRESENT | PAGE_WRITE | PAGE_USER;
    windows[0][0] = (uint64_t)windows[1] | PAGE_PRESENT | PAGE_WRITE | PAGE_USER;
    __asm__ volatile("mov %0, %%cr3" : : "r"(page_tables) : "memory");
    serial_init();
    outb(0x21, 0xff); /* the interrupt controllers of a PC, where there are any */
    outb(0xa1, 0xff);
    if (boot_magic != 0x2badb002)
        tap_bail("boot loader magic 0x%x", boot_magic);
    test();
    tap_done();
}

void guest_start_ap(void)
{
    uint64_t rsp;
    unsigned number;

    __asm__ volatile("mov %%rsp, %0" : "=r"(rsp));
    number = (unsigned)((rsp - (uint64_t)stacks) / STACK_SIZE);
    cpu_init(number);
    apic_enable();
    __atomic_add_fetch(&cpu_count, 1, __ATOMIC_SEQ_CST);
    ap_program();
    for (;;)
        __asm__ volatile("cli; hlt");
}

void smp_start(void (*program)(void))
{
    const uint8_t *madt = acpi_table("APIC");
    uint32_t length = madt ? *(const uint32_t *)(madt + 4) : 0;
    unsigned wanted = 1;

    ap_program = program;
    apic_enable();
    for (uint32_t at = 44; at + 8 <= length && madt[at + 1]; at += madt[at + 1]) {
        uint32_t id = madt[at + 3];

        if (madt[at] != 0 || !(madt[at + 4] & 1) || id == apic_id() || wanted == MAX_CPUS)
            continue;
        wanted++;
        apic_ipi(id, ICR_INIT | ICR_ASSERT | ICR_LEVEL);
        wait_a_little();
        apic_ipi(id, ICR_STARTUP | ICR_ASSERT | LOW_BASE >> 12);
        if (!WAIT_FOR(__atomic_load_n(&cpu_count, __ATOMIC_SEQ_CST) == wanted))
            tap_bail("CPU with APIC id %u does not start", id);
    }
}

void map_page(uint64_t address, uint64_t physical, uint64_t flags)
{
    windows[1][address >> 12 & 511] = physical | flags;
    __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

void *user_page(unsigned number)
{
    uint64_t address = WINDOW + 0x1f0000 + number * 0x1000UL;

    map_page(address, (uint64_t)user_pages[number], PAGE_PRESENT | PAGE_WRITE | PAGE_USER);
    return (void *)address;
}

static void wait(uint64_t ticks)
{
    uint64_t end = rdtsc() + ticks;

    while (rdtsc() < end)
        __builtin_ia32_pause();
}

void wait_a_little(void)
{
    wait(20000000);
}

void wait_until_later(void)
{
    wait(LATER + LATER / 2);
}

bool in_vm(void)
{
    uint32_t out[4];

    cpuid(1, 0, out);
    if (!(out[2] & 1U << 31))
        return false;
    cpuid(0x40000000, 0, out);
    return out[1] == 0x4b4d564b; /* "KVMK" */
}

uint64_t option(const char *name, uint64_t otherwise)
{
    const uint32_t *info = (const uint32_t *)(uint64_t)boot_info;
    const char *text = info[0] & 4 ? (const char *)(uint64_t)info[4] : "";
    uint64_t value = 0;

    for (; *text; text++) {
        size_t n = 0;

        while (name[n] && text[n] == name[n])
            n++;
        if (name[n] || text[n] != '=')
            continue;
        for (text += n + 1; *text >= '0' && *text <= '9'; text++)
            value = value * 10 + (uint64_t)(*text - '0');
        return value;
    }
    return otherwise;
}

/* By ACPI, hardware-reduced as in the VM, of QEMU's q35, of Bochs: each has the others' ports free. */
void power_off(void)
{
    static const char shutdown[] = "Shutdown";

    interrupts(false);
    outb(0x600, 5 << 2 | 0x20);
    outw(0x604, 0x2000);
    for (const char *c = shutdown; *c; c++)
        outb(0x8900, (uint8_t)*c);
    for (;;)
        __asm__ volatile("hlt");
}
