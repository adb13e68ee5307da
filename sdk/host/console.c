/*
 * The console, as the service `log` of nova/log.h: standard output and standard input. Nobody waits for input with
 * the lock: one thread watches while there is none, and rings the bells of those who have asked.
 *
 * SPDX-License-Identifier: MIT
 */

#define _GNU_SOURCE
#include "host.h"
#include <errno.h>
#include <nova/log.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#define TEXT_MAX 4000U

static pthread_cond_t asked = PTHREAD_COND_INITIALIZER;
static struct object *waiting[NOVA_SESSIONS_MAX]; /* bells */
static unsigned waiters;
static bool watching;

static bool ready(int milliseconds)
{
    return poll(&(struct pollfd){.fd = 0, .events = POLLIN}, 1, milliseconds) != 0;
}

static void *watch(void *argument)
{
    (void)argument;
    pthread_mutex_lock(&host.lock);
    for (;;) {
        while (!waiters)
            pthread_cond_wait(&asked, &host.lock);
        pthread_mutex_unlock(&host.lock);
        ready(-1);
        pthread_mutex_lock(&host.lock);
        while (waiters) {
            kernel_up(waiting[--waiters]);
            kernel_put(waiting[waiters]);
        }
    }
    return NULL;
}

static void ring_later(struct object *bell)
{
    pthread_t thread;

    for (unsigned i = 0; i < waiters; i++)
        if (waiting[i] == bell)
            return;
    bell->references++;
    waiting[waiters++] = bell;
    if (!watching && pthread_create(&thread, NULL, watch, NULL))
        host_die("cannot create a thread");
    watching = true;
    pthread_cond_signal(&asked);
}

/* Whether a terminal shows what is typed. */
static void echo(bool shown)
{
    struct termios state;

    if (tcgetattr(0, &state))
        return;
    state.c_lflag = shown ? state.c_lflag | ECHO : state.c_lflag & ~(tcflag_t)ECHO;
    tcsetattr(0, TCSANOW, &state);
}

/* Bytes, 0 if there are none yet, or an error. */
static long take(char *text, size_t size, struct object *bell)
{
    ssize_t n;

    if (!ready(0)) {
        ring_later(bell);
        return 0;
    }
    do
        n = read(0, text, size);
    while (n < 0 && errno == EINTR);
    return n > 0 ? n : NOVA_ERR_ABSENT;
}

unsigned console_request(uint64_t *word, unsigned words, struct object *bell)
{
    uint64_t op = word[0], size = words > 1 ? word[1] : 0;
    bool read = op == NOVA_LOG_READ || op == NOVA_LOG_READ_SECRET;
    long result = NOVA_ERR_PROTOCOL;

    if (op == NOVA_LOG_WRITE && size && size <= TEXT_MAX && words >= 2 + (size + 7) / 8) {
        host_log((const char *)(word + 2), size);
        result = (long)size;
    } else if (read && words == 2 && size) {
        echo(op == NOVA_LOG_READ);
        result = take((char *)(word + 2), size < TEXT_MAX ? size : TEXT_MAX, bell);
    }
    word[0] = result < 0 ? (uint64_t)result : 0;
    word[1] = result < 0 ? 0 : (uint64_t)result;
    return read ? 2 + (unsigned)((word[1] + 7) / 8) : 2;
}
