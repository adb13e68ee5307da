/*
 * memory-quota: asks for more than the system file grants, is refused, and goes on. A quota is the domain's
 * own from the start: nobody else can use it up, and nobody else suffers when it is used up.
 *
 * SPDX-License-Identifier: MIT
 */

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PIECE 16384UL
#define MANY 1024

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void *wait_at_gate(void *unused)
{
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    return unused;
}

/* Takes all the memory there is, in pieces, and gives it back. Returns the bytes. */
static unsigned long take_all(void)
{
    static char *piece[MANY];
    unsigned long count = 0;

    while (count < MANY && (piece[count] = malloc(PIECE))) {
        memset(piece[count], 0x5a, PIECE); /* it is really there */
        count++;
    }
    int error = errno;
    for (unsigned long i = 0; i < count; i++)
        free(piece[i]);
    printf("malloc: %s\n", count < MANY ? strerror(error) : "no end");
    return count * PIECE;
}

int main(void)
{
    unsigned long first = take_all(), second = take_all();

    printf("there was more than 1 MiB: %s\n", first > 1UL << 20 ? "yes" : "no");
    printf("there was less than 2 MiB: %s\n", first < 2UL << 20 ? "yes" : "no");
    printf("nothing is lost when it is given back: %s\n", second >= first ? "yes" : "no");

    void *large = mmap(NULL, 16UL << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("16 MiB at once: %s\n", large == MAP_FAILED ? strerror(errno) : "granted");

    pthread_t thread[8];
    int count = 0, error = 0;
    pthread_mutex_lock(&gate);
    while (count < 8 && (error = pthread_create(&thread[count], NULL, wait_at_gate, NULL)) == 0)
        count++;
    pthread_mutex_unlock(&gate);
    printf("threads besides the first one: %d, then: %s\n", count, strerror(error));
    for (int i = 0; i < count; i++)
        pthread_join(thread[i], NULL);
    puts("still here");
    return 0;
}
