/**
 * @file
 * Sessions: services of other domains, and own services for them.
 *
 * Who may open a session with whom is decided by the system file (`provides`, `connect`). A session has
 * - calls: the client sends words, the server answers, on the same CPU, with the client's time;
 * - a buffer, if the client wants one: memory of the client that both sides see;
 * - doorbells: each side can wake the other one, without a message.
 *
 * The server knows the client from the system, never from what the client says. When one side closes or dies,
 * the other one finds #NOVA_ERR_PEER, its bell rings, and it never faults on the buffer.
 *
 * What comes from the other side, by call or by buffer, is to be read once, checked, and used: in this order.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <nova/start.h>
#include <nova/time.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * @addtogroup libnova_session
 * @{
 */

/** A session, seen from the client, who has it from nova_session_open(), or from the server: nova_server_session(). */
struct nova_session {
    uint64_t portal;     /**< Selector of the portal for CPU 0; that for CPU n is n further. */
    uint64_t bell;       /**< Own bell: the server, or its end, rings it. */
    uint64_t cpus;       /**< Bit n: can be called from CPU n. */
    void *buffer;        /**< Shared memory, or NULL. */
    size_t size;         /**< Bytes of it. */
    uint32_t number;     /**< Place in the client table, or #NOVA_SESSIONS_MAX + place in the server table. */
    uint32_t generation; /**< Of that place. */
    bool bell_shared;    /**< The bell is the caller's. */
};

/**
 * Opens a session by the name that the system file gives it, with a shared buffer of `size` bytes (multiple
 * of 4096, 0 for none). If the server is not there (yet), or there are too many sessions, tries again until
 * the deadline.
 *
 * Returns 0; #NOVA_ERR_DENIED if the system file does not have it; #NOVA_ERR_ABSENT if the deadline has
 * passed without a server; #NOVA_ERR_INVAL for a bad name, or a buffer larger than the server permits;
 * #NOVA_ERR_LIMIT; #NOVA_ERR_MEMORY. Thread-safe.
 *
 * Example: @code
 *   struct nova_session s;
 *   if (!nova_session_open(&s, "adder", 0, nova_now() + NOVA_S)) {
 *       nova_message()[0] = 41;
 *       if (nova_session_call(&s, 1) >= 1)
 *           answer = nova_message()[0];
 *       nova_session_close(&s);
 *   }
 * @endcode
 */
int nova_session_open(struct nova_session *session, const char *name, size_t size, uint64_t deadline);

/**
 * The same, with a semaphore of the caller's as the own bell: one thread can so wait for many sessions, with nova_sm_drain().
 */
int nova_session_open_shared(struct nova_session *session, const char *name, size_t size, uint64_t deadline,
                             uint64_t bell);

/**
 * Calls the server with the first `words` words (1 to 512) of nova_message(). Returns the number of words of
 * the answer, which is in nova_message(); #NOVA_ERR_PEER if the server is gone; #NOVA_ERR_ABSENT if it does
 * not serve the caller's CPU. Thread-safe. A server that never answers keeps the caller: use buffer and bells
 * with servers that you do not trust that far.
 */
int nova_session_call(const struct nova_session *session, unsigned words);

/** The same, but gives up with #NOVA_ERR_TIMEOUT if the server is busy with others until the deadline. */
int nova_session_call_until(const struct nova_session *session, unsigned words, uint64_t deadline);

/** Rings the other side's bell. Returns 0 or #NOVA_ERR_PEER. Thread-safe. */
int nova_session_ring(const struct nova_session *session);

/**
 * Waits until the server rings; several rings count as one. Returns 0, #NOVA_ERR_TIMEOUT, or #NOVA_ERR_PEER
 * if the server is gone. One thread at a time. It can return 0 without a ring, for one right after opening:
 * look at what you wait for, and wait again.
 */
int nova_session_wait(const struct nova_session *session, uint64_t deadline);

/** Whether both sides are there. Thread-safe. */
bool nova_session_alive(const struct nova_session *session);

/** Closes a session and frees its buffer; a server throws the client out. No thread may use it any more. */
void nova_session_close(struct nova_session *session);

/** A service that this domain offers. Filled in by nova_server_start(). */
struct nova_server {
    unsigned (*serve)(void *context, unsigned session, uint64_t *word, unsigned words); /**< Serves a call. */
    void *context;                    /**< Its first argument. */
    uint64_t bell;                    /**< Rings when a client rings, opens, closes or dies. */
    uint32_t service;                 /**< Place in `provides`. */
    uint32_t seen[NOVA_SESSIONS_MAX]; /**< For nova_server_next(): generation of each session, 0: none. */
};

/** Wishes for a service. All zero: all CPUs of the domain, no buffers. */
struct nova_server_options {
    uint32_t service;     /**< Which one, in the order of `provides`. */
    uint32_t bell_shared; /**< Not 0: nova_server::bell is a semaphore already: several services, one bell. */
    uint64_t cpus;        /**< Bits of the CPUs to serve; 0: all that the domain may use. */
    size_t buffer_size;   /**< Largest buffer of a client in bytes (multiple of 4096). */
    size_t stack_size;    /**< Of the handlers; 0: #NOVA_STACK_SIZE. */
};

/**
 * Offers a service, with one handler thread on each CPU. `serve` is called with the number of the session (0
 * to 63) and the message: it puts the answer into the same words and returns their number, at least 1. It is
 * called for live sessions only, on each CPU one at a time, on several CPUs at once. It may be called before
 * nova_server_next() has announced the session. NULL: a service of buffers and bells alone; calls are answered with
 * #NOVA_ERR_PROTOCOL.
 *
 * Returns 0, #NOVA_ERR_BUSY if the service is offered already, #NOVA_ERR_INVAL, #NOVA_ERR_LIMIT,
 * #NOVA_ERR_MEMORY. The structure must stay where it is.
 *
 * Example: @code
 *   static unsigned add(void *context, unsigned session, uint64_t *word, unsigned words)
 *   {
 *       word[0] += words > 1 ? word[1] : 1;
 *       return 1;
 *   }
 *   static struct nova_server server;
 *   int error = nova_server_start(&server, add, NULL, NULL);
 * @endcode
 */
int nova_server_start(struct nova_server *server,
                      unsigned (*serve)(void *context, unsigned session, uint64_t *word, unsigned words),
                      void *context, const struct nova_server_options *options);

/** Waits for the bell; several rings count as one. Returns 0 or #NOVA_ERR_TIMEOUT. */
int nova_server_wait(struct nova_server *server, uint64_t deadline);

/** What has happened to a session. */
enum nova_server_event {
    NOVA_SERVER_NOTHING, /**< Nothing new. */
    NOVA_SERVER_OPENED,  /**< A new client. */
    NOVA_SERVER_CLOSED   /**< The client is gone: clean up; the place has been released already. */
};

/**
 * Next change among the sessions of the service; call it after nova_server_wait() until it returns
 * #NOVA_SERVER_NOTHING. One thread only.
 *
 * Example: @code
 *   unsigned n;
 *   nova_server_wait(&server, NOVA_NEVER);
 *   for (enum nova_server_event e; (e = nova_server_next(&server, &n));)
 *       if (e == NOVA_SERVER_OPENED)
 *           nova_print("hello, %s\n", nova_server_client(n)->peer);
 * @endcode
 */
enum nova_server_event nova_server_next(struct nova_server *server, unsigned *session);

/**
 * State of a session: name of the client, buffer, service. The buffer may be written by the client at any
 * time. Thread-safe.
 */
static inline const struct nova_session_state *nova_server_client(unsigned session)
{
    return &((const struct nova_session_state *)NOVA_SERVER_TABLE)[session % NOVA_SESSIONS_MAX];
}

/**
 * The session that is there now, for nova_session_alive(), nova_session_ring() and nova_session_close(): these leave alone
 * who comes to the same place later. Thread-safe.
 */
static inline struct nova_session nova_server_session(unsigned session)
{
    return (struct nova_session){.number = NOVA_SESSIONS_MAX + session % NOVA_SESSIONS_MAX,
                                 .generation = nova_server_client(session)->generation};
}

/** Rings the bell of a client. Returns 0 or #NOVA_ERR_PEER. Thread-safe. */
int nova_server_ring(unsigned session);

/** Throws a client out. Thread-safe. */
void nova_server_release(unsigned session);

/** @} */
