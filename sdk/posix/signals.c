/*
 * Signals within the domain: a thread takes those sent to it when it returns from a system call or is about
 * to wait in one. What the CPU raises (page faults and the like) is no signal but a crash with a report by
 * root.
 *
 * SPDX-License-Identifier: MIT
 */

#include "posix.h"
#include <nova/log.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

const char nova_link_signals __attribute__((used)) = 0;

#define SIGNALS 64
#define SIGCANCEL 33 /* of the C library */

/* As the C library passes it. */
struct action {
    void (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

static struct nova_mutex lock;
static struct action actions[SIGNALS];

void __nova_sigreturn(void);

/* Handlers are called, so they return. */
void __nova_sigreturn(void)
{
    posix_crash("sigreturn is not for programs");
}

static uint64_t bit(int signal)
{
    return 1UL << (signal - 1);
}

static int ignored_by_default(int signal)
{
    return signal == SIGCHLD || signal == SIGURG || signal == SIGWINCH || signal == SIGCONT;
}

static int ignores(int signal)
{
    const void *handler = (const void *)(uintptr_t)actions[signal - 1].handler;

    return handler == (void *)SIG_IGN || (handler == (void *)SIG_DFL && ignored_by_default(signal));
}

static _Noreturn void default_action(int signal)
{
    static const uint64_t crashes = 1UL << (SIGABRT - 1) | 1UL << (SIGSEGV - 1) | 1UL << (SIGBUS - 1) |
                                    1UL << (SIGILL - 1) | 1UL << (SIGFPE - 1) | 1UL << (SIGTRAP - 1) |
                                    1UL << (SIGQUIT - 1) | 1UL << (SIGSYS - 1);

    if (signal == SIGABRT)
        posix_crash("aborted");
    if (crashes & bit(signal))
        posix_crash("ended by a signal");
    nova_exit(128 + signal);
}

/* Calls a handler on a stack that ends at `top`. */
static void call_on(uintptr_t top, void (*handler)(int, siginfo_t *, void *), int signal, siginfo_t *info,
                    void *context)
{
    long number = signal;

    __asm__ volatile("mov %%rsp, %%rbx\n\tmov %[top], %%rsp\n\tcall *%[handler]\n\tmov %%rbx, %%rsp"
                     : "+D"(number), "+S"(info), "+d"(context), [top] "+r"(top), [handler] "+r"(handler)
                     :
                     : "rax", "rbx", "rcx", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0", "xmm1", "xmm2",
                       "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
                       "xmm13", "xmm14", "xmm15");
}

static int on_alternate(const struct posix_thread *self)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);

    return here - (uintptr_t)self->stack < self->stack_size;
}

/* Whether a wait for input or output is over. Cancellation is the end of it; its handler says so by its mask. */
static bool run(struct posix_thread *self, int signal)
{
    uintptr_t here = (uintptr_t)run;
    struct action action;
    ucontext_t context;
    siginfo_t info;
    uintptr_t next;

    nova_mutex_lock(&lock);
    action = actions[signal - 1];
    if (action.flags & SA_RESETHAND && !ignores(signal))
        actions[signal - 1].handler = 0;
    nova_mutex_unlock(&lock);
    if (action.handler == (void (*)(int, siginfo_t *, void *))(void *)SIG_IGN ||
        (!action.handler && ignored_by_default(signal)))
        return false;
    if (!action.handler)
        default_action(signal);

    memset(&context, 0, sizeof(context));
    memset(&info, 0, sizeof(info));
    info.si_signo = signal;
    info.si_code = SI_TKILL;
    info.si_pid = 1;
    memcpy(&context.uc_sigmask, &self->mask, sizeof(self->mask));
    context.uc_mcontext.gregs[REG_RIP] = (long)here;
    self->mask |= action.mask | (action.flags & SA_NODEFER ? 0 : bit(signal));
    if (action.flags & SA_ONSTACK && self->stack && !on_alternate(self))
        call_on(((uintptr_t)self->stack + self->stack_size) & ~15UL, action.handler, signal, &info, &context);
    else
        action.handler(signal, &info, &context);
    memcpy(&self->mask, &context.uc_sigmask, sizeof(self->mask));
    next = (uintptr_t)context.uc_mcontext.gregs[REG_RIP];
    /* The C library's handler for cancellation sends the thread elsewhere. */
    if (next != here)
        ((void (*)(void))next)();
    return !(action.flags & SA_RESTART) || self->mask & bit(SIGCANCEL);
}

bool posix_deliver(void)
{
    struct posix_thread *self = posix_self();
    bool ends = false;
    uint64_t ready;

    while ((ready = __atomic_load_n(&self->pending, __ATOMIC_ACQUIRE) & ~self->mask)) {
        int signal = __builtin_ctzll(ready) + 1;

        self->inside++;
        __atomic_and_fetch(&self->pending, ~bit(signal), __ATOMIC_ACQ_REL);
        ends |= run(self, signal);
        self->inside--;
    }
    return ends;
}

/* Sends a signal; the thread list is locked. */
static void post(struct posix_thread *thread, int signal)
{
    struct nova_thread *native = __atomic_load_n(&thread->thread, __ATOMIC_ACQUIRE);

    if (!signal || ignores(signal))
        return;
    __atomic_or_fetch(&thread->pending, bit(signal), __ATOMIC_ACQ_REL);
    posix_signals = 1;
    if (native && native != nova_thread_self() && posix_interrupted(thread))
        nova_thread_interrupt(native);
}

void posix_raise(int signal);

void posix_raise(int signal)
{
    nova_mutex_lock(&posix_thread_lock);
    post(posix_self(), signal);
    nova_mutex_unlock(&posix_thread_lock);
}

/* The C library keeps the thread from ending meanwhile. */
SYSCALL(tkill)
{
    struct nova_thread *computing = 0;
    int signal = (int)a[1];
    long result = -ESRCH;

    if (signal < 0 || signal > SIGNALS)
        return -EINVAL;
    nova_mutex_lock(&posix_thread_lock);
    for (struct posix_thread *t = posix_threads; t && result; t = t->next) {
        if (t->tid == (int)a[0]) {
            post(t, signal);
            result = 0;
            if (signal == SIGCANCEL && t->thread && posix_tcb_cancelled(t->thread->fs))
                computing = t->thread;
        }
    }
    nova_mutex_unlock(&posix_thread_lock);
    if (computing && posix_recall)
        posix_recall(computing);
    return result;
}

/* To the program: to the caller if it takes the signal, else to a thread that does, else to any. */
SYSCALL(kill)
{
    struct posix_thread *self = posix_self();
    struct posix_thread *target = self;
    int signal = (int)a[1];

    if (signal < 0 || signal > SIGNALS)
        return -EINVAL;
    if (a[0] != 1 && a[0] != 0 && a[0] != -1)
        return -ESRCH;
    nova_mutex_lock(&posix_thread_lock);
    for (struct posix_thread *t = posix_threads; signal && t && target->mask & bit(signal); t = t->next)
        if (!(t->mask & bit(signal)))
            target = t;
    post(target, signal);
    nova_mutex_unlock(&posix_thread_lock);
    return 0;
}

SYSCALL(rt_sigaction)
{
    int signal = (int)a[0];
    const struct action *new = (const struct action *)a[1];
    struct action *old = (struct action *)a[2];
    struct action was;

    if (signal < 1 || signal > SIGNALS || (new && (signal == SIGKILL || signal == SIGSTOP)))
        return -EINVAL;
    nova_mutex_lock(&lock);
    was = actions[signal - 1];
    if (new)
        actions[signal - 1] = *new;
    nova_mutex_unlock(&lock);
    if (old)
        *old = was;
    return 0;
}

SYSCALL(rt_sigprocmask)
{
    struct posix_thread *self = posix_self();
    const uint64_t *set = (const uint64_t *)a[1];
    uint64_t was = self->mask;

    if (set) {
        switch (a[0]) {
        case SIG_BLOCK:
            self->mask |= *set;
            break;
        case SIG_UNBLOCK:
            self->mask &= ~*set;
            break;
        case SIG_SETMASK:
            self->mask = *set;
            break;
        default:
            return -EINVAL;
        }
        self->mask &= ~(bit(SIGKILL) | bit(SIGSTOP));
    }
    if (a[2])
        *(uint64_t *)a[2] = was;
    return 0;
}

SYSCALL(rt_sigpending)
{
    *(uint64_t *)a[0] = posix_self()->pending;
    return 0;
}

SYSCALL(rt_sigsuspend)
{
    struct posix_thread *self = posix_self();
    uint64_t was = self->mask;

    self->mask = *(const uint64_t *)a[0];
    posix_sleep(NOVA_NEVER);
    posix_deliver();
    self->mask = was;
    return -EINTR;
}

SYSCALL(pause)
{
    (void)a;
    return posix_sleep(NOVA_NEVER);
}

SYSCALL(sigaltstack)
{
    struct posix_thread *self = posix_self();
    const stack_t *new = (const stack_t *)a[0];
    stack_t *old = (stack_t *)a[1];
    stack_t was = {.ss_sp = self->stack,
                   .ss_size = self->stack_size,
                   .ss_flags = !self->stack         ? SS_DISABLE
                               : on_alternate(self) ? SS_ONSTACK
                                                    : 0};

    if (new) {
        if (was.ss_flags == SS_ONSTACK)
            return -EPERM;
        if (new->ss_flags & ~SS_DISABLE)
            return -EINVAL;
        if (!(new->ss_flags &SS_DISABLE) && new->ss_size < MINSIGSTKSZ)
            return -ENOMEM;
        self->stack = new->ss_flags &SS_DISABLE ? 0 : new->ss_sp;
        self->stack_size = self->stack ? new->ss_size : 0;
    }
    if (old)
        *old = was;
    return 0;
}
