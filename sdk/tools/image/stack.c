/*
 * The stack that a program finds when it starts (System V ABI for x86-64, 3.4.1): strings and room for 16 random bytes at
 * the end, the vectors below, the stack pointer at argc and a multiple of 16. All addresses are known here.
 *
 * SPDX-License-Identifier: MIT
 */

#include "image.h"

#include <elf.h>
#include <string.h>

static size_t bytes_of(const struct words *words)
{
    size_t size = 0;

    for (size_t i = 0; i < words->count; i++)
        size += strlen(words->word[i]) + 1;
    return size;
}

struct writer {
    uint64_t *word;
    char *text;
    uint64_t difference; /* between a text here and its address there */
};

/* A text, and its address. */
static void put(struct writer *w, const char *text)
{
    *w->word++ = (uint64_t)(uintptr_t)w->text + w->difference;
    w->text = stpcpy(w->text, text) + 1;
}

static void put_words(struct writer *w, const struct words *words)
{
    for (size_t i = 0; i < words->count; i++)
        put(w, words->word[i]);
    *w->word++ = 0;
}

void make_stack(struct system *s, struct domain *d)
{
    const struct file *file = d->image_file;
    uint64_t end = d->info.stack_end;
    size_t texts = strlen(d->name) + 1 + bytes_of(&d->args) + bytes_of(&d->env) + 16;
    uint64_t auxiliary[][2] = {
        {AT_PHDR, file->phdr},    {AT_PHENT, sizeof(Elf64_Phdr)},
        {AT_PHNUM, file->phnum},  {AT_PAGESZ, PAGE},
        {AT_ENTRY, file->entry},  {AT_SECURE, 0},
        {AT_EXECFN, end - texts}, {NOVA_AT_INFO, NOVA_INFO_ADDR},
        {AT_RANDOM, end - 16},    {AT_NULL, 0},
    };
    size_t vectors = (1 + 1 + d->args.count + 1 + d->env.count + 1) * sizeof(uint64_t) + sizeof(auxiliary);
    struct writer w;

    d->contents_size = (vectors + texts + 15) & ~(size_t)15;
    d->contents = arena_get(&s->arena, d->contents_size);
    w.word = (uint64_t *)(void *)d->contents;
    w.text = (char *)d->contents + d->contents_size - texts;
    w.difference = end - texts - (uint64_t)(uintptr_t)w.text;
    *w.word++ = 1 + d->args.count;
    put(&w, d->name);
    put_words(&w, &d->args);
    put_words(&w, &d->env);
    memcpy(w.word, auxiliary, sizeof(auxiliary));
}
