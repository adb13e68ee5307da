/*
 * Threads that wait for what nobody types: one is cancelled, one gets a signal. SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static void handler(int signal)
{
    (void)signal;
}

static void *wait_for_input(void *interrupted)
{
    char byte;
    ssize_t result = read(0, &byte, 1);

    return result == -1 && errno == EINTR ? interrupted : NULL;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    pthread_t cancelled, interrupted;
    void *one, *other;

    sigaction(SIGUSR1, &action, NULL);
    pthread_create(&cancelled, NULL, wait_for_input, NULL);
    usleep(200000);
    pthread_cancel(cancelled);
    pthread_join(cancelled, &one);
    pthread_create(&interrupted, NULL, wait_for_input, &action);
    usleep(200000);
    pthread_kill(interrupted, SIGUSR1);
    pthread_join(interrupted, &other);
    return !(one == PTHREAD_CANCELED && other == &action);
}
