/*
 * Host tests: locks that spin.
 *
 * SPDX-License-Identifier: MIT
 */

#include <nova/sync.h>
#include <sched.h>

void nova_mutex_lock(struct nova_mutex *mutex)
{
    while (__atomic_exchange_n(&mutex->word, 1, __ATOMIC_ACQUIRE))
        sched_yield();
}

void nova_mutex_unlock(struct nova_mutex *mutex)
{
    __atomic_store_n(&mutex->word, 0, __ATOMIC_RELEASE);
}

void nova_once(struct nova_once *once, void (*function)(void))
{
    static struct nova_mutex lock;

    nova_mutex_lock(&lock);
    if (!once->word)
        function();
    once->word = 2;
    nova_mutex_unlock(&lock);
}
