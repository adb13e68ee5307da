/*
 * Threads. Their structures are an array with one slot for each UTCB; a slot keeps its semaphores for the
 * next thread. The first slots keep stacks of the usual size as well.
 *
 * A thread ends on registers alone: it marks its entry, ups the semaphore of its end and waits for ever, so
 * whoever has seen that semaphore can free its stack. Then its capabilities are dropped and root is told.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

#include <nova/mem.h>

#define STACKS_KEPT 4U
#define USUAL_SIZE (NOVA_STACK_SIZE + NOVA_PAGE)

static struct nova_mutex lock; /* of slots that are free */
static struct nova_thread *slots;
static unsigned slot_count;

/* A free slot with selectors and semaphores, which it keeps; the first one belongs to the first thread. */
static int slot_take(struct nova_thread **thread)
{
    uint32_t count = nova_info()->threads, i = 1;
    int error = NOVA_OK;

    nova_mutex_lock(&lock);
    if (!slots)
        error = nova_mem_alloc(round_up(count * sizeof(*slots), NOVA_PAGE), (void **)&slots);
    slot_count = error ? 0 : count;
    while (i < slot_count && slots[i].state != SLOT_FREE)
        i++;
    if (!error && i == slot_count)
        error = NOVA_ERR_LIMIT;
    if (!error && !slots[i].sel)
        error = nova_sm_block(&slots[i].sel, 4, 0xc, 0);
    if (!error) {
        *thread = &slots[i];
        slots[i].sm = slots[i].sel + 2;
        slots[i].slot = i;
        slots[i].state = SLOT_USED;
    }
    nova_mutex_unlock(&lock);
    return error;
}

static void stack_give(struct nova_thread *t)
{
    if (t->stack)
        nova_mem_release(t->stack, t->stack_size);
    t->stack = NULL;
}

static void slot_give(struct nova_thread *t)
{
    if (t->slot > STACKS_KEPT || t->stack_size != USUAL_SIZE)
        stack_give(t);
    __atomic_store_n(&t->state, SLOT_FREE, __ATOMIC_RELEASE);
}

static int stack_take(struct nova_thread *t, size_t size)
{
    size_t window = round_up((size ? size : NOVA_STACK_SIZE) + NOVA_PAGE, NOVA_PAGE);
    int error;

    if (window < size)
        return NOVA_ERR_INVAL;
    if (t->stack && t->stack_size == window)
        return NOVA_OK;
    stack_give(t);
    t->stack_size = window;
    error = nova_mem_reserve(window, &t->stack);
    if (!error)
        error = nova_mem_map((char *)t->stack + NOVA_PAGE, window - NOVA_PAGE, NOVA_MEM_R | NOVA_MEM_W);
    if (error)
        stack_give(t);
    return error;
}

/*
 * Thread-local storage, and at the top of the stack the address of the structure, twice: a local thread finds
 * it at RSP each time, a global one, which starts 8 bytes higher, pops it; either way RSP is a multiple of 16
 * then.
 */
static void stack_prepare(struct nova_thread *t, const struct nova_thread_options *options)
{
    uint64_t top = options->stack ? (uint64_t)options->stack : (uint64_t)t->stack + t->stack_size;

    t->fs = options->stack ? options->fs : 0;
    if (!t->fs) {
        top = (top - nova_tls.size) & ~63UL;
        t->fs = nova_tls.init((void *)top);
    }
    t->sp = (top & ~15UL) - 16;
    ((struct nova_thread **)t->sp)[0] = t;
    ((struct nova_thread **)t->sp)[1] = t;
}

/* Asks root for the kernel's part of a thread. */
static int launch(const struct nova_thread *t, const struct nova_thread_options *options, unsigned flags)
{
    unsigned fpu = nova_info()->flags & NOVA_DOMAIN_FPU && !(flags & THREAD_PLAIN) ? NOVA_THREAD_FPU : 0;
    uint64_t sp = flags & NOVA_THREAD_LOCAL ? t->sp : t->sp + 8, entry = (uint64_t)nova_thread_entry;

    return nova_parent(NOVA_PARENT_THREAD, t->cpu, t->slot, sp, entry, (flags & ~THREAD_PLAIN) | fpu,
                       options->priority, options->budget_ms, t->sel);
}

void nova_thread_free(struct nova_thread *thread)
{
    nova_parent(NOVA_PARENT_THREAD_ENDED, thread->sel);
    slot_give(thread);
}

/* Frees threads that nobody joins and that have ended. */
static void reap(void)
{
    for (unsigned i = 1; i < slot_count; i++) {
        uint32_t state = SLOT_USED | SLOT_DETACHED | SLOT_ENDED;
        if (!__atomic_compare_exchange_n(&slots[i].state, &state, SLOT_USED, false, __ATOMIC_ACQUIRE,
                                         __ATOMIC_RELAXED))
            continue;
        nova_sm_down(slots[i].sm + SM_END, NOVA_NEVER); /* its last instructions are still to come, at most */
        nova_thread_free(&slots[i]);
    }
}

int nova_thread_make(struct nova_thread **thread, void (*entry)(void *), void *context,
                     const struct nova_thread_options *options, unsigned flags)
{
    struct nova_thread *t;
    int error;

    reap();
    error = slot_take(&t);
    if (error)
        return error;
    if (!options->stack)
        error = stack_take(t, options->stack_size);
    if (!error) {
        t->self = t;
        t->utcb = (union nova_utcb *)(NOVA_UTCB_ADDR + t->slot * NOVA_PAGE);
        t->entry = entry;
        t->context = context;
        t->cpu = options->cpu ? options->cpu - 1 : nova_thread_cpu();
        t->ready = 0;
        t->interrupted = 0;
        t->state = options->detached ? SLOT_USED | SLOT_DETACHED : SLOT_USED;
        stack_prepare(t, options);
        *thread = t;
        error = launch(t, options, flags);
    }
    if (error)
        slot_give(t);
    return error;
}

int nova_thread_create(struct nova_thread **thread, void (*entry)(void *), void *context,
                       const struct nova_thread_options *options)
{
    static const struct nova_thread_options usual;

    return nova_thread_make(thread, entry, context, options ? options : &usual, 0);
}

int nova_thread_join(struct nova_thread *thread, uint64_t deadline)
{
    if (nova_sm_down(thread->sm + SM_END, deadline))
        return NOVA_ERR_TIMEOUT;
    nova_thread_free(thread);
    return NOVA_OK;
}

void nova_thread_interrupt(struct nova_thread *thread)
{
    __atomic_store_n(&thread->interrupted, 1, __ATOMIC_RELEASE);
    nova_hc_ctrl_sm(thread->sm, 0, NOVA_SM_UP);
}
