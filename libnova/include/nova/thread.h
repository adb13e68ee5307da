/**
 * @file
 * Threads with time of their own (global threads), and what every thread has: UTCB, TLS, an identity.
 *
 * A thread belongs to one CPU for its whole life. Threads that serve portals are made with nova/portal.h. In
 * all of them the GS base points to struct nova_thread and the FS base to the thread control block (TCB) with
 * thread-local variables below it, as the x86-64 psABI has it: variables with `_Thread_local` work, and so
 * does libc in portal handlers.
 *
 * Stacks that libnova makes have a guard page below: an overflow is a fault.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <nova/abi/utcb.h>
#include <nova/parent.h>
#include <nova/time.h>
#include <stddef.h>
#include <stdint.h>

/**
 * @addtogroup libnova_thread
 * @{
 */

#define NOVA_STACK_SIZE 32768UL /**< Bytes of a stack if nothing else is said. */

/** What libnova knows about a thread; the GS base points to it. Programs only pass pointers to it around. */
struct nova_thread {
    struct nova_thread *self; /**< 0: itself. Assembly code knows the offsets. */
    union nova_utcb *utcb;    /**< 8 */
    uint64_t fs;              /**< 16: FS base to begin with. */
    uint64_t sp;              /**< 24: stack pointer to begin with. */
    void (*entry)(void *);    /**< 32: function, */
    void *context;            /**< 40: and its argument. */
    uint64_t ready;           /**< 48: local thread: bases are set. */
    uint64_t sel;             /**< Selector of its EC; the SC is one further. */
    uint64_t sm;              /**< Semaphore that it waits with; the next one is upped at its end. */
    uint32_t cpu;             /**< Its CPU. */
    uint32_t slot;            /**< Slot of its UTCB. */
    uint32_t state;           /**< For libnova. */
    uint32_t interrupted;     /**< nova_thread_interrupt() has not been answered yet. */
    void *stack;              /**< Window of a stack that libnova made, guard page included; NULL: none. */
    size_t stack_size;        /**< Bytes of the window. */
    void *data;               /**< For the layer above: libnova does not touch it. */
};

_Static_assert(offsetof(struct nova_thread, ready) == 48, "offsets in entry.S");

/** Wishes for a new thread. All zero is a good choice. */
struct nova_thread_options {
    uint32_t cpu;       /**< 1 + number of the CPU; 0: that of the caller. See NOVA_ON_CPU(). */
    uint32_t priority;  /**< 1 to nova_info::priority; 0: the highest. */
    uint32_t budget_ms; /**< Time before others of the same priority have their turn; 0: 10. */
    uint32_t detached;  /**< Not 0: nobody joins it; it is freed when the next thread is made. */
    size_t stack_size;  /**< Bytes, without the guard page; 0: #NOVA_STACK_SIZE. */
    void *stack;        /**< Top of a stack of the caller's; NULL: libnova makes one. */
    uint64_t fs;        /**< FS base, only with `stack`; 0: libnova makes thread-local storage. */
};

/** Value for nova_thread_options::cpu. */
#define NOVA_ON_CPU(n) ((n) + 1)

/**
 * Starts a thread: `entry(context)`; returning from it ends the thread.
 *
 * Returns 0; #NOVA_ERR_LIMIT if there are nova_info::threads already; #NOVA_ERR_MEMORY; #NOVA_ERR_DENIED for
 * a CPU that the domain may not use. Thread-safe.
 *
 * Example: @code
 *   struct nova_thread *t;
 *   int error = nova_thread_create(&t, work, &job, &(struct nova_thread_options){.cpu = NOVA_ON_CPU(1)});
 *   if (!error)
 *       nova_thread_join(t, NOVA_NEVER);
 * @endcode
 */
int nova_thread_create(struct nova_thread **thread, void (*entry)(void *), void *context,
                       const struct nova_thread_options *options);

/**
 * Waits until a thread has ended and frees what it used. One joiner only. Returns 0 or #NOVA_ERR_TIMEOUT;
 * then it can be joined again. The deadline is in nanoseconds, see nova/time.h.
 */
int nova_thread_join(struct nova_thread *thread, uint64_t deadline);

/**
 * Ends the calling thread. In the first thread the domain goes on with the others. Not in portal handlers.
 */
_Noreturn void nova_thread_exit(void);

/**
 * Ends the calling thread; before that runs `final(argument)` on a stack of libnova's, when the own stack is
 * not used any more and can be freed. Only for one thread at a time, others wait; so it should be short. It
 * must not use thread-local variables.
 */
_Noreturn void nova_thread_exit_final(void (*final)(void *), void *argument);

/** The calling thread. Thread-safe. */
static inline struct nova_thread *nova_thread_self(void)
{
    struct nova_thread *self;

    __asm__("mov %%gs:0, %0" : "=r"(self));
    return self;
}

/** CPU of the calling thread. Thread-safe. */
static inline unsigned nova_thread_cpu(void)
{
    return nova_thread_self()->cpu;
}

/**
 * Words of the calling thread's UTCB: messages go and come here. Calls of libnova leave it alone, except for
 * nova_session_call().
 */
static inline uint64_t *nova_message(void)
{
    return nova_thread_self()->utcb->word;
}

/**
 * Ends a wait of another thread, the current or the next one, with #NOVA_ERR_INTERRUPTED: nova_futex_wait()
 * with #NOVA_FUTEX_INTERRUPTIBLE, nova_sleep_until(). Thread-safe.
 */
void nova_thread_interrupt(struct nova_thread *thread);

/** Thread control block, at the FS base of threads that have their thread-local storage from libnova. */
struct nova_tcb {
    struct nova_tcb *self; /**< Itself: the psABI demands it at offset 0. */
    uint64_t reserved[4];  /**< Not used. */
    uint64_t canary;       /**< Offset 40: where compilers look for the stack protector's value. */
};

/** How thread-local storage is made; libc replaces it by its own before it creates handlers or threads. */
struct nova_tls {
    size_t size;                  /**< Bytes at the top of the stack. */
    uint64_t (*init)(void *area); /**< Fills them in, aligned to 64; returns the FS base. */
};

/** The one in use. Written before there is a second thread. */
extern struct nova_tls nova_tls;

/** @} */
