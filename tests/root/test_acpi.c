/*
 * The sleep types of S5 in AML code as firmware has it: the encodings that compilers choose, other names that look alike,
 * code that is cut off anywhere.
 *
 * Sources: acpi.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "system.h"
#include "tap.h"

#include <stdlib.h>
#include <string.h>

const struct nova_hip *hip;

void *map_physical(uint64_t start, uint64_t bytes, unsigned perm)
{
    (void)bytes;
    (void)perm;
    return (void *)start;
}

#define S5(...)                                                                                              \
    {                                                                                                        \
        0x5b, 0x80, 'X', 'X', 'X', 'X', 0x08, __VA_ARGS__, 0x14, 0x08                                        \
    }

static const struct {
    uint8_t aml[40];
    size_t size;
    unsigned type;
    const char *what;
} cases[] = {
    {S5('_', 'S', '5', '_', 0x12, 0x06, 0x04, 0, 0, 0, 0), 20, 0, "zeros (QEMU)"},
    {S5('_', 'S', '5', '_', 0x12, 0x08, 0x04, 0x0a, 5, 0x0a, 5, 0, 0), 22, 5 | 5 << 3, "bytes"},
    {S5('\\', '_', 'S', '5', '_', 0x12, 0x08, 0x04, 0x0a, 7, 0x0a, 6, 0, 0), 23, 7 | 6 << 3,
     "an absolute name"},
    {S5('_', 'S', '5', '_', 0x12, 0x07, 0x04, 1, 0x0a, 3, 0, 0), 21, 1 | 3 << 3, "one, and a byte"},
    {S5('_', 'S', '5', '_', 0x12, 0x48, 0x00, 0x02, 0x0a, 2, 0x0a, 4), 21, 2 | 4 << 3, "a long length"},
    {S5('_', 'S', '4', '_', 0x12, 0x06, 0x04, 0x0a, 4, 0x0a, 4), 20, 0, "only S4"},
    {{'X', '_', 'S', '5', '_', 0x12, 6, 4, 0x0a, 1, 0, 0x08, '_', 'S', '5', '_', 0x12, 6, 4, 0x0a, 6, 0, 0},
     23,
     6,
     "behind something that looks alike"},
    {{0x08, '_', 'S', '5', '_', 0x14, 6, 4, 0x0a, 1, 0, 0}, 12, 0, "another type"},
};

int main(void)
{
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        ok(acpi_find_s5(cases[i].aml, cases[i].size) == cases[i].type, "%s", cases[i].what);
        for (size_t size = 0; size <= cases[i].size; size++) {
            uint8_t *copy = malloc(size ? size : 1); /* the sanitizer sees what is beyond it */
            memcpy(copy, cases[i].aml, size);
            CHECK(acpi_find_s5(copy, size) < 64);
            free(copy);
        }
    }
    ok_checks("cut off anywhere");
    return tap_done();
}
