/*
 * End of a thread, on registers alone: once its semaphore is up, its stack may be gone. A global thread that
 * replies waits for ever. A thread that frees its own stack does so on a stack which all such threads share,
 * one at a time; programs that have no such threads do not have that stack either.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

static struct gate gate;
static struct nova_mutex creation;
static _Alignas(16) char stack[8192];

/* Opens the gate if there is one, ups the semaphore of the thread's end, and waits for ever. */
static inline _Noreturn void end(struct nova_thread *self, struct gate *g)
{
    register uint64_t open __asm__("r8") =
        NOVA_HYPERCALL(NOVA_CTRL_SM, (uint64_t)NOVA_SM_UP, g ? g->sm : 0);
    register uint64_t up __asm__("r9") = NOVA_HYPERCALL(NOVA_CTRL_SM, (uint64_t)NOVA_SM_UP, self->sm + 1);

    __asm__ volatile("xor %%esi, %%esi\n\t"
                     "test %[count], %[count]\n\t"
                     "jz 2f\n\t"
                     "lock decl (%[count])\n\t"
                     "jz 2f\n\t"
                     "mov %[open], %%rdi\n\t"
                     "syscall\n"
                     "2:\tlock orl %[ended], (%[state])\n\t"
                     "mov %[up], %%rdi\n\t"
                     "syscall\n"
                     "1:\tmov %[reply], %%edi\n\t"
                     "xor %%esi, %%esi\n\t"
                     "syscall\n\t"
                     "jmp 1b"
                     :
                     : [count] "a"(g ? &g->count : NULL), [state] "b"(&self->state), [open] "r"(open),
                       [up] "r"(up), [ended] "i"(SLOT_ENDED), [reply] "i"(NOVA_IPC_REPLY)
                     : "rdi", "rsi", "memory");
    __builtin_unreachable();
}

void nova_thread_exit(void)
{
    end(nova_thread_self(), NULL);
}

/* On the shared stack. */
__attribute__((used)) static _Noreturn void finish(void (*final)(void *), void *argument,
                                                   struct nova_thread *self)
{
    final(argument);
    end(self, &gate);
}

void nova_thread_exit_final(void (*final)(void *), void *argument)
{
    nova_mutex_lock(&creation);
    if (!gate.sm && nova_sm_create(&gate.sm, 0))
        nova_exit(127);
    nova_mutex_unlock(&creation);
    nova_gate_enter(&gate);
    __asm__ volatile("mov %[top], %%rsp\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "call %P[finish]"
                     :
                     : "D"(final), "S"(argument), "d"(nova_thread_self()), [top] "r"(stack + sizeof(stack)),
                       [finish] "i"(finish)
                     : "memory");
    __builtin_unreachable();
}
