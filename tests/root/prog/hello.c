/*
 * The smallest domain: what it finds when it starts.
 *
 * SPDX-License-Identifier: MIT
 */

#include "domain.h"

#include <elf.h>

/* An entry of the auxiliary vector, or 0. */
static uint64_t auxiliary(char **argv, int argc, uint64_t type)
{
    uint64_t *p = (uint64_t *)(argv + argc + 1);

    while (*p++)
        ;
    for (; *p; p += 2)
        if (*p == type)
            return p[1];
    return 0;
}

static int initialised = 42;
static int zero[3000];

int test_main(int argc, char **argv)
{
    const uint64_t *random = (const uint64_t *)auxiliary(argv, argc, AT_RANDOM);
    bool cleared = true;

    ok(argc == 3 && !strcmp(argv[0], "hello") && !strcmp(argv[1], "two words") && !strcmp(argv[2], ""),
       "arguments");
    ok(!strcmp(argv[4], "A=1") && !strcmp(argv[5], "B=") && !argv[6], "environment");
    ok(((uint64_t)(argv - 1) & 15) == 0, "the stack pointer is aligned");
    ok(auxiliary(argv, argc, NOVA_AT_INFO) == NOVA_INFO_ADDR && auxiliary(argv, argc, AT_PAGESZ) == 4096,
       "auxiliary vector");
    ok(auxiliary(argv, argc, AT_PHDR) > NOVA_IMAGE_ADDR && auxiliary(argv, argc, AT_PHNUM) > 2,
       "program headers");
    ok(random && (random[0] || random[1]) && random[0] != random[1], "random bytes");
    ok(own->magic == NOVA_INFO_MAGIC && own->version == NOVA_INFO_VERSION && !strcmp(own->name, "hello"),
       "information page");
    ok(own->tsc_frequency > 1000000 && own->wall_offset / 1000000000 > 1577836800, "time");
    ok(own->build_id_size == 20, "build id");
    ok(initialised++ == 42 && zero[2999]++ == 0, "data");
    for (uint64_t *p = (uint64_t *)(own->pool_start + own->pool_used),
                  *end = (uint64_t *)(own->pool_start + own->pool_size);
         p < end; p++)
        cleared &= !*p;
    ok(cleared, "the pool is cleared");
    ok(parent_call(1, (uint64_t)NOVA_PARENT_STATE) == 0 && utcb_of(0)->word[1] == 1 &&
           utcb_of(0)->word[4] == 0,
       "state");
    return done();
}
