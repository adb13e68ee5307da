/**
 * @file
 * Portals within a domain, and the local threads that serve them.
 *
 * A handler is a thread without time of its own: it runs when one of its portals is called, with the time of
 * the caller, who must be on the same CPU. It serves one call at a time. It can call everything in libnova
 * and libc; messages are in its UTCB, which the functions of libnova leave as it is, except for
 * nova_session_call().
 *
 * Services for other domains are in nova/session.h.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <nova/thread.h>

/**
 * @addtogroup libnova_portal
 * @{
 */

/**
 * Makes a handler on a CPU. `stack_size` 0 is #NOVA_STACK_SIZE. Returns 0 or an error as
 * nova_thread_create(). Its EC's selector is nova_thread::sel. Thread-safe.
 *
 * Example: @code
 *   struct nova_thread *handler;
 *   int error = nova_handler_create(&handler, nova_thread_cpu(), 0);
 * @endcode
 */
int nova_handler_create(struct nova_thread **handler, unsigned cpu, size_t stack_size);

/** Removes a handler whose portals are gone and which serves nobody. Thread-safe. */
void nova_handler_destroy(struct nova_thread *handler);

/** A portal within the domain. It must stay where it is. */
struct nova_portal {
    /**
     * Serves a call: `word` is the UTCB with `words` words. Returns how many words the reply has, at least 1.
     */
    unsigned (*serve)(void *context, uint64_t *word, unsigned words);
    void *context; /**< Its first argument. */
    uint64_t sel;  /**< Selector of the portal, set by nova_portal_create(). */
};

/**
 * Makes a portal served by a handler. `serve` and `context` are set by the caller. Returns 0, #NOVA_ERR_LIMIT
 * or #NOVA_ERR_MEMORY. Thread-safe.
 *
 * Example: @code
 *   static struct nova_portal portal = {.serve = add};
 *   if (!nova_portal_create(&portal, handler)) {
 *       nova_message()[0] = 1;
 *       int words = nova_portal_call(portal.sel, 1);
 *   }
 * @endcode
 */
int nova_portal_create(struct nova_portal *portal, struct nova_thread *handler);

/** Removes a portal; calls under way still end. Thread-safe. */
void nova_portal_destroy(struct nova_portal *portal);

/**
 * Calls a portal on the own CPU with the first `words` words (1 to 512) of nova_message(). Returns the number
 * of words of the reply, now in nova_message(); #NOVA_ERR_PEER if the callee is dead or the selector holds no
 * portal; #NOVA_ERR_ABSENT if it is on another CPU. Thread-safe.
 */
int nova_portal_call(uint64_t sel, unsigned words);

/** @} */
