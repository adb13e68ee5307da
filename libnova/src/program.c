/*
 * Start and end of a program, and requests to root.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

#include <nova/string.h>

struct nova_thread nova_first_thread;
void (*nova_program_at_exit)(void);

static const uint64_t *auxv;

int nova_call_aside(uint64_t sel, uint64_t *word, unsigned count, unsigned reply)
{
    unsigned n = count > reply ? count : reply;
    uint64_t *utcb = nova_message(), saved[NOVA_PARENT_WORDS];
    int got;

    if (!count || !reply || n > NOVA_PARENT_WORDS)
        return NOVA_ERR_INVAL;
    memcpy(saved, utcb, n * sizeof(*utcb));
    memcpy(utcb, word, count * sizeof(*utcb));
    got = call_portal(sel, count, 0);
    if (got > 0) {
        memset(word, 0, reply * sizeof(*utcb));
        memcpy(word, utcb, ((unsigned)got < reply ? (unsigned)got : reply) * sizeof(*utcb));
        got = (int)word[0];
    }
    memcpy(utcb, saved, n * sizeof(*utcb));
    return got;
}

int nova_parent_call(uint64_t *word, unsigned count, unsigned reply)
{
    return nova_call_aside(NOVA_SEL_PARENT + nova_thread_cpu(), word, count, reply);
}

void nova_exit(int status)
{
    if (nova_program_at_exit)
        nova_program_at_exit();
    nova_parent(NOVA_PARENT_EXIT, (uint64_t)status & 0xff);
    for (;;) /* root refused: nothing sensible is left to be done */
        __asm__ volatile("ud2");
}

uint64_t nova_program_aux(uint64_t type)
{
    for (const uint64_t *at = auxv; at && at[0]; at += 2)
        if (at[0] == type)
            return at[1];
    return 0;
}

void nova_program_init(const uint64_t *stack)
{
    struct nova_thread *t = &nova_first_thread;

    *t = (struct nova_thread){.self = t,
                              .utcb = (union nova_utcb *)NOVA_UTCB_ADDR,
                              .sel = NOVA_SEL_FIRST_EC,
                              .cpu = nova_info()->cpu,
                              .state = SLOT_USED};
    __asm__ volatile("wrgsbase %0" : : "r"(t) : "memory");
    auxv = stack + 1 + stack[0] + 1;
    while (*auxv++)
        ;
    if (nova_sm_block(&t->sm, 4, 0xf, 0))
        nova_exit(127);
    nova_sm_up(t->sm + SM_EXIT);
}
