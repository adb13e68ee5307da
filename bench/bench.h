/*
 * Measuring one operation: the loop between two time stamps, and the report.
 *
 * With one tick per instruction the figure is the exact number of instructions per round. Those of
 * user land are part of it: loading the parameter registers, and a decrement and a jump.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "system.h"
#include "tap.h"

#define ROUNDS 10000

/*
 * Runs body ROUNDS times and gives the ticks per round. Operands, "[name] constraint (value)", are
 * inputs of body, which loads all parameter registers of its hypercalls from them each time. *status
 * receives RDI as the last hypercall left it.
 */
#define BENCH_LOOP(status, body, ...)                                                          \
    __extension__({                                                                            \
        uint64_t bench_rounds = ROUNDS, bench_start = tsc();                                   \
        __asm__ volatile("1:\n\t" body "dec %[rounds]\n\tjnz 1b"                               \
                         : [rounds] "+&r"(bench_rounds), "=&D"(*(status))                      \
                         : __VA_ARGS__                                                         \
                         : "rax", "rcx", "rdx", "rsi", "r8", "r11", "cc", "memory");           \
        (tsc() - bench_start) / ROUNDS;                                                        \
    })

/* One result: whether the loop did what it should, and its figure. */
static inline void bench_report(bool condition, uint64_t figure, const char *operation)
{
    tap_ok(condition, "%s", operation);
    tap_diag("bench %lu %s", figure, operation);
}

static inline void bench_status(uint64_t rdi, unsigned status, uint64_t figure, const char *operation)
{
    bench_report((rdi & 0xff) == status, figure, operation);
}
