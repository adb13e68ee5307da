/**
 * @file
 * Pipes: two streams of bytes, one each way, over one session.
 *
 * The session's buffer holds two streams (nova/stream.h), each with a mark that its producer writes no more. A virtual
 * machine's sockets reach services this way; any two domains can use it for bytes. No calls are made: neither side
 * ever waits for the other one, and a bell rings only when it may be waited for.
 *
 * What is in the buffer may be changed by the other side at any time: each index is read once and checked. Nonsense
 * ends this pipe, with #NOVA_ERR_PROTOCOL, and harms nothing else. One thread at a time for each direction.
 *
 * A client, without its errors: @code
 *   struct nova_pipe pipe;
 *   char text[100];
 *   long n;
 *
 *   nova_pipe_open(&pipe, "echo", NOVA_PIPE_SIZE(4096), nova_now() + NOVA_S);
 *   nova_pipe_write(&pipe, "hello", 5);
 *   nova_pipe_end(&pipe);
 *   while ((n = nova_pipe_read(&pipe, text, sizeof(text))))
 *       if (n == NOVA_ERR_BUSY)
 *           nova_session_wait(&pipe.session, NOVA_NEVER);
 *       else if (n > 0)
 *           nova_log_write(text, (size_t)n);
 *       else
 *           break;
 *   nova_pipe_close(&pipe);
 * @endcode
 * A server calls nova_pipe_accept() for each session that nova_server_next() announces, waits with nova_server_wait(), and tries
 * its pipes again whenever that returns.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <nova/session.h>
#include <nova/stream.h>

/**
 * @addtogroup libnova_pipe
 * @{
 */

/** Size of the buffer of a pipe that holds `bytes` each way, a power of two from 2048 on. */
#define NOVA_PIPE_SIZE(bytes) (2UL * (bytes) + 4096)

/**
 * Bytes each way of the pipes that connections of a virtual machine come in: services that are meant for virtual machines let their
 * clients have buffers of NOVA_PIPE_SIZE(NOVA_PIPE_SOCKET), see nova_server_options::buffer_size.
 */
#define NOVA_PIPE_SOCKET 16384U

/** One side of a pipe. All members but `session` are private. */
struct nova_pipe {
    struct nova_session session; /**< The client waits with it for the server. */
    struct nova_stream *in;      /**< What this side reads. */
    struct nova_stream *out;     /**< What it writes. */
    uint32_t bytes;              /**< Of each of them. */
    uint32_t capacity;           /**< Bytes that each of them holds. */
    bool ended;                  /**< This side writes no more. */
    int error;                   /**< The pipe is broken: #NOVA_ERR_PROTOCOL. */
};

/**
 * Opens a session with a buffer of `size` bytes (multiple of 4096, at least 8192; see NOVA_PIPE_SIZE()) and makes a pipe
 * of it. Errors as nova_session_open().
 */
int nova_pipe_open(struct nova_pipe *pipe, const char *service, size_t size, uint64_t deadline);

/** The same, with a semaphore of the caller's as the own bell; see nova_session_open_shared(). */
int nova_pipe_open_shared(struct nova_pipe *pipe, const char *service, size_t size, uint64_t deadline,
                          uint64_t bell);

/**
 * The server's side of a session that was #NOVA_SERVER_OPENED. Returns 0, #NOVA_ERR_INVAL if its buffer is too small for
 * a pipe, #NOVA_ERR_PEER if the client is gone.
 */
int nova_pipe_accept(struct nova_pipe *pipe, unsigned session);

/**
 * Takes up to `size` (not 0) bytes. Returns how many; 0 if the other side writes no more; #NOVA_ERR_BUSY if there are none now: its
 * bell rings when there are; #NOVA_ERR_PEER; #NOVA_ERR_PROTOCOL.
 *
 * What a server has written before it closed can still be read; what a client has written cannot.
 */
long nova_pipe_read(struct nova_pipe *pipe, void *bytes, size_t size);

/**
 * Puts as many of `size` (not 0) bytes as there is room for. Returns how many; #NOVA_ERR_BUSY if there is no room: the bell rings when
 * half of the stream has become free; #NOVA_ERR_PEER; #NOVA_ERR_PROTOCOL; #NOVA_ERR_INVAL after nova_pipe_end().
 */
long nova_pipe_write(struct nova_pipe *pipe, const void *bytes, size_t size);

/** This side writes no more; it can still read. Returns 0 or #NOVA_ERR_PEER. */
int nova_pipe_end(struct nova_pipe *pipe);

/** How many bytes there are to be read; else what nova_pipe_read() would return. */
long nova_pipe_waiting(struct nova_pipe *pipe);

/** How many bytes there is room for; else what nova_pipe_write() would return. */
long nova_pipe_room(struct nova_pipe *pipe);

/**
 * The client closes the session, the server releases it. What the server has not read by then is lost: a client whose last
 * words count ends, reads until 0, and then closes.
 */
void nova_pipe_close(struct nova_pipe *pipe);

/** @} */
