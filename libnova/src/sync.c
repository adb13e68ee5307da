/*
 * Waiting. A thread that waits for a word is in the queue of a bucket and blocks on its own semaphore, which
 * may have been upped for older reasons: only the state of its entry counts. The entry lies on its stack and
 * is its own again once WOKEN is set.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

#include <nova/cap.h>

#define BUCKETS 8U

struct waiter {
    struct waiter *next;
    uint32_t *word;
    uint64_t sm;
    enum {
        QUEUED, /* protected by the bucket's gate */
        TAKEN,  /* out of the queue, will be woken */
        WOKEN
    } state;
};

static struct bucket {
    struct gate gate;
    struct waiter *first, **last;
} bucket[BUCKETS];

int nova_sync_init(void)
{
    for (unsigned i = 0; i < BUCKETS; i++) {
        struct gate *gate = &bucket[i].gate;
        int error = gate->sm ? NOVA_OK : nova_sm_create(&gate->sm, 0);
        if (error)
            return error;
    }
    return NOVA_OK;
}

void nova_gate_enter(struct gate *gate)
{
    if (__atomic_fetch_add(&gate->count, 1, __ATOMIC_ACQUIRE))
        nova_hc_ctrl_sm(gate->sm, 0, NOVA_SM_DOWN);
}

void nova_gate_leave(struct gate *gate)
{
    if (__atomic_fetch_sub(&gate->count, 1, __ATOMIC_RELEASE) != 1)
        nova_hc_ctrl_sm(gate->sm, 0, NOVA_SM_UP);
}

static struct bucket *bucket_of(const uint32_t *word)
{
    return &bucket[((uintptr_t)word >> 2) * 0x9e3779b97f4a7c15UL >> 61];
}

_Static_assert(BUCKETS == 8, "bucket_of() yields three bits");

/* Takes an entry out of the queue if it is still there. */
static bool dequeue(struct bucket *b, struct waiter *w)
{
    bool queued;

    nova_gate_enter(&b->gate);
    queued = w->state == QUEUED;
    for (struct waiter **at = &b->first; queued && *at; at = &(*at)->next)
        if (*at == w) {
            *at = w->next;
            b->last = w->next ? b->last : at;
            break;
        }
    nova_gate_leave(&b->gate);
    return queued;
}

/* Blocks until woken, or until the deadline or an interruption. */
static int block(struct bucket *b, struct waiter *w, uint64_t ticks, uint32_t *interrupted)
{
    int reason = NOVA_OK;

    for (;;) {
        unsigned status = nova_hc_ctrl_sm(w->sm, reason ? 0 : ticks, NOVA_SM_DOWN);
        if (__atomic_load_n(&w->state, __ATOMIC_ACQUIRE) == WOKEN)
            return NOVA_OK;
        if (reason)
            continue;
        if (status == NOVA_TIMEOUT)
            reason = NOVA_ERR_TIMEOUT;
        else if (interrupted && __atomic_load_n(interrupted, __ATOMIC_ACQUIRE))
            reason = NOVA_ERR_INTERRUPTED;
        if (reason && dequeue(b, w))
            return reason;
    }
}

int nova_futex_wait(uint32_t *word, uint32_t expected, uint64_t deadline, unsigned flags)
{
    struct nova_thread *self = nova_thread_self();
    struct bucket *b = bucket_of(word);
    struct waiter w = {.word = word, .sm = self->sm};
    uint32_t *interrupted = flags & NOVA_FUTEX_INTERRUPTIBLE ? &self->interrupted : NULL;
    int error;

    nova_gate_enter(&b->gate);
    if (__atomic_load_n(word, __ATOMIC_RELAXED) != expected) {
        nova_gate_leave(&b->gate);
        return NOVA_ERR_BUSY;
    }
    if (interrupted && __atomic_load_n(interrupted, __ATOMIC_ACQUIRE)) {
        nova_gate_leave(&b->gate);
        error = NOVA_ERR_INTERRUPTED;
    } else {
        if (!b->first)
            b->last = &b->first;
        *b->last = &w;
        b->last = &w.next;
        nova_gate_leave(&b->gate);
        error = block(b, &w, nova_time_deadline(deadline), interrupted);
    }
    if (error == NOVA_ERR_INTERRUPTED)
        __atomic_store_n(interrupted, 0, __ATOMIC_RELAXED);
    return error;
}

unsigned nova_futex_wake(uint32_t *word, unsigned count)
{
    struct bucket *b = bucket_of(word);
    struct waiter *taken = NULL, **end = &taken, **at = &b->first;
    unsigned n = 0;

    nova_gate_enter(&b->gate);
    while (*at && n < count) {
        struct waiter *w = *at;
        if (w->word != word) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        b->last = w->next ? b->last : at;
        w->state = TAKEN;
        w->next = NULL;
        *end = w;
        end = &w->next;
        n++;
    }
    nova_gate_leave(&b->gate);

    while (taken) {
        struct waiter *w = taken;
        uint64_t sm = w->sm;
        taken = w->next;
        __atomic_store_n(&w->state, WOKEN, __ATOMIC_RELEASE); /* from here on it is gone */
        nova_hc_ctrl_sm(sm, 0, NOVA_SM_UP);
    }
    return n;
}

int nova_mutex_try(struct nova_mutex *mutex)
{
    uint32_t free = 0;

    return __atomic_compare_exchange_n(&mutex->word, &free, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)
               ? NOVA_OK
               : NOVA_ERR_BUSY;
}

int nova_mutex_lock_until(struct nova_mutex *mutex, uint64_t deadline)
{
    if (!nova_mutex_try(mutex))
        return NOVA_OK;
    while (__atomic_exchange_n(&mutex->word, 2, __ATOMIC_ACQUIRE))
        if (nova_futex_wait(&mutex->word, 2, deadline, 0) == NOVA_ERR_TIMEOUT)
            return NOVA_ERR_TIMEOUT;
    return NOVA_OK;
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
    while (__atomic_exchange_n(&mutex->word, 2, __ATOMIC_ACQUIRE)) /* others may be waiting, too */
        nova_futex_wait(&mutex->word, 2, NOVA_NEVER, 0);
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
