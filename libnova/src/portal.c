/*
 * Handlers and portals within a domain: a portal's identifier is the address of its structure.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

#include <nova/cap.h>
#include <nova/portal.h>

uint32_t nova_portal_serve(uint64_t pid, uint32_t mtd, const struct nova_thread *self);

int nova_handler_create(struct nova_thread **handler, unsigned cpu, size_t stack_size)
{
    const struct nova_thread_options options = {.cpu = NOVA_ON_CPU(cpu), .stack_size = stack_size};

    return nova_thread_make(handler, NULL, NULL, &options, NOVA_THREAD_LOCAL);
}

void nova_handler_destroy(struct nova_thread *handler)
{
    nova_thread_free(handler);
}

/* Called by nova_portal_entry. */
uint32_t nova_portal_serve(uint64_t pid, uint32_t mtd, const struct nova_thread *self)
{
    const struct nova_portal *portal = (const struct nova_portal *)pid;

    return NOVA_MTD_WORDS(portal->serve(portal->context, self->utcb->word, mtd % NOVA_UTCB_WORDS + 1));
}

int nova_portal_create(struct nova_portal *portal, struct nova_thread *handler)
{
    int error;

    portal->sel = nova_cap_alloc(1, 1);
    if (!portal->sel)
        return NOVA_ERR_LIMIT;
    error =
        nova_hc_error(nova_hc_create_pt(portal->sel, NOVA_SEL_PD, handler->sel, (uint64_t)nova_portal_entry));
    if (error)
        nova_cap_free(portal->sel, 1);
    else
        nova_hc_ctrl_pt(portal->sel, (uint64_t)portal, 0);
    return error;
}

void nova_portal_destroy(struct nova_portal *portal)
{
    nova_cap_free(portal->sel, 1);
}

int nova_portal_call(uint64_t sel, unsigned words)
{
    return call_portal(sel, words, 0);
}
