/*
 * Portal handlers and threads of libnova can call the C library: errno, stdio, malloc, locks.
 * SPDX-License-Identifier: MIT
 */
#include "check.h"
#include <nova/error.h>
#include <nova/portal.h>
#include <nova/program.h>
#include <nova/sync.h>
#include <nova/thread.h>
#include <pthread.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local int calls = 100;
static int total;

static unsigned serve(void *context, uint64_t *word, unsigned words)
{
    char *text = malloc(200);

    CHECK(context == &total && words == 2);
    errno = 0;
    CHECK(close(4711) == -1 && errno == EBADF);
    snprintf(text, 200, "%llu + %llu", (unsigned long long)word[0], (unsigned long long)word[1]);
    CHECK(strlen(text) > 4);
    free(text);
    pthread_mutex_lock(&lock);
    total++;
    pthread_mutex_unlock(&lock);
    word[0] += word[1];
    word[1] = (uint64_t)++calls;
    return 2;
}

static void work(void *context)
{
    FILE *f = fopen("/tmp/thread", "w");

    CHECK(f && fprintf(f, "%d", *(int *)context) > 0 && !fclose(f));
    for (int i = 0; i < 1000; i++) {
        pthread_mutex_lock(&lock);
        total++;
        pthread_mutex_unlock(&lock);
    }
}

int main(void)
{
    static struct nova_portal portal = {.serve = serve, .context = &total};
    struct nova_thread *handler;
    struct nova_thread *thread[3];
    int number = 7;

    CHECK(!nova_handler_create(&handler, nova_thread_cpu(), 0));
    CHECK(!nova_portal_create(&portal, handler));
    for (uint64_t i = 0; i < 100; i++) {
        nova_message()[0] = i;
        nova_message()[1] = 2 * i;
        CHECK(nova_portal_call(portal.sel, 2) == 2 && nova_message()[0] == 3 * i &&
              nova_message()[1] == 101 + i);
    }
    CHECK(total == 100);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 3; i++)
            CHECK(!nova_thread_create(&thread[i], work, &number, NULL));
        for (int i = 0; i < 3; i++)
            CHECK(!nova_thread_join(thread[i], NOVA_NEVER));
    }
    CHECK(total == 100 + 20 * 3 * 1000);
    return check_end();
}
