/*
 * Kernel panic.
 *
 * The backtrace needs no frame pointers: it lists all words on the stack that point behind a CALL in the kernel's
 * text. Stale ones may be among them. addr2line with the debug file turns them into lines.
 *
 * SPDX-License-Identifier: MIT
 */

#include "lib/panic.h"

#include "core/cpu.h"
#include "lib/console.h"
#include "x86/apic.h"
#include "x86/asm.h"

#define CALL_REL32 0xe8
#define STACK_END 0x3000 /* in the area of a CPU, see core/cpu.h */
#define FRAMES_MAX 24

extern char image_start[], text_end[];

static bool stopping;

static _Noreturn void halt(void)
{
    for (;;)
        __asm__ volatile("cli; hlt");
}

static bool is_return_address(uint64_t addr)
{
    return addr >= (uintptr_t)image_start + 5 && addr < (uintptr_t)text_end &&
           *(const uint8_t *)(uintptr_t)(addr - 5) == CALL_REL32;
}

/* What every panic ends with. */
static _Noreturn void stop(uint64_t sp)
{
    uint64_t area = sp & ~(CPU_STRIDE - 1UL);
    unsigned found = 0;

    print("backtrace:");
    if (area >= CPU_BASE && sp - area >= PAGE_SIZE) {
        uint64_t end = sp - area < STACK_END ? area + STACK_END : (sp | (PAGE_SIZE - 1)) + 1;
        for (sp = (sp + 7) & ~7UL; sp < end && found < FRAMES_MAX; sp += 8) {
            uint64_t word = *(const uint64_t *)(uintptr_t)sp;
            if (is_return_address(word)) {
                print(" %#lx", word);
                found++;
            }
        }
    }
    print("\npanic: stopped\n");
    halt();
}

void panic_check(void)
{
    if (UNLIKELY(__atomic_load_n(&stopping, __ATOMIC_RELAXED)))
        halt();
}

static void head(void)
{
    if (__atomic_test_and_set(&stopping, __ATOMIC_ACQUIRE))
        halt(); /* one panic is enough */
    for (unsigned i = 0; i < cpu_count; i++)
        apic_ipi(cpu_of(i)->apic_id, VECTOR_IPI);
    console_panic();
    print("\nKERNEL PANIC: ");
}

_Noreturn void panic(const char *text, ...)
{
    va_list args;

    head();
    va_start(args, text);
    print_list(text, args);
    va_end(args);
    print("\n");
    stop((uintptr_t)__builtin_frame_address(0));
}

_Noreturn void panic_frame(const struct frame *f)
{
    static const char *const name[] = {"RAX", "RCX", "RDX", "RBX", "",    "RBP", "RSI", "RDI",
                                       "R8 ", "R9 ", "R10", "R11", "R12", "R13", "R14", "R15"};

    head();
    print("exception %lu in the kernel, error %#lx\n", f->vector, f->error);
    print("RIP %p CS %#lx RFLAGS %#lx RSP %p SS %#lx\n", (void *)f->rip, f->cs, f->rflags, (void *)f->rsp,
          f->ss);
    print("CR0 %#lx CR2 %p CR3 %#lx CR4 %#lx\n", read_cr0(), (void *)read_cr2(), read_cr3(), read_cr4());
    for (unsigned i = 0; i < 16; i++)
        if (i != R_RSP)
            print("%s %p%c", name[i], (void *)f->gpr[i], i % 4 == 3 ? '\n' : ' ');
    stop(f->rsp);
}
