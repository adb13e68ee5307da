/*
 * The microhypervisor as far as libnova uses it: see nova/hypercall.h. One lock; waiting is on condition
 * variables.
 *
 * SPDX-License-Identifier: MIT
 */

#define _GNU_SOURCE
#include "host.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

_Thread_local struct object *host_self;

struct object *kernel_object(enum type type)
{
    struct object *o = calloc(1, sizeof(*o));
    pthread_condattr_t attributes;

    if (!o)
        host_die("no memory");
    o->type = type;
    o->references = 1;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&o->upped, &attributes);
    return o;
}

void kernel_put(struct object *o)
{
    if (!o || --o->references)
        return;
    kernel_put(o->ec);
    kernel_put(o->bell);
    free(o);
}

void kernel_set(uint64_t selector, struct object *o)
{
    struct object *old = host.cap[selector];

    if (o) {
        o->references++;
        o->capabilities++;
    }
    host.cap[selector] = o;
    /* A thread dies with the last capability of its EC. */
    if (old && !--old->capabilities && old->type == EC) {
        old->dead = true;
        pthread_cond_broadcast(&host.ipc);
    }
    kernel_put(old);
}

struct object *kernel_get(uint64_t selector, enum type type)
{
    struct object *o = selector < SELECTORS ? host.cap[selector] : NULL;

    return o && o->type == type ? o : NULL;
}

void kernel_up(struct object *semaphore)
{
    semaphore->count++;
    pthread_cond_signal(&semaphore->upped);
}

static unsigned down(struct object *semaphore, uint64_t deadline, bool zero)
{
    semaphore->references++;
    while (!semaphore->count) {
        if (!deadline) {
            pthread_cond_wait(&semaphore->upped, &host.lock);
        } else {
            uint64_t now = host_ticks();
            uint64_t wait = deadline > now ? host_tick_ns(deadline - now) : 0;
            struct timespec until;

            if (!wait) {
                kernel_put(semaphore);
                return NOVA_TIMEOUT;
            }
            clock_gettime(CLOCK_MONOTONIC, &until);
            wait = wait < 1000000000000000 ? wait : 1000000000000000;
            wait += (uint64_t)until.tv_nsec;
            until.tv_sec += (time_t)(wait / 1000000000);
            until.tv_nsec = (long)(wait % 1000000000);
            pthread_cond_timedwait(&semaphore->upped, &host.lock, &until);
        }
    }
    semaphore->count = zero ? 0 : semaphore->count - 1;
    kernel_put(semaphore);
    return NOVA_SUCCESS;
}

static unsigned control_semaphore(uint64_t selector, unsigned flags, uint64_t deadline)
{
    struct object *semaphore = kernel_get(selector, SM);

    if (!semaphore)
        return NOVA_BAD_CAP;
    if (flags & NOVA_SM_DOWN)
        return down(semaphore, deadline, flags & NOVA_SM_ZERO);
    kernel_up(semaphore);
    return NOVA_SUCCESS;
}

/* Has a local EC serve a portal, until it replies or dies. */
static void run(const struct object *pt, uint32_t mtd)
{
    struct object *ec = pt->ec;

    ec->called = true;
    ec->replied = false;
    ec->call_ip = pt->ip;
    ec->call_id = pt->id;
    ec->call_mtd = mtd;
    pthread_cond_broadcast(&host.ipc);
    while (!ec->replied && !ec->dead)
        pthread_cond_wait(&host.ipc, &host.lock);
}

/* A call. Requests to root and to the console are served here and now. */
static unsigned call(uint64_t selector, unsigned flags, uint64_t *mtd)
{
    unsigned words = (unsigned)(*mtd % NOVA_UTCB_WORDS) + 1;
    struct object *pt, *ec;

    if (selector - NOVA_SEL_PARENT < NOVA_CPUS_MAX) {
        if (selector - NOVA_SEL_PARENT != host_self->cpu)
            return NOVA_BAD_CPU;
        *mtd = NOVA_MTD_WORDS(parent_request(host_self->utcb, words));
        return NOVA_SUCCESS;
    }
    pt = kernel_get(selector, PT);
    if (!pt)
        return NOVA_BAD_CAP;
    if (pt->bell) {
        *mtd = NOVA_MTD_WORDS(console_request(host_self->utcb, words, pt->bell));
        return NOVA_SUCCESS;
    }
    ec = pt->ec;
    if (ec->cpu != host_self->cpu)
        return NOVA_BAD_CPU;
    ec->references++;
    while (ec->busy && !ec->dead && !(flags & NOVA_CALL_TIMEOUT))
        pthread_cond_wait(&host.ipc, &host.lock);
    if (ec->busy || ec->dead) {
        unsigned status = ec->dead ? NOVA_ABORTED : NOVA_TIMEOUT;

        kernel_put(ec);
        return status;
    }
    ec->busy = true;
    memcpy(ec->utcb, host_self->utcb, words * sizeof(uint64_t));
    run(pt, (uint32_t)*mtd);
    if (ec->replied) {
        *mtd = ec->call_mtd;
        memcpy(host_self->utcb, ec->utcb, (*mtd % NOVA_UTCB_WORDS + 1) * sizeof(uint64_t));
    }
    ec->busy = false;
    pthread_cond_broadcast(&host.ipc);
    kernel_put(ec);
    return ec->replied ? NOVA_SUCCESS : NOVA_ABORTED;
}

void kernel_recalled(greg_t *r, uint64_t fs)
{
    uint64_t before = host.info->cpus & ((1UL << host_self->cpu) - 1);
    struct object *pt = kernel_get(NOVA_SEL_RECALL + 64UL * (unsigned)__builtin_popcountl(before), PT);
    struct object *ec = pt ? pt->ec : NULL;
    struct nova_arch_state state = {.rip = (uint64_t)r[REG_RIP], .fs.base = fs};

    if (!ec)
        return;
    ec->references++;
    while (ec->busy && !ec->dead)
        pthread_cond_wait(&host.ipc, &host.lock);
    if (!ec->dead) {
        __asm__ volatile("rdgsbase %0" : "=r"(state.gs.base));
        state.gpr[4] = (uint64_t)r[REG_RSP];
        ec->busy = true;
        memcpy(ec->utcb, &state, sizeof(state));
        run(pt, 0);
        memcpy(&state, ec->utcb, sizeof(state));
        if (ec->replied && ec->call_mtd & NOVA_MTD_GPR_0_7)
            r[REG_RSP] = (greg_t)state.gpr[4];
        if (ec->replied && ec->call_mtd & NOVA_MTD_RIP)
            r[REG_RIP] = (greg_t)state.rip;
        ec->busy = false;
        pthread_cond_broadcast(&host.ipc);
    }
    kernel_put(ec);
}

void kernel_wait_call(struct object *ec, greg_t *r)
{
    while (!ec->called && !ec->dead)
        pthread_cond_wait(&host.ipc, &host.lock);
    if (ec->dead)
        host_thread_end();
    ec->called = false;
    r[REG_RIP] = (greg_t)ec->call_ip;
    r[REG_RSP] = (greg_t)ec->sp;
    r[REG_RDI] = (greg_t)ec->call_id;
    r[REG_RSI] = (greg_t)ec->call_mtd;
}

/* A local EC answers and waits for the next call; a global one waits for ever. */
static void reply(greg_t *r)
{
    struct object *ec = host_self;

    if (!ec->local) {
        while (!ec->dead)
            pthread_cond_wait(&host.ipc, &host.lock);
        host_thread_end();
    }
    ec->call_mtd = (uint32_t)r[REG_RSI];
    ec->replied = true;
    pthread_cond_broadcast(&host.ipc);
    kernel_wait_call(ec, r);
}

int kernel_map(uint64_t from, uint64_t to, uint64_t pages, unsigned rights)
{
    uint64_t pool = host.info->pool_start;
    int protection = (rights & NOVA_MEM_R ? PROT_READ : 0) | (rights & NOVA_MEM_W ? PROT_WRITE : 0);
    void *at = (void *)(to * PAGE);

    if (!protection)
        return mmap(at, pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
                    0) != at;
    if (from * PAGE < pool || from * PAGE - pool + pages * PAGE > host.info->pool_size)
        return -1;
    return mmap(at, pages * PAGE, protection, MAP_SHARED | MAP_FIXED, host.memory,
                (off_t)(from * PAGE - pool)) != at;
}

static unsigned create(uint64_t selector, struct object *o)
{
    unsigned status = selector && selector < SELECTORS && !host.cap[selector] ? NOVA_SUCCESS : NOVA_BAD_CAP;

    if (status == NOVA_SUCCESS)
        kernel_set(selector, o);
    kernel_put(o);
    return status;
}

static unsigned create_semaphore(uint64_t selector, uint64_t count)
{
    struct object *o = kernel_object(SM);

    o->count = count;
    return create(selector, o);
}

static unsigned create_portal(uint64_t selector, uint64_t ec, uint64_t ip)
{
    struct object *handler = kernel_get(ec, EC);
    struct object *o;

    if (!handler || !handler->local)
        return NOVA_BAD_CAP;
    o = kernel_object(PT);
    o->ec = handler;
    handler->references++;
    o->ip = ip;
    return create(selector, o);
}

static unsigned control_portal(uint64_t selector, uint64_t id)
{
    struct object *o = kernel_get(selector, PT);

    if (o)
        o->id = id;
    return o ? NOVA_SUCCESS : NOVA_BAD_CAP;
}

static unsigned recall(uint64_t selector)
{
    struct object *o = kernel_get(selector, EC);

    if (o && o->started)
        pthread_kill(o->thread, HOST_RECALL);
    return o ? NOVA_SUCCESS : NOVA_BAD_CAP;
}

static unsigned control_time(uint64_t selector, greg_t *ticks)
{
    struct object *o = kernel_get(selector, SC);
    struct timespec t;

    if (!o)
        return NOVA_BAD_CAP;
    if (clock_gettime(o->ec->clock, &t))
        t = (struct timespec){0};
    *ticks = (greg_t)((unsigned __int128)((uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec) *
                      host.info->tsc_frequency / 1000000000);
    return NOVA_SUCCESS;
}

void kernel_call(greg_t *r)
{
    uint64_t rdi = (uint64_t)r[REG_RDI];
    uint64_t rsi = (uint64_t)r[REG_RSI];
    uint64_t selector = rdi >> 8;
    unsigned flags = rdi >> 4 & 15;
    unsigned status = NOVA_BAD_HYP;

    switch (rdi & 15) {
    case NOVA_IPC_CALL:
        status = call(selector, flags, &rsi);
        r[REG_RSI] = (greg_t)rsi;
        break;
    case NOVA_IPC_REPLY:
        reply(r);
        return;
    case NOVA_CREATE_PT:
        status = create_portal(selector, (uint64_t)r[REG_RDX], (uint64_t)r[REG_RAX]);
        break;
    case NOVA_CREATE_SM:
        status = create_semaphore(selector, (uint64_t)r[REG_RDX]);
        break;
    case NOVA_CTRL_EC:
        status = recall(selector);
        break;
    case NOVA_CTRL_SC:
        status = control_time(selector, &r[REG_RSI]);
        break;
    case NOVA_CTRL_PT:
        status = control_portal(selector, rsi);
        break;
    case NOVA_CTRL_SM:
        status = control_semaphore(selector, flags, rsi);
        break;
    default:
        break;
    }
    r[REG_RDI] = (greg_t)((rdi & ~255UL) | status);
}
