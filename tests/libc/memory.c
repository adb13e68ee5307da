/*
 * malloc and mmap: contents, growth, holes, exhaustion, and that nothing executable is handed out.
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "check.h"
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096UL

static void churn(void)
{
    void *piece[64] = {0};
    unsigned state = 1;

    for (int i = 0; i < 20000; i++) {
        unsigned at = (state = state * 1103515245 + 12345) >> 16 & 63;
        size_t size = state >> 8 & 4095;
        unsigned char *p = realloc(piece[at], size + 1);

        if (!p)
            continue;
        p[size] = (unsigned char)at;
        p[0] = (unsigned char)at;
        piece[at] = p;
    }
    for (unsigned i = 0; i < 64; i++) {
        CHECK(!piece[i] || *(unsigned char *)piece[i] == i);
        free(piece[i]);
    }
}

static void exhaust(void)
{
    void *chain = NULL;
    unsigned count = 0;

    for (void **p; count < 100000 && (p = malloc(65536)); count++) {
        *p = chain;
        chain = p;
    }
    CHECK(count > 3 && count < 100000 && errno == ENOMEM);
    while (chain) {
        void *next = *(void **)chain;

        free(chain);
        chain = next;
    }
    CHECK((chain = malloc(65536)) != NULL);
    free(chain);
}

int main(void)
{
    char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *q;

    CHECK(p != MAP_FAILED && !((uintptr_t)p & (PAGE - 1)));
    for (unsigned i = 0; i < 4 * PAGE; i++)
        CHECK(!p[i] || (i = 4 * PAGE, 0));
    memset(p, 7, 4 * PAGE);
    CHECK(!munmap(p + PAGE, PAGE));
    CHECK(p[0] == 7 && p[2 * PAGE] == 7);
    q = mmap(p + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(q == p + PAGE && !q[0]);
    CHECK(!mprotect(q, PAGE, PROT_READ) && !q[1]);
    CHECK(!munmap(p, 4 * PAGE));
    CHECK(!munmap(p, 4 * PAGE));
    p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    strcpy(p, "kept");
    p = mremap(p, PAGE, 8 * PAGE, MREMAP_MAYMOVE);
    CHECK(p != MAP_FAILED && !strcmp(p, "kept") && !p[7 * PAGE]);
    p = mremap(p, 8 * PAGE, PAGE, MREMAP_MAYMOVE);
    CHECK(p != MAP_FAILED && !strcmp(p, "kept") && !munmap(p, PAGE));
    CHECK(mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
          errno == EACCES);
    CHECK_ERROR((long)mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EINVAL);
    CHECK_ERROR((long)mmap(NULL, 1UL << 60, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
    churn();
    exhaust();
    exhaust();
    return check_end();
}
