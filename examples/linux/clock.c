/*
 * clock: says every N seconds what time it is, and how late it was at most, however busy the virtual machine is that shares its
 * CPU: it has the higher priority.
 *
 * SPDX-License-Identifier: MIT
 */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
    long period = argc > 1 ? atol(argv[1]) : 10, latest = 0;
    struct timespec next, now;

    clock_gettime(CLOCK_MONOTONIC, &next);
    for (unsigned tick = 0;; tick++) {
        time_t wall = time(NULL);
        char text[32];

        strftime(text, sizeof text, "%F %T", gmtime(&wall));
        printf("%s UTC; tick %u, the latest came after %ld us\n", text, tick, latest);
        fflush(stdout);
        next.tv_sec += period;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
        long late = (now.tv_sec - next.tv_sec) * 1000000 + (now.tv_nsec - next.tv_nsec) / 1000;
        if (late > latest)
            latest = late;
    }
}
