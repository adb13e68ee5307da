/*
 * Mutexes, condition variables, once, semaphores, time; with threads on all CPUs and of two priorities.
 *
 * SPDX-License-Identifier: MIT
 */

#include "tap.h"

#include <nova/error.h>
#include <nova/program.h>
#include <nova/sync.h>
#include <nova/thread.h>

#define WORKERS 6U
#define ROUNDS 3000U

static struct nova_mutex mutex;
static struct nova_cond changed;
static struct nova_once once;
static uint64_t shared;
static uint32_t once_runs, stage, arrived;

/* CPUs in turn. */
static unsigned cpu_number(unsigned n)
{
    uint64_t cpus = nova_info()->cpus;

    while (n--)
        cpus = cpus & (cpus - 1) ? cpus & (cpus - 1) : nova_info()->cpus;
    return (unsigned)__builtin_ctzl(cpus);
}

/* Runs a function in WORKERS threads on all CPUs, the even ones with lower priority. */
static int together(void (*function)(void *))
{
    struct nova_thread *t[WORKERS];
    unsigned n;
    int error = 0;

    for (n = 0; n < WORKERS && !error; n++)
        error =
            nova_thread_create(&t[n], function, (void *)(uintptr_t)n,
                               &(struct nova_thread_options){.cpu = NOVA_ON_CPU(cpu_number(n)),
                                                             .priority = nova_info()->priority - (n & 1)});
    n -= error != 0;
    while (n)
        error |= nova_thread_join(t[--n], nova_now() + 60 * NOVA_S);
    return error;
}

static void increment(void *context)
{
    (void)context;
    for (unsigned i = 0; i < ROUNDS; i++) {
        nova_mutex_lock(&mutex);
        uint64_t value = *(volatile uint64_t *)&shared;
        if (i % 64 == 0)
            for (unsigned k = 0; k < 200; k++)
                __builtin_ia32_pause();
        *(volatile uint64_t *)&shared = value + 1;
        nova_mutex_unlock(&mutex);
    }
}

static void run_once(void)
{
    nova_sleep_until(nova_now() + 5 * NOVA_MS);
    once_runs++;
}

static void call_once(void *context)
{
    (void)context;
    nova_once(&once, run_once);
    if (once_runs != 1)
        once_runs += 100;
}

/* All arrive, then all go on, many times. */
static void barrier(void *context)
{
    (void)context;
    for (unsigned round = 0; round < 300; round++) {
        nova_mutex_lock(&mutex);
        if (++arrived == WORKERS) {
            arrived = 0;
            stage++;
            nova_cond_broadcast(&changed);
        } else {
            while (stage == round)
                nova_cond_wait(&changed, &mutex, NOVA_NEVER);
        }
        nova_mutex_unlock(&mutex);
    }
}

static void signal_later(void *context)
{
    nova_sleep_until(nova_now() + 5 * NOVA_MS);
    nova_mutex_lock(&mutex);
    stage = 1;
    nova_cond_signal(&changed);
    nova_mutex_unlock(&mutex);
    nova_sm_up(*(uint64_t *)context);
}

static void times(void)
{
    uint64_t begin = nova_now(), end;
    int64_t wall = nova_wall_clock();

    ok(!nova_sleep_until(begin + 10 * NOVA_MS), "sleep");
    end = nova_now();
    ok(end >= begin + 10 * NOVA_MS && end < begin + 5 * NOVA_S, "for 10 ms: %lu us", (end - begin) / 1000);
    ok(wall > 1577836800L * (int64_t)NOVA_S && wall < 4102444800L * (int64_t)NOVA_S,
       "the year is between 2020 and 2100");
    ok(!nova_sleep_until(0) && nova_now() < end + NOVA_S, "a deadline in the past does not wait");
}

static void semaphores(void)
{
    struct nova_thread *t;
    uint64_t sm, now;

    ok(!nova_sm_create(&sm, 2), "semaphore");
    ok(!nova_sm_down(sm, 0) && !nova_sm_down(sm, 0) && nova_sm_down(sm, 0) == NOVA_ERR_TIMEOUT,
       "counts down to 0");
    nova_sm_up(sm);
    nova_sm_up(sm);
    ok(!nova_sm_drain(sm, 0) && nova_sm_down(sm, 0) == NOVA_ERR_TIMEOUT, "is drained at once");
    now = nova_now();
    ok(nova_sm_down(sm, now + 5 * NOVA_MS) == NOVA_ERR_TIMEOUT && nova_now() >= now + 5 * NOVA_MS,
       "deadline");
    stage = 0;
    nova_mutex_lock(&mutex);
    ok(nova_cond_wait(&changed, &mutex, nova_now() + 3 * NOVA_MS) == NOVA_ERR_TIMEOUT, "nobody signals");
    ok(nova_mutex_try(&mutex) == NOVA_ERR_BUSY, "and the mutex is locked again");
    nova_thread_create(&t, signal_later, &sm, NULL);
    while (!stage)
        nova_cond_wait(&changed, &mutex, NOVA_NEVER);
    nova_mutex_unlock(&mutex);
    ok(!nova_sm_down(sm, nova_now() + NOVA_S), "a signal, and an up from another thread");
    nova_thread_join(t, NOVA_NEVER);
    nova_sm_destroy(sm);
    ok(nova_sm_up(sm) == NOVA_ERR_INVAL, "a semaphore that is gone");
}

static void hold(void *context)
{
    nova_mutex_lock(&mutex);
    nova_sm_up(*(uint64_t *)context);
    nova_sleep_until(nova_now() + 30 * NOVA_MS);
    nova_mutex_unlock(&mutex);
}

static void deadlines(void)
{
    struct nova_thread *t;
    uint32_t word = 7;
    uint64_t sm;

    nova_sm_create(&sm, 0);
    nova_thread_create(&t, hold, &sm, NULL);
    nova_sm_down(sm, NOVA_NEVER);
    ok(nova_mutex_lock_until(&mutex, nova_now() + 3 * NOVA_MS) == NOVA_ERR_TIMEOUT, "a mutex that is held");
    ok(!nova_mutex_lock_until(&mutex, nova_now() + 10 * NOVA_S), "and released");
    nova_mutex_unlock(&mutex);
    nova_thread_join(t, NOVA_NEVER);
    nova_sm_destroy(sm);
    ok(nova_futex_wait(&word, 8, NOVA_NEVER, 0) == NOVA_ERR_BUSY, "a word with another value");
    ok(nova_futex_wait(&word, 7, nova_now() + NOVA_MS, 0) == NOVA_ERR_TIMEOUT, "a word that nobody wakes");
    ok(nova_futex_wake(&word, 5) == 0, "nobody to wake");
}

int nova_main(int argc, char **argv)
{
    int error;

    (void)argc;
    (void)argv;
    times();
    semaphores();
    deadlines();
    error = together(increment);
    ok(!error && shared == WORKERS * ROUNDS, "a mutex protects: %lu of %u", shared, WORKERS * ROUNDS);
    ok(!together(call_once) && once_runs == 1, "once");
    stage = 0;
    error = together(barrier);
    ok(!error && stage == 300, "a barrier, %u times", stage);
    return tap_done();
}
