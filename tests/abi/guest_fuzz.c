/*
 * A malicious VMM: random states for a guest, most of them a few steps from a valid one, with random MTD bits. All of
 * them end in an exit, in the event for invalid states, or in a recall; the host goes on, and nothing of a guest shows in
 * its registers.
 *
 * Options: rounds=N, seed=N.
 *
 * SPDX-License-Identifier: MIT
 */

#include "guest.h"
#include "system.h"
#include "tap.h"

#define WORDS (sizeof(struct nova_arch_state) / 8)
#define FIRST_WORD 16 /* behind the general-purpose registers */

static struct guest g;
static struct guest_cpu v;
static struct nova_arch_state valid[2]; /* real mode, 64-bit mode */

static uint64_t seed, rounds;
static volatile uint64_t done, entered, refused;

static uint64_t rnd(void)
{
    uint64_t z = (seed += 0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Close to the old one, or to a limit, or anything. */
static uint64_t mutation(uint64_t old)
{
    static const uint64_t limits[] = {0,
                                      1,
                                      ~0UL,
                                      0x7fffffffffff,
                                      0x800000000000,
                                      0xffff800000000000,
                                      0xffff7fffffffffff,
                                      0xffffffff,
                                      0x100000000,
                                      0x80000000,
                                      0x8000000000000000,
                                      0xfffff};

    switch (rnd() % 4) {
    case 0:
        return limits[rnd() % (sizeof(limits) / sizeof(*limits))];
    case 1:
        return rnd();
    default:
        return old ^ 1UL << rnd() % 64;
    }
}

/* Spaces stay what they are, or the vCPU would be killed. */
static uint32_t mtd(void)
{
    const uint32_t all = ~(uint32_t)(NOVA_MTD_POISON | NOVA_MTD_FPU);

    return (uint32_t)(rnd() % 2 ? all : rnd() & all);
}

/* Replies to all exits. The memory is full of HLT, so most guests that can run soon exit. */
static uint32_t on_exit(struct guest_cpu *cpu, struct nova_arch_state *s)
{
    uint64_t *words = (uint64_t *)(void *)s;

    if (done == rounds)
        return GUEST_STOP;
    done++;
    if (cpu->exit == GUEST_INVALID)
        refused++;
    else if (cpu->exit != GUEST_RECALL)
        entered++;
    if (rnd() % 4)
        *s = valid[rnd() % 2];
    for (uint64_t i = rnd() % 5; i > 0; i--) {
        unsigned word = FIRST_WORD + (unsigned)(rnd() % (WORDS - FIRST_WORD));
        words[word] = mutation(words[word]);
    }
    s->sel_gst = g.gst;
    s->sel_pio = g.pio;
    s->sel_msr = g.msr;
    return mtd();
}

/* -- A thread of the host on the same CPU, that looks at its registers -- */

static volatile uint32_t rounds_of_witness, wrong;
static volatile bool stop;

struct fxsave {
    uint16_t fcw, fsw;
    uint32_t rest[5];
    uint32_t mxcsr, mask;
    uint64_t registers[60];
} __attribute__((aligned(16)));

static unsigned differences(const struct fxsave *want)
{
    struct fxsave now;
    unsigned n;

    __asm__ volatile("fxsave64 %0" : "=m"(now));
    n = now.fcw != want->fcw || now.mxcsr != want->mxcsr;
    for (unsigned i = 16; i < 48; i++) /* XMM0 to XMM15 */
        n += now.registers[i] != want->registers[i];
    return n;
}

static void witness(void *arg)
{
    struct fxsave image;

    (void)arg;
    __asm__ volatile("fxsave64 %0" : "=m"(image));
    image.fcw = 0x27f;
    image.mxcsr = 0x9fc0;
    for (unsigned i = 16; i < 48; i++)
        image.registers[i] = 0x0123456789abcdef * (i + 1);
    __asm__ volatile("fxrstor64 %0" : : "m"(image));
    while (!stop) {
        sleep_us(2000);
        wrong += differences(&image);
        rounds_of_witness++;
    }
}

/* Recalls the guest when it does not exit by itself, say because it halts. */
static void watch(void)
{
    uint64_t last = 0;

    while (guest_wait(&v, 5) == GUEST_TIMEOUT) {
        if (done == last)
            ctrl_ec(v.ec, 0);
        last = done;
    }
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    struct thread *t;

    (void)hip;
    (void)magic;
    (void)mbi;
    if (!guest_possible()) {
        tap_skip("no virtualization", "random states");
        return;
    }
    rounds = option("rounds", 20000);
    seed = option("seed", 1);
    guest_create(&g);
    guest_cpu_create(&v, &g, sys.cpus - 1, NOVA_EC_FPU);
    __builtin_memset(g.memory, 0xf4, GUEST_SIZE);
    guest_real(&v, GUEST_CODE);
    valid[0] = v.state;
    guest_long(&v, GUEST_CODE);
    valid[1] = v.state;
    t = thread_create(&sys.root, sys.cpus - 1, STANDARD_EVENTS(sys.cpus - 1), NOVA_EC_GLOBAL | NOVA_EC_FPU);
    thread_run(t, 50, 10, witness, 0);

    v.on_exit = on_exit;
    guest_reply(&v, v.mtd);
    watch();
    tap_ok(done == rounds, "%lu random states: %lu entered, %lu refused, seed %lu", done, entered, refused,
           option("seed", 1));
    tap_ok(entered > rounds / 10 && refused > rounds / 10,
           "a good part of them is valid, another one is not");
    stop = true;
    sleep_us(10000);
    tap_ok(rounds_of_witness > 1 && !wrong,
           "registers of a thread beside it: looked at %u times, %u differences", rounds_of_witness, wrong);

    v.on_exit = 0;
    guest_real(&v, GUEST_CODE);
    tap_is((uint64_t)guest_run(&v, v.mtd | NOVA_MTD_TPR | NOVA_MTD_TLB), GUEST_HLT, "a valid state runs");
    guest_cpu_destroy(&v);
    guest_destroy(&g);
}
