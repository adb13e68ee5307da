/*
 * Runs instructions on the processor of this machine: see native.h.
 *
 * The way in is IRETQ, which loads RIP, CS, RFLAGS, RSP and SS at once. The way out is the signal of the
 * exception that ends every run: its handler takes the registers, and makes the signal return to native_back.
 *
 * SPDX-License-Identifier: MIT
 */

#define _GNU_SOURCE
#include "native.h"

#include <asm/ldt.h>
#include <asm/prctl.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define RFLAGS_HOST 0x202
#define RFLAGS_AC (1U << 18)

/* What native_enter loads, in this order: RAX RCX RDX RBX RBP RSI RDI R8 ... R15, then what IRETQ takes. */
struct frame {
    uint64_t gpr[15], rip, cs, rflags, rsp, ss;
};

void native_enter(const struct frame *frame);
extern const char native_back[];
extern uint64_t native_stack;
uint64_t native_stack;
static struct native *current;
static uint8_t signal_stack[65536];

__asm__(".text\n"
        "native_enter:\n"
        "    push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "    mov %rsp, native_stack(%rip)\n"
        "    mov %rdi, %rsp\n"
        "    pop %rax; pop %rcx; pop %rdx; pop %rbx; pop %rbp; pop %rsi; pop %rdi\n"
        "    pop %r8; pop %r9; pop %r10; pop %r11; pop %r12; pop %r13; pop %r14; pop %r15\n"
        "    iretq\n"
        "native_back:\n"
        "    pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "    ret\n");

static const uint8_t signal_registers[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                             REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                             REG_R12, REG_R13, REG_R14, REG_R15};

static void handler(int number, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    struct native *native = current;

    /* The instruction's AC would trap C code. */
    __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~(unsigned long long)RFLAGS_AC);
    (void)info;
    current = NULL;
    if (!native) {
        signal(number, SIG_DFL);
        return;
    }
    for (unsigned i = 0; i < 16; i++)
        native->gpr[i] = (uint64_t)registers[signal_registers[i]];
    native->rip = (uint64_t)registers[REG_RIP];
    native->rflags = (uint64_t)registers[REG_EFL];
    native->trap = (uint64_t)registers[REG_TRAPNO];
    native->error = (uint64_t)registers[REG_ERR];
    native->cr2 = (uint64_t)registers[REG_CR2];
    registers[REG_RIP] = (greg_t)(uintptr_t)native_back;
    registers[REG_RSP] = (greg_t)native_stack;
    registers[REG_EFL] = RFLAGS_HOST;
    registers[REG_CSGSFS] = (greg_t)((uint64_t)NATIVE_DS << 48 | NATIVE_CS_64);
}

void native_init(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE};
    stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof(signal_stack)};
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    sigaltstack(&stack, NULL);
    for (unsigned i = 0; i < sizeof(signals) / sizeof(*signals); i++)
        sigaction(signals[i], &action, NULL);
}

void native_run(struct native *native)
{
    struct frame frame = {.rip = native->rip,
                          .cs = native->cs,
                          .rflags = native->rflags,
                          .rsp = native->gpr[4],
                          .ss = native->ss};

    memcpy(frame.gpr, native->gpr, 4 * sizeof(uint64_t));
    memcpy(frame.gpr + 4, native->gpr + 5, 11 * sizeof(uint64_t));
    current = native;
    native_enter(&frame);
}

int native_set_ldt(unsigned entry, uint32_t base, uint32_t limit, unsigned ar)
{
    struct user_desc descriptor = {.entry_number = entry,
                                   .base_addr = base,
                                   .limit = (ar & 1U << 11 ? limit >> 12 : limit) & 0xfffff,
                                   .seg_32bit = ar >> 10 & 1,
                                   .contents = ar >> 2 & 3,
                                   .read_exec_only = !(ar & 2),
                                   .limit_in_pages = ar >> 11 & 1,
                                   .useable = 1};

    return syscall(SYS_modify_ldt, 0x11, &descriptor, sizeof(descriptor)) ? errno : 0;
}

void native_set_segments(uint16_t es, uint16_t ds, uint16_t gs)
{
    __asm__ volatile("mov %0, %%es; mov %1, %%ds; mov %2, %%gs" : : "r"(es), "r"(ds), "r"(gs));
}

void native_set_gs_base(uint64_t base)
{
    syscall(SYS_arch_prctl, ARCH_SET_GS, base);
}
