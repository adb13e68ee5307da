/**
 * @file
 * Requests to root, the parent of all domains.
 *
 * A request is a call of the portal #NOVA_SEL_PARENT + (own CPU). Word 0 holds the operation, the following ones its
 * arguments; the reply has an `enum nova_error` (sign-extended) in word 0 and results behind. Root never blocks for a
 * caller and never trusts one: a message of the wrong length is refused with #NOVA_ERR_PROTOCOL, a bad argument with
 * #NOVA_ERR_INVAL, and then nothing has changed.
 *
 * | operation | arguments | results |
 * | --- | --- | --- |
 * | EXIT | status | does not come back |
 * | THREAD | cpu, UTCB slot, stack pointer, entry, flags, priority, budget in ms, selector | |
 * | THREAD_ENDED | selector | |
 * | SERVE | service, portal entry, doorbell, window, pages of a session, handler selectors | |
 * | OPEN | name (4 words), doorbell, buffer, pages | session |
 * | CLOSE | session | |
 * | LOG_READ | bytes sent | bytes, text |
 * | LOG | bytes, text | |
 * | STATE | (none) | threads, sessions as client, as server, restarts |
 * | VCPU | cpu, event base, selector | |
 * | DROP | selector, count | |
 * | MAP | space, from, to, pages, rights | |
 * | COPY | selector, first, count | |
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <nova/start.h>

/**
 * @addtogroup libnova_parent
 * @{
 */

/** Operations, in word 0. */
enum nova_parent_op {
    /** The domain ends. Word 1: exit status, 0 to 255. All its objects are taken away; its sessions are closed. */
    NOVA_PARENT_EXIT = 1,
    /**
     * Creates an EC, and for a global thread an SC. Word 1: CPU (one of nova_info::cpus, else DENIED); 2: slot of its
     * UTCB (nova/start.h; INVAL if above the end); 3: stack pointer; 4: entry, where all global threads of the domain
     * start, with their stack pointer and nothing else defined; 5: flags, see `enum nova_thread_flags`; 6: priority
     * (clamped to nova_info::priority, 0 means that); 7: budget in milliseconds (1 to 1000; 0 means 10);
     * 8: selector for the EC (CTRL, BIND_PT), the SC goes to the one behind (CTRL). LIMIT if there are nova_info::threads
     * already, MEMORY if the kernel memory of the domain is used up. A thread ends when the domain reports it with
     * #NOVA_PARENT_THREAD_ENDED.
     */
    NOVA_PARENT_THREAD = 2,
    /** A thread has ended: one more may be created. Word 1: selector of its EC; both capabilities are dropped. */
    NOVA_PARENT_THREAD_ENDED = 3,
    /**
     * Offers a service. Word 1: which one, in the order of `provides` in the system file; 2: instruction pointer of its
     * portals; 3: selector of the semaphore that is upped when a client rings, opens, closes or dies; 4: address of the window
     * in which session buffers appear, page-aligned, inside of the free part of the address space, room for
     * #NOVA_SESSIONS_MAX buffers, session n at n times the size; 5: largest size of a buffer in pages (0 to 4096);
     * 6: bits of the CPUs on which there is a handler; 7 and following: selector of the handler's EC, a local one, for
     * each of these CPUs, lowest first. BUSY if it is offered already.
     * The portal id of a call is the session's number in the server table | generation << 8.
     */
    NOVA_PARENT_SERVE = 4,
    /**
     * Opens a session. Words 1 to 4: name, ended by 0; 5: a semaphore of the client's own, that the server may up and that
     * root ups when the server is gone: sessions may share one; 6: address of the buffer in the client's pool, page-aligned;
     * 7: its size in pages, 0 for none. Result: word 1: number in the client table, which says where portals and the server's
     * doorbell are (nova/start.h). DENIED if the system file does not permit it, ABSENT if the server does not offer the
     * service (yet), LIMIT if there are too many, INVAL if the buffer is too large or not in the pool.
     */
    NOVA_PARENT_OPEN = 5,
    /**
     * Closes a session. Word 1: number in the client table, or #NOVA_SESSIONS_MAX + number in the server table: then the
     * server is done with a session whose client is gone, or throws the client out. The place becomes free; the other side,
     * if it is still there, finds the session GONE, and a server no longer sees the buffer.
     */
    NOVA_PARENT_CLOSE = 6,
    /**
     * The console server (a domain that provides `log`; others: DENIED) asks for root's lines, which wait for it; the bell
     * of its service rings when there are new ones. Word 1: how many bytes of the last answer are on their way to the user,
     * and are dropped. Results: bytes, up to #NOVA_LOG_PIECE, and text.
     */
    NOVA_PARENT_LOG_READ = 7,
    /** Writes a line to the log, only if there is no log service (nova_info::console is 0). Word 1: bytes, up to 512; text. */
    NOVA_PARENT_LOG = 8,
    /** Asks for figures of the own domain. Results: word 1: threads; 2: sessions as client; 3: as server; 4: restarts. */
    NOVA_PARENT_STATE = 9,
    /**
     * Creates a virtual CPU: a guest EC with FPU and time offset, and its SC with the priority below the domain's.
     * Word 1: CPU (one of nova_info::cpus, else DENIED); 2: event base: 258 selectors of the domain's; 3: selector for
     * the EC (CTRL), the SC goes to the one behind (CTRL). LIMIT if there are nova_info::vcpus already, MEMORY as
     * THREAD. It runs at once: its first event is STARTUP.
     */
    NOVA_PARENT_VCPU = 10,
    /** Drops capabilities. Word 1: first selector, not below nova_info::sel_free; 2: how many, up to #NOVA_DROP_MAX. */
    NOVA_PARENT_DROP = 11,
    /**
     * Maps memory of the domain once more. Word 1: 0: into the part of the host space from #NOVA_WINDOW_ADDR on; 1: into
     * the guest space; 2: address in the pool, in a data segment, or in the memory of the guest; 3: address to map it at; 4: pages, up to
     * #NOVA_MAP_MAX; 5: rights (`NOVA_MEM_`), in the host space R and W only; 0 takes away what is there, in the host
     * space from #NOVA_IMAGE_ADDR on. MEMORY: only part of it may be mapped.
     */
    NOVA_PARENT_MAP = 12,
    /**
     * Puts a portal at other selectors too, over what is there, to be called by events (#NOVA_PT_EVENT). No other right goes
     * along, so of other capabilities, and of portals of sessions, nothing is left there. Word 1: its selector; 2: the first
     * of the others, none below nova_info::sel_free; 3: how many, up to #NOVA_DROP_MAX. MEMORY: only some of them may have it.
     */
    NOVA_PARENT_COPY = 13,
};

#define NOVA_DROP_MAX 512U /**< Selectors of a #NOVA_PARENT_DROP, or #NOVA_PARENT_COPY. */
#define NOVA_MAP_MAX 512U  /**< Pages of a #NOVA_PARENT_MAP. */
#define NOVA_LOG_PIECE 64U /**< Bytes of an answer to #NOVA_PARENT_LOG_READ. */

/** Flags of #NOVA_PARENT_THREAD. */
enum nova_thread_flags {
    NOVA_THREAD_LOCAL = 1, /**< A local thread: handler of portals, no SC. */
    NOVA_THREAD_FPU = 2    /**< May use the FPU; only if the domain may (#NOVA_DOMAIN_FPU). */
};

/** @} */
