/*
 * Crash records. The domain may have done anything to its memory: its stack is read word by word, through a
 * mapping of one page that may turn out empty, and nothing found there is followed without limit.
 *
 * SPDX-License-Identifier: MIT
 */

#include "domain.h"
#include "events.h"
#include "log.h"

#define TRACE_MAX 16
#define PAGE_FAULT 14
#define FAULT_PRESENT 1U
#define FAULT_WRITE 2U
#define FAULT_FETCH 16U
#define CALL 0xe8 /* with a displacement of 4 bytes */
#define CALL_SIZE 5
#define LEAF_MAX 4096 /* bytes of a function without frame */

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

static void describe(const struct domain *d, unsigned exception, const struct nova_arch_state *s, char *text,
                     size_t size)
{
    const struct nova_info *i = d->info;
    uint64_t error = s->qual[0], address = s->qual[1];
    const char *what = error & FAULT_FETCH ? "executing" : error & FAULT_WRITE ? "writing" : "reading";

    if (exception != PAGE_FAULT)
        nova_format(text, size, "%s", exception_name[exception]);
    else if (address < NOVA_INFO_ADDR)
        nova_format(text, size, "NULL pointer: %s", what);
    else if (address >= i->stack_start - PAGE_SIZE && address < i->stack_start)
        nova_format(text, size, "stack overflow");
    else
        nova_format(text, size, "%s %s", what,
                    error & FAULT_PRESENT ? "memory that does not permit it" : "memory that is not there");
}

/*
 * Reads a word of the domain's memory, if it is there. Device memory is left alone: reading might change it.
 */
static bool peek(const struct domain *d, uint64_t address, uint64_t *word)
{
    const struct nova_info *i = d->info;
    bool ok;

    if (address % 8 || address >= USER_END ||
        (i->device_start && address >= i->device_start && address < NOVA_WINDOW_ADDR))
        return false;
    nova_hc_ctrl_pd(DOMAIN_HST(d), SEL_HST, address / PAGE_SIZE, PEEK_WINDOW / PAGE_SIZE, 0, NOVA_MEM_R, 0);
    ok = word_read(word, (const uint64_t *)(PEEK_WINDOW + address % PAGE_SIZE));
    nova_hc_ctrl_pd(SEL_HST, SEL_HST, 0, PEEK_WINDOW / PAGE_SIZE, 0, 0, 0);
    return ok;
}

/* Does a call stand in front of this address, of a function that RIP can be in? */
static bool is_caller(const struct domain *d, uint64_t address, uint64_t rip)
{
    const uint8_t *call;
    int32_t displacement;

    for (unsigned i = 0; i < manifest.head->mappings; i++) {
        const struct nova_manifest_mapping *m = &manifest.mapping[i];
        uint64_t first = m->address + CALL_SIZE;

        if (m->domain != d->index || !(m->perm & NOVA_MEM_XU) || address < first ||
            address - m->address > m->pages * PAGE_SIZE)
            continue;
        call = (const uint8_t *)physical(module[m->source].start) + m->from + (address - first);
        memcpy(&displacement, call + 1, sizeof(displacement));
        return *call == CALL && rip - (address + (uint64_t)(int64_t)displacement) < LEAF_MAX;
    }
    return false;
}

/* Return addresses: each frame begins with the address of the one above, and the return address behind it. */
static void report_trace(const struct domain *d, unsigned exception, const struct nova_arch_state *s)
{
    uint64_t frame = s->gpr[5], above, address;
    char text[TRACE_MAX * 20 + 1] = "";
    unsigned count = 0;
    size_t n = 0;

    /* After a jump to nowhere, and in a function that has no frame, the return address may be the last word. */
    if (peek(d, s->gpr[4], &address) &&
        ((exception == PAGE_FAULT && s->qual[0] & FAULT_FETCH) || is_caller(d, address, s->rip))) {
        n = nova_format(text, sizeof(text), " %#lx", address);
        count++;
    }
    for (; count < TRACE_MAX && peek(d, frame, &above) && peek(d, frame + 8, &address) && address; count++) {
        n += nova_format(text + n, sizeof(text) - n, " %#lx", address);
        frame = above > frame ? above : 0;
    }
    log_root("crash %s trace%s", d->plan->name, text);
}

/*
 * The stack of the first thread was all 0 at first: what has been used ends at the lowest word that is not. Where
 * stacks of others end, only the domain knows.
 */
static void report_stack(const struct domain *d, uint64_t sp)
{
    uint64_t size = d->info->stack_end - d->info->stack_start, unused = 0;
    uint64_t start = d->pool + d->info->pool_used - size;
    const uint64_t *stack;

    if (sp < d->info->stack_start - PAGE_SIZE || sp > d->info->stack_end)
        return;
    stack = map_physical(start, size, NOVA_MEM_R);
    while (unused < size && !stack[unused / 8])
        unused += 8;
    map_physical(start, size, 0);
    log_root("crash %s stack used=%lu size=%lu", d->plan->name, size - unused, size);
}

void crash_report(const struct domain *d, unsigned cpu, unsigned exception, const struct nova_arch_state *s)
{
    const char *name = d->plan->name;
    const uint64_t *r = s->gpr;
    char cause[80];

    describe(d, exception, s, cause, sizeof(cause));
    log_root("crash %s build=%s cpu=%u cause=\"%s\" rip=%#lx rsp=%#lx addr=%#lx error=%#lx", name,
             d->build_id, cpu, cause, s->rip, r[4], exception == PAGE_FAULT ? s->qual[1] : 0, s->qual[0]);
    log_root("crash %s regs rax=%#lx rbx=%#lx rcx=%#lx rdx=%#lx rsi=%#lx rdi=%#lx rbp=%#lx rflags=%#lx", name,
             r[0], r[3], r[1], r[2], r[6], r[7], r[5], s->rflags);
    log_root("crash %s regs r8=%#lx r9=%#lx r10=%#lx r11=%#lx r12=%#lx r13=%#lx r14=%#lx r15=%#lx", name,
             r[8], r[9], r[10], r[11], r[12], r[13], r[14], r[15]);
    report_trace(d, exception, s);
    report_stack(d, r[4]);
}
