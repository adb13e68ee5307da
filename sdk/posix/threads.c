/*
 * Threads of the C library: made with the stack and the thread pointer that it has prepared.
 *
 * The end of a thread has two steps. A thread cannot give back the stack it runs on, and who joins it waits
 * until *clear_tid is 0 and then unmaps the stack: so both happen in libnova's last function, on another
 * stack.
 *
 * SPDX-License-Identifier: MIT
 */

#include "posix.h"
#include <sched.h>

const char nova_link_threads __attribute__((used)) = 0;

static uint32_t round_robin;

/* CPUs of the domain in turn: threads stay where they are made. */
static uint32_t next_cpu(void)
{
    uint64_t cpus = nova_info()->cpus;
    unsigned skip =
        __atomic_add_fetch(&round_robin, 1, __ATOMIC_RELAXED) % (unsigned)__builtin_popcountll(cpus);

    while (skip--)
        cpus &= cpus - 1;
    return NOVA_ON_CPU((uint32_t)__builtin_ctzll(cpus));
}

/* Runs without stack and thread pointer of the thread. */
static void last(void *argument)
{
    struct posix_thread *thread = argument;
    volatile int *clear = thread->clear_tid;

    if (thread->unmap)
        nova_mem_release(thread->unmap, thread->unmap_size);
    posix_thread_free(thread);
    if (clear) {
        __atomic_store_n(clear, 0, __ATOMIC_SEQ_CST);
        nova_futex_wake((uint32_t *)(uintptr_t)clear, 1);
    }
}

static _Noreturn void end(void *stack, size_t size)
{
    struct posix_thread *self = posix_self();

    if (posix_time_end)
        posix_time_end(self);
    self->unmap = stack;
    self->unmap_size = size;
    nova_thread_self()->data = 0; /* the record may soon be another thread's */
    nova_thread_exit_final(last, self);
}

static void begin(void *argument)
{
    struct posix_thread *self = argument;

    nova_thread_self()->data = self;
    __atomic_store_n(&self->thread, nova_thread_self(), __ATOMIC_RELEASE);
    self->entry(self->argument);
    end(0, 0);
}

long __nova_clone(int (*entry)(void *), void *stack, int flags, void *argument, int *tid, void *tls,
                  int *clear);

/* Threads only: what asks for anything else wants a process. */
long __nova_clone(int (*entry)(void *), void *stack, int flags, void *argument, int *tid, void *tls,
                  int *clear)
{
    struct nova_thread_options options = {
        .cpu = next_cpu(), .detached = 1, .stack = (void *)((uintptr_t)stack & ~15UL), .fs = (uint64_t)tls};
    struct posix_thread *thread;
    struct nova_thread *made;
    int result;
    int error;

    if (!(flags & CLONE_THREAD))
        return -ENOSYS;
    thread = posix_thread_new();
    if (!thread)
        return -EAGAIN;
    thread->entry = entry;
    thread->argument = argument;
    thread->clear_tid = clear;
    thread->mask = posix_self()->mask;
    result = *tid = thread->tid;
    error = nova_thread_create(&made, begin, thread, &options);
    if (!error)
        return result;
    posix_thread_free(thread);
    return -EAGAIN;
}

_Noreturn void __nova_thread_exit(void *stack, size_t size);

_Noreturn void __nova_thread_exit(void *stack, size_t size)
{
    end(stack, size);
}

SYSCALL(exit)
{
    (void)a;
    end(0, 0);
}

SYSCALL(sched_yield)
{
    (void)a;
    nova_sleep_until(nova_now() + NOVA_US);
    return 0;
}

/*
 * Threads cannot move: what asks for the CPU where the thread is has been done already, anything else
 * cannot be.
 */
SYSCALL(sched_setaffinity)
{
    const uint64_t *mask = (const uint64_t *)a[2];
    struct posix_thread *self = posix_self();

    if ((a[0] && a[0] != self->tid) || (size_t)a[1] < sizeof(*mask) || !(*mask >> nova_thread_cpu() & 1))
        return -EINVAL;
    return 0;
}

SYSCALL(sched_getaffinity)
{
    if ((size_t)a[1] < sizeof(uint64_t))
        return -EINVAL;
    *(uint64_t *)a[2] = nova_info()->cpus;
    return sizeof(uint64_t);
}

SYSCALL(getcpu)
{
    if (a[0])
        *(unsigned *)a[0] = nova_thread_cpu();
    if (a[1])
        *(unsigned *)a[1] = 0;
    return 0;
}

/* The C library walks the list of robust mutexes itself; nobody ends a thread from outside. */
SYSCALL(set_robust_list)
{
    (void)a;
    return 0;
}

SYSCALL(get_robust_list)
{
    (void)a;
    return 0;
}
