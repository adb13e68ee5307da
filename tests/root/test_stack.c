/*
 * The start-up stack: read back as a program does, for many arguments and sizes; without room it is refused,
 * and nothing is written outside.
 *
 * Sources: stack.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "stack.h"
#include "tap.h"

#include <elf.h>
#include <nova/start.h>
#include <stdlib.h>
#include <string.h>

#define END 0x500000UL

/* The memory that the program sees at an address. */
static uint8_t *at(uint8_t *memory, size_t size, uint64_t address)
{
    CHECK(address >= END - size && address <= END);
    return memory + size - (END - address);
}

static void read_back(uint8_t *memory, size_t size, uint64_t sp, const struct stack_content *c, unsigned args,
                      unsigned env)
{
    uint64_t *word = (uint64_t *)(void *)at(memory, size, sp), seen = 0;
    const char *text = c->args.text;

    CHECK(sp % 16 == 0 && *word++ == args);
    for (unsigned i = 0; i < args + env; i++) {
        const char *string;

        if (i == args) {
            CHECK(*word++ == 0);
            text = c->env.text;
        }
        string = (const char *)at(memory, size, *word++);
        CHECK(!strcmp(string, text));
        text += strlen(text) + 1;
    }
    if (!env)
        CHECK(*word++ == 0);
    CHECK(*word++ == 0);
    for (; *word != AT_NULL; word += 2) {
        seen |= *word < 64 ? 1UL << *word : 0;
        CHECK(*word != AT_PHDR || word[1] == c->phdr);
        CHECK(*word != AT_PHNUM || word[1] == c->phnum);
        CHECK(*word != AT_ENTRY || word[1] == c->entry);
        CHECK(*word != AT_SECURE || word[1] == 0);
        CHECK(*word != NOVA_AT_INFO || word[1] == c->info);
        CHECK(*word != AT_EXECFN || !strcmp((const char *)at(memory, size, word[1]), c->args.text));
        CHECK(*word != AT_RANDOM || !memcmp(at(memory, size, word[1]), c->random, 16));
    }
    CHECK((seen >> AT_RANDOM & 1) == (c->random != NULL));
    CHECK(seen >> AT_PAGESZ & 1 && seen >> AT_HWCAP & 1 && seen >> AT_EXECFN & 1);
}

int main(void)
{
    static const char args[] = "program\0\0a b\0x", env[] = "A=1\0PATH=\0";
    const uint8_t random[16] = "0123456789abcde";
    struct stack_content c = {.args = {args, sizeof(args)},
                              .phdr = 0x400040,
                              .phnum = 6,
                              .entry = 0x401000,
                              .hwcap = 5,
                              .info = 0x200000};
    unsigned fitting = 0;

    for (unsigned variant = 0; variant < 4; variant++)
        for (size_t size = 16; size <= 4096; size += 8) {
            uint8_t *memory = malloc(size);
            uint64_t sp;

            if (!memory)
                abort();
            c.random = variant & 1 ? random : NULL;
            c.env = (struct strings){env, variant & 2 ? sizeof(env) - 1 : 0};
            sp = stack_build(memory, size, END, &c);
            if (sp) {
                fitting++;
                read_back(memory, size, sp, &c, 4, variant & 2 ? 2 : 0);
            }
            CHECK(sp || size < 512);
            free(memory);
        }
    ok_checks("%u stacks hold what was put there", fitting);

    char many[NOVA_STRINGS_MAX];
    struct stack_content full = {.args = {many, sizeof(many)}, .env = {many, 0}};
    uint8_t *memory = malloc(65536);

    if (!memory)
        abort();
    memset(many, 0, sizeof(many));
    full.env.size = 0;
    ok(stack_build(memory, 65536, END, &full) &&
           *(uint64_t *)(void *)at(memory, 65536, stack_build(memory, 65536, END, &full)) == sizeof(many),
       "as many arguments as there can be");
    ok(!stack_build(memory, 8192, END, &full), "they do not fit two pages");
    ok_checks("addresses are on the stack");
    free(memory);
    return tap_done();
}
