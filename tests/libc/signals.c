/*
 * Signals within the program: raise, masks, handlers with information, alternate stacks, waits that are
 * interrupted. SPDX-License-Identifier: MIT
 */
#include "check.h"
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <unistd.h>

static volatile sig_atomic_t count, last, over;
static volatile uintptr_t where;
static char stack[16384];
static sigjmp_buf jump;
static int fds[2];

static void handler(int signal)
{
    count++;
    last = signal;
    where = (uintptr_t)__builtin_frame_address(0);
}

static void detailed(int signal, siginfo_t *info, void *context)
{
    last = info->si_signo == signal && context ? signal : -1;
}

static void leap(int signal)
{
    (void)signal;
    siglongjmp(jump, 1);
}

static void *blocked(void *argument)
{
    char byte;
    long result = read(fds[0], &byte, 1) == -1 && errno == EINTR;

    (void)argument;
    over = 1;
    return (void *)result;
}

static void *patient(void *argument)
{
    char byte = 0;

    (void)argument;
    return (void *)(long)(read(fds[0], &byte, 1) == 1 && byte == 'x');
}

/* With SA_RESTART a handler does not end the wait, but it runs at once. */
static void restart(void)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    pthread_t thread;
    void *result;

    CHECK(!sigaction(SIGUSR1, &action, NULL) && !pipe(fds) && !pthread_create(&thread, NULL, patient, NULL));
    count = 0;
    for (int i = 1; i <= 3; i++) {
        usleep(20000);
        CHECK(!pthread_kill(thread, SIGUSR1));
        for (int tries = 0; count < i && tries < 1000; tries++)
            usleep(1000);
        CHECK(count == i);
    }
    CHECK(write(fds[1], "x", 1) == 1 && !pthread_join(thread, &result) && result);
    CHECK(!close(fds[0]) && !close(fds[1]));
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    pthread_t thread;
    sigset_t set;
    sigset_t pending;
    void *result;

    CHECK(!sigaction(SIGUSR1, &action, NULL) && !raise(SIGUSR1) && count == 1 && last == SIGUSR1);
    CHECK(!sigemptyset(&set) && !sigaddset(&set, SIGUSR1) && !sigprocmask(SIG_BLOCK, &set, NULL));
    CHECK(!raise(SIGUSR1) && count == 1 && !sigpending(&pending) && sigismember(&pending, SIGUSR1));
    CHECK(!sigprocmask(SIG_UNBLOCK, &set, NULL) && count == 2);
    CHECK(!kill(getpid(), SIGUSR1) && count == 3);
    CHECK_ERROR(kill(4711, 0), ESRCH);

    action = (struct sigaction){.sa_sigaction = detailed, .sa_flags = SA_SIGINFO};
    CHECK(!sigaction(SIGUSR2, &action, NULL) && !raise(SIGUSR2) && last == SIGUSR2);
    CHECK(signal(SIGUSR2, SIG_IGN) != SIG_ERR && !(last = 0) && !raise(SIGUSR2) && !last);
    CHECK(!raise(SIGCHLD));

    action = (struct sigaction){.sa_handler = handler, .sa_flags = SA_ONSTACK | SA_RESETHAND};
    CHECK(!sigaltstack(&alternate, NULL) && !sigaction(SIGUSR2, &action, NULL) && !raise(SIGUSR2));
    CHECK(where - (uintptr_t)stack < sizeof(stack));
    CHECK(!sigaction(SIGUSR2, NULL, &action) && action.sa_handler == SIG_DFL);

    signal(SIGUSR2, leap);
    for (volatile int i = 0; i < 3; i++) {
        if (!sigsetjmp(jump, 1)) {
            raise(SIGUSR2);
            CHECK(!"the handler comes back");
        }
    }

    restart();
    action = (struct sigaction){.sa_handler = handler};
    CHECK(!sigaction(SIGUSR1, &action, NULL) && !pipe(fds) && !pthread_create(&thread, NULL, blocked, NULL));
    while (!over) { /* the first ones may come before it reads */
        usleep(20000);
        pthread_kill(thread, SIGUSR1);
    }
    CHECK(!pthread_join(thread, &result) && result);
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR && !close(fds[0]));
    CHECK_ERROR(write(fds[1], "x", 1), EPIPE);
    return check_end();
}
