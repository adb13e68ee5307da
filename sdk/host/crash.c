/*
 * Crash records: the same text that root writes on the machine, through nova-symbolize if that is installed beside
 * nova-host. Runs in the handler of the signal, with the host's FS base; what the program has done to its memory may be
 * anything, so the kernel is asked first whether it can be read.
 *
 * SPDX-License-Identifier: MIT
 */

#define _GNU_SOURCE
#include "host.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <nova/thread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRACE_MAX 16
#define PAGE_FAULT 14
#define FAULT_WRITE 2
#define FAULT_FETCH 16
#define STACK_MAX 0x1000000UL /* bytes of a stack that are looked at */

/* The words of root, by the number of the exception. */
static const char *const exception_name[] = {
    [0] = "division by zero",
    [1] = "debug exception",
    [3] = "breakpoint",
    [4] = "overflow",
    [5] = "bound range",
    [6] = "invalid instruction",
    [12] = "stack segment, or stack at no address",
    [13] = "general protection",
    [16] = "x87 exception",
    [17] = "alignment check",
    [19] = "SIMD exception",
};

struct stack {
    uint64_t low, used, top;
};

static char record[4096];
static size_t length;

static void add(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void add(const char *format, ...)
{
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsnprintf(record + length, sizeof(record) - length, format, arguments);
    va_end(arguments);
    if (n > 0 && (size_t)n < sizeof(record) - length)
        length += (size_t)n;
}

/* A pipe takes what can be read, and nothing else. */
static bool peek(uint64_t address, uint64_t *word)
{
    int ends[2];
    bool there = false;

    *word = 0;
    if (address % sizeof(*word) || pipe2(ends, O_CLOEXEC))
        return false;
    there = write(ends[1], (const void *)address, sizeof(*word)) == sizeof(*word) &&
            read(ends[0], word, sizeof(*word)) == sizeof(*word);
    close(ends[0]);
    close(ends[1]);
    return there;
}

/* Lowest address, lowest that was ever used, end: all 0 at first, and the page below is not there. */
static struct stack find_stack(uint64_t sp)
{
    struct stack k = {.low = (sp | (PAGE - 1)) + 1, .top = host.info->stack_end};
    uint64_t word, gs;

    __asm__ volatile("rdgsbase %0" : "=r"(gs));
    if (sp < host.info->stack_start - PAGE || sp > k.top)
        peek(gs + offsetof(struct nova_thread, sp), &k.top);
    k.top = (k.top + PAGE - 1) & -PAGE;
    while (k.low > PAGE && k.top - k.low < STACK_MAX && peek(k.low - PAGE, &word))
        k.low -= PAGE;
    k.used = k.low;
    while (k.top - k.low < STACK_MAX && k.used < k.top && peek(k.used, &word) && !word)
        k.used += sizeof(uint64_t);
    return k;
}

static const char *page_fault(const siginfo_t *info, uint64_t error, const struct stack *stack)
{
    const char *what = error & FAULT_FETCH ? "executing" : error & FAULT_WRITE ? "writing" : "reading";
    uint64_t address = (uint64_t)info->si_addr, word;
    bool there = info->si_code == SEGV_ACCERR && peek(address & -sizeof(word), &word);
    static char text[80];

    if (address < NOVA_INFO_ADDR)
        snprintf(text, sizeof(text), "NULL pointer: %s", what);
    else if (!there && stack->low - address - 1 < PAGE)
        snprintf(text, sizeof(text), "stack overflow");
    else
        snprintf(text, sizeof(text), "%s %s", what,
                 there ? "memory that does not permit it" : "memory that is not there");
    return text;
}

static void add_registers(const char *name, const greg_t *r)
{
    static const struct {
        const char *name;
        int index;
    } list[] = {{"rax", REG_RAX}, {"rbx", REG_RBX}, {"rcx", REG_RCX}, {"rdx", REG_RDX},
                {"rsi", REG_RSI}, {"rdi", REG_RDI}, {"rbp", REG_RBP}, {"rflags", REG_EFL},
                {"r8", REG_R8},   {"r9", REG_R9},   {"r10", REG_R10}, {"r11", REG_R11},
                {"r12", REG_R12}, {"r13", REG_R13}, {"r14", REG_R14}, {"r15", REG_R15}};

    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        if (i % 8 == 0)
            add("%s[root] crash %s regs", i ? "\n" : "", name);
        add(" %s=0x%llx", list[i].name, r[list[i].index]);
    }
    add("\n");
}

static void add_trace(const char *name, uint64_t frame)
{
    uint64_t above, address;

    add("[root] crash %s trace", name);
    for (unsigned n = 0; n < TRACE_MAX && peek(frame, &above) && peek(frame + 8, &address) && address; n++) {
        add(" 0x%llx", (unsigned long long)address);
        frame = above > frame ? above : 0;
    }
    add("\n");
}

/* Names, if they can be found: writes the record to the filter's standard input, and its output to standard error. */
static bool symbolize(void)
{
    char path[4096], filter[4096 + 32];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    int ends[2], status = -1;
    pid_t child;

    path[n > 0 ? n : 0] = '\0';
    snprintf(filter, sizeof(filter), "%s/nova-symbolize", dirname(path));
    if (access(filter, X_OK) || pipe2(ends, O_CLOEXEC))
        return false;
    child = _Fork();
    if (!child) {
        dup2(ends[0], 0);
        dup2(2, 1);
        execl(filter, filter, "--elf", host.image, (char *)NULL);
        _exit(127);
    }
    close(ends[0]);
    /* All of it fits into the pipe, so this does not wait; and without a reader it ends the process, which is due anyway. */
    if (child > 0 && write(ends[1], record, length) == (ssize_t)length) {
        close(ends[1]);
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
    } else {
        close(ends[1]);
    }
    return status == 0;
}

void host_crash(const siginfo_t *info, const greg_t *r)
{
    const char *name = host.info->name;
    uint64_t exception = (uint64_t)r[REG_TRAPNO], error = (uint64_t)r[REG_ERR], top;
    struct stack stack = find_stack((uint64_t)r[REG_RSP]);
    const char *cause = NULL;

    if (exception == PAGE_FAULT)
        cause = page_fault(info, error, &stack);
    else if (exception < sizeof(exception_name) / sizeof(exception_name[0]))
        cause = exception_name[exception];
    add("[root] crash %s build=%s cpu=%u cause=\"%s\" rip=0x%llx rsp=0x%llx", name,
        *host.info->build_id ? host.info->build_id : "-", host_self->cpu, cause ? cause : "exception",
        r[REG_RIP], r[REG_RSP]);
    if (peek((uint64_t)r[REG_RSP], &top))
        add(" top=0x%llx", (unsigned long long)top);
    if (exception == PAGE_FAULT)
        add(" addr=0x%llx error=0x%llx", (unsigned long long)info->si_addr, (unsigned long long)error);
    add("\n");
    add_registers(name, r);
    add_trace(name, (uint64_t)r[REG_RBP]);
    if (stack.top - stack.low < STACK_MAX)
        add("[root] crash %s stack used=%llu size=%llu\n", name, (unsigned long long)(stack.top - stack.used),
            (unsigned long long)(stack.top - stack.low));
    if (!symbolize())
        dprintf(2, "%.*s", (int)length, record);
}
