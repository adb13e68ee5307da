/*
 * threads: four threads share a queue of jobs, with a mutex and two condition variables. Each has variables
 * of its own (thread-local storage) and hands its result to who joins it. New threads go to the CPUs of the
 * domain in turn.
 *
 * SPDX-License-Identifier: MIT
 */

#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#define WORKERS 4
#define JOBS 1000
#define ROOM 8

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER, not_full = PTHREAD_COND_INITIALIZER;
static int queue[ROOM];
static unsigned head, tail;

static _Thread_local long sum; /* every thread has its own */
static _Thread_local char name[16] = "nobody";

struct worker {
    pthread_t thread;
    int number, cpu, right_name;
};

static void put(int job)
{
    pthread_mutex_lock(&lock);
    while (tail - head == ROOM)
        pthread_cond_wait(&not_full, &lock);
    queue[tail++ % ROOM] = job;
    pthread_cond_signal(&not_empty);
    pthread_mutex_unlock(&lock);
}

static int get(void)
{
    pthread_mutex_lock(&lock);
    while (tail == head)
        pthread_cond_wait(&not_empty, &lock);
    int job = queue[head++ % ROOM];
    pthread_cond_signal(&not_full);
    pthread_mutex_unlock(&lock);
    return job;
}

static void *work(void *argument)
{
    struct worker *self = argument;

    snprintf(name, sizeof(name), "worker %d", self->number);
    self->cpu = sched_getcpu();
    for (int job; (job = get()) > 0;)
        sum += job;
    self->right_name = name[7] == '0' + self->number;
    return (void *)sum;
}

int main(void)
{
    static struct worker worker[WORKERS];
    int cpus = 0, right = 0;
    long total = 0;

    for (int i = 0; i < WORKERS; i++) {
        worker[i].number = i;
        int error = pthread_create(&worker[i].thread, NULL, work, &worker[i]);
        if (error) {
            printf("worker %d: %s\n", i, strerror(error));
            return 1;
        }
    }
    for (int job = 1; job <= JOBS; job++)
        put(job);
    for (int i = 0; i < WORKERS; i++)
        put(0); /* no more work */
    for (int i = 0; i < WORKERS; i++) {
        void *result;
        pthread_join(worker[i].thread, &result);
        total += (long)result;
        cpus |= 1 << worker[i].cpu;
        right += worker[i].right_name;
    }
    printf("sum of 1 to %d: %ld\n", JOBS, total);
    printf("%d workers knew who they are; they ran on %d CPUs\n", right, __builtin_popcount(cpus));
    printf("variables of main itself: %ld, %s\n", sum, name);
    return total != (long)JOBS * (JOBS + 1) / 2;
}
