/*
 * A program for Linux, without a library: prints its argument and the time counter. With -icount a tick is an instruction, of
 * the guest or of what runs it.
 *
 * SPDX-License-Identifier: MIT
 */

#include <stddef.h>

#define SYS_WRITE 1
#define SYS_EXIT 60

__asm__(".globl _start\n_start:\n\tmov 16(%rsp), %rdi\n\tand $-16, %rsp\n\tcall stamp");

static long system_call(long number, long first, const char *second, size_t third)
{
    __asm__ volatile("syscall" : "+a"(number) : "D"(first), "S"(second), "d"(third) : "rcx", "r11", "memory");
    return number;
}

/* `stamp NAME' prints "NAME TICKS". */
_Noreturn void stamp(const char *name);
_Noreturn void stamp(const char *name)
{
    unsigned long ticks = __builtin_ia32_rdtsc();
    char text[21], *at = text + sizeof text;
    size_t length = 0;

    for (*--at = '\n'; ticks; ticks /= 10)
        *--at = (char)('0' + ticks % 10);
    while (name && name[length])
        length++;
    system_call(SYS_WRITE, 1, name, length);
    system_call(SYS_WRITE, 1, " ", 1);
    system_call(SYS_WRITE, 1, at, (size_t)(text + sizeof text - at));
    for (;;)
        system_call(SYS_EXIT, 0, NULL, 0);
}
