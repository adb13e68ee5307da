/* Clocks go on, sleep takes its time, calendars are right. SPDX-License-Identifier: MIT */
#include "check.h"
#include <pthread.h>
#include <sys/time.h>
#include <time.h>

static double seconds(clockid_t clock)
{
    struct timespec t = {0};

    CHECK(!clock_gettime(clock, &t) && t.tv_nsec >= 0 && t.tv_nsec < 1000000000);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Uses up some time, and says what the program has had by then. */
static void *work(void *used)
{
    while (seconds(CLOCK_THREAD_CPUTIME_ID) < 0.05) {
    }
    *(double *)used = seconds(CLOCK_PROCESS_CPUTIME_ID);
    return NULL;
}

/* The time of threads that have ended was used all the same. */
static void ends(void)
{
    pthread_t thread;
    double used = 0;

    for (int i = 0; i < 3; i++) {
        double before = used;

        CHECK(!pthread_create(&thread, NULL, work, &used) && !pthread_join(thread, NULL));
        CHECK(used - before >= 0.05 && seconds(CLOCK_PROCESS_CPUTIME_ID) >= used);
    }
}

int main(void)
{
    struct timespec request = {.tv_nsec = 30000000};
    struct timespec then;
    struct timeval now;
    struct tm tm = {0};
    double before = seconds(CLOCK_MONOTONIC);
    double last = before;
    time_t when = 1700000000;
    char text[40];

    for (int i = 0; i < 10000; i++) {
        double current = seconds(CLOCK_MONOTONIC);

        CHECK(current >= last || (i = 10000, 0));
        last = current;
    }
    CHECK(!nanosleep(&request, NULL));
    CHECK(seconds(CLOCK_MONOTONIC) - before >= 0.03);
    clock_gettime(CLOCK_MONOTONIC, &then);
    then.tv_nsec += 10000000;
    then.tv_sec += then.tv_nsec / 1000000000;
    then.tv_nsec %= 1000000000;
    CHECK(!clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &then, NULL));
    CHECK(seconds(CLOCK_MONOTONIC) >= (double)then.tv_sec + (double)then.tv_nsec / 1e9);
    CHECK(clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = 1000000000}, NULL) == EINVAL);
    CHECK(!gettimeofday(&now, NULL) && now.tv_sec > 1500000000 && now.tv_usec < 1000000);
    CHECK(time(NULL) - now.tv_sec <= 2);
    CHECK(seconds(CLOCK_THREAD_CPUTIME_ID) > 0 && clock() != (clock_t)-1);
    CHECK_ERROR(clock_gettime(77, &then), EINVAL);
    CHECK(gmtime_r(&when, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm) == 19);
    CHECK(!strcmp(text, "2023-11-14 22:13:20") && timegm(&tm) == when);
    ends();
    return check_end();
}
