/*
 * Ways to crash. The arguments name them, one for each life; "often" is a crash in another thread in each of
 * ten lives.
 *
 * SPDX-License-Identifier: MIT
 */

#include "domain.h"

static volatile uint64_t null;
static uint64_t data[512];
static const uint64_t constant = 5;

static void jump(uint64_t address)
{
    ((void (*)(void))address)();
}

__attribute__((noinline)) static uint64_t recurse(uint64_t n)
{
    volatile uint64_t here[100];

    here[n % 100] = n;
    return n == null - 1 ? 0 : recurse(n + 1) + here[(n + 1) % 100];
}

/* Crashes with this frame pointer. */
static void with_frame(uint64_t frame)
{
    __asm__ volatile("mov %0, %%rbp\n\tud2" : : "r"(frame) : "memory");
}

static void thread(void *arg)
{
    (void)arg;
    with_frame((uint64_t)__builtin_frame_address(0));
}

static void crash(const char *how)
{
    static uint64_t frames[66];
    uint64_t sel, *page = pages(1);

    if (!strcmp(how, "read"))
        *(volatile uint64_t *)null;
    else if (!strcmp(how, "write"))
        *(volatile uint64_t *)(null + 0x1000) = 1;
    else if (!strcmp(how, "execute"))
        jump(null);
    else if (!strcmp(how, "data"))
        jump((uint64_t)data);
    else if (!strcmp(how, "pool"))
        jump(own->pool_start);
    else if (!strcmp(how, "text"))
        *(volatile uint64_t *)(uint64_t)&test_main = 1;
    else if (!strcmp(how, "constant"))
        *(volatile uint64_t *)(uint64_t)&constant = 1;
    else if (!strcmp(how, "information"))
        *(volatile uint64_t *)NOVA_INFO_ADDR = 1;
    else if (!strcmp(how, "table"))
        *(volatile uint64_t *)NOVA_SERVER_TABLE = 1;
    else if (!strcmp(how, "kernel"))
        *(volatile uint64_t *)(null - 4096);
    else if (!strcmp(how, "canonical"))
        *(volatile uint64_t *)(null + 0x1234567812345678);
    else if (!strcmp(how, "instruction"))
        __asm__ volatile("ud2");
    else if (!strcmp(how, "divide"))
        data[0] = data[1] / null;
    else if (!strcmp(how, "privilege"))
        __asm__ volatile("hlt");
    else if (!strcmp(how, "port"))
        __asm__ volatile("inb $0x70, %%al" : : : "rax");
    else if (!strcmp(how, "fpu"))
        __asm__ volatile("fninit");
    else if (!strcmp(how, "sse"))
        __asm__ volatile("pxor %xmm0, %xmm0");
    else if (!strcmp(how, "breakpoint"))
        __asm__ volatile("int3");
    else if (!strcmp(how, "overflow"))
        recurse(0);
    else if (!strcmp(how, "frame-unmapped"))
        with_frame(0x3ff000000);
    else if (!strcmp(how, "frame-kernel"))
        with_frame(0xffffffff80000000);
    else if (!strcmp(how, "frame-top"))
        with_frame(0x7ffffffffff8);
    else if (!strcmp(how, "frame-odd"))
        with_frame((uint64_t)page + 1);
    else if (!strcmp(how, "frame-utcb"))
        with_frame(NOVA_UTCB_ADDR);
    else if (!strcmp(how, "frame-edge"))
        with_frame(own->pool_start + own->pool_size - 8);
    else if (!strcmp(how, "frame-cycle"))
        page[0] = (uint64_t)page, page[1] = 0x123, with_frame((uint64_t)page);
    else if (!strcmp(how, "frame-long")) {
        for (unsigned i = 0; i < 64; i += 2)
            frames[i] = (uint64_t)&frames[i + 2], frames[i + 1] = 0x1000 + i;
        with_frame((uint64_t)frames);
    } else if (!strcmp(how, "thread")) {
        if (thread_new(1, own->cpu, thread, NULL, &sel) == 0)
            sleep_ms(1000);
    } else if (!strcmp(how, "spaces")) {
        /* Without anything mapped there is no way back. */
        for (uint64_t at = own->image_start; at < own->image_end; at += PAGE_SIZE)
            parent_call(6, (uint64_t)NOVA_PARENT_MAP, 0UL, 0UL, at, 1UL, 0UL);
    } else if (!strcmp(how, "capabilities")) {
        for (uint64_t space = 0; space < own->sel_free; space++)
            nova_hc_ctrl_pd(space, space, NOVA_SEL_EVENTS, NOVA_SEL_EVENTS, 6, 0, 0);
        for (uint64_t n = 0; n < own->sel_free; n++)
            parent_call(3, (uint64_t)NOVA_PARENT_DROP, n, 1UL);
        __asm__ volatile("ud2");
    }
}

int test_main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "often")) {
        if (own->restarts < 10)
            crash("thread");
        return 0;
    }
    if (argc > 1 && own->restarts + 1 < (unsigned)argc) {
        say("crash by %s", argv[own->restarts + 1]);
        crash(argv[own->restarts + 1]);
    }
    return 3;
}
