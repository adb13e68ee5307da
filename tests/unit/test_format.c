/*
 * Formatted text: the same as snprintf for all that the kernel uses, and what lib/console.h says where the two
 * differ: a width pads digits only, and %p and %#x look the same for every value.
 *
 * Sources: lib/format.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "lib/console.h"
#include "lib/util.h"
#include "tap.h"

#include <string.h>

static char output[256];
static size_t length;

static void put(char c)
{
    if (length < sizeof(output) - 1) {
        output[length++] = c;
    }
}

__attribute__((format(printf, 1, 2))) static const char *formatted(const char *text, ...)
{
    va_list args;

    length = 0;
    va_start(args, text);
    format(put, text, args);
    va_end(args);
    output[length] = '\0';
    return output;
}

/* The same as the C library's. */
#define SAME(...)                                                                                            \
    do {                                                                                                     \
        char wanted[256];                                                                                    \
        snprintf(wanted, sizeof(wanted), __VA_ARGS__);                                                       \
        if (!CHECK(strcmp(formatted(__VA_ARGS__), wanted) == 0)) {                                           \
            printf("# \"%s\" instead of \"%s\"\n", output, wanted);                                          \
        }                                                                                                    \
    } while (0)

static void test_values(uint64_t v)
{
    unsigned u = (unsigned)v;

    SAME("%u %x", u, u);
    SAME("%lu %lx", v, v);
    SAME("%llu %llx", (unsigned long long)v, (unsigned long long)v);
    SAME("%zu %zx", (size_t)v, (size_t)v);
    SAME("[%5u] [%12x] [%25lu]", u, u, v);
    SAME("[%02x] [%08x] [%016lx] [%020lu]", u, u, v, v);
    if (u) {
        SAME("%#x", u);
    }
    if (v) {
        SAME("%#lx", v);
    }
}

static void test_numbers(void)
{
    static const uint64_t edges[] = {0,
                                     1,
                                     9,
                                     10,
                                     15,
                                     16,
                                     99,
                                     100,
                                     INT32_MAX,
                                     BIT(31),
                                     UINT32_MAX,
                                     BIT(32),
                                     INT64_MAX,
                                     BIT(63),
                                     UINT64_MAX,
                                     9999999999999999999ULL,
                                     10000000000000000000ULL};
    uint64_t state = 1;

    for (unsigned i = 0; i < ARRAY_SIZE(edges); i++) {
        test_values(edges[i]);
    }
    for (unsigned i = 0; i < 20000; i++) {
        test_values(tap_random(&state) >> i % 64);
    }
    ok_checks("numbers of all sizes, with width and leading zeros");
}

static void test_text(void)
{
    SAME("%s", "");
    SAME("nothing");
    SAME("%s|%c|%s%s", "a", 'b', "cde", "f");
    SAME("100%% %s %%", "x");
    SAME("%u CPUs, %s at %lx: %u%%\n", 4U, "TSC", 0xfeeUL, 7U);
    SAME("%c%c", 'x', '\n');
    ok_checks("strings, characters and percent signs");
}

static void test_own(void)
{
    int object;
    char wanted[32];
    const char *unknown = "a%qb", *cut = "cut %", *cut_long = "cut %08l";

    CHECK(strcmp(formatted("%#x %#lx", 0U, 0UL), "0x0 0x0") == 0);
    snprintf(wanted, sizeof(wanted), "%016lx", (unsigned long)(uintptr_t)&object);
    CHECK(strcmp(formatted("%p", (void *)&object), wanted) == 0);
    CHECK(strcmp(formatted("%p", (void *)0), "0000000000000000") == 0);
    CHECK(strcmp(formatted("[%#6x]", 0x12U), "[0x    12]") == 0);
    ok_checks("pointers, and widths that count digits");

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
    CHECK(strcmp(formatted(unknown), "aqb") == 0);
    CHECK(strcmp(formatted(cut), "cut ") == 0);
    CHECK(strcmp(formatted(cut_long), "cut ") == 0);
#pragma GCC diagnostic pop
    ok_checks("formats that are unknown or end too early are harmless");
}

int main(void)
{
    test_numbers();
    test_text();
    test_own();
    return tap_done();
}
