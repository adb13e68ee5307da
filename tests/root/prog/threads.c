/*
 * Threads by the parent protocol: on each CPU, with priorities that are clamped, up to the limit, and ended.
 *
 * SPDX-License-Identifier: MIT
 */

#include "domain.h"

static volatile uint32_t cpu_of[4];
static uint64_t finished, never;

static unsigned current_cpu(void)
{
    uint32_t a = 1, b, c = 0, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return b >> 24;
}

static void work(void *arg)
{
    cpu_of[(uint64_t)arg] = 1 + current_cpu();
    sm_up(finished);
    for (;;)
        nova_hc_ctrl_sm(never, 0, NOVA_SM_DOWN);
}

static void end_thread(uint64_t sel)
{
    parent_call(2, (uint64_t)NOVA_PARENT_THREAD_ENDED, sel);
}

static void test_cpus(void)
{
    uint64_t sel[4];

    for (unsigned cpu = 0; cpu < 4; cpu++) {
        long error = thread_new(10 + cpu, cpu, work, (void *)(uint64_t)cpu, &sel[cpu]);

        if (cpu == 1)
            ok(error == NOVA_ERR_DENIED, "no thread on a CPU that was not granted");
        else
            ok(error == 0 && sm_down_ms(finished, 2000) == NOVA_SUCCESS && cpu_of[cpu] == 1 + cpu,
               "a thread runs on CPU %u", cpu);
    }
    ok(thread_new(10, 64, work, NULL, &sel[1]) == NOVA_ERR_DENIED &&
           thread_new(10, 1000000, work, NULL, &sel[1]) == NOVA_ERR_DENIED,
       "nor on one that is not there");
    for (unsigned cpu = 0; cpu < 4; cpu++)
        if (cpu != 1)
            end_thread(sel[cpu]);
}

/* Many threads, one after the other: nothing is left behind. */
static void test_many(void)
{
    unsigned made = 0;
    uint64_t sel, *top = (uint64_t *)((char *)pages(2) + 2 * PAGE_SIZE);
    long error = 0;
    extern void thread_entry(void);

    sel = selectors(2);
    *--top = 0;
    top -= 2;
    for (; made < 2000 && !error; made++) {
        top[0] = (uint64_t)work;
        top[1] = 3;
        error = parent_call(9, (uint64_t)NOVA_PARENT_THREAD, 3UL, 20UL, (uint64_t)top, (uint64_t)thread_entry,
                            0UL, 200UL, 1UL, sel);
        if (!error && sm_down_ms(finished, 2000) != NOVA_SUCCESS)
            error = 1;
        end_thread(sel);
    }
    ok(!error, "%u threads one after the other (%ld)", made, error);
}

int test_main(int argc, char **argv)
{
    uint64_t sel = selectors(2);

    (void)argc;
    (void)argv;
    finished = sm_new(0);
    never = sm_new(0);
    test_cpus();
    test_many();
    ok(parent_call(9, (uint64_t)NOVA_PARENT_THREAD, 0UL, 480UL, 0UL, 0UL, 1UL, 0UL, 0UL, sel) ==
           NOVA_ERR_INVAL,
       "slot");
    ok(parent_call(9, (uint64_t)NOVA_PARENT_THREAD, 0UL, 9UL, 0UL, 1UL << 47, 1UL, 0UL, 0UL, sel) ==
           NOVA_ERR_INVAL,
       "entry");
    ok(parent_call(9, (uint64_t)NOVA_PARENT_THREAD, 0UL, 9UL, 0UL, 0UL, 4UL, 0UL, 0UL, sel) == NOVA_ERR_INVAL,
       "flags");
    ok(parent_call(9, (uint64_t)NOVA_PARENT_THREAD, 0UL, 9UL, 0UL, 0UL, 1UL, 0UL, 1001UL, sel) ==
           NOVA_ERR_INVAL,
       "budget");
    ok(parent_call(9, (uint64_t)NOVA_PARENT_THREAD, 0UL, 9UL, 0UL, 0UL, 1UL, 0UL, 0UL, own->sel_free - 1) ==
               NOVA_ERR_INVAL &&
           parent_call(9, (uint64_t)NOVA_PARENT_THREAD, 0UL, 9UL, 0UL, 0UL, 0UL, 0UL, 0UL,
                       own->sel_end - 1) == NOVA_ERR_INVAL &&
           parent_call(9, (uint64_t)NOVA_PARENT_THREAD, 0UL, 9UL, 0UL, 0UL, 1UL, 0UL, 0UL, UINT64_MAX) ==
               NOVA_ERR_INVAL,
       "selectors");
    ok(parent_call(1, (uint64_t)NOVA_PARENT_STATE) == 0 && utcb_of(0)->word[1] == 1, "all have ended");
    return done();
}
