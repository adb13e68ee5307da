/*
 * What the parts of the POSIX layer share. A handler nova_sys_NAME takes the six arguments of the system
 * call and gives its result, or a negative error number. Parts of the layer that a program does not need are
 * not linked: references to them from the core are weak, and objects of the C library that need a part name
 * it (sdk/libc/families).
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <errno.h>
#include <nova/error.h>
#include <nova/mem.h>
#include <nova/program.h>
#include <nova/sync.h>
#include <nova/thread.h>
#include <nova/time.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <time.h>

#define SYSCALL(name)                                                                                        \
    long nova_sys_##name(const long *a);                                                                     \
    long nova_sys_##name(const long *a)
#define WEAK __attribute__((weak))

/* A thread that has entered the C library. */
struct posix_thread {
    struct posix_thread *next; /* All threads; posix_thread_lock. */
    struct nova_thread *thread;
    int tid;
    volatile int *clear_tid; /* Set to 0 and woken when the thread is gone. */
    uint64_t pending;        /* Signals, bit n - 1. */
    uint64_t mask;
    volatile int inside; /* This layer: not to be interrupted. */
    void *stack;         /* Alternate signal stack. */
    size_t stack_size;
    void *area;  /* Of a thread of libnova's: its thread-local storage. */
    void *unmap; /* Stack to give back at the end. */
    size_t unmap_size;
    int (*entry)(void *); /* What a new thread does. */
    void *argument;
};

extern struct posix_thread *posix_threads;
extern struct nova_mutex posix_thread_lock;
/* Not 0 once a signal was sent: until then system calls return without a look. */
extern volatile int posix_signals;

/* The calling thread; makes the record of one that libnova made. */
struct posix_thread *posix_self(void);
/* Thread control blocks for threads that libnova makes. */
uint64_t posix_tcb_init(void *area);
void posix_tcb_size(size_t *size);
long posix_tcb_tid(void);
int posix_tid_for(void *area);
/* A record, or NULL; the end of it. */
struct posix_thread *posix_thread_new(void);
void posix_thread_free(struct posix_thread *thread);

/* A thread is about to end: its time counts from now on as that of one that is no more; part `time`. */
void posix_time_end(struct posix_thread *thread) WEAK;

/* Delivers what is pending for the calling thread; whether a wait for input or output is over by that; part `signals`. */
bool posix_deliver(void) WEAK;

/* Interrupts a thread that is to be cancelled wherever it is, and ends it; part `cancel`. */
void posix_recall(const struct nova_thread *thread) WEAK;
/* Whether the thread with this thread pointer is to be cancelled wherever it is. */
int posix_tcb_cancelled(uint64_t fs);

static inline int posix_interrupted(const struct posix_thread *thread)
{
    return (__atomic_load_n(&thread->pending, __ATOMIC_ACQUIRE) & ~thread->mask) != 0;
}

/* Sleeps until a deadline; -EINTR if a signal comes. */
long posix_sleep(uint64_t deadline);
/* Waits while *word is value; 0, -EAGAIN, -ETIMEDOUT, -EINTR. */
long posix_wait(uint32_t *word, uint32_t value, uint64_t deadline);

/* Futex operations on locks that know their owner; part `owned`. */
long posix_lock_owned(uint32_t *word, long operation, const struct timespec *until) WEAK;

/* Deadline of a relative time; NOVA_NEVER without one. */
uint64_t posix_deadline(const struct timespec *relative);
int posix_timespec_valid(const struct timespec *time);

/* Error number for an error of libnova. */
long posix_error(int error);

/* A crash of the domain with a reason in the log. */
_Noreturn void posix_crash(const char *reason);

/* Random bytes from the CPU; a program that cannot have them ends. */
void posix_random(void *buffer, size_t size);

/* Reads from the console; part `input`. 0 at the end of input; without `wait` -EAGAIN if there is nothing. */
long posix_console_read(void *buffer, size_t size, int wait);

/* readv() and writev(), piece by piece: `more` for those behind the first one that has moved something. */
typedef long posix_transfer(int fd, void *buffer, size_t size);
long posix_vector(posix_transfer *first, posix_transfer *more, const long *arguments);

/* How far the heap of brk() may grow, in bytes. */
extern uint64_t posix_data_limit;

/*
 * Descriptors; part `files`. more reads what is there without a wait; map gives the address of a shared file's memory, or fills a private copy at
 * `copy`.
 */
long posix_file_io(int fd, void *buffer, size_t size, int write) WEAK;
long posix_file_more(int fd, void *buffer, size_t size) WEAK;
long posix_file_close(int fd) WEAK;
long posix_file_seek(int fd, long offset, int whence) WEAK;
long posix_file_ioctl(int fd, unsigned long request, void *argument) WEAK;
long posix_file_limit(const struct rlimit *new, struct rlimit *old) WEAK;
long posix_file_map(int fd, uint64_t offset, size_t size, void *copy) WEAK;
void posix_file_unmap(const void *address, size_t size) WEAK;
