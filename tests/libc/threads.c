/*
 * Threads: create and join many, thread-local storage, mutexes, condition variables, keys, detached ones.
 * SPDX-License-Identifier: MIT
 */
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <threads.h>
#include <time.h>

static _Thread_local int local = 5;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER, inheriting, *counted = &lock;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_key_t key;
static int counter, stage, destroyed;
static sem_t done;

static void *count(void *argument)
{
    local += (int)(long)argument;
    for (int i = 0; i < 1000; i++) {
        pthread_mutex_lock(counted);
        counter++;
        pthread_mutex_unlock(counted);
    }
    return (void *)(long)local;
}

static void *follow(void *argument)
{
    int mine = (int)(long)argument;

    pthread_mutex_lock(&lock);
    while (stage != mine)
        pthread_cond_wait(&changed, &lock);
    stage++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void destroy(void *value)
{
    destroyed += *(int *)value;
}

static void *keyed(void *argument)
{
    pthread_setspecific(key, argument);
    return NULL;
}

static void *detached(void *argument)
{
    (void)argument;
    sem_post(&done);
    return NULL;
}

static int c11(void *argument)
{
    return *(int *)argument + 1;
}

static void count_in_threads(void)
{
    pthread_t thread[6];
    void *result;

    counter = 0;
    for (long i = 0; i < 6; i++)
        CHECK(!pthread_create(&thread[i], NULL, count, (void *)i));
    for (long i = 0; i < 6; i++)
        CHECK(!pthread_join(thread[i], &result) && (long)result == 5 + i);
    CHECK(counter == 6000 && local == 5);
}

/* Priority inheritance: a lock that knows its owner. */
static void count_with_owner(void)
{
    pthread_mutexattr_t attributes;

    CHECK(!pthread_mutexattr_init(&attributes));
    CHECK(!pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT));
    CHECK(!pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK));
    CHECK(!pthread_mutex_init(&inheriting, &attributes));
    CHECK(pthread_mutex_unlock(&inheriting) == EPERM);
    CHECK(!pthread_mutex_lock(&inheriting) && pthread_mutex_lock(&inheriting) == EDEADLK);
    CHECK(!pthread_mutex_unlock(&inheriting));
    counted = &inheriting;
    count_in_threads();
}

int main(void)
{
    pthread_t thread[6];
    pthread_attr_t attributes;
    struct timespec soon;
    thrd_t other;
    int one = 1;

    count_in_threads();
    count_with_owner();

    for (long i = 0; i < 6; i++)
        CHECK(!pthread_create(&thread[i], NULL, follow, (void *)(5 - i)));
    for (int i = 0; i < 6; i++)
        CHECK(!pthread_join(thread[i], NULL));
    CHECK(stage == 6);

    CHECK(!pthread_key_create(&key, destroy));
    for (int i = 0; i < 300; i++) {
        if (pthread_create(&thread[0], NULL, keyed, &one) || pthread_join(thread[0], NULL)) {
            CHECK(!"create and join");
            break;
        }
    }
    CHECK(destroyed == 300);

    CHECK(!sem_init(&done, 0, 0) && !pthread_attr_init(&attributes));
    CHECK(!pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED));
    for (int i = 0; i < 50; i++)
        while (pthread_create(&thread[0], &attributes, detached, NULL))
            sched_yield();
    for (int i = 0; i < 50; i++)
        CHECK(!sem_wait(&done));

    CHECK(thrd_create(&other, c11, &one) == thrd_success && thrd_join(other, &one) == thrd_success &&
          one == 2);

    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec += 20000000;
    soon.tv_sec += soon.tv_nsec / 1000000000;
    soon.tv_nsec %= 1000000000;
    pthread_mutex_lock(&lock);
    CHECK(pthread_cond_timedwait(&changed, &lock, &soon) == ETIMEDOUT);
    CHECK(pthread_mutex_trylock(&lock) == EBUSY);
    pthread_mutex_unlock(&lock);
    CHECK_ERROR(sem_timedwait(&done, &soon), ETIMEDOUT);
    return check_end();
}
