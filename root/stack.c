/*
 * Start-up stack: strings at the end, the vectors below, the stack pointer at argc and a multiple of 16.
 *
 * SPDX-License-Identifier: MIT
 */

#include "stack.h"

#include <elf.h>
#include <nova/start.h>
#include <stdbool.h>

static uint64_t count(const struct strings *s)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < s->size; i++)
        n += !s->text[i];
    return n;
}

/* Writes the addresses of the strings, which the program sees from `at` on, and a null pointer. */
static uint64_t *put_pointers(uint64_t *word, const struct strings *s, uint64_t at)
{
    for (uint32_t i = 0; i < s->size; i++)
        if (!i || !s->text[i - 1])
            *word++ = at + i;
    *word++ = 0;
    return word;
}

uint64_t stack_build(void *memory, size_t size, uint64_t end, const struct stack_content *c)
{
    uint64_t args = count(&c->args), env = count(&c->env), random = end - 16;
    uint64_t texts = random - c->args.size - c->env.size;
    const uint64_t auxiliary[][2] = {
        {AT_PHDR, c->phdr},   {AT_PHENT, sizeof(Elf64_Phdr)},
        {AT_PHNUM, c->phnum}, {AT_PAGESZ, 4096},
        {AT_ENTRY, c->entry}, {AT_HWCAP, c->hwcap},
        {AT_SECURE, 0},       {NOVA_AT_INFO, c->info},
        {AT_EXECFN, texts},   {c->random ? AT_RANDOM : AT_IGNORE, random},
        {AT_NULL, 0},
    };
    uint64_t bottom = (texts - (1 + args + 1 + env + 1) * sizeof(uint64_t) - sizeof(auxiliary)) & ~15UL;
    uint64_t base = (uint64_t)memory + size - end; /* plus what the program has as an address */
    uint64_t *word;

    if (end - bottom > size)
        return 0;
    if (c->random)
        __builtin_memcpy((void *)(base + random), c->random, 16);
    __builtin_memcpy((void *)(base + texts), c->args.text, c->args.size);
    __builtin_memcpy((void *)(base + texts + c->args.size), c->env.text, c->env.size);
    word = (uint64_t *)(base + bottom);
    *word++ = args;
    word = put_pointers(word, &c->args, texts);
    word = put_pointers(word, &c->env, texts + c->args.size);
    __builtin_memcpy(word, auxiliary, sizeof(auxiliary));
    return bottom;
}
