/*
 * nova-host: runs the image of a program as a Linux process, by standing in for the microhypervisor and for
 * root.
 *
 *   host.c     loads the image, builds what nova/start.h promises
 *   console.c  the service `log`
 *   kernel.c   the microhypervisor: semaphores, portals, capabilities, host space
 *   parent.c   root: threads, log, sessions
 *   thread.c   threads, hypercalls
 *   crash.c    crash records
 *
 * The image runs unchanged, in this process. Its `syscall` instructions are caught by their address only; SIGSYS
 * then carries the registers. Objects are under one lock.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <nova/abi/cap.h>
#include <nova/abi/hypercall.h>
#include <nova/abi/utcb.h>
#include <nova/error.h>
#include <nova/parent.h>
#include <nova/start.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

#define PAGE 4096UL
#define SELECTORS 65536U
#define HOST_RECALL SIGUSR1 /* to a thread that is recalled */

enum type { EC, SC, PT, SM };

/* A kernel object. Freed with the last capability and the last use. */
struct object {
    enum type type;
    unsigned references;
    unsigned capabilities; /* of the references */
    bool dead;
    /* SM */
    uint64_t count;
    pthread_cond_t upped;
    /* EC; SC refers to its EC, PT to its handler, or to none but a bell if it belongs to the console */
    struct object *ec, *bell;
    uint64_t *utcb;
    unsigned cpu;
    bool local, fpu, started;
    pthread_t thread; /* once it has started */
    uint64_t sp, ip;
    clockid_t clock;
    /* a call of a local EC */
    bool busy, called, replied;
    uint64_t call_ip, call_id;
    uint32_t call_mtd;
    /* PT */
    uint64_t id;
};

/* The domain. */
extern struct host {
    const char *image; /* its path */
    pthread_mutex_t lock;
    pthread_cond_t ipc; /* state of a call has changed */
    struct object *cap[SELECTORS];
    struct nova_info *info; /* writable views of what the program sees read-only */
    struct nova_session_state *client, *server;
    int memory; /* file of the pool */
    unsigned threads;
} host;

extern _Thread_local struct object *host_self;

/* host.c */
_Noreturn void host_die(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t host_ticks(void);
uint64_t host_tick_ns(uint64_t ticks);
void host_log(const char *text, size_t length);

/* thread.c: a new thread; the first one; the end of the calling one, from within a hypercall. */
void host_thread(struct object *ec);
_Noreturn void host_enter(uint64_t ip, uint64_t sp);
_Noreturn void host_thread_end(void);

/* crash.c: a report of what a signal handler was told. */
void host_crash(const siginfo_t *info, const greg_t *r);

/* kernel.c: a hypercall; changes the registers. With the lock held. */
void kernel_call(greg_t *registers);
struct object *kernel_object(enum type type);
void kernel_put(struct object *object);
/* Puts an object (or NULL) at a selector. */
void kernel_set(uint64_t selector, struct object *object);
struct object *kernel_get(uint64_t selector, enum type type);
void kernel_up(struct object *semaphore);
int kernel_map(uint64_t from, uint64_t to, uint64_t pages, unsigned rights);
/* The event RECALL of the calling thread, which the program's portal may send elsewhere. */
void kernel_recalled(greg_t *registers, uint64_t fs);
/* Waits until a local EC is called; then continues there. */
void kernel_wait_call(struct object *ec, greg_t *registers);

/* console.c: a request of a client with this bell; gives the words of the reply. With the lock held. */
unsigned console_request(uint64_t *word, unsigned words, struct object *bell);

/* parent.c: a request; gives the words of the reply. With the lock held. */
unsigned parent_request(uint64_t *word, unsigned words);
