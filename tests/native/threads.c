/*
 * Threads: create, join, detach, thread-local storage, CPUs, limits, interruption, the end on a foreign
 * stack, portal handlers.
 *
 *   threads x [ROUNDS]
 *
 * SPDX-License-Identifier: MIT
 */

#include "tap.h"

#include <nova/error.h>
#include <nova/log.h>
#include <nova/mem.h>
#include <nova/portal.h>
#include <nova/program.h>
#include <nova/sync.h>

#define MANY 8U

static _Thread_local uint64_t initialised = 0x1234567890abcdef;
static _Thread_local uint32_t zero;
static _Thread_local _Alignas(64) char aligned[3];
static uint32_t count, rounds = 2000;

static void add(void *context)
{
    __atomic_fetch_add((uint32_t *)context, 1, __ATOMIC_RELAXED);
}

static void check_tls(void *context)
{
    bool *good = context;

    *good = initialised == 0x1234567890abcdef && !zero && !((uintptr_t)aligned % 64) && !aligned[2];
    initialised = 1;
    zero++;
    aligned[2] = 1;
    *good &= nova_thread_self()->self == nova_thread_self();
    nova_thread_exit();
}

static void where(void *context)
{
    uint32_t cpu;

    __asm__ volatile("rdtscp" : "=c"(cpu) : : "rax", "rdx");
    *(unsigned *)context = nova_thread_cpu();
}

static void basic(void)
{
    struct nova_thread *t, *all[MANY];
    bool good = true, tls = false;
    unsigned cpu = 99, made = 0;

    ok(!nova_thread_create(&t, add, &count, NULL) && !nova_thread_join(t, NOVA_NEVER) && count == 1,
       "create, run, join");
    ok(!nova_thread_create(&t, check_tls, &tls, NULL) && !nova_thread_join(t, NOVA_NEVER) && tls,
       "thread-local variables of a new thread");
    ok(initialised == 0x1234567890abcdef && !zero, "those of the first thread are its own");
    for (unsigned i = 0; i < MANY; i++)
        made += !nova_thread_create(&all[i], add, &count, NULL);
    for (unsigned i = 0; i < made; i++)
        good &= !nova_thread_join(all[i], NOVA_NEVER);
    ok(made == MANY && good && count == 1 + MANY, "%u threads at once", MANY);
    for (unsigned i = 0; i < NOVA_CPUS_MAX; i++)
        if (nova_info()->cpus >> i & 1)
            ok(!nova_thread_create(&t, where, &cpu, &(struct nova_thread_options){.cpu = NOVA_ON_CPU(i)}) &&
                   !nova_thread_join(t, nova_now() + 5 * NOVA_S) && cpu == i,
               "a thread on CPU %u", i);
    ok(nova_thread_create(&t, add, &count, &(struct nova_thread_options){.cpu = NOVA_ON_CPU(63)}) ==
           NOVA_ERR_DENIED,
       "not on a CPU that the domain does not have");
}

static void repeat(void)
{
    struct nova_mem_state before, after;
    struct nova_thread *t;
    uint32_t ran = 0;
    int error = 0;

    nova_mem_state(&before);
    for (unsigned i = 0; i < rounds && !error; i++) {
        error = nova_thread_create(&t, add, &ran, NULL);
        error = error ? error : nova_thread_join(t, NOVA_NEVER);
    }
    nova_mem_state(&after);
    ok(!error && ran == rounds, "%u rounds of create and join: %u ran, %s", rounds, ran,
       nova_error_text(error));
    ok(before.free == after.free && before.reserved == after.reserved, "they leave nothing behind");
    ran = 0;
    for (unsigned i = 0, cpu = 0; i < rounds / 4 && !error; i++, cpu = (cpu + 1) % NOVA_CPUS_MAX) {
        while (!(nova_info()->cpus >> cpu & 1))
            cpu = (cpu + 1) % NOVA_CPUS_MAX;
        error = nova_thread_create(&t, add, &ran, &(struct nova_thread_options){.cpu = NOVA_ON_CPU(cpu)});
        error = error ? error : nova_thread_join(t, NOVA_NEVER);
    }
    ok(!error && ran == rounds / 4, "the same on all CPUs in turn");
    ran = 0;
    for (unsigned i = 0; i < rounds / 4 && !error; i++)
        while ((error = nova_thread_create(&t, add, &ran, &(struct nova_thread_options){.detached = 1})) ==
               NOVA_ERR_LIMIT)
            nova_sleep_until(nova_now() + NOVA_MS);
    while (!error && __atomic_load_n(&ran, __ATOMIC_RELAXED) < rounds / 4)
        nova_sleep_until(nova_now() + NOVA_MS);
    ok(!error, "%u detached threads", rounds / 4);
}

static void wait_for(void *context)
{
    nova_sm_down(*(uint64_t *)context, NOVA_NEVER);
}

static void limit(void)
{
    struct nova_thread *t[512];
    unsigned n = 0;
    uint64_t sm;
    int error = nova_sm_create(&sm, 0);

    nova_sleep_until(nova_now() + 20 * NOVA_MS); /* detached ones from before have ended */
    while (!error && n < 512) {
        error = nova_thread_create(&t[n], wait_for, &sm, &(struct nova_thread_options){.stack_size = 4096});
        n += !error;
    }
    ok(error == NOVA_ERR_LIMIT && n == nova_info()->threads - 1, "threads up to the limit: %u of %u, %s", n,
       nova_info()->threads - 1, nova_error_text(error));
    ok(n && nova_thread_join(t[0], nova_now() + NOVA_MS) == NOVA_ERR_TIMEOUT,
       "join gives up at its deadline");
    for (unsigned i = 0; i < n; i++)
        nova_sm_up(sm);
    error = 0;
    for (unsigned i = 0; i < n; i++)
        error |= nova_thread_join(t[i], nova_now() + 5 * NOVA_S);
    ok(!error, "all have ended");
    nova_sm_destroy(sm);
}

static void sleeper(void *context)
{
    *(int *)context = nova_sleep_until(NOVA_NEVER);
}

static void futex_sleeper(void *context)
{
    uint32_t word = 0;

    *(int *)context = nova_futex_wait(&word, 0, NOVA_NEVER, NOVA_FUTEX_INTERRUPTIBLE);
}

static void interrupt(void)
{
    struct nova_thread *t;
    int result = 0;

    nova_thread_create(&t, sleeper, &result, NULL);
    nova_sleep_until(nova_now() + 5 * NOVA_MS);
    nova_thread_interrupt(t);
    ok(!nova_thread_join(t, nova_now() + NOVA_S) && result == NOVA_ERR_INTERRUPTED,
       "a sleeping thread is interrupted");
    nova_thread_create(&t, futex_sleeper, &result, NULL);
    nova_sleep_until(nova_now() + 5 * NOVA_MS);
    nova_thread_interrupt(t);
    result = 0;
    ok(!nova_thread_join(t, nova_now() + NOVA_S) && result == NOVA_ERR_INTERRUPTED, "a waiting thread, too");
    nova_thread_interrupt(nova_thread_self());
    ok(nova_sleep_until(nova_now() + NOVA_S) == NOVA_ERR_INTERRUPTED,
       "an interruption is kept for the next wait");
}

struct own_stack {
    void *window;
    size_t size;
    uint32_t freed;
};

static void free_stack(void *argument)
{
    struct own_stack *s = argument;

    if (!nova_mem_release(s->window, s->size))
        __atomic_store_n(&s->freed, 1, __ATOMIC_RELEASE);
    nova_futex_wake(&s->freed, 1);
}

static void ends_itself(void *context)
{
    nova_thread_exit_final(free_stack, context);
}

static void final(void)
{
    struct own_stack s[4] = {0};
    struct nova_thread *t;
    int error = 0;

    for (unsigned round = 0; round < 50 && !error; round++) {
        for (unsigned i = 0; i < 4 && !error; i++) {
            s[i] = (struct own_stack){.size = 3 * NOVA_PAGE};
            error = nova_mem_reserve(s[i].size, &s[i].window);
            error =
                error ? error
                      : nova_mem_map((char *)s[i].window + NOVA_PAGE, 2 * NOVA_PAGE, NOVA_MEM_R | NOVA_MEM_W);
            while (!error && (error = nova_thread_create(
                                  &t, ends_itself, &s[i],
                                  &(struct nova_thread_options){.stack = (char *)s[i].window + s[i].size,
                                                                .detached = 1})) == NOVA_ERR_LIMIT)
                error = 0;
        }
        for (unsigned i = 0; i < 4 && !error; i++)
            while (!error && !__atomic_load_n(&s[i].freed, __ATOMIC_ACQUIRE)) {
                error = nova_futex_wait(&s[i].freed, 0, nova_now() + 5 * NOVA_S, 0);
                error = error == NOVA_ERR_BUSY ? 0 : error;
            }
    }
    ok(!error, "threads that free their own stacks: %s", nova_error_text(error));
}

static unsigned serve(void *context, uint64_t *word, unsigned words)
{
    nova_print("# in the handler: word %lu\n", word[0]); /* a call to the log leaves the message alone */
    zero++;
    word[0] = word[0] * 2 + zero + words;
    *(unsigned *)context = nova_thread_cpu();
    return 3;
}

static void portal(void)
{
    static struct nova_portal p;
    struct nova_thread *handler;
    unsigned cpu = 99;
    int n;

    p = (struct nova_portal){.serve = serve, .context = &cpu};
    ok(!nova_handler_create(&handler, nova_thread_cpu(), 0) && !nova_portal_create(&p, handler), "a portal");
    nova_message()[0] = 20;
    n = nova_portal_call(p.sel, 2);
    ok(n == 3 && nova_message()[0] == 43 && cpu == nova_thread_cpu(), "its answer, %d words: %lu", n,
       nova_message()[0]);
    nova_message()[0] = 20;
    nova_portal_call(p.sel, 1);
    ok(nova_message()[0] == 43, "the handler keeps its thread-local variables");
    nova_portal_destroy(&p);
    nova_handler_destroy(handler);
    ok(nova_portal_call(p.sel, 1) == NOVA_ERR_PEER, "a portal that is gone");
}

int nova_main(int argc, char **argv)
{
    ok(argc >= 2 && argv[1][0] == 'x' && !argv[1][1] && !argv[argc], "arguments: %d, %s", argc, argv[0]);
    if (argc == 3) {
        rounds = 0;
        for (const char *c = argv[2]; *c; c++)
            rounds = rounds * 10 + (uint32_t)(*c - '0');
    }
    basic();
    repeat();
    limit();
    interrupt();
    final();
    portal();
    return tap_done();
}
