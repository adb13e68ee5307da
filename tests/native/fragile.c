/*
 * The console server, but who writes a line that begins with "crash the console" makes it crash, once: the scratch
 * register of the UART says that it has been so.
 *
 * SPDX-License-Identifier: MIT
 */

#include "uart/console.h"

#include <nova/string.h>

#define SCRATCH 7 /* register */
#define CRASHED 0xc3 /* not what others test for a UART with */

static long write_or_crash(unsigned client, uint32_t generation, const char *name, const void *text,
                           size_t length);

#define console_write write_or_crash
#include "uart/uart.c"
#undef console_write

static long write_or_crash(unsigned client, uint32_t generation, const char *name, const void *text,
                           size_t length)
{
    static const char request[] = "crash the console";

    if (length >= sizeof(request) && !memcmp(text, request, sizeof(request) - 1) && in8(SCRATCH) != CRASHED) {
        out8(SCRATCH, CRASHED);
        __builtin_trap();
    }
    return console_write(client, generation, name, text, length);
}
