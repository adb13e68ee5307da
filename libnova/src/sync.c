/*
 * Waiting. A thread that waits for a word is in a queue and blocks on its own semaphore, which
 * may have been upped for older reasons: only its entry counts. The entry lies on its stack and is its own
 * again once it is marked as woken, or has been taken out by itself.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

struct waiter {
    struct waiter *next;
    uint32_t *word;
    uint64_t sm;
    bool woken; /* out of the queue; written by who has the gate */
};

/* One queue for all words: there are as many waiters as threads, at most. */
static struct waiter *first;
static uint32_t inside; /* who has the gate or waits for it */

/* A lock that never spins: the holder may have a lower priority. */
static void enter(void)
{
    if (__atomic_fetch_add(&inside, 1, __ATOMIC_ACQUIRE))
        nova_hc_ctrl_sm(nova_first_thread.sm + SM_GATE, 0, NOVA_SM_DOWN);
}

static void leave(void)
{
    if (__atomic_fetch_sub(&inside, 1, __ATOMIC_RELEASE) != 1)
        nova_hc_ctrl_sm(nova_first_thread.sm + SM_GATE, 0, NOVA_SM_UP);
}

/* Where an entry is in the queue, or its end. */
static struct waiter **find(const struct waiter *w)
{
    struct waiter **at = &first;

    while (*at && *at != w)
        at = &(*at)->next;
    return at;
}

/* Takes an entry out of the queue if it is still there. */
static bool give_up(struct waiter *w)
{
    struct waiter **at;
    bool queued;

    enter();
    at = find(w);
    queued = *at;
    if (queued)
        *at = w->next;
    leave();
    return queued;
}

/* Blocks until woken, or until the deadline or an interruption. */
static int block(struct waiter *w, uint64_t ticks, uint32_t *interrupted)
{
    while (!__atomic_load_n(&w->woken, __ATOMIC_ACQUIRE)) {
        unsigned status = nova_hc_ctrl_sm(w->sm, ticks, NOVA_SM_DOWN);
        int reason = status == NOVA_TIMEOUT ? NOVA_ERR_TIMEOUT : NOVA_OK;
        if (!reason && interrupted && __atomic_load_n(interrupted, __ATOMIC_ACQUIRE))
            reason = NOVA_ERR_INTERRUPTED;
        if (reason && give_up(w))
            return reason;
    }
    return NOVA_OK;
}

int nova_futex_wait(uint32_t *word, uint32_t expected, uint64_t deadline, unsigned flags)
{
    struct nova_thread *self = nova_thread_self();
    struct waiter w = {.word = word, .sm = self->sm};
    uint32_t *interrupted = flags & NOVA_FUTEX_INTERRUPTIBLE ? &self->interrupted : NULL;
    int error = NOVA_OK;

    enter();
    if (__atomic_load_n(word, __ATOMIC_RELAXED) != expected)
        error = NOVA_ERR_BUSY;
    else if (interrupted && __atomic_load_n(interrupted, __ATOMIC_ACQUIRE))
        error = NOVA_ERR_INTERRUPTED;
    if (!error)
        *find(NULL) = &w;
    leave();
    if (!error)
        error = block(&w, nova_time_deadline(deadline), interrupted);
    if (error == NOVA_ERR_INTERRUPTED)
        __atomic_store_n(interrupted, 0, __ATOMIC_RELAXED);
    return error;
}

unsigned nova_futex_wake(uint32_t *word, unsigned count)
{
    struct waiter **at = &first, *w;
    unsigned n = 0;

    enter();
    while ((w = *at) && n < count) {
        uint64_t sm = w->sm;
        if (w->word != word) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        __atomic_store_n(&w->woken, true, __ATOMIC_RELEASE); /* from here on it is gone */
        nova_hc_ctrl_sm(sm, 0, NOVA_SM_UP);
        n++;
    }
    leave();
    return n;
}

int nova_mutex_try(struct nova_mutex *mutex)
{
    uint32_t free = 0;

    if (__atomic_compare_exchange_n(&mutex->word, &free, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return NOVA_OK;
    return NOVA_ERR_BUSY;
}

/* Locks as somebody who has waited: others may be waiting, too. */
static int lock_slowly(struct nova_mutex *mutex, uint64_t deadline)
{
    while (__atomic_exchange_n(&mutex->word, 2, __ATOMIC_ACQUIRE))
        if (nova_futex_wait(&mutex->word, 2, deadline, 0) == NOVA_ERR_TIMEOUT)
            return NOVA_ERR_TIMEOUT;
    return NOVA_OK;
}

int nova_mutex_lock_until(struct nova_mutex *mutex, uint64_t deadline)
{
    return nova_mutex_try(mutex) ? lock_slowly(mutex, deadline) : NOVA_OK;
}

void nova_mutex_lock(struct nova_mutex *mutex)
{
    nova_mutex_lock_until(mutex, NOVA_NEVER);
}

void nova_mutex_unlock(struct nova_mutex *mutex)
{
    if (__atomic_exchange_n(&mutex->word, 0, __ATOMIC_RELEASE) == 2)
        nova_futex_wake(&mutex->word, 1);
}

int nova_cond_wait(struct nova_cond *cond, struct nova_mutex *mutex, uint64_t deadline)
{
    uint32_t sequence = __atomic_load_n(&cond->sequence, __ATOMIC_RELAXED);
    int error;

    nova_mutex_unlock(mutex);
    error = nova_futex_wait(&cond->sequence, sequence, deadline, 0);
    lock_slowly(mutex, NOVA_NEVER);
    return error == NOVA_ERR_TIMEOUT ? error : NOVA_OK;
}

void nova_cond_signal(struct nova_cond *cond)
{
    __atomic_fetch_add(&cond->sequence, 1, __ATOMIC_RELEASE);
    nova_futex_wake(&cond->sequence, 1);
}

void nova_cond_broadcast(struct nova_cond *cond)
{
    __atomic_fetch_add(&cond->sequence, 1, __ATOMIC_RELEASE);
    nova_futex_wake(&cond->sequence, UINT32_MAX);
}

void nova_once(struct nova_once *once, void (*function)(void))
{
    uint32_t word = 0;

    if (__atomic_load_n(&once->word, __ATOMIC_ACQUIRE) == 2)
        return;
    if (__atomic_compare_exchange_n(&once->word, &word, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
        function();
        __atomic_store_n(&once->word, 2, __ATOMIC_RELEASE);
        nova_futex_wake(&once->word, UINT32_MAX);
    }
    while (__atomic_load_n(&once->word, __ATOMIC_ACQUIRE) != 2)
        nova_futex_wait(&once->word, 1, NOVA_NEVER, 0);
}
