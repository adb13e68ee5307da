/*
 * Start-up stack: strings at the end, the vectors below, the stack pointer at argc and a multiple of 16.
 *
 * SPDX-License-Identifier: MIT
 */

#include "stack.h"

#include <elf.h>
#include <nova/start.h>
#include <stdbool.h>

#define AUXILIARY_MAX 24 /* words */

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

static uint64_t *put_pair(uint64_t *word, uint64_t type, uint64_t value)
{
    *word++ = type;
    *word++ = value;
    return word;
}

uint64_t stack_build(void *memory, size_t size, uint64_t end, const struct stack_content *c)
{
    uint64_t args = count(&c->args), env = count(&c->env), words = 1 + args + 1 + env + 1 + AUXILIARY_MAX;
    uint64_t random, texts, bottom;
    uint8_t *top = (uint8_t *)memory + size; /* what the program sees at `end` */
    uint64_t *word;

    random = end - 16;
    texts = random - c->args.size - c->env.size;
    bottom = (texts - words * sizeof(uint64_t)) & ~15UL;
    if (end - bottom > size)
        return 0;

    if (c->random)
        __builtin_memcpy(top - (end - random), c->random, 16);
    __builtin_memcpy(top - (end - texts), c->args.text, c->args.size);
    __builtin_memcpy(top - (end - texts) + c->args.size, c->env.text, c->env.size);

    word = (uint64_t *)(void *)(top - (end - bottom));
    *word++ = args;
    word = put_pointers(word, &c->args, texts);
    word = put_pointers(word, &c->env, texts + c->args.size);
    word = put_pair(word, AT_PHDR, c->phdr);
    word = put_pair(word, AT_PHENT, sizeof(Elf64_Phdr));
    word = put_pair(word, AT_PHNUM, c->phnum);
    word = put_pair(word, AT_PAGESZ, 4096);
    word = put_pair(word, AT_ENTRY, c->entry);
    word = put_pair(word, AT_HWCAP, c->hwcap);
    word = put_pair(word, AT_SECURE, 0);
    word = put_pair(word, NOVA_AT_INFO, c->info);
    if (args)
        word = put_pair(word, AT_EXECFN, texts);
    if (c->random)
        word = put_pair(word, AT_RANDOM, random);
    put_pair(word, AT_NULL, 0);
    return bottom;
}
