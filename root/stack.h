/*
 * The stack that a program finds when it starts (System V ABI for x86-64, 3.4.1).
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef ROOT_STACK_H
#define ROOT_STACK_H

#include <stddef.h>
#include <stdint.h>

/* Texts, each ended by 0, one behind the other. */
struct strings {
    const char *text;
    uint32_t size;
};

struct stack_content {
    struct strings args, env;
    uint64_t phdr, phnum, entry; /* for the auxiliary vector */
    uint64_t hwcap;
    uint64_t info;         /* address of struct nova_info */
    const uint8_t *random; /* 16 bytes; null: no AT_RANDOM */
};

/*
 * Fills the end of the page-aligned memory at `memory`, whose end the program sees at `end`. Returns the
 * stack pointer as the program sees it, or 0 if `size` bytes are too few.
 */
uint64_t stack_build(void *memory, size_t size, uint64_t end, const struct stack_content *content);

#endif
