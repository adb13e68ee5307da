/*
 * Handlers, workers, the guard.
 *
 * A request names its sender by the identifier of the portal that root made: never by what it contains. The
 * sender may have died since; then its life is over, and the request is void.
 *
 * SPDX-License-Identifier: MIT
 */

#include "events.h"

#include "domain.h"
#include "log.h"
#include "system.h"

#include <nova/parent.h>

#define STACK_SIZE 2048U
#define WORKER_STACK 8192U

/* A message that waits to be worked on, or that is: one for each CPU. */
static struct request {
    uint64_t pid;
    uint32_t mtd; /* of the message, then of the reply */
    bool pending; /* atomic */
    bool main;    /* for the main thread, not for the CPU's worker */
    union nova_utcb *utcb;
} request[NOVA_CPUS_MAX];

extern void portal_entry(void), worker_entry(void);
extern const char word_read_fault[], word_read_failed[];
uint32_t portal_main(uint64_t pid, uint32_t mtd);
_Noreturn void worker_main(unsigned cpu);

void lock(void)
{
    nova_hc_ctrl_sm(SEL_LOCK, 0, NOVA_SM_DOWN);
}

void unlock(void)
{
    nova_hc_ctrl_sm(SEL_LOCK, 0, NOVA_SM_UP);
}

/* UTCBs: handlers first, then workers, then the guard. */
static union nova_utcb *utcb_at(unsigned index)
{
    return (union nova_utcb *)(UTCB_BASE + index * PAGE_SIZE);
}

/* An exception of the main thread: where a word was not there it goes on, anything else is the end. */
static uint32_t guard(unsigned exception)
{
    struct nova_arch_state *s = &utcb_at(2U * cpu_count)->arch;

    if (exception != 14 || s->rip != (uint64_t)word_read_fault)
        panic("exception in root");
    s->rip = (uint64_t)word_read_failed;
    return NOVA_MTD_RIP;
}

/* A handler, or the guard. Its reply ends up here again, with the next message. */
uint32_t portal_main(uint64_t pid, uint32_t mtd)
{
    unsigned cpu = PORTAL_CPU(pid), kind = PORTAL_KIND(pid);
    struct request *r = &request[cpu];

    if (kind == PORTAL_GUARD)
        return guard(PORTAL_DOMAIN(pid));
    if (kind == PORTAL_WORKER) {
        r->utcb->arch.rip = (uint64_t)worker_entry;
        r->utcb->arch.gpr[7] = cpu;
        return NOVA_MTD_RIP | NOVA_MTD_GPR_0_7;
    }
    r->pid = pid;
    r->mtd = mtd;
    r->main = cpu == hip->cpu_bsp || kind < NOVA_EVT_HST_ARCH ||
              (kind == PORTAL_PARENT && r->utcb->word[0] == NOVA_PARENT_EXIT);
    __atomic_store_n(&r->pending, true, __ATOMIC_RELEASE);
    nova_hc_ctrl_sm(SEL_WORK + (r->main ? hip->cpu_bsp : cpu), 0, NOVA_SM_UP);
    nova_hc_ctrl_sm(SEL_REPLY + cpu, 0, NOVA_SM_DOWN);
    return r->mtd;
}

/* A request, if there is one for the main thread, or for a worker. */
static void serve(struct request *r, bool main)
{
    unsigned kind = PORTAL_KIND(r->pid);
    struct domain *d;

    if (!__atomic_load_n(&r->pending, __ATOMIC_ACQUIRE) || r->main != main)
        return;
    lock();
    d = domain_alive(PORTAL_DOMAIN(r->pid), PORTAL_LIFE(r->pid));
    if (!d) {
        r->mtd = kind == PORTAL_PARENT ? 0 : NOVA_MTD_POISON;
    } else if (kind == PORTAL_PARENT) {
        r->mtd = NOVA_MTD_WORDS(parent_request(d, r->utcb->word, r->mtd % NOVA_UTCB_WORDS + 1));
    } else if (kind == PORTAL_STARTUP) {
        r->utcb->arch.rip = d->entry;
        r->mtd = NOVA_MTD_RIP;
    } else {
        domain_crash(d, PORTAL_CPU(r->pid), kind, &r->utcb->arch);
        r->mtd = NOVA_MTD_POISON;
    }
    unlock();
    __atomic_store_n(&r->pending, false, __ATOMIC_RELEASE);
    nova_hc_ctrl_sm(SEL_REPLY + (uint64_t)(r - request), 0, NOVA_SM_UP);
}

void serve_main(void)
{
    for (unsigned cpu = 0; cpu < cpu_count; cpu++)
        serve(&request[cpu], true);
}

void worker_main(unsigned cpu)
{
    for (;;) {
        nova_hc_ctrl_sm(SEL_WORK + cpu, 0, NOVA_SM_DOWN);
        serve(&request[cpu], false);
    }
}

unsigned portal_create(uint64_t sel, uint64_t handler, uint64_t pays, uint64_t entry, uint64_t pid,
                       uint32_t mtd)
{
    unsigned status = nova_hc_create_pt(sel, pays, handler, entry ? entry : (uint64_t)portal_entry);

    return status == NOVA_SUCCESS ? nova_hc_ctrl_pt(sel, pid, mtd) : status;
}

static void must(unsigned status)
{
    if (status != NOVA_SUCCESS)
        panic("no memory for threads");
}

/* Handler and, except where the main thread is, worker of a CPU. */
static void create_threads(unsigned cpu, uint8_t *stacks)
{
    uint8_t *stack = stacks + cpu * (STACK_SIZE + WORKER_STACK);

    request[cpu].utcb = utcb_at(cpu);
    must(nova_hc_create_sm(SEL_WORK + cpu, sel_pd, 0));
    must(nova_hc_create_sm(SEL_REPLY + cpu, sel_pd, 0));
    must(nova_hc_create_ec(SEL_HANDLER + cpu, sel_pd, (uint64_t)utcb_at(cpu), cpu,
                           (uint64_t)stack + STACK_SIZE, SEL_NONE, 0));
    if (cpu == hip->cpu_bsp)
        return;
    must(portal_create(SEL_WORKER_START + cpu, SEL_HANDLER + cpu, sel_pd, 0,
                       PORTAL_ID(cpu, PORTAL_WORKER, 0, 0), NOVA_MTD_RIP | NOVA_MTD_GPR_0_7));
    must(nova_hc_create_ec(SEL_WORKER + cpu, sel_pd, (uint64_t)utcb_at(cpu_count + cpu), cpu,
                           (uint64_t)stack + STACK_SIZE + WORKER_STACK,
                           SEL_WORKER_START + cpu - PORTAL_STARTUP, NOVA_EC_GLOBAL));
    must(nova_hc_create_sc(SEL_WORKER_SC + cpu, sel_pd, SEL_WORKER + cpu,
                           NOVA_SCD((uint64_t)NOVA_PRIO_MAX, 1000UL)));
}

void events_init(void)
{
    uint64_t bytes = (uint64_t)cpu_count * (STACK_SIZE + WORKER_STACK) + STACK_SIZE;
    uint8_t *stacks = root_alloc(bytes);

    must(nova_hc_create_sm(SEL_LOCK, sel_pd, 1));
    must(nova_hc_create_ec(SEL_GUARD, sel_pd, (uint64_t)utcb_at(2U * cpu_count), hip->cpu_bsp,
                           (uint64_t)stacks + bytes, SEL_NONE, 0));
    for (unsigned i = 0; i < NOVA_EVT_HST_ARCH; i++)
        must(portal_create(i, SEL_GUARD, sel_pd, 0, PORTAL_ID(0, PORTAL_GUARD, i, 0), NOVA_MTD_RIP));
    for (unsigned cpu = 0; cpu < cpu_count; cpu++)
        create_threads(cpu, stacks);
}
