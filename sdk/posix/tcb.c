/*
 * Thread control blocks of the C library for threads that it does not make itself: handlers of portals and
 * threads of libnova. With it they can call everything in the C library. Compiled with musl's internal
 * headers.
 *
 * SPDX-License-Identifier: MIT
 */

#include "libc.h"
#include "pthread_impl.h"
#include "stdio_impl.h"
#include <string.h>

int posix_tid_for(void *area);
long posix_tcb_tid(void);
void posix_tcb_size(size_t *size);
uint64_t posix_tcb_init(void *area);
int posix_tcb_cancelled(uint64_t fs);

extern weak hidden volatile size_t posix_tsd_size __asm__("__pthread_tsd_size");
extern weak hidden void *posix_tsd_main[] __asm__("__pthread_tsd_main");
extern weak hidden void posix_tl_lock(void) __asm__("__tl_lock");
extern weak hidden void posix_tl_unlock(void) __asm__("__tl_unlock");
extern weak hidden FILE *volatile posix_stdin __asm__("__stdin_used");
extern weak hidden FILE *volatile posix_stdout __asm__("__stdout_used");
extern weak hidden FILE *volatile posix_stderr __asm__("__stderr_used");

long posix_tcb_tid(void)
{
    return __pthread_self()->tid;
}

int posix_tcb_cancelled(uint64_t fs)
{
    const struct pthread *thread = (const struct pthread *)fs;

    return thread->cancel && thread->cancelasync && thread->canceldisable != PTHREAD_CANCEL_DISABLE;
}

/* The largest need: keys may be made after the thread. */
void posix_tcb_size(size_t *size)
{
    *size = libc.tls_size + PTHREAD_KEYS_MAX * sizeof(void *);
}

static void use_lock(FILE *f)
{
    if (f && f->lock < 0)
        f->lock = 0;
}

/* From now on there is more than one thread. */
static void become_threaded(void)
{
    if (libc.threaded)
        return;
    for (FILE *f = *__ofl_lock(); f; f = f->next)
        use_lock(f);
    __ofl_unlock();
    if (&posix_stdin)
        use_lock(posix_stdin);
    if (&posix_stdout)
        use_lock(posix_stdout);
    if (&posix_stderr)
        use_lock(posix_stderr);
    if (posix_tsd_main)
        __pthread_self()->tsd = posix_tsd_main;
    libc.threaded = 1;
}

uint64_t posix_tcb_init(void *area)
{
    unsigned char *tsd = (unsigned char *)area + libc.tls_size;
    struct pthread *new;

    memset(area, 0, libc.tls_size + PTHREAD_KEYS_MAX * sizeof(void *));
    new = __copy_tls(area);
    new->self = new->prev = new->next = new;
    new->tsd = (void **)(tsd + (-(uintptr_t)tsd & 7));
    new->locale = &libc.global_locale;
    new->detach_state = DT_DETACHED;
    new->robust_list.head = &new->robust_list.head;
    new->canary = __pthread_self()->canary;
    new->tid = posix_tid_for(area);

    if (posix_tl_lock)
        posix_tl_lock();
    become_threaded();
    if (!libc.threads_minus_1++)
        libc.need_locks = 1;
    if (posix_tl_unlock)
        posix_tl_unlock();
    return (uint64_t) new;
}
