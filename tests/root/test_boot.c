/*
 * The boot loader's information: well-formed tags are found; cut off, with bits flipped or random, it does
 * not lead outside.
 *
 * Sources: boot.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "boot.h"
#include "tap.h"

#include <stdlib.h>
#include <string.h>

static uint8_t info[2048] __attribute__((aligned(8)));
static uint32_t filled;

static void put32(uint32_t v)
{
    memcpy(info + filled, &v, 4);
    filled += 4;
}

static void put64(uint64_t v)
{
    memcpy(info + filled, &v, 8);
    filled += 8;
}

static void put_module(uint32_t start, uint32_t end, const char *cmdline)
{
    size_t length = strlen(cmdline) + 1;

    put32(3);
    put32((uint32_t)(16 + length));
    put32(start);
    put32(end);
    memcpy(info + filled, cmdline, length);
    filled = (uint32_t)(filled + length + 7) & ~7U;
}

static void make(void)
{
    memset(info, 0, sizeof(info));
    filled = 8;
    put_module(0x1000000, 0x1010000, "root");
    put_module(0x1020000, 0x1020123, "manifest");
    put32(6);
    put32(16 + 3 * 24);
    put32(24);
    put32(0);
    for (uint64_t i = 0; i < 3; i++) {
        put64(i * 0x10000000);
        put64(i == 2 ? UINT64_MAX : 0x8000000);
        put32(i == 1 ? 2 : 1);
        put32(0);
    }
    put_module(0x2000000, 0x2000000, "");
    put32(0);
    put32(8);
    memcpy(info, &filled, 4);
}

/* Parses a copy of exactly this size, and looks at all there is. */
static bool parse(size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    struct range memory;
    struct boot boot;
    bool fine;

    if (!copy)
        abort();
    memcpy(copy, info, size);
    fine = boot_parse(copy, size, &boot);
    if (fine) {
        for (unsigned i = 0; i < boot.modules; i++)
            CHECK(boot.module[i].start <= boot.module[i].end && strlen(boot.module[i].cmdline) < size);
        for (unsigned i = 0; boot_memory(&boot, i, &memory); i++)
            CHECK(memory.start <= memory.end && i < size);
    }
    free(copy);
    return fine;
}

int main(void)
{
    struct range memory;
    struct boot boot;
    uint64_t state = 3;

    make();
    ok(boot_parse(info, filled, &boot) && boot.modules == 3, "well-formed information");
    ok(boot.module[1].start == 0x1020000 && boot.module[1].end == 0x1020123 &&
           !strcmp(boot.module[1].cmdline, "manifest") && !strcmp(boot.module[2].cmdline, ""),
       "modules");
    ok(boot_memory(&boot, 0, &memory) && memory.start == 0 && memory.end == 0x8000000 &&
           boot_memory(&boot, 1, &memory) && memory.start == memory.end && boot_memory(&boot, 2, &memory) &&
           memory.start == memory.end && !boot_memory(&boot, 3, &memory),
       "memory; a range that is not available, or overflows, is empty");
    for (size_t size = 0; size < filled; size++)
        CHECK(!parse(size));
    ok_checks("cut off anywhere, it is refused");
    for (size_t at = 0; at < filled; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            make();
            info[at] ^= (uint8_t)(1U << bit);
            parse(filled);
        }
    ok_checks("bits flipped do no harm");
    for (unsigned i = 0; i < 200000; i++) {
        make();
        for (unsigned n = 0; n < 4; n++)
            info[tap_random(&state) % filled] = (uint8_t)tap_random(&state);
        parse(tap_random(&state) % (filled + 1));
    }
    ok_checks("nor do random bytes");
    make();
    for (filled -= 8; filled < sizeof(info) - 32;)
        put_module(1, 2, "");
    put32(0);
    put32(8);
    ok(boot_parse(info, filled, &boot), "many modules");

    return tap_done();
}
