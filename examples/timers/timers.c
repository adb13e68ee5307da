/*
 * timers: a periodic task that does not drift, a wait with a deadline, and what time it is. All deadlines
 * are absolute: a late wake-up does not delay the next one.
 *
 * SPDX-License-Identifier: MIT
 */

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MS 1000000L

static struct timespec later(struct timespec t, long ns)
{
    t.tv_nsec += ns;
    t.tv_sec += t.tv_nsec / (1000 * MS);
    t.tv_nsec %= 1000 * MS;
    return t;
}

static long ns_between(struct timespec from, struct timespec to)
{
    return (to.tv_sec - from.tv_sec) * 1000 * MS + to.tv_nsec - from.tv_nsec;
}

int main(void)
{
    struct timespec begin, next, now;
    long early = 0;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    next = begin;
    for (int tick = 1; tick <= 10; tick++) {
        next = later(next, 20 * MS);
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
        early += ns_between(next, now) < 0;
    }
    printf("10 ticks of 20 ms took %s 200 ms, %ld were early\n",
           ns_between(begin, now) >= 200 * MS ? "at least" : "less than", early);

    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    clock_gettime(CLOCK_REALTIME, &next);
    next = later(next, 50 * MS);
    pthread_mutex_lock(&lock);
    int error = pthread_cond_timedwait(&never, &lock, &next);
    pthread_mutex_unlock(&lock);
    printf("waiting for what does not come: %s\n", error == ETIMEDOUT ? "timed out" : strerror(error));

    time_t wall = time(NULL);
    printf("the year is %s\n", gmtime(&wall)->tm_year + 1900 >= 2024 ? "plausible" : "wrong");
    return early != 0;
}
