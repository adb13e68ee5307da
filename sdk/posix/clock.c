/*
 * Clocks and sleep: the time stamp counter, and the wall clock as it was at boot. Nobody sets them.
 *
 * SPDX-License-Identifier: MIT
 */

#include "posix.h"
#include <nova/hypercall.h>
#include <sys/time.h>
#include <sys/times.h>

const char nova_link_time __attribute__((used)) = 0;

static int is_wall(long clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
}

static int is_monotonic(long clock)
{
    return clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_MONOTONIC_COARSE ||
           clock == CLOCK_BOOTTIME;
}

/* Time that a thread has had on its CPU, in nanoseconds. */
static uint64_t thread_time(const struct nova_thread *thread)
{
    uint64_t ticks = 0;

    if (thread && nova_hc_ctrl_sc(thread->sel + 1, &ticks) != NOVA_SUCCESS)
        return 0;
    return nova_time_from_ticks(ticks, nova_info()->tsc_frequency);
}

static uint64_t ended; /* time of threads that have ended; posix_thread_lock */

void posix_time_end(struct posix_thread *thread)
{
    nova_mutex_lock(&posix_thread_lock);
    ended += thread_time(thread->thread);
    thread->thread = 0;
    nova_mutex_unlock(&posix_thread_lock);
}

/* Of all threads that there are or have been; so it never goes back. */
static uint64_t program_time(void)
{
    uint64_t sum;

    nova_mutex_lock(&posix_thread_lock);
    sum = ended;
    for (struct posix_thread *t = posix_threads; t; t = t->next)
        sum += thread_time(t->thread);
    nova_mutex_unlock(&posix_thread_lock);
    return sum;
}

static long read_clock(long clock, uint64_t *ns)
{
    if (is_wall(clock))
        *ns = (uint64_t)nova_wall_clock();
    else if (is_monotonic(clock))
        *ns = nova_now();
    else if (clock == CLOCK_THREAD_CPUTIME_ID)
        *ns = thread_time(nova_thread_self());
    else if (clock == CLOCK_PROCESS_CPUTIME_ID)
        *ns = program_time();
    else
        return -EINVAL;
    return 0;
}

static struct timespec split(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / NOVA_S), .tv_nsec = (long)(ns % NOVA_S)};
}

SYSCALL(clock_gettime)
{
    uint64_t ns;
    long result = read_clock(a[0], &ns);

    if (!result)
        *(struct timespec *)a[1] = split(ns);
    return result;
}

SYSCALL(clock_getres)
{
    uint64_t ns;
    long result = read_clock(a[0], &ns);

    if (!result && a[1])
        *(struct timespec *)a[1] = split(1);
    return result;
}

SYSCALL(gettimeofday)
{
    struct timeval *time = (struct timeval *)a[0];
    struct timespec now = split((uint64_t)nova_wall_clock());

    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

SYSCALL(time)
{
    long now = nova_wall_clock() / (long)NOVA_S;

    if (a[0])
        *(time_t *)a[0] = now;
    return now;
}

SYSCALL(times)
{
    struct tms *tms = (struct tms *)a[0];

    if (tms)
        *tms = (struct tms){.tms_utime = (clock_t)(program_time() / (NOVA_S / 100))};
    return (long)(nova_now() / (NOVA_S / 100));
}

static long sleep_relative(const struct timespec *time, struct timespec *left)
{
    uint64_t deadline;
    long result;

    if (!posix_timespec_valid(time))
        return -EINVAL;
    deadline = posix_deadline(time);
    result = posix_sleep(deadline);
    if (result && left) {
        uint64_t now = nova_now();

        *left = split(deadline > now ? deadline - now : 0);
    }
    return result;
}

SYSCALL(nanosleep)
{
    return sleep_relative((const struct timespec *)a[0], (struct timespec *)a[1]);
}

SYSCALL(clock_nanosleep)
{
    const struct timespec *time = (const struct timespec *)a[2];
    struct timespec relative;
    uint64_t now;
    uint64_t then;

    if (!is_wall(a[0]) && !is_monotonic(a[0]))
        return a[0] == CLOCK_PROCESS_CPUTIME_ID ? -EOPNOTSUPP : -EINVAL;
    if (!(a[1] & TIMER_ABSTIME))
        return sleep_relative(time, (struct timespec *)a[3]);
    if (!posix_timespec_valid(time))
        return -EINVAL;
    read_clock(a[0], &now);
    if ((uint64_t)time->tv_sec > NOVA_NEVER / NOVA_S / 2)
        return posix_sleep(NOVA_NEVER);
    then = (uint64_t)time->tv_sec * NOVA_S + (uint64_t)time->tv_nsec;
    relative = split(then > now ? then - now : 0);
    return sleep_relative(&relative, 0);
}
