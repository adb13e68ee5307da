/*
 * Cancellation of a thread that waits, of one that is to wait, of one that only computes, cleanup handlers, robust mutexes.
 * SPDX-License-Identifier: MIT
 */
#include "check.h"
#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
static sem_t ready, forever;
static int cleaned;

static void clean(void *argument)
{
    cleaned += *(int *)argument;
}

static void unlock(void *argument)
{
    pthread_mutex_unlock(argument);
}

static void *wait_semaphore(void *argument)
{
    pthread_cleanup_push(clean, argument);
    sem_post(&ready);
    sem_wait(&forever);
    pthread_cleanup_pop(0);
    return NULL;
}

static void *wait_condition(void *argument)
{
    (void)argument;
    pthread_mutex_lock(&lock);
    pthread_cleanup_push(unlock, &lock);
    sem_post(&ready);
    pthread_cond_wait(&never, &lock);
    pthread_cleanup_pop(0);
    return NULL;
}

static void *wait_time(void *argument)
{
    (void)argument;
    sem_post(&ready);
    sleep(1000);
    return NULL;
}

static void *refuse(void *argument)
{
    int old;

    (void)argument;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    sem_post(&ready);
    usleep(20000);
    pthread_setcancelstate(old, NULL);
    pthread_testcancel();
    return NULL;
}

/* Never enters the C library again. */
static void *compute(void *argument)
{
    volatile double sum = 0;

    pthread_cleanup_push(clean, argument);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    sem_post(&ready);
    for (;;)
        sum += 1;
    pthread_cleanup_pop(0);
    return NULL;
}

static void *cancel(void *argument)
{
    return pthread_cancel(*(pthread_t *)argument) ? NULL : argument;
}

static void *die_with_lock(void *argument)
{
    pthread_mutex_lock(argument);
    return NULL;
}

int main(void)
{
    void *(*functions[])(void *) = {wait_semaphore, wait_condition, wait_time, refuse};
    pthread_mutexattr_t attributes;
    pthread_mutex_t robust;
    pthread_t thread, self;
    void *result;
    int one = 1;

    CHECK(!sem_init(&ready, 0, 0) && !sem_init(&forever, 0, 0));
    for (int round = 0; round < 10; round++) {
        for (unsigned i = 0; i < 4; i++) {
            CHECK(!pthread_create(&thread, NULL, functions[i], &one));
            CHECK(!sem_wait(&ready));
            CHECK(!pthread_cancel(thread));
            CHECK(!pthread_join(thread, &result) && result == PTHREAD_CANCELED);
        }
    }
    CHECK(cleaned == 10);
    for (int round = 0; round < 10; round++) {
        CHECK(!pthread_create(&thread, NULL, compute, &one) && !sem_wait(&ready));
        usleep(round * 1000);
        CHECK(!pthread_cancel(thread) && !pthread_join(thread, &result) && result == PTHREAD_CANCELED);
        CHECK(cleaned == 11 + round);
    }
    CHECK(!pthread_mutex_lock(&lock) && !pthread_mutex_unlock(&lock));

    CHECK(!pthread_mutexattr_init(&attributes) &&
          !pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST));
    CHECK(!pthread_mutex_init(&robust, &attributes));
    CHECK(!pthread_create(&thread, NULL, die_with_lock, &robust) && !pthread_join(thread, NULL));
    CHECK(pthread_mutex_lock(&robust) == EOWNERDEAD);
    CHECK(!pthread_mutex_consistent(&robust) && !pthread_mutex_unlock(&robust));
    CHECK(!pthread_mutex_lock(&robust) && !pthread_mutex_unlock(&robust));
    /* The first thread, which does not permit it. */
    self = pthread_self();
    CHECK(!pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL) &&
          !pthread_create(&thread, NULL, cancel, &self));
    CHECK(!pthread_join(thread, &result) && result == &self);
    return check_end();
}
