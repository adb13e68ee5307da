/**
 * @file
 * Threads wait for each other: mutex, condition variable, once, semaphore.
 *
 * Mutexes, condition variables and the like are words of memory; they need no kernel object, cannot fail to
 * be created and need not be destroyed. A thread that has to wait does so on a semaphore of its own, so other
 * threads of any priority can run meanwhile. Without contention there is no hypercall.
 *
 * All functions are thread-safe and can be used in portal handlers. Deadlines are absolute, in nanoseconds
 * (nova/time.h).
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <nova/time.h>
#include <stdint.h>

/**
 * @addtogroup libnova_sync
 * @{
 */

/** Mutex. All zero is unlocked. It does not know its owner: do not lock it twice. */
struct nova_mutex {
    uint32_t word; /**< 0: free, 1: locked, 2: locked, and somebody waits. */
};

/** Condition variable. All zero is ready for use. */
struct nova_cond {
    uint32_t sequence; /**< Raised by every signal. */
};

/** Something that is to be done only once. All zero: not done yet. */
struct nova_once {
    uint32_t word; /**< 0: not yet, 1: under way, 2: done. */
};

/** Locks a mutex. Example: `nova_mutex_lock(&m); count++; nova_mutex_unlock(&m);` */
void nova_mutex_lock(struct nova_mutex *mutex);

/** Locks a mutex until a deadline. Returns 0 or #NOVA_ERR_TIMEOUT. */
int nova_mutex_lock_until(struct nova_mutex *mutex, uint64_t deadline);

/** Locks a mutex if it is free. Returns 0 or #NOVA_ERR_BUSY. */
int nova_mutex_try(struct nova_mutex *mutex);

/** Unlocks a mutex that the caller has locked. */
void nova_mutex_unlock(struct nova_mutex *mutex);

/**
 * Unlocks the mutex, waits for a signal, and locks it again in any case. It can wake up without a signal, so
 * wait in a loop. Returns 0 or #NOVA_ERR_TIMEOUT.
 *
 * Example: @code
 *   nova_mutex_lock(&m);
 *   while (!ready && !error)
 *       error = nova_cond_wait(&changed, &m, nova_now() + NOVA_S);
 *   nova_mutex_unlock(&m);
 * @endcode
 */
int nova_cond_wait(struct nova_cond *cond, struct nova_mutex *mutex, uint64_t deadline);

/**
 * Wakes one waiting thread, if there is one. Example: `ready = 1; nova_cond_signal(&changed);` with the mutex
 * locked.
 */
void nova_cond_signal(struct nova_cond *cond);

/** Wakes all waiting threads. */
void nova_cond_broadcast(struct nova_cond *cond);

/** Calls `function` if nobody has done so yet for this `once`, or waits until it has been done. */
void nova_once(struct nova_once *once, void (*function)(void));

/** @name Flags of nova_futex_wait()
 * @{ */
#define NOVA_FUTEX_INTERRUPTIBLE 1U /**< nova_thread_interrupt() ends the wait. */
/** @} */

/**
 * Waits while `*word` is `expected`, until nova_futex_wake(). Returns 0; #NOVA_ERR_BUSY if it was something
 * else already; #NOVA_ERR_TIMEOUT; #NOVA_ERR_INTERRUPTED. The building block of all of the above.
 */
int nova_futex_wait(uint32_t *word, uint32_t expected, uint64_t deadline, unsigned flags);

/**
 * Wakes at most `count` threads that wait for `*word`, longest first. Returns how many. The word is not
 * accessed.
 */
unsigned nova_futex_wake(uint32_t *word, unsigned count);

/**
 * Semaphore of the kernel: for interrupts and for other domains; threads of one domain are better served by
 * the above. Returns 0, #NOVA_ERR_LIMIT, #NOVA_ERR_MEMORY.
 *
 * Example: @code
 *   uint64_t sm;
 *   if (!nova_sm_create(&sm, 0) && !nova_sm_down(sm, nova_now() + NOVA_MS)) { ... }
 * @endcode
 */
int nova_sm_create(uint64_t *sel, uint64_t count);

/** Drops a semaphore: who waits for it keeps waiting. */
void nova_sm_destroy(uint64_t sel);

/** Counts up, or releases who has waited longest. Returns 0, #NOVA_ERR_LIMIT (overflow), #NOVA_ERR_INVAL. */
int nova_sm_up(uint64_t sel);

/** Counts down; waits while the count is 0. Returns 0, #NOVA_ERR_TIMEOUT, #NOVA_ERR_INVAL. */
int nova_sm_down(uint64_t sel, uint64_t deadline);

/**
 * Sets the count to 0; waits while it is 0. For bells: several rings are answered at once. Returns as
 * nova_sm_down().
 */
int nova_sm_drain(uint64_t sel, uint64_t deadline);

/** @} */
