/*
 * Tries an instruction that may fault. Each function returns the exception vector, or NO_FAULT;
 * error code and address are then in the thread structure. For threads with the standard event
 * portals that run on their own stack.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "system.h"

#define NO_FAULT UINT64_MAX

#define VECTOR_DE 0x00
#define VECTOR_DB 0x01
#define VECTOR_BP 0x03
#define VECTOR_UD 0x06
#define VECTOR_NM 0x07
#define VECTOR_GP 0x0d
#define VECTOR_PF 0x0e

/* Error code of a page fault. */
#define PF_PRESENT 0x01
#define PF_WRITE 0x02
#define PF_USER 0x04
#define PF_EXEC 0x10

/*
 * Runs instruction between setting and clearing the address of recovery. Extra operands follow;
 * the instruction must not move the stack pointer.
 */
#define TRY_(t, instruction, outputs, ...)                                                                   \
    __asm__ volatile("lea 1f(%%rip), %%rcx\n\tmov %%rcx, %c[recover](%[thread])\n\t" instruction             \
                     "\n1:\tmovq $0, %c[recover](%[thread])"                                                 \
                     : outputs                                                                               \
                     : [thread] "b"(t), [recover] "i"(offsetof(struct thread, recover)), ##__VA_ARGS__       \
                     : "rcx", "memory")
#define OUTPUT(...) __VA_ARGS__

static inline struct thread *fault_prepare(void)
{
    struct thread *t = thread_self();

    t->fault_vector = NO_FAULT;
    return t;
}

static inline uint64_t try_load(uint64_t address)
{
    struct thread *t = fault_prepare();

    TRY_(t, "movb (%[a]), %%cl", , [a] "r"(address));
    return t->fault_vector;
}

/* Stores one byte, or more precisely adds nothing to it: memory keeps its value. */
static inline uint64_t try_store(uint64_t address)
{
    struct thread *t = fault_prepare();

    TRY_(t, "lock; addb $0, (%[a])", , [a] "r"(address));
    return t->fault_vector;
}

/* Two bytes that return from try_exec: jmp *%rcx. */
#define TRY_EXEC_CODE 0xe1ff

/* Jumps to address, where TRY_EXEC_CODE should be. */
static inline uint64_t try_exec(uint64_t address)
{
    struct thread *t = fault_prepare();

    TRY_(t, "jmp *%[a]", , [a] "r"(address));
    return t->fault_vector;
}

static inline uint64_t try_in(uint16_t port)
{
    struct thread *t = fault_prepare();
    uint8_t value;

    TRY_(t, "inb %%dx, %%al", OUTPUT("=a"(value)), "d"(port));
    return t->fault_vector;
}

/* Any instruction without operands that changes no register but RAX, RCX, RDX. */
#define try_instruction(text)                                                                                \
    __extension__({                                                                                          \
        struct thread *try_thread = fault_prepare();                                                         \
        uint64_t try_rax, try_rdx;                                                                           \
        TRY_(try_thread, text, OUTPUT("=a"(try_rax), "=d"(try_rdx)), "0"(0UL), "1"(0UL));                    \
        try_thread->fault_vector;                                                                            \
    })
