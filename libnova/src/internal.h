/*
 * What the files of libnova share.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <nova/hypercall.h>
#include <nova/program.h>
#include <nova/sync.h>
#include <nova/thread.h>
#include <stdbool.h>

/* States of a thread slot. USED threads can be DETACHED and have ENDED; both together can be reaped. */
enum { SLOT_FREE = 0, SLOT_USED = 1, SLOT_DETACHED = 2, SLOT_ENDED = 4 };

extern struct nova_thread nova_first_thread;

/* Semaphores of the first thread, counted from nova_thread::sm: the first two are those of every thread. */
enum { SM_WAIT, SM_END, SM_GATE, SM_EXIT };

/* Finds out how much thread-local storage a program without libc has. */
void nova_tls_measure(void);

/*
 * Takes `count` (a power of two) selectors and creates semaphores with a value at those whose bits are in
 * `which`.
 */
int nova_sm_block(uint64_t *sel, unsigned count, unsigned which, uint64_t value);

/* For nova_thread_make(), beside the flags of NOVA_PARENT_THREAD: without FPU. */
#define THREAD_PLAIN 0x80000000U

/* A thread of either kind. Threads that are done are given back with nova_thread_free(). */
int nova_thread_make(struct nova_thread **thread, void (*entry)(void *), void *context,
                     const struct nova_thread_options *options, unsigned flags);
void nova_thread_free(struct nova_thread *thread);

/* Assembly code: where threads and portals begin. */
extern char nova_thread_entry[], nova_portal_entry[], nova_server_entry[], nova_vm_entry[];

/* First of `count` clear bits in [start, end), at a multiple of align, a power of two; UINT64_MAX: none. */
uint64_t nova_bits_find(const uint64_t *bits, uint64_t start, uint64_t end, uint64_t count, uint64_t align);
void nova_bits_set(uint64_t *bits, uint64_t first, uint64_t count, bool value);

/* Asks root to map memory of the domain, see NOVA_PARENT_MAP; any number of pages. */
int nova_map(unsigned space, uint64_t from, uint64_t to, uint64_t pages, unsigned rights);

static inline bool nova_bit(const uint64_t *bits, uint64_t n)
{
    return bits[n / 64] >> n % 64 & 1;
}

/* nova_parent_call() with any portal whose answers begin with an `enum nova_error`. */
int nova_call_aside(uint64_t sel, uint64_t *word, unsigned count, unsigned reply);

/* Calls a portal: words of the answer, or an error. */
static inline int call_portal(uint64_t sel, unsigned words, unsigned flags)
{
    uint32_t mtd = NOVA_MTD_WORDS(words);
    unsigned status;

    if (words - 1 >= NOVA_UTCB_WORDS)
        return NOVA_ERR_INVAL;
    status = nova_hc_ipc_call(sel, &mtd, flags);
    if (__builtin_expect(status == NOVA_SUCCESS, 1))
        return (int)(mtd % NOVA_UTCB_WORDS + 1);
    if (status == NOVA_TIMEOUT)
        return NOVA_ERR_TIMEOUT;
    return status == NOVA_BAD_CPU ? NOVA_ERR_ABSENT : NOVA_ERR_PEER;
}

/* To a multiple of a power of two. */
static inline uint64_t round_up(uint64_t n, uint64_t align)
{
    return (n + align - 1) & ~(align - 1);
}
