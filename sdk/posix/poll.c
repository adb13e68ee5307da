/*
 * Waiting for files: pipes, poll, select. All changes raise one number that waiters sleep on.
 *
 * SPDX-License-Identifier: MIT
 */

#include "files.h"
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/select.h>

#define CAPACITY (4 * NOVA_PAGE)
#define LOOK (20 * NOVA_MS) /* how often the console is asked */

struct pipe {
    uint32_t readers, writers;
    size_t first, used;
    char *buffer;
};

uint32_t files_events;

/* Raises a signal in the calling thread; part `signals`. */
void posix_raise(int signal) WEAK;

void files_changed(void)
{
    __atomic_add_fetch(&files_events, 1, __ATOMIC_RELEASE);
    nova_futex_wake(&files_events, UINT_MAX);
}

/* Gives up the lock while it waits. */
long files_wait(uint32_t seen, uint64_t deadline)
{
    long result;

    nova_mutex_unlock(&files_lock);
    result = posix_wait(&files_events, seen, deadline);
    nova_mutex_lock(&files_lock);
    return result == -EAGAIN ? 0 : result;
}

long pipe_new(struct pipe **made)
{
    struct pipe *pipe = files_alloc(sizeof(*pipe));

    if (!pipe)
        return -ENFILE;
    pipe->buffer = files_alloc(CAPACITY);
    if (!pipe->buffer) {
        files_free(pipe, sizeof(*pipe));
        return -ENFILE;
    }
    pipe->readers = pipe->writers = 1;
    *made = pipe;
    return 0;
}

void pipe_put(struct pipe *pipe, bool writer)
{
    if (writer)
        pipe->writers--;
    else
        pipe->readers--;
    if (!pipe->readers && !pipe->writers) {
        files_free(pipe->buffer, CAPACITY);
        files_free(pipe, sizeof(*pipe));
    }
    files_changed();
}

static size_t copy_out(struct pipe *pipe, char *to, size_t size)
{
    size_t n = size < pipe->used ? size : pipe->used;
    size_t part = CAPACITY - pipe->first < n ? CAPACITY - pipe->first : n;

    memcpy(to, pipe->buffer + pipe->first, part);
    memcpy(to + part, pipe->buffer, n - part);
    pipe->first = (pipe->first + n) % CAPACITY;
    pipe->used -= n;
    return n;
}

static size_t copy_in(struct pipe *pipe, const char *from, size_t size)
{
    size_t n = CAPACITY - pipe->used < size ? CAPACITY - pipe->used : size;
    size_t at = (pipe->first + pipe->used) % CAPACITY;
    size_t part = CAPACITY - at < n ? CAPACITY - at : n;

    memcpy(pipe->buffer + at, from, part);
    memcpy(pipe->buffer, from + part, n - part);
    pipe->used += n;
    return n;
}

static long read_pipe(struct file *file, char *buffer, size_t size)
{
    struct pipe *pipe = file->pipe;
    long n;

    while (size && !pipe->used) {
        long result = file->flags & O_NONBLOCK ? -EAGAIN : 0;

        if (!pipe->writers)
            return 0;
        if (!result)
            result = files_wait(files_events, NOVA_NEVER);
        if (result)
            return result;
    }
    n = (long)copy_out(pipe, buffer, size);
    files_changed();
    return n;
}

/* Up to PIPE_BUF bytes go in one piece. */
static long write_pipe(struct file *file, const char *buffer, size_t size)
{
    struct pipe *pipe = file->pipe;
    size_t piece = size <= PIPE_BUF ? size : 1;
    size_t done = 0;

    while (done < size) {
        long result = 0;

        if (!pipe->readers) {
            if (!done && posix_raise)
                posix_raise(SIGPIPE);
            return done ? (long)done : -EPIPE;
        }
        if (CAPACITY - pipe->used >= piece) {
            done += copy_in(pipe, buffer + done, size - done);
            files_changed();
            continue;
        }
        result = file->flags & O_NONBLOCK ? -EAGAIN : files_wait(files_events, NOVA_NEVER);
        if (result)
            return done ? (long)done : result;
    }
    return (long)done;
}

long pipe_transfer(struct file *file, void *buffer, size_t size, bool write)
{
    return write ? write_pipe(file, buffer, size) : read_pipe(file, buffer, size);
}

unsigned pipe_ready(const struct file *file)
{
    const struct pipe *pipe = file->pipe;

    if ((file->flags & O_ACCMODE) == O_RDONLY)
        return (pipe->used ? POLLIN | POLLRDNORM : 0) | (pipe->writers ? 0 : POLLHUP);
    return pipe->readers ? (CAPACITY - pipe->used >= PIPE_BUF ? POLLOUT | POLLWRNORM : 0) : POLLOUT | POLLERR;
}

static unsigned ready(const struct file *file, unsigned events, bool *look)
{
    if (file->pipe)
        return pipe_ready(file);
    if (file->node->device == DEVICE_CONSOLE && (events & (POLLIN | POLLRDNORM))) {
        *look = true;
        if (!console_ready())
            return POLLOUT | POLLWRNORM;
    }
    return POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM;
}

bool files_readable(const struct file *file)
{
    bool look = false;

    return ready(file, POLLIN, &look) & (POLLIN | POLLHUP);
}

static long look_at(struct pollfd *fds, unsigned long count, bool *look)
{
    long found = 0;

    for (unsigned long i = 0; i < count; i++) {
        const struct file *file = files_get(fds[i].fd);
        unsigned events = (unsigned)fds[i].events | POLLERR | POLLHUP;

        fds[i].revents = 0;
        if (fds[i].fd < 0)
            continue;
        fds[i].revents = (short)(file ? ready(file, events, look) & events : POLLNVAL);
        found += fds[i].revents != 0;
    }
    return found;
}

static long wait_for(struct pollfd *fds, unsigned long count, uint64_t deadline)
{
    long result;

    nova_mutex_lock(&files_lock);
    for (;;) {
        uint32_t seen = files_events;
        bool look = false;
        uint64_t until = deadline;
        uint64_t now = nova_now();

        result = look_at(fds, count, &look);
        if (result || now >= deadline)
            break;
        if (look && deadline - now > LOOK)
            until = now + LOOK;
        result = files_wait(seen, until);
        if (result == -EINTR)
            break;
    }
    nova_mutex_unlock(&files_lock);
    return result;
}

SYSCALL(poll)
{
    uint64_t deadline = (int)a[2] < 0 ? NOVA_NEVER : nova_now() + (uint64_t)(int)a[2] * NOVA_MS;

    return wait_for((struct pollfd *)a[0], (unsigned long)a[1], deadline);
}

/* With another signal mask meanwhile. */
static long wait_masked(struct pollfd *fds, unsigned long count, uint64_t deadline, const uint64_t *mask)
{
    struct posix_thread *self = posix_self();
    uint64_t was = self->mask;
    long result;

    if (mask)
        self->mask = *mask;
    result = wait_for(fds, count, deadline);
    if (mask && posix_deliver)
        posix_deliver();
    self->mask = was;
    return result;
}

SYSCALL(ppoll)
{
    const struct timespec *timeout = (const struct timespec *)a[2];

    if (timeout && !posix_timespec_valid(timeout))
        return -EINVAL;
    return wait_masked((struct pollfd *)a[0], (unsigned long)a[1], posix_deadline(timeout),
                       (const uint64_t *)a[3]);
}

static long select_masked(int count, fd_set *sets[3], uint64_t deadline, const uint64_t *mask)
{
    static const short events[3] = {POLLIN, POLLOUT, POLLPRI};
    static const short found[3] = {POLLIN | POLLHUP | POLLERR, POLLOUT | POLLERR, POLLPRI};
    struct pollfd fds[FD_SETSIZE];
    unsigned long used = 0;
    long result;
    long bits = 0;

    if (count < 0 || count > FD_SETSIZE)
        return -EINVAL;
    for (unsigned fd = 0; fd < (unsigned)count; fd++) {
        short wanted = 0;

        for (int s = 0; s < 3; s++)
            wanted |= sets[s] && FD_ISSET(fd, sets[s]) ? events[s] : 0;
        if (wanted)
            fds[used++] = (struct pollfd){.fd = (int)fd, .events = wanted};
    }
    result = wait_masked(fds, used, deadline, mask);
    if (result < 0)
        return result;
    for (unsigned long i = 0; i < used; i++) {
        unsigned fd = (unsigned)fds[i].fd;

        if (fds[i].revents & POLLNVAL)
            return -EBADF;
        for (int s = 0; s < 3; s++) {
            if (!sets[s] || !FD_ISSET(fd, sets[s]))
                continue;
            if (fds[i].revents & found[s])
                bits++;
            else
                FD_CLR(fd, sets[s]);
        }
    }
    return bits;
}

SYSCALL(pselect6)
{
    fd_set *sets[3] = {(fd_set *)a[1], (fd_set *)a[2], (fd_set *)a[3]};
    const struct timespec *timeout = (const struct timespec *)a[4];
    const long *mask = (const long *)a[5];

    if (timeout && !posix_timespec_valid(timeout))
        return -EINVAL;
    return select_masked((int)a[0], sets, posix_deadline(timeout), mask ? (const uint64_t *)mask[0] : 0);
}

SYSCALL(select)
{
    fd_set *sets[3] = {(fd_set *)a[1], (fd_set *)a[2], (fd_set *)a[3]};
    const struct timeval *timeout = (const struct timeval *)a[4];
    struct timespec relative;

    if (timeout) {
        if (timeout->tv_sec < 0 || timeout->tv_usec < 0 || timeout->tv_usec > 999999)
            return -EINVAL;
        relative = (struct timespec){.tv_sec = timeout->tv_sec, .tv_nsec = timeout->tv_usec * 1000};
    }
    return select_masked((int)a[0], sets, posix_deadline(timeout ? &relative : 0), 0);
}
