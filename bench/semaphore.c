/*
 * Hypercall and semaphore: a call that fails at once; up; up and down; waking a thread of higher
 * priority, which comes back by waiting again; creating and destroying.
 *
 * SPDX-License-Identifier: MIT
 */

#include "bench.h"

#define UP(sm) NOVA_HYPERCALL(NOVA_CTRL_SM, (uint64_t)NOVA_SM_UP, sm)
#define DOWN(sm) NOVA_HYPERCALL(NOVA_CTRL_SM, (uint64_t)NOVA_SM_DOWN, sm)

/* ctrl_sm with an operand as hypercall identifier; a timeout of 0. */
#define CTRL_SM(operand) "mov %[" operand "], %%rdi\n\txor %%esi, %%esi\n\tsyscall\n\t"

static uint64_t wake, done;

/* A selector that is in range but far from all that are in use. */
static void invalid_selector(void)
{
    uint64_t status, figure = BENCH_LOOP(&status, CTRL_SM("up"), [up] "r"(UP(sys.hip->sel_num / 2)));

    bench_status(status, NOVA_BAD_CAP, figure, "hypercall, invalid selector");
}

static void up(void)
{
    uint64_t status, figure = BENCH_LOOP(&status, CTRL_SM("up"), [up] "r"(UP(sm_create(0))));

    bench_status(status, NOVA_SUCCESS, figure, "semaphore up");
}

static void up_down(void)
{
    uint64_t sm = sm_create(0);
    uint64_t status, figure = BENCH_LOOP(&status, CTRL_SM("up") CTRL_SM("down"),
                                         [up] "r"(UP(sm)), [down] "r"(DOWN(sm)));

    bench_status(status, NOVA_SUCCESS, figure, "semaphore up + down");
}

/* Takes what the lower thread gives; the last one blocks for ever. */
static void higher(void *arg)
{
    uint64_t *taken = arg;

    for (;;) {
        uint64_t rdi = DOWN(wake);

        __asm__ volatile("syscall\n\tincq %[taken]"
                         : "+D"(rdi), [taken] "+m"(*taken)
                         : "S"(0UL)
                         : "rcx", "r11", "cc", "memory");
    }
}

static void lower(void *arg)
{
    const uint64_t *taken = arg;
    uint64_t status, figure = BENCH_LOOP(&status, CTRL_SM("up"), [up] "r"(UP(wake)));

    bench_report((status & 0xff) == NOVA_SUCCESS && *taken == ROUNDS, figure,
                 "semaphore, wake a thread and return");
    sm_up(done);
}

/* A time slice that does not end during the measurement. */
static void start(unsigned prio, void (*entry)(void *), void *arg)
{
    struct thread *t = thread_create(&sys.root, sys.bsp, STANDARD_EVENTS(sys.bsp), NOVA_EC_GLOBAL);

    thread_run(t, prio, 1000, entry, arg);
}

static void wake_thread(void)
{
    static uint64_t taken;

    wake = sm_create(0);
    done = sm_create(0);
    start(2, higher, &taken);
    start(1, lower, &taken);
    sm_down(done);
}

static void create_destroy(void)
{
    uint64_t sel = SEL();
    uint64_t status, figure = BENCH_LOOP(&status,
                                         "mov %[create], %%rdi\n\tmov %[pd], %%rsi\n\t"
                                         "xor %%edx, %%edx\n\tsyscall\n\t"
                                         "mov %[revoke], %%rdi\n\tmov %[obj], %%rsi\n\tmov %[at], %%rdx\n\t"
                                         "mov %[at], %%rax\n\tsyscall\n\t",
                                         [create] "r"(NOVA_HYPERCALL(NOVA_CREATE_SM, 0UL, sel)),
                                         [revoke] "r"(NOVA_HYPERCALL(NOVA_CTRL_PD, 0UL, sys.root.obj)),
                                         [pd] "r"(sys.root.pd), [obj] "r"(sys.root.obj), [at] "r"(sel << 12));

    bench_status(status, NOVA_SUCCESS, figure, "semaphore create + destroy");
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    (void)hip;
    (void)magic;
    (void)mbi;
    invalid_selector();
    up();
    up_down();
    wake_thread();
    create_destroy();
}
