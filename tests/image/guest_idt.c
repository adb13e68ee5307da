/*
 * Interrupt handlers of guests in 64-bit mode: each one writes down what has come, and goes on where it was.
 *
 * SPDX-License-Identifier: MIT
 */

#include "guest.h"

/* 256 stubs of 16 bytes, then what they have in common. RBX: the record. */
GUEST_PROGRAM(
    idt_stubs, ".code64",
    ".set n, 0; .rept 256; .balign 16; .if !(n == 8 || (n >= 10 && n <= 14) || n == 17); push $0; .endif;"
    "push $n; jmp 9f; .set n, n + 1; .endr;"
    "9: push %rax; push %rbx; mov $0x18000, %ebx; mov (%rbx), %rax; inc %rax; mov %rax, (%rbx); and $31, %eax;"
    "shl $6, %eax; add %rax, %rbx; .set n, 0; .rept 6; mov n + 16(%rsp), %rax; mov %rax, n(%rbx); .set n, n + 8; .endr;"
    "mov %cr2, %rax; mov %rax, 48(%rbx); mov %dr6, %rax; mov %rax, 56(%rbx);"
    "mov $0x18008, %ebx; cmpb $0, (%rbx); jz 1f; hlt;"
    "1: pop %rbx; pop %rax; add $16, %rsp; iretq");

_Static_assert(GUEST_LOG == 0x18000 && sizeof(struct guest_record) == 64, "handlers");

void guest_idt(struct guest_cpu *v, bool halt)
{
    uint64_t *idt = (uint64_t *)(void *)(v->guest->memory + GUEST_IDT);

    guest_load(v->guest, GUEST_STUBS, idt_stubs, idt_stubs_end);
    for (unsigned i = 0; i < 256; i++) {
        uint64_t entry = GUEST_STUBS + 16 * i;
        idt[2 * i] = (entry & 0xffff) | (uint64_t)GUEST_CS << 16 | 0xee00UL << 32 | (entry >> 16) << 48;
        idt[2 * i + 1] = 0;
    }
    *(uint64_t *)(void *)(v->guest->memory + GUEST_LOG) = 0;
    *(uint64_t *)(void *)(v->guest->memory + GUEST_LOG + 8) = halt;
}

uint64_t guest_interrupts(const struct guest_cpu *v)
{
    return *(volatile uint64_t *)(void *)(v->guest->memory + GUEST_LOG);
}

const struct guest_record *guest_last(const struct guest_cpu *v)
{
    return (const struct guest_record *)(void *)(v->guest->memory + GUEST_LOG) + guest_interrupts(v) % 32;
}
