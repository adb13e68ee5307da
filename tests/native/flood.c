/*
 * Floods the log from threads on all CPUs: each line can be checked for being whole. A script counts them.
 *
 *   flood LINES [spin]
 *
 * It ends, or computes for ever.
 *
 * SPDX-License-Identifier: MIT
 */

#include <nova/error.h>
#include <nova/log.h>
#include <nova/program.h>
#include <nova/thread.h>

static unsigned lines;

static void flood(void *context)
{
    unsigned thread = (unsigned)(uintptr_t)context;

    for (unsigned i = 0; i < lines; i++)
        nova_print("flood %u %u %.*s end\n", thread, i, (int)(i % 60),
                   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567");
}

int nova_main(int argc, char **argv)
{
    struct nova_thread *t[NOVA_CPUS_MAX];
    unsigned threads = 0;

    for (const char *c = argc > 1 ? argv[1] : "100"; *c; c++)
        lines = lines * 10 + (unsigned)(*c - '0');
    for (unsigned cpu = 0; cpu < NOVA_CPUS_MAX; cpu++)
        if (nova_info()->cpus >> cpu & 1 &&
            !nova_thread_create(&t[threads], flood, (void *)(uintptr_t)threads,
                                &(struct nova_thread_options){.cpu = NOVA_ON_CPU(cpu)}))
            threads++;
    for (unsigned i = 0; i < threads; i++)
        nova_thread_join(t[i], NOVA_NEVER);
    nova_print("flood done: %u threads, %u lines each\n", threads, lines);
    while (argc > 2)
        ;
    return threads ? 0 : 1;
}
