/*
 * What every program with libc has: start-up, identity, the end.
 *
 * SPDX-License-Identifier: MIT
 */

#include "posix.h"
#include <nova/log.h>
#include <string.h>
#include <sys/mman.h>

/* crt1.o asks for this name, and this file for the rest of the core. */
const char nova_link_core __attribute__((used)) = 0;
__asm__(".globl nova_sys_write\n.globl nova_sys_futex");

struct posix_thread *posix_threads;
struct nova_mutex posix_thread_lock;
volatile int posix_signals;
static struct posix_thread first;
static int last_tid;

static void add(struct posix_thread *thread)
{
    nova_mutex_lock(&posix_thread_lock);
    thread->tid = ++last_tid;
    thread->next = posix_threads;
    posix_threads = thread;
    nova_mutex_unlock(&posix_thread_lock);
}

struct posix_thread *posix_self(void)
{
    struct nova_thread *self = nova_thread_self();
    struct posix_thread *thread = self->data;

    if (!thread) {
        int tid = (int)posix_tcb_tid();

        nova_mutex_lock(&posix_thread_lock);
        for (thread = posix_threads; thread && thread->tid != tid; thread = thread->next)
            ;
        nova_mutex_unlock(&posix_thread_lock);
        if (!thread)
            posix_crash("a thread without a thread control block of the C library has called it");
        thread->thread = self;
        self->data = thread;
    }
    return thread;
}

/* Records live in pages of their own, so that a record is there while the heap is being made. */
static struct posix_thread *unused;

struct posix_thread *posix_thread_new(void)
{
    struct posix_thread *thread;
    void *page;

    nova_mutex_lock(&posix_thread_lock);
    if (!unused && !nova_mem_alloc(NOVA_PAGE, &page)) {
        struct posix_thread *records = page;

        for (size_t i = 0; i < NOVA_PAGE / sizeof(*records); i++) {
            records[i].next = unused;
            unused = &records[i];
        }
    }
    thread = unused;
    if (thread)
        unused = thread->next;
    nova_mutex_unlock(&posix_thread_lock);
    if (thread) {
        memset(thread, 0, sizeof(*thread));
        add(thread);
    }
    return thread;
}

void posix_thread_free(struct posix_thread *thread)
{
    struct posix_thread **p = &posix_threads;

    nova_mutex_lock(&posix_thread_lock);
    while (*p != thread)
        p = &(*p)->next;
    *p = thread->next;
    if (thread != &first) {
        thread->next = unused;
        unused = thread;
    }
    nova_mutex_unlock(&posix_thread_lock);
}

/*
 * Threads that libnova makes say nothing when they end, but their stacks are used again: a record belongs to
 * the place of the thread-local storage.
 */
int posix_tid_for(void *area)
{
    struct posix_thread *thread;

    nova_mutex_lock(&posix_thread_lock);
    for (thread = posix_threads; thread && thread->area != area; thread = thread->next)
        ;
    nova_mutex_unlock(&posix_thread_lock);
    if (!thread)
        thread = posix_thread_new();
    if (!thread)
        posix_crash("no memory for a thread");
    thread->area = area;
    thread->thread = 0;
    thread->pending = 0;
    return thread->tid;
}

long __nova_set_tp(void *tls);

/* The C library calls it once, in the first thread. */
long __nova_set_tp(void *tls)
{
    __asm__ volatile("wrfsbase %0" : : "r"(tls) : "memory");
    first.thread = nova_thread_self();
    first.thread->data = &first;
    first.thread->fs = (uint64_t)tls;
    add(&first);
    posix_tcb_size(&nova_tls.size);
    nova_tls.init = posix_tcb_init;
    return 0;
}

long posix_error(int error)
{
    static const signed char table[] = {
        [-NOVA_ERR_INVAL] = EINVAL,      [-NOVA_ERR_MEMORY] = ENOMEM, [-NOVA_ERR_LIMIT] = EAGAIN,
        [-NOVA_ERR_DENIED] = EACCES,     [-NOVA_ERR_ABSENT] = ENOENT, [-NOVA_ERR_PEER] = EPIPE,
        [-NOVA_ERR_TIMEOUT] = ETIMEDOUT, [-NOVA_ERR_BUSY] = EBUSY,    [-NOVA_ERR_PROTOCOL] = EPROTO,
        [-NOVA_ERR_INTERRUPTED] = EINTR,
    };

    if (error >= 0)
        return error;
    return -error < (int)sizeof(table) ? -(long)table[-error] : -EIO;
}

_Noreturn void posix_crash(const char *reason)
{
    nova_log_write(reason, strlen(reason));
    nova_log_write("\n", 1);
    nova_log_flush();
    __builtin_trap();
}

/*
 * Part `memory` has the real one. Without it only the thread-local storage of the first thread asks, if it is
 * large: for pages that are never given back.
 */
WEAK SYSCALL(mmap)
{
    size_t size = ((size_t)a[1] + NOVA_PAGE - 1) & ~(NOVA_PAGE - 1);
    void *address;
    int error;

    if (a[0] || a[3] != (MAP_ANONYMOUS | MAP_PRIVATE))
        return -ENOSYS;
    error = nova_mem_alloc(size, &address);
    return error ? posix_error(error) : (long)address;
}

SYSCALL(set_tid_address)
{
    struct posix_thread *self = posix_self();

    self->clear_tid = (volatile int *)a[0];
    return self->tid;
}

SYSCALL(gettid)
{
    (void)a;
    return posix_self()->tid;
}

SYSCALL(getpid)
{
    (void)a;
    return 1;
}

SYSCALL(exit_group)
{
    nova_exit((int)(a[0] & 0xff));
}
