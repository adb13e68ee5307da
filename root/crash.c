/*
 * Crash records. The domain may have done anything to its memory: it is read through a mapping of one page that may
 * turn out empty, and nothing found there is followed without limit. What needs the image, nova-symbolize finds out.
 *
 * SPDX-License-Identifier: MIT
 */

#include "domain.h"
#include "events.h"
#include "log.h"

#include <nova/thread.h>

#define TRACE_MAX 16
#define PAGE_FAULT 14
#define FAULT_PRESENT 1U
#define FAULT_WRITE 2U
#define FAULT_FETCH 16U
#define ERROR_CODES 0x227800U /* exceptions that have one */
#define STACK_MAX 0x1000000UL /* bytes of a stack that are looked at */

/* Those that are delivered to root, except for page faults. */
static const char *const exception_name[] = {
    [0] = "division by zero",
    [1] = "debug exception",
    [3] = "breakpoint",
    [4] = "overflow",
    [5] = "bound range",
    [6] = "invalid instruction",
    [7] = "FPU used without leave",
    [11] = "segment not present",
    [12] = "stack segment, or stack at no address",
    [13] = "general protection",
    [16] = "x87 exception",
    [17] = "alignment check",
    [19] = "SIMD exception",
    [20] = "virtualization exception",
    [21] = "control protection",
};

/* Lowest address, lowest that was ever used, end. */
struct stack {
    uint64_t low, used, top;
};

/*
 * A page of the domain's memory, there until the next one is; null if it is not there. Device memory is left alone:
 * reading might change it.
 */
static const uint64_t *peek_page(const struct domain *d, uint64_t address)
{
    const uint64_t *page = (const uint64_t *)PEEK_WINDOW;
    const struct nova_info *i = d->info;
    uint64_t word;

    if (address >= USER_END || (i->device_start && address >= i->device_start && address < NOVA_WINDOW_ADDR))
        return NULL;
    revoke(SEL_HST, PEEK_WINDOW / PAGE_SIZE, 1);
    nova_hc_ctrl_pd(DOMAIN_HST(d), SEL_HST, address / PAGE_SIZE, PEEK_WINDOW / PAGE_SIZE, 0, NOVA_MEM_R, 0);
    return word_read(&word, page) ? page : NULL;
}

static bool peek(const struct domain *d, uint64_t address, uint64_t *word)
{
    const uint64_t *page = address % 8 ? NULL : peek_page(d, address);

    *word = page ? page[address % PAGE_SIZE / 8] : 0;
    return page;
}

/*
 * Stacks were all 0 at first, and the page below is not there: what has been used ends at the lowest word that is not
 * 0. Where a stack begins is known for the first thread; for others libnova says so, at the GS base.
 */
static struct stack find_stack(const struct domain *d, const struct nova_arch_state *s)
{
    uint64_t sp = s->gpr[4], end = (sp | (PAGE_SIZE - 1)) + 1;
    struct stack k = {.low = end, .used = end, .top = d->info->stack_end};
    const uint64_t *page;

    if (sp < d->info->stack_start - PAGE_SIZE || sp > k.top)
        peek(d, s->gs.base + offsetof(struct nova_thread, sp), &k.top);
    k.top = (k.top + PAGE_SIZE - 1) & -PAGE_SIZE;
    while (end - k.low < STACK_MAX && (page = peek_page(d, k.low - PAGE_SIZE))) {
        k.low -= PAGE_SIZE;
        for (unsigned n = PAGE_SIZE / 8; n-- > 0;)
            k.used = page[n] ? k.low + 8 * n : k.used;
    }
    return k;
}

static void describe(unsigned exception, const struct nova_arch_state *s, uint64_t stack, char *text,
                     size_t size)
{
    uint64_t error = s->qual[0], address = s->qual[1];
    const char *what = error & FAULT_FETCH ? "executing" : error & FAULT_WRITE ? "writing" : "reading";

    if (exception != PAGE_FAULT)
        nova_format(text, size, "%s", exception_name[exception]);
    else if (address < NOVA_INFO_ADDR)
        nova_format(text, size, "NULL pointer: %s", what);
    else if (!(error & FAULT_PRESENT) && stack - address - 1 < PAGE_SIZE)
        nova_format(text, size, "stack overflow");
    else
        nova_format(text, size, "%s %s", what,
                    error & FAULT_PRESENT ? "memory that does not permit it" : "memory that is not there");
}

/* Return addresses: each frame begins with the address of the one above, and the return address behind it. */
static void report_trace(const struct domain *d, uint64_t frame)
{
    uint64_t above, address;
    char text[TRACE_MAX * 20 + 1] = "";
    size_t n = 0;

    for (unsigned count = 0;
         count < TRACE_MAX && peek(d, frame, &above) && peek(d, frame + 8, &address) && address; count++) {
        n += nova_format(text + n, sizeof(text) - n, " %#lx", address);
        frame = above > frame ? above : 0;
    }
    log_root("crash %s trace%s", d->plan->name, text);
}

void crash_report(const struct domain *d, unsigned cpu, unsigned exception, const struct nova_arch_state *s)
{
    const char *name = d->plan->name;
    const uint64_t *r = s->gpr;
    char cause[80], more[80] = "";
    struct stack stack = find_stack(d, s);
    uint64_t top;
    size_t n = 0;

    describe(exception, s, stack.low, cause, sizeof(cause));
    if (peek(d, r[4], &top))
        n += nova_format(more, sizeof(more), " top=%#lx", top);
    if (exception == PAGE_FAULT)
        n += nova_format(more + n, sizeof(more) - n, " addr=%#lx", s->qual[1]);
    if (ERROR_CODES >> exception & 1)
        nova_format(more + n, sizeof(more) - n, " error=%#lx", s->qual[0]);
    log_root("crash %s build=%s cpu=%u cause=\"%s\" rip=%#lx rsp=%#lx%s", name, d->plan->build_id, cpu, cause,
             s->rip, r[4], more);
    log_root("crash %s regs rax=%#lx rbx=%#lx rcx=%#lx rdx=%#lx rsi=%#lx rdi=%#lx rbp=%#lx rflags=%#lx", name,
             r[0], r[3], r[1], r[2], r[6], r[7], r[5], s->rflags);
    log_root("crash %s regs r8=%#lx r9=%#lx r10=%#lx r11=%#lx r12=%#lx r13=%#lx r14=%#lx r15=%#lx", name,
             r[8], r[9], r[10], r[11], r[12], r[13], r[14], r[15]);
    report_trace(d, r[5]);
    if (stack.top - stack.low <= STACK_MAX)
        log_root("crash %s stack used=%lu size=%lu", name, stack.top - stack.used, stack.top - stack.low);
    revoke(SEL_HST, PEEK_WINDOW / PAGE_SIZE, 1);
}
