/*
 * Cancellation of threads that only compute, if they permit it at any time (PTHREAD_CANCEL_ASYNCHRONOUS). The thread is
 * recalled: its RECALL event comes to a handler on its CPU, while the thread stands still, and the handler sends it to
 * where signals are delivered. Only if it is to be cancelled: then it never comes back, and nothing has to be saved.
 * Inside this layer it is left alone: it looks for signals when it leaves.
 *
 * SPDX-License-Identifier: MIT
 */

#include "posix.h"
#include <nova/hypercall.h>
#include <nova/portal.h>

const char nova_link_cancel __attribute__((used)) = 0;

#define STACK 8192
#define RED_ZONE 128 /* below the stack pointer: System V ABI for x86-64, 3.2.2 */
#define EVENT (NOVA_MTD_GPR_0_7 | NOVA_MTD_RIP | NOVA_MTD_FS_GS)

extern char nova_portal_entry[]; /* libnova: calls nova_portal::serve */

static struct nova_once prepared;
static uint64_t ready; /* CPUs with a handler */

/* Where a thread goes: as if it had been called. */
static _Noreturn void deliver(void)
{
    __asm__ volatile("cld");
    posix_deliver();
    posix_crash("a thread that was to be cancelled goes on");
}

static unsigned on_recall(void *context, uint64_t *word, unsigned words)
{
    struct nova_arch_state *state = (struct nova_arch_state *)word;
    const struct posix_thread *thread = ((const struct nova_thread *)state->gs.base)->data;

    (void)context;
    (void)words;
    if (!thread || thread->inside || !posix_interrupted(thread) || !posix_tcb_cancelled(state->fs.base))
        return 1 /* an MTD of 0: nothing is changed */;
    state->gpr[4] = ((state->gpr[4] - RED_ZONE) & ~15UL) - 8;
    state->rip = (uint64_t)deliver;
    return (NOVA_MTD_GPR_0_7 | NOVA_MTD_RIP) + 1;
}

/* A handler for each CPU, as far as the domain may have that many threads. */
static void prepare(void)
{
    static const struct nova_portal portal = {.serve = on_recall};
    uint64_t sel = NOVA_SEL_RECALL;

    for (uint64_t cpus = nova_info()->cpus; cpus; cpus &= cpus - 1, sel += 64) {
        unsigned cpu = (unsigned)__builtin_ctzl(cpus);
        struct nova_thread *handler;

        if (nova_handler_create(&handler, cpu, STACK))
            continue;
        if (nova_hc_create_pt(sel, NOVA_SEL_PD, handler->sel, (uint64_t)nova_portal_entry) ||
            nova_hc_ctrl_pt(sel, (uint64_t)&portal, EVENT))
            nova_handler_destroy(handler);
        else
            ready |= 1UL << cpu;
    }
}

void posix_recall(const struct nova_thread *thread)
{
    nova_once(&prepared, prepare);
    if (ready >> thread->cpu & 1)
        nova_hc_ctrl_ec(thread->sel, 0);
}
