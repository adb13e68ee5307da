/*
 * End of a thread, on registers alone: once its semaphore is up, its stack may be gone. A global thread that
 * replies waits for ever. A thread that frees its own stack does so on a stack which all such threads share,
 * one at a time; programs that have no such threads do not have that stack either.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

static _Alignas(16) char stack[8192];

/* Ups a semaphore if there is one, then that of the thread's end, and waits for ever. */
static inline _Noreturn void end(struct nova_thread *self, uint64_t sm)
{
    uint64_t first = sm ? NOVA_HYPERCALL(NOVA_CTRL_SM, (uint64_t)NOVA_SM_UP, sm) : 0;
    uint64_t second = NOVA_HYPERCALL(NOVA_CTRL_SM, (uint64_t)NOVA_SM_UP, self->sm + SM_END);

    __asm__ volatile("xor %%esi, %%esi\n\t"
                     "test %%rdi, %%rdi\n\t"
                     "jz 1f\n\t"
                     "syscall\n"
                     "1:\tlock orl %[ended], (%[state])\n\t"
                     "mov %[second], %%rdi\n\t"
                     "syscall\n"
                     "2:\tmov %[reply], %%edi\n\t"
                     "xor %%esi, %%esi\n\t"
                     "syscall\n\t"
                     "jmp 2b"
                     : "+D"(first)
                     : "a"(0UL), [state] "b"(&self->state), [second] "d"(second), [ended] "i"(SLOT_ENDED),
                       [reply] "i"(NOVA_IPC_REPLY)
                     : "rsi", "memory");
    __builtin_unreachable();
}

void nova_thread_exit(void)
{
    end(nova_thread_self(), 0);
}

/* On the shared stack. */
__attribute__((used)) static _Noreturn void finish(void (*final)(void *), void *argument,
                                                   struct nova_thread *self)
{
    final(argument);
    end(self, nova_first_thread.sm + SM_EXIT);
}

void nova_thread_exit_final(void (*final)(void *), void *argument)
{
    nova_hc_ctrl_sm(nova_first_thread.sm + SM_EXIT, 0, NOVA_SM_DOWN);
    __asm__ volatile("mov %[top], %%rsp\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "call %P[finish]"
                     :
                     : "D"(final), "S"(argument),
                       "d"(nova_thread_self()), [top] "r"(stack + sizeof(stack)), [finish] "i"(finish)
                     : "memory");
    __builtin_unreachable();
}
