/*
 * The door: all system calls of the C library come here and go to handlers by number. Handlers are weak
 * references: what is not linked answers ENOSYS.
 *
 * Reads and writes that a signal has interrupted begin again, unless a handler wants to end them.
 *
 * SPDX-License-Identifier: MIT
 */

#include "posix.h"
#include <sys/syscall.h>

/* The system calls that some part of the layer handles. */
/* clang-format off */
#define CALLS(X)                                                                                             \
    X(read) X(write) X(open) X(close) X(stat) X(fstat) X(lstat) X(poll) X(lseek) X(mmap) X(mprotect)         \
    X(munmap) X(rt_sigaction) X(rt_sigprocmask) X(ioctl) X(pread64) X(pwrite64) X(readv) X(writev)           \
    X(access) X(pipe) X(select) X(sched_yield) X(mremap) X(madvise) X(dup) X(dup2) X(pause) X(nanosleep)     \
    X(getpid) X(exit) X(uname) X(fcntl) X(fsync) X(fdatasync) X(truncate) X(ftruncate) X(getcwd)             \
    X(chdir) X(fchdir) X(rename) X(mkdir) X(rmdir) X(link) X(unlink) X(symlink) X(readlink) X(chmod)         \
    X(fchmod) X(umask) X(gettimeofday) X(times) X(getuid) X(getgid) X(geteuid) X(getegid) X(getppid)         \
    X(rt_sigpending) X(rt_sigsuspend) X(sigaltstack) X(gettid) X(tkill) X(kill) X(time) X(futex)             \
    X(sched_setaffinity) X(sched_getaffinity) X(getdents64) X(set_tid_address) X(clock_gettime)              \
    X(clock_getres) X(clock_nanosleep) X(exit_group) X(openat) X(mkdirat) X(newfstatat) X(unlinkat)          \
    X(renameat) X(linkat) X(symlinkat) X(readlinkat) X(fchmodat) X(faccessat) X(pselect6) X(ppoll)           \
    X(set_robust_list) X(get_robust_list) X(utimensat) X(dup3) X(pipe2) X(preadv) X(pwritev)                 \
    X(prlimit64) X(getrandom) X(getcpu) X(sysinfo) X(statfs) X(fstatfs)
/* clang-format on */

typedef long handler(const long *a);

#define DECLARE(name) handler nova_sys_##name WEAK;
CALLS(DECLARE)

#define PLACE(name) AT_##name,
#define INDEX(name) [SYS_##name] = AT_##name,
#define ENTRY(name) [AT_##name] = nova_sys_##name,
enum { NOWHERE, CALLS(PLACE) };
static const unsigned char place[] = {CALLS(INDEX)};
static handler *const handlers[] = {CALLS(ENTRY)};

static bool begins_again(long number)
{
    return number == SYS_read || number == SYS_write || number == SYS_readv || number == SYS_writev;
}

long __nova_syscall(long number, long a, long b, long c, long d, long e, long f);

long __nova_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    struct posix_thread *self = nova_thread_self()->data;
    const long arguments[6] = {a, b, c, d, e, f};
    handler *handle = (unsigned long)number < sizeof(place) ? handlers[place[number]] : 0;
    bool ends = true;
    long result;

    do {
        if (self)
            self->inside++;
        result = handle ? handle(arguments) : -ENOSYS;
        if (self)
            self->inside--;
        if (posix_signals && posix_deliver)
            ends = posix_deliver();
    } while (result == -EINTR && !ends && begins_again(number));
    return result;
}
