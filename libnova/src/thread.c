/*
 * Threads. Their structures are an array with one entry for each UTCB; an entry keeps its semaphores for the
 * next thread. Stacks of the usual size are kept as well, a few of them.
 *
 * A thread ends on registers alone: it marks its entry, ups the semaphore of its end and waits for ever, so
 * whoever has seen that semaphore can free its stack. Then its capabilities are dropped and root is told.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

#include <nova/cap.h>
#include <nova/mem.h>

#define STACKS_KEPT 4U
#define USUAL_SIZE (NOVA_STACK_SIZE + NOVA_PAGE)

static struct nova_mutex lock; /* of the following, and of which slots are free */
static struct nova_thread *slots;
static unsigned slot_count;
static void *kept[STACKS_KEPT];
static unsigned kept_count;

/* What is needed before there is a second thread. */
static int init(void)
{
    unsigned count = nova_info()->threads;
    void *memory;
    int error;

    if (slots)
        return NOVA_OK;
    error = nova_sync_init();
    if (error)
        return error;
    count = count < NOVA_UTCB_SLOTS ? count : NOVA_UTCB_SLOTS;
    error = nova_mem_alloc((count * sizeof(*slots) + NOVA_PAGE - 1) & ~(NOVA_PAGE - 1), &memory);
    if (!error) {
        slots = memory;
        slot_count = count;
    }
    return error;
}

/* A free slot; the first one belongs to the first thread. */
static int slot_take(struct nova_thread **thread)
{
    int error;

    nova_mutex_lock(&lock);
    error = init();
    for (unsigned i = 1; !error && i < slot_count; i++)
        if (slots[i].state == SLOT_FREE) {
            slots[i].state = SLOT_USED;
            slots[i].slot = i;
            *thread = &slots[i];
            nova_mutex_unlock(&lock);
            return NOVA_OK;
        }
    nova_mutex_unlock(&lock);
    return error ? error : NOVA_ERR_LIMIT;
}

static void slot_give(struct nova_thread *t)
{
    __atomic_store_n(&t->state, SLOT_FREE, __ATOMIC_RELEASE);
}

/* Selectors and semaphores of a slot, which it keeps. */
static int slot_equip(struct nova_thread *t)
{
    int error;

    if (t->sm)
        return NOVA_OK;
    t->sel = t->sel ? t->sel : nova_cap_alloc(4, 4);
    if (!t->sel)
        return NOVA_ERR_LIMIT;
    error = create_error(nova_hc_create_sm(t->sel + 2, NOVA_SEL_PD, 0));
    if (!error)
        error = create_error(nova_hc_create_sm(t->sel + 3, NOVA_SEL_PD, 0));
    if (error)
        nova_cap_drop(t->sel + 2, 2);
    else
        t->sm = t->sel + 2;
    return error;
}

static int stack_take(struct nova_thread *t, size_t size)
{
    size_t window = ((size ? size : NOVA_STACK_SIZE) + 2 * NOVA_PAGE - 1) & ~(NOVA_PAGE - 1);
    void *stack = NULL;
    int error;

    if (window < size)
        return NOVA_ERR_INVAL;
    if (window == USUAL_SIZE) {
        nova_mutex_lock(&lock);
        stack = kept_count ? kept[--kept_count] : NULL;
        nova_mutex_unlock(&lock);
    }
    if (!stack) {
        error = nova_mem_reserve(window, &stack);
        if (error)
            return error;
        error = nova_mem_map((char *)stack + NOVA_PAGE, window - NOVA_PAGE, NOVA_MEM_R | NOVA_MEM_W);
        if (error) {
            nova_mem_release(stack, window);
            return error;
        }
    }
    t->stack = stack;
    t->stack_size = window;
    return NOVA_OK;
}

static void stack_give(struct nova_thread *t)
{
    void *stack = t->stack;

    t->stack = NULL;
    if (stack && t->stack_size == USUAL_SIZE) {
        nova_mutex_lock(&lock);
        if (kept_count < STACKS_KEPT) {
            kept[kept_count++] = stack;
            stack = NULL;
        }
        nova_mutex_unlock(&lock);
    }
    if (stack)
        nova_mem_release(stack, t->stack_size);
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

int nova_thread_make(struct nova_thread **thread, void (*entry)(void *), void *context,
                     const struct nova_thread_options *options, unsigned flags)
{
    uint64_t word[9] = {NOVA_PARENT_THREAD};
    struct nova_thread *t;
    int error;

    nova_thread_reap();
    error = slot_take(&t);
    if (error)
        return error;
    error = slot_equip(t);
    if (!error && !options->stack)
        error = stack_take(t, options->stack_size);
    if (error) {
        slot_give(t);
        return error;
    }
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

    word[1] = t->cpu;
    word[2] = t->slot;
    word[3] = flags & NOVA_THREAD_LOCAL ? t->sp : t->sp + 8;
    word[4] = (uint64_t)nova_thread_entry;
    word[5] = flags | (nova_info()->flags & NOVA_DOMAIN_FPU ? NOVA_THREAD_FPU : 0);
    word[6] = options->priority;
    word[7] = options->budget_ms;
    word[8] = t->sel;
    error = nova_parent_call(word, 9, 1);
    if (error) {
        stack_give(t);
        slot_give(t);
    }
    return error;
}

void nova_thread_free(struct nova_thread *thread)
{
    uint64_t word[1] = {NOVA_PARENT_THREAD_ENDED};

    nova_cap_drop(thread->sel, 2);
    nova_parent_call(word, 1, 1);
    stack_give(thread);
    slot_give(thread);
}

int nova_thread_create(struct nova_thread **thread, void (*entry)(void *), void *context,
                       const struct nova_thread_options *options)
{
    static const struct nova_thread_options usual;

    return nova_thread_make(thread, entry, context, options ? options : &usual, 0);
}

int nova_thread_join(struct nova_thread *thread, uint64_t deadline)
{
    if (nova_sm_down(thread->sm + 1, deadline))
        return NOVA_ERR_TIMEOUT;
    nova_thread_free(thread);
    return NOVA_OK;
}

void nova_thread_detach(struct nova_thread *thread)
{
    __atomic_fetch_or(&thread->state, SLOT_DETACHED, __ATOMIC_RELEASE);
}

void nova_thread_reap(void)
{
    for (unsigned i = 1; i < slot_count; i++) {
        uint32_t state = SLOT_USED | SLOT_DETACHED | SLOT_ENDED;
        if (__atomic_load_n(&slots[i].state, __ATOMIC_RELAXED) != state ||
            !__atomic_compare_exchange_n(&slots[i].state, &state, SLOT_USED, 0, __ATOMIC_ACQUIRE,
                                         __ATOMIC_RELAXED))
            continue;
        nova_sm_down(slots[i].sm + 1, NOVA_NEVER); /* its last instructions but one are still to come, at most
                                                      */
        nova_thread_free(&slots[i]);
    }
}

void nova_thread_interrupt(struct nova_thread *thread)
{
    __atomic_store_n(&thread->interrupted, 1, __ATOMIC_RELEASE);
    nova_hc_ctrl_sm(thread->sm, 0, NOVA_SM_UP);
}
