/*
 * Start of a program without libc. The thread-local storage of the first thread lies on its stack.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

_Noreturn void nova_program_start(const uint64_t *stack);

void nova_program_start(const uint64_t *stack)
{
    char *area;

    nova_program_init(stack);
    nova_tls_measure();
    area = __builtin_alloca_with_align(nova_tls.size, 64 * 8);
    nova_first_thread.fs = nova_tls.init(area);
    __asm__ volatile("wrfsbase %0" : : "r"(nova_first_thread.fs) : "memory");
    nova_exit(nova_main((int)stack[0], (char **)(stack + 1)));
}
