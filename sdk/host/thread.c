/*
 * Threads of the program, and how hypercalls and crashes leave it.
 *
 * They run with their own FS and GS bases, so a signal handler must first of all bring back the FS base that the
 * host's C library needs: it lies at the bottom of the alternate signal stack, which is aligned to its size.
 *
 * SPDX-License-Identifier: MIT
 */

#define _GNU_SOURCE
#include "host.h"
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define ALTERNATE 131072UL

static _Thread_local sigjmp_buf end_of_thread;

/* At the bottom of each alternate stack. */
struct bottom {
    uint64_t fs;
};

static uint64_t read_fs(void)
{
    uint64_t fs;

    __asm__ volatile("rdfsbase %0" : "=r"(fs) : : "memory");
    return fs;
}

static void write_fs(uint64_t fs)
{
    __asm__ volatile("wrfsbase %0" : : "r"(fs) : "memory");
}

/* To the host's FS base; returns that of the program. */
static uint64_t leave_program(void)
{
    uint64_t fs = read_fs();

    write_fs(((const struct bottom *)((uintptr_t)__builtin_frame_address(0) & ~(ALTERNATE - 1)))->fs);
    return fs;
}

static void on_syscall(int signal, siginfo_t *info, void *context)
{
    uint64_t fs = leave_program();

    (void)signal;
    (void)info;
    pthread_mutex_lock(&host.lock);
    kernel_call(((ucontext_t *)context)->uc_mcontext.gregs);
    pthread_mutex_unlock(&host.lock);
    write_fs(fs);
}

/* Not during hypercalls: comes when they return. In code of the host there is nothing to interrupt yet. */
static void on_recall(int signal, siginfo_t *info, void *context)
{
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    uint64_t fs;

    (void)signal;
    (void)info;
    if (r[REG_RIP] < (greg_t)NOVA_IMAGE_ADDR || r[REG_RIP] >= (greg_t)NOVA_IMAGE_END)
        return;
    fs = leave_program();
    pthread_mutex_lock(&host.lock);
    kernel_recalled(r, fs);
    pthread_mutex_unlock(&host.lock);
    write_fs(fs);
}

/* A crash of the program: a report, and then the host's own way to die, for debuggers. */
static void on_crash(int signal, siginfo_t *info, void *context)
{
    const greg_t *r = ((const ucontext_t *)context)->uc_mcontext.gregs;
    uint64_t rip = (uint64_t)r[REG_RIP];

    if (rip >= NOVA_IMAGE_ADDR && rip < NOVA_IMAGE_END)
        leave_program();
    host_crash(info, r);
    sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
}

static void *alternate_new(void)
{
    char *area = mmap(NULL, 2 * ALTERNATE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *aligned = (char *)(((uintptr_t)area + ALTERNATE - 1) & ~(ALTERNATE - 1));

    if (area == MAP_FAILED)
        host_die("no memory for a thread");
    ((struct bottom *)aligned)->fs = read_fs();
    if (sigaltstack(&(stack_t){.ss_sp = aligned, .ss_size = ALTERNATE}, NULL))
        host_die("sigaltstack: %s", strerror(errno));
    return area;
}

static _Noreturn void jump(uint64_t ip, uint64_t sp, uint64_t rdi, uint64_t rsi)
{
    __asm__ volatile("mov %[sp], %%rsp\n\txor %%ebp, %%ebp\n\tjmp *%[ip]"
                     :
                     : [sp] "r"(sp), [ip] "r"(ip), "D"(rdi), "S"(rsi), "d"(0UL)
                     : "memory");
    __builtin_unreachable();
}

void host_thread_end(void)
{
    siglongjmp(end_of_thread, 1);
}

/* For Linux before 5.11, which cannot do it for a range of addresses. */
static void filter_system_calls(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)NOVA_IMAGE_END, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP)};
    struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        host_die("this kernel has no seccomp filters: %s", strerror(errno));
}

/*
 * From now on all system calls of this thread that come from the image raise SIGSYS, whatever their number. Newer
 * kernels let some numbers pass any filter (335, 336), so a filter is not enough.
 */
static void catch_hypercalls(void)
{
    static bool filtered;

    if (filtered || !prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, NOVA_IMAGE_END,
                           UINT64_MAX - NOVA_IMAGE_END, NULL))
        return;
    filtered = true; /* threads inherit filters */
    filter_system_calls();
}

/* Life of a thread. The lock is held at both ends of its waiting. */
static void *live(void *argument)
{
    struct object *ec = argument;
    greg_t r[NGREG] = {[REG_RIP] = (greg_t)ec->ip, [REG_RSP] = (greg_t)ec->sp};
    void *volatile area = alternate_new();
    sigset_t recall;

    host_self = ec;
    pthread_mutex_lock(&host.lock);
    ec->thread = pthread_self();
    ec->started = true;
    pthread_getcpuclockid(pthread_self(), &ec->clock);
    if (!sigsetjmp(end_of_thread, 1)) {
        if (ec->local)
            kernel_wait_call(ec, r);
        pthread_mutex_unlock(&host.lock);
        /* Inherited from the hypercall that has made it. */
        sigemptyset(&recall);
        sigaddset(&recall, HOST_RECALL);
        pthread_sigmask(SIG_UNBLOCK, &recall, NULL);
        catch_hypercalls();
        jump((uint64_t)r[REG_RIP], (uint64_t)r[REG_RSP], (uint64_t)r[REG_RDI], (uint64_t)r[REG_RSI]);
    }
    kernel_put(host_self);
    pthread_mutex_unlock(&host.lock);
    sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL);
    munmap(area, 2 * ALTERNATE);
    return NULL;
}

void host_thread(struct object *ec)
{
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attributes, live, ec))
        host_die("cannot create a thread");
    pthread_attr_destroy(&attributes);
}

static void handle_signals(void)
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};

    struct sigaction hypercall = {.sa_sigaction = on_syscall,
                                  .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    struct sigaction recall = {.sa_sigaction = on_recall, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};

    sigaddset(&hypercall.sa_mask, HOST_RECALL);
    sigaction(SIGSYS, &hypercall, NULL);
    sigaction(HOST_RECALL, &recall, NULL);
    for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
        sigaction(
            crashes[i],
            &(struct sigaction){.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER},
            NULL);
}

void host_enter(uint64_t ip, uint64_t sp)
{
    if (sigsetjmp(end_of_thread, 1)) {
        /* The first thread has ended, the others go on. */
        pthread_mutex_unlock(&host.lock);
        for (;;)
            pause();
    }
    alternate_new();
    handle_signals();
    host_self->thread = pthread_self();
    host_self->started = true;
    catch_hypercalls();
    jump(ip, sp, 0, 0);
}
