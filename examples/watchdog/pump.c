/*
 * pump: an application that has to be alive. Two things look after it.
 *
 * In the domain itself, a guardian thread of higher priority looks whether the work goes on. When it does
 * not, the guardian ends the domain by abort(): root reports it and starts the domain again. This costs
 * nobody but the pump; but a domain that is out of its mind may have lost its guardian as well. So there is
 * the watchdog, a domain of its own, to which the worker gives signs of life.
 *
 * The pump hangs at its tenth stroke. In its second life it has no guardian, to show the watchdog.
 *
 * SPDX-License-Identifier: MIT
 */

#include "watchdog.h"

#include <nova/parent.h>
#include <nova/program.h>
#include <nova/session.h>
#include <nova/thread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static _Atomic unsigned strokes;

static void guard(void *unused)
{
    unsigned before;

    (void)unused;
    do {
        before = atomic_load(&strokes);
        nova_sleep_until(nova_now() + 500 * NOVA_MS);
    } while (atomic_load(&strokes) != before);
    puts("guardian: the pump hangs");
    abort();
}

/* How often root has started this domain again. */
static uint64_t restarts(void)
{
    uint64_t word[5] = {NOVA_PARENT_STATE};

    return nova_parent_call(word, 1, 5) == 0 ? word[4] : 0;
}

static void work(void *watchdog)
{
    for (;;) {
        if (atomic_fetch_add(&strokes, 1) == 9)
            for (;;) /* hangs, and uses all the time it can get */
                __asm__ volatile("pause");
        nova_message()[0] = 1;
        if (nova_session_call(watchdog, 1) < 0)
            abort();
        nova_sleep_until(nova_now() + 20 * NOVA_MS);
    }
}

int main(void)
{
    struct nova_thread *worker, *guardian;
    struct nova_session watchdog;
    uint64_t lives = restarts();

    printf("life %lu\n", lives + 1);
    if (nova_session_open(&watchdog, "watchdog", 0, nova_now() + 5 * NOVA_S) != 0 ||
        nova_thread_create(&worker, work, &watchdog, &(struct nova_thread_options){.priority = 10}) != 0)
        return 1;
    if (lives == 0 && nova_thread_create(&guardian, guard, NULL, NULL) != 0)
        return 1;
    nova_thread_join(worker, NOVA_NEVER);
    return 0;
}
