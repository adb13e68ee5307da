/*
 * Grace periods. Each CPU works on its own batches; the only thing that it reads of others is whether
 * they are idle and how often they have been interrupted in user mode.
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/grace.h"

#include "core/cpu.h"
#include "x86/asm.h"
#include "x86/clock.h"

/* A batch is closed when it has this many objects or is this old. */
#define BATCH_SIZE 64
#define BATCH_MS 2

/* ECs and SCs are destroyed on their own CPU; others may be anywhere. */
static struct cpu *home_of(const struct object *object)
{
    if (object->type == OBJECT_EC)
        return ((const struct ec *)object)->cpu;
    return object->type == OBJECT_SC ? ((const struct sc *)object)->cpu : 0;
}

void grace_retire(struct object *object)
{
    struct cpu *cpu = cpu_self();

    object->next = cpu->grace.open;
    cpu->grace.open = object;
    cpu->grace.count++;
    cpu->hazard |= HAZARD_GRACE;
}

static void hand_over(struct cpu *home, struct object *object)
{
    object->next = __atomic_load_n(&home->orphans, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&home->orphans, &object->next, object, true, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED)) {
    }
    cpu_ask(home);
}

static void destroy_list(struct cpu *cpu, struct object **head)
{
    struct object *list = __atomic_exchange_n(head, 0, __ATOMIC_ACQUIRE);

    while (list) {
        struct object *object = list;
        struct cpu *home = home_of(object);
        list = object->next;
        if (home && home != cpu)
            hand_over(home, object);
        else
            object_destroy(object);
    }
}

/* Are all other CPUs idle, or, if `seen` is not null, have left the kernel since these counters were read? */
static bool others_passed(const struct cpu *cpu, const uint32_t *seen)
{
    for (unsigned i = 0; i < cpu_count; i++) {
        const struct cpu *other = cpu_of(i);
        if (other != cpu && !__atomic_load_n(&other->idle, __ATOMIC_ACQUIRE) &&
            !(seen && __atomic_load_n(&other->quiescent, __ATOMIC_ACQUIRE) != seen[i]))
            return false;
    }
    return true;
}

static void close_batch(struct cpu *cpu)
{
    struct grace *g = &cpu->grace;

    g->closed = g->open;
    g->open = 0;
    g->count = 0;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < cpu_count; i++) {
        struct cpu *other = cpu_of(i);
        g->seen[i] = __atomic_load_n(&other->quiescent, __ATOMIC_ACQUIRE);
        if (other != cpu && !__atomic_load_n(&other->idle, __ATOMIC_ACQUIRE))
            cpu_ask(other);
    }
}

/* Objects destroyed here may drop further ones, which start the next batch. */
void grace_run(struct cpu *cpu)
{
    struct grace *g = &cpu->grace;
    uint64_t now = clock_now();

    destroy_list(cpu, &cpu->orphans);
    for (;;) {
        if (g->open && !g->closed && (g->count >= BATCH_SIZE || now >= g->deadline || others_passed(cpu, 0)))
            close_batch(cpu);
        if (!g->closed || !others_passed(cpu, g->seen))
            break;
        destroy_list(cpu, &g->closed);
    }

    if (!g->open && !g->closed)
        g->deadline = UINT64_MAX;
    else if (g->deadline == UINT64_MAX || g->deadline <= now)
        g->deadline = now + clock_ticks(BATCH_MS);
    sc_timer(cpu);
}

void grace_flush(struct cpu *cpu)
{
    struct grace *g = &cpu->grace;

    while (g->open || g->closed) {
        if (!g->closed)
            close_batch(cpu);
        /* This CPU uses nothing that was looked up either: no CPU that waits likewise must wait for it. */
        __atomic_store_n(&cpu->idle, true, __ATOMIC_RELEASE);
        while (!others_passed(cpu, g->seen)) {
            cpu_serve(cpu);
            cpu_relax();
        }
        __atomic_store_n(&cpu->idle, false, __ATOMIC_SEQ_CST);
        /* For who saw it idle, and does not interrupt it; so who has read the new count must not. */
        __atomic_store_n(&cpu->quiescent, cpu->quiescent + 1, __ATOMIC_RELEASE);
        destroy_list(cpu, &g->closed);
    }
}
