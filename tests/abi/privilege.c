/*
 * Privilege: instructions and software interrupts that user code must not execute, and those that
 * it may (Intel SDM volumes 2 and 3, chapter 5.9; AMD APM volume 3). Each must end in the exception that
 * the manuals name, and never in the kernel.
 *
 * SPDX-License-Identifier: MIT
 */

#include "fault.h"
#include "system.h"
#include "tap.h"

/* Reports one instruction; vector2 is a second exception that is right on other CPUs. */
#define REFUSED(text, vector, vector2)                                                                       \
    do {                                                                                                     \
        uint64_t got = try_instruction(text);                                                                \
        tap_ok(got == (vector) || got == (vector2), "refused: %s (exception %ld)", text, (int64_t)got);      \
    } while (0)

#define ALLOWED(text) tap_is(try_instruction(text), NO_FAULT, "allowed: %s", text)

static void control_registers(void)
{
    REFUSED("mov %%rax, %%cr0", VECTOR_GP, VECTOR_GP);
    REFUSED("mov %%rax, %%cr2", VECTOR_GP, VECTOR_GP);
    REFUSED("mov %%rax, %%cr3", VECTOR_GP, VECTOR_GP);
    REFUSED("mov %%rax, %%cr4", VECTOR_GP, VECTOR_GP);
    REFUSED("mov %%rax, %%cr8", VECTOR_GP, VECTOR_GP);
    REFUSED("mov %%cr0, %%rax", VECTOR_GP, VECTOR_GP);
    REFUSED("mov %%cr3, %%rax", VECTOR_GP, VECTOR_GP);
    REFUSED("mov %%rax, %%dr0", VECTOR_GP, VECTOR_GP);
    REFUSED("mov %%rax, %%dr7", VECTOR_GP, VECTOR_GP);
    REFUSED("mov %%dr6, %%rax", VECTOR_GP, VECTOR_GP);
    REFUSED("lmsw %%ax", VECTOR_GP, VECTOR_GP);
    REFUSED("clts", VECTOR_GP, VECTOR_GP);
    REFUSED("xsetbv", VECTOR_GP, VECTOR_UD);
}

static void tables(void)
{
    REFUSED("lgdt (%%rsp)", VECTOR_GP, VECTOR_GP);
    REFUSED("lidt (%%rsp)", VECTOR_GP, VECTOR_GP);
    REFUSED("lldt %%ax", VECTOR_GP, VECTOR_GP);
    REFUSED("ltr %%ax", VECTOR_GP, VECTOR_GP);
    REFUSED("swapgs", VECTOR_GP, VECTOR_GP);
    REFUSED("invlpg (%%rsp)", VECTOR_GP, VECTOR_GP);
    REFUSED("invd", VECTOR_GP, VECTOR_GP);
    REFUSED("wbinvd", VECTOR_GP, VECTOR_GP);
}

static void model_specific(void)
{
    REFUSED("mov $0xc0000080, %%ecx; rdmsr", VECTOR_GP, VECTOR_GP);
    REFUSED("mov $0xc0000080, %%ecx; wrmsr", VECTOR_GP, VECTOR_GP);
    REFUSED("mov $0x10, %%ecx; rdmsr", VECTOR_GP, VECTOR_GP);
    REFUSED("xor %%ecx, %%ecx; rdpmc", VECTOR_GP, VECTOR_GP);
    ALLOWED("rdtsc");
    ALLOWED("pause");
    ALLOWED("lfence");
}

static void interrupts_and_io(void)
{
    REFUSED("cli", VECTOR_GP, VECTOR_GP);
    REFUSED("sti", VECTOR_GP, VECTOR_GP);
    REFUSED("hlt", VECTOR_GP, VECTOR_GP);
    REFUSED("outb %%al, $0x80", VECTOR_GP, VECTOR_GP);
    REFUSED("outl %%eax, $0x80", VECTOR_GP, VECTOR_GP);
    REFUSED("mov $0xcf8, %%edx; inl %%dx, %%eax", VECTOR_GP, VECTOR_GP);
    REFUSED("mov $0x71, %%edx; inb %%dx, %%al", VECTOR_GP, VECTOR_GP);
    REFUSED("int $0x02", VECTOR_GP, VECTOR_GP);
    REFUSED("int $0x08", VECTOR_GP, VECTOR_GP);
    REFUSED("int $0x0d", VECTOR_GP, VECTOR_GP);
    REFUSED("int $0x12", VECTOR_GP, VECTOR_GP);
    REFUSED("int $0x1f", VECTOR_GP, VECTOR_GP);
    REFUSED("int $0x20", VECTOR_GP, VECTOR_GP);
    REFUSED("int $0xf0", VECTOR_GP, VECTOR_GP);
    REFUSED("int $0xff", VECTOR_GP, VECTOR_GP);
}

static void transfers(void)
{
    REFUSED("sysretq", VECTOR_GP, VECTOR_GP);
    REFUSED("sysenter", VECTOR_GP, VECTOR_UD);
    REFUSED("sysexitq", VECTOR_GP, VECTOR_UD);
    REFUSED("rsm", VECTOR_UD, VECTOR_UD);
    REFUSED("monitor", VECTOR_UD, VECTOR_GP);
    REFUSED("mwait", VECTOR_UD, VECTOR_GP);
    REFUSED("clac", VECTOR_UD, VECTOR_UD);
    REFUSED("stac", VECTOR_UD, VECTOR_UD);
    REFUSED("vmxoff", VECTOR_UD, VECTOR_GP);
    REFUSED("vmrun", VECTOR_GP, VECTOR_UD);
    REFUSED("stgi", VECTOR_GP, VECTOR_UD);
    REFUSED("vmload", VECTOR_GP, VECTOR_UD);
}

/* IF and IOPL survive popfq: neither changes. */
static void flags(void)
{
    uint64_t value;

    __asm__ volatile("pushq $0x3002; popfq; pushfq; pop %0; pushq $0x202; popfq"
                     : "=r"(value)
                     :
                     : "memory", "cc");
    tap_is(value & 0x3200, 0x200, "popfq changes neither IF nor IOPL");
}

/* All of it harmed nobody. */
static uint64_t done;

static void alive(void *arg)
{
    (void)arg;
    sm_up(done);
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    (void)hip;
    (void)magic;
    (void)mbi;
    control_registers();
    tables();
    model_specific();
    interrupts_and_io();
    transfers();
    flags();
    done = sm_create(0);
    for (unsigned cpu = 0; cpu < sys.cpus; cpu++) {
        global_start(cpu, 10, alive, NULL);
        tap_is(sm_down_ms(done, 2000), NOVA_SUCCESS, "CPU %u: threads start afterwards", cpu);
    }
}
