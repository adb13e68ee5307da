/*
 * Makes a mistake with memory, which a sanitizer is to find.
 *
 *   mistakes NAME
 *
 * SPDX-License-Identifier: MIT
 */

#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char global[13] = "twelve bytes";
static volatile size_t many = 13, one = 1;
static char *volatile block; /* so that compilers see no mistake */

static void *churn(void *context)
{
    char *mine[64] = {NULL};

    (void)context;
    for (size_t n = 0; n < 20000; n++) {
        char **at = &mine[n * 7 % 64];

        free(*at);
        *at = malloc(n % 700);
        memset(*at, (int)n, n % 700);
    }
    for (size_t n = 0; n < 64; n++)
        free(mine[n]);
    return NULL;
}

/* All of it is right. */
static int nothing(void)
{
    pthread_t thread[3];
    char *text = strdup("text"), *line = NULL;
    uint64_t *zero = calloc(100, sizeof(*zero)), sum = 0;
    void *aligned = NULL;

    for (unsigned n = 0; n < 3; n++)
        pthread_create(&thread[n], NULL, churn, NULL);
    text = realloc(text, 100000);
    strcat(text, global);
    text = realloc(text, 20);
    for (size_t n = 0; n < 100; n++)
        sum += zero[n];
    if (posix_memalign(&aligned, 4096, 5000) || (uintptr_t)aligned % 4096 ||
        malloc_usable_size(aligned) < 5000 || asprintf(&line, "%s %zu", text, strlen(text)) < 0)
        return 1;
    memset(aligned, 1, 5000);
    for (unsigned n = 0; n < 3; n++)
        pthread_join(thread[n], NULL);
    puts(line);
    sum += (uint64_t)strcmp(line, "texttwelve bytes 16");
    free(line);
    free(aligned);
    free(zero);
    free(text);
    free(NULL);
    block = malloc(SIZE_MAX - 5);
    if (!block)
        block = calloc(SIZE_MAX / 2, 3);
    return sum != 0 || block;
}

__attribute__((noinline)) static int mistake(const char *name)
{
    block = malloc(many);
    memset(block, 0, many);
    if (!strcmp(name, "heap-read"))
        return block[many];
    if (!strcmp(name, "heap-write"))
        block[many] = 1;
    if (!strcmp(name, "heap-before"))
        return block[-(long)one];
    if (!strcmp(name, "heap-across"))
        return *(volatile int *)(block + many - 3);
    if (!strcmp(name, "heap-far")) {
        block = realloc(block, 100000);
        return block[100000 + one];
    }
    if (!strcmp(name, "copy"))
        memcpy(block, global, many + one);
    if (!strcmp(name, "text")) {
        memset(block, 'x', many);
        return printf("%s\n", block);
    }
    if (!strcmp(name, "global-read"))
        return global[many];
    if (!strcmp(name, "global-write"))
        global[many + one] = 1;
    free(block);
    if (!strcmp(name, "after-free"))
        return block[one];
    if (!strcmp(name, "free-twice"))
        free(block);
    if (!strcmp(name, "free-inside")) {
        block = malloc(100);
        free(block + 16 * one);
    }
    if (!strcmp(name, "free-global"))
        free(global);
    return 0;
}

int main(int argc, char **argv)
{
    return argc < 2 ? nothing() : mistake(argv[1]);
}
