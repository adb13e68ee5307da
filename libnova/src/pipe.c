/*
 * Pipes. Fresh buffers are zero, and so are two empty streams: nothing has to be laid out, and it does not matter who looks
 * first.
 *
 * Bells: each side says at which index of the other one it wants to be rung, and the other one rings when it passes that. Both
 * write their own word, then, behind a full barrier, read the other's; so one of them always sees what is new. A reader wants the
 * next byte, but says so only when it has found nothing; a writer wants half of the stream to be free, always.
 *
 * SPDX-License-Identifier: MIT
 */

#include <nova/error.h>
#include <nova/mem.h>
#include <nova/pipe.h>

static bool is_server(const struct nova_pipe *pipe)
{
    return pipe->session.number >= NOVA_SESSIONS_MAX;
}

/* A client's buffer is gone with it, and what the server sees instead means nothing. */
static bool lost(const struct nova_pipe *pipe)
{
    return is_server(pipe) && !nova_session_alive(&pipe->session);
}

/* Whether an index that was at `from` has passed an event. */
static bool passed(const uint32_t *event, uint32_t from, long bytes)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return __atomic_load_n(event, __ATOMIC_RELAXED) - from < (uint32_t)bytes;
}

static uint32_t load(const uint32_t *index)
{
    return __atomic_load_n(index, __ATOMIC_RELAXED);
}

static long broken(struct nova_pipe *pipe)
{
    return pipe->error = NOVA_ERR_PROTOCOL;
}

/* In this order: a server that is gone, or has ended, has written all before. */
static long look(struct nova_pipe *pipe)
{
    bool alive = nova_session_alive(&pipe->session);
    uint32_t over = __atomic_load_n(&pipe->in->over, __ATOMIC_ACQUIRE);
    long used = nova_stream_used(pipe->in, pipe->bytes);

    if (lost(pipe))
        return NOVA_ERR_PEER;
    if (used < 0 || over > 1)
        return broken(pipe);
    if (used || over)
        return used;
    return alive ? NOVA_ERR_BUSY : NOVA_ERR_PEER;
}

long nova_pipe_waiting(struct nova_pipe *pipe)
{
    long result = pipe->error ? pipe->error : look(pipe);

    if (result != NOVA_ERR_BUSY)
        return result;
    __atomic_store_n(&pipe->in->put_event, load(&pipe->in->tail), __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return look(pipe);
}

long nova_pipe_read(struct nova_pipe *pipe, void *bytes, size_t size)
{
    long count = nova_pipe_waiting(pipe);
    uint32_t tail;

    if (count <= 0)
        return count;
    tail = load(&pipe->in->tail);
    count = nova_stream_get(pipe->in, pipe->bytes, bytes,
                            (size_t)count < size ? (uint32_t)count : (uint32_t)size);
    if (lost(pipe))
        return NOVA_ERR_PEER;
    if (count < 0)
        return broken(pipe);
    if (passed(&pipe->in->get_event, tail, count))
        nova_session_ring(&pipe->session);
    return count;
}

long nova_pipe_room(struct nova_pipe *pipe)
{
    long used = nova_stream_used(pipe->out, pipe->bytes);

    if (pipe->ended)
        return NOVA_ERR_INVAL;
    if (pipe->error)
        return pipe->error;
    if (!nova_session_alive(&pipe->session))
        return NOVA_ERR_PEER;
    if (used < 0)
        return broken(pipe);
    return used < pipe->capacity ? pipe->capacity - used : NOVA_ERR_BUSY;
}

long nova_pipe_write(struct nova_pipe *pipe, const void *bytes, size_t size)
{
    long count = nova_pipe_room(pipe);
    uint32_t head;

    if (count <= 0)
        return count;
    head = load(&pipe->out->head);
    count = nova_stream_put(pipe->out, pipe->bytes, bytes,
                            (size_t)count < size ? (uint32_t)count : (uint32_t)size);
    if (lost(pipe))
        return NOVA_ERR_PEER;
    if (count <= 0)
        return broken(pipe);
    __atomic_store_n(&pipe->out->get_event, head + (uint32_t)count - pipe->capacity / 2 - 1,
                     __ATOMIC_RELAXED);
    if (passed(&pipe->out->put_event, head, count))
        nova_session_ring(&pipe->session);
    return count;
}

int nova_pipe_end(struct nova_pipe *pipe)
{
    pipe->ended = true;
    __atomic_store_n(&pipe->out->over, 1, __ATOMIC_RELEASE);
    return nova_session_ring(&pipe->session);
}

/* The client writes the first half of the buffer. */
static void lay_out(struct nova_pipe *pipe, void *buffer, size_t size)
{
    struct nova_stream *first = buffer, *second = (struct nova_stream *)((char *)buffer + size / 2);

    pipe->in = is_server(pipe) ? first : second;
    pipe->out = is_server(pipe) ? second : first;
    pipe->bytes = (uint32_t)(size / 2);
    pipe->capacity = nova_stream_capacity(pipe->bytes);
}

int nova_pipe_open_shared(struct nova_pipe *pipe, const char *service, size_t size, uint64_t deadline,
                          uint64_t bell)
{
    int error = size < 2 * NOVA_PAGE ? NOVA_ERR_INVAL : NOVA_OK;

    *pipe = (struct nova_pipe){.error = NOVA_OK};
    if (!error)
        error = nova_session_open_shared(&pipe->session, service, size, deadline, bell);
    if (!error)
        lay_out(pipe, pipe->session.buffer, size);
    return error;
}

int nova_pipe_open(struct nova_pipe *pipe, const char *service, size_t size, uint64_t deadline)
{
    return nova_pipe_open_shared(pipe, service, size, deadline, 0);
}

int nova_pipe_accept(struct nova_pipe *pipe, unsigned session)
{
    const struct nova_session_state *state = nova_server_client(session);

    *pipe = (struct nova_pipe){.session = nova_server_session(session)};
    if (!nova_session_alive(&pipe->session))
        return NOVA_ERR_PEER;
    if (state->pages < 2)
        return NOVA_ERR_INVAL;
    lay_out(pipe, (void *)state->buffer, state->pages * NOVA_PAGE);
    return NOVA_OK;
}

void nova_pipe_close(struct nova_pipe *pipe)
{
    if (!lost(pipe))
        nova_session_close(&pipe->session);
}
