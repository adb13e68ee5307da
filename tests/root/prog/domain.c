/*
 * Runtime of test domains: single-threaded, except where a test starts threads.
 *
 * SPDX-License-Identifier: MIT
 */

#include "domain.h"

#include <stdarg.h>

extern void thread_entry(void), serve_entry(void);
_Noreturn void start_main(uint64_t *stack);

static unsigned results, failures;
static uint64_t next_page, next_selector;

long parent_send(unsigned words)
{
    uint32_t mtd = NOVA_MTD_WORDS(words);
    unsigned status = nova_hc_ipc_call(NOVA_SEL_PARENT + own->cpu, &mtd, 0);

    return status ? -100 - (long)status : (long)utcb_of(0)->word[0];
}

long parent_call(unsigned words, ...)
{
    va_list args;

    va_start(args, words);
    for (unsigned i = 0; i < words; i++)
        utcb_of(0)->word[i] = va_arg(args, uint64_t);
    va_end(args);
    return parent_send(words);
}

static void put_line(const char *text, size_t size)
{
    utcb_of(0)->word[0] = NOVA_PARENT_LOG;
    utcb_of(0)->word[1] = size;
    memcpy(&utcb_of(0)->word[2], text, size);
    parent_send(2 + (unsigned)(size + 7) / 8);
}

void say(const char *format, ...)
{
    char line[300];
    va_list args;
    size_t n;

    va_start(args, format);
    n = nova_format_args(line, sizeof(line), format, args);
    va_end(args);
    put_line(line, n < sizeof(line) ? n : sizeof(line) - 1);
}

bool ok(bool condition, const char *format, ...)
{
    char line[300];
    va_list args;
    size_t n = nova_format(line, sizeof(line), "%s %u - ", condition ? "ok" : "not ok", ++results);

    failures += !condition;
    va_start(args, format);
    n += nova_format_args(line + n, sizeof(line) - n, format, args);
    va_end(args);
    put_line(line, n < sizeof(line) ? n : sizeof(line) - 1);
    return condition;
}

int done(void)
{
    say("1..%u", results);
    return failures || !results;
}

void start_main(uint64_t *stack)
{
    next_page = own->pool_start + own->pool_used;
    next_selector = own->sel_free;
    parent_call(2, NOVA_PARENT_EXIT, (uint64_t)test_main((int)stack[0], (char **)(stack + 1)));
    for (;;)
        __builtin_ia32_pause();
}

void *pages(unsigned count)
{
    void *p = (void *)next_page;

    next_page += count * PAGE_SIZE;
    return p;
}

uint64_t selectors(unsigned count)
{
    uint64_t sel = next_selector;

    next_selector += count;
    return sel;
}

uint64_t sm_new(uint64_t count)
{
    uint64_t sel = selectors(1);

    nova_hc_create_sm(sel, NOVA_SEL_PD, count);
    return sel;
}

unsigned sm_up(uint64_t sm)
{
    return nova_hc_ctrl_sm(sm, 0, NOVA_SM_UP);
}

uint64_t time_stamp(void)
{
    uint32_t lo, hi;

    __asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
    return (uint64_t)hi << 32 | lo;
}

unsigned sm_down_ms(uint64_t sm, uint64_t ms)
{
    return nova_hc_ctrl_sm(sm, time_stamp() + own->tsc_frequency / 1000 * ms, NOVA_SM_DOWN);
}

void sleep_ms(uint64_t ms)
{
    static uint64_t never;

    if (!never)
        never = sm_new(0);
    sm_down_ms(never, ms);
}

long thread_new(unsigned slot, unsigned cpu, void (*function)(void *), void *arg, uint64_t *sel)
{
    uint64_t *top = (uint64_t *)((char *)pages(2) + 2 * PAGE_SIZE);

    *sel = selectors(2);
    *--top = 0;
    *--top = (uint64_t)arg;
    *--top = (uint64_t)function;
    return parent_call(9, (uint64_t)NOVA_PARENT_THREAD, (uint64_t)cpu, (uint64_t)slot, (uint64_t)top,
                       (uint64_t)thread_entry, 0UL, 0UL, 0UL, *sel);
}

long handler_new(unsigned slot, unsigned cpu, uint64_t *sel)
{
    uint64_t top = (uint64_t)pages(2) + 2 * PAGE_SIZE;

    *sel = selectors(2);
    return parent_call(9, (uint64_t)NOVA_PARENT_THREAD, (uint64_t)cpu, (uint64_t)slot, top, 0UL,
                       (uint64_t)NOVA_THREAD_LOCAL, 0UL, 0UL, *sel);
}

long offer(unsigned size, uint64_t *bell)
{
    uint64_t handler;
    long error = handler_new(1, own->cpu, &handler);

    *bell = sm_new(0);
    return error ? error
                 : parent_call(8, (uint64_t)NOVA_PARENT_SERVE, 0UL, (uint64_t)serve_entry, *bell,
                               OFFER_WINDOW, (uint64_t)size, 1UL << own->cpu, handler);
}

long session_open(struct session *s, const char *name)
{
    uint64_t text[4] = {0};
    long error;

    memcpy(text, name, strlen(name));
    for (unsigned tries = 0; tries < 200; tries++) {
        error = parent_call(8, (uint64_t)NOVA_PARENT_OPEN, text[0], text[1], text[2], text[3], s->bell,
                            (uint64_t)s->buffer, (uint64_t)s->size);
        if (error != NOVA_ERR_ABSENT)
            break;
        sleep_ms(10);
    }
    s->number = utcb_of(0)->word[1];
    return error;
}

long session_new(struct session *s, const char *name, unsigned size)
{
    *s = (struct session){.bell = sm_new(0), .size = size, .buffer = size ? pages(size) : NULL};
    return session_open(s, name);
}

unsigned session_call(const struct session *s, uint64_t *word)
{
    uint32_t mtd = NOVA_MTD_WORDS(1);
    unsigned status;

    utcb_of(0)->word[0] = *word;
    status = nova_hc_ipc_call(PORTAL(s), &mtd, 0);
    *word = utcb_of(0)->word[0];
    return status;
}

__attribute__((weak)) uint32_t serve(uint64_t pid, uint32_t mtd)
{
    (void)pid;
    return mtd;
}
