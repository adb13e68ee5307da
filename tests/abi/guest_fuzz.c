/*
 * A malicious VMM: replies with random guest states, biased to the boundary between valid and invalid ones, with random MTD
 * bits, on all CPUs. Whatever comes of it, the kernel goes on, tells invalid states from others, and nothing of the
 * host's registers changes. Options: seed, count.
 *
 * SPDX-License-Identifier: MIT
 */

#include "guest.h"
#include "system.h"
#include "tap.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define CPUS 2

static struct guest g;
static struct guest_cpu v[CPUS];
static uint64_t seed[CPUS];
static volatile unsigned invalid[CPUS], shutdowns[CPUS], others[CPUS];
static unsigned limit;
static volatile bool over;

static uint64_t random64(struct guest_cpu *cpu)
{
    uint64_t *state = &seed[cpu - v];

    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state * 0x2545f4914f6cdd1d;
}

/* Something between all and nothing. */
static uint64_t random_value(struct guest_cpu *cpu, uint64_t old)
{
    static const uint64_t values[] = {0,
                                      1,
                                      ~0UL,
                                      0x7fffffffffff,
                                      0x800000000000,
                                      0xffff7fffffffffff,
                                      0xffff800000000000,
                                      0xffffffff,
                                      0x100000000,
                                      0x80000000,
                                      GUEST_CODE,
                                      GUEST_TABLES,
                                      0x1fffff,
                                      0x200000};
    uint64_t r = random64(cpu);

    switch (r & 7) {
    case 0:
        return random64(cpu);
    case 1:
    case 2:
        return values[(r >> 8) % COUNT(values)];
    case 3:
        return old + (r >> 8 & 3) - 1;
    default:
        return old ^ 1UL << (r >> 8 & 63);
    }
}

/* A mode that works, then a few random changes in what is transferred, and random bits that say what that is. */
static uint32_t random_state(struct guest_cpu *cpu, struct nova_arch_state *s)
{
    uint64_t *words = (uint64_t *)(void *)s, r = random64(cpu);
    unsigned changes = (unsigned)(r & 7);
    uint32_t mtd = GUEST_ALL_IN;

    if (r >> 8 & 1)
        guest_long(cpu, GUEST_CODE);
    else
        guest_real(cpu, GUEST_CODE);
    *s = cpu->state;
    s->inj_info = r >> 16 & 3 ? 0 : (uint32_t)(0x80000000 | (random64(cpu) & 0x3fff));
    for (unsigned i = 0; i < changes; i++) {
        uint64_t *word = &words[random64(cpu) % (offsetof(struct nova_arch_state, sel_gst) / 8)];
        *word = random_value(cpu, *word);
    }
    if (r >> 18 & 1) /* all bits that say anything but death */
        mtd = (uint32_t)random64(cpu) & ~(NOVA_MTD_POISON | NOVA_MTD_SPACES | GUEST_STOP);
    return mtd | (r >> 32 & 7 ? NOVA_MTD_RIP : 0);
}

static uint32_t fuzz(struct guest_cpu *cpu, struct nova_arch_state *s)
{
    unsigned n = (unsigned)(cpu - v);

    invalid[n] += cpu->exit == GUEST_INVALID;
    shutdowns[n] += cpu->exit == GUEST_SHUTDOWN;
    others[n] += cpu->exit != GUEST_INVALID && cpu->exit != GUEST_SHUTDOWN && cpu->exit != GUEST_RECALL;
    if (over || cpu->exits >= limit)
        return GUEST_STOP;
    return random_state(cpu, s);
}

/* Instructions of all kinds, then random bytes. */
GUEST_PROGRAM(bytes, ".code64", "cpuid; sti; nop; cli; in $0x80, %al; mov %cr0, %rax; mov %rax, %cr0; rdtsc; hlt; int3; ud2");

static bool host_clean(void)
{
    uint64_t xcr0 = 0, aux = 0, dummy;
    static uint64_t old_xcr0;
    uint32_t a, b, c, d;

    __asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(1), "c"(0));
    if (c >> 27 & 1)
        __asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(dummy) : "c"(0));
    __asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0x80000001), "c"(0));
    if (d >> 27 & 1)
        __asm__ volatile("rdtscp" : "=c"(aux) : : "rax", "rdx");
    if (!old_xcr0)
        old_xcr0 = xcr0;
    return xcr0 == old_xcr0 && aux == 0;
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    unsigned cpus = sys.cpus < CPUS ? sys.cpus : CPUS, unclean = 0, last = 0, stuck = 0;

    (void)magic;
    (void)mbi;
    (void)hip;
    if (!guest_possible()) {
        tap_skip("no virtualization", "random states of guests");
        return;
    }
    limit = (unsigned)option("count", 50000) / cpus;
    guest_create(&g);
    host_clean();
    for (unsigned n = 0; n < cpus; n++) {
        seed[n] = option("seed", 1) * 0x9e3779b97f4a7c15 + n + 1;
        guest_cpu_create(&v[n], &g, n, n ? 0 : NOVA_EC_FPU);
    }
    for (unsigned i = GUEST_FREE; i < GUEST_SIZE; i++)
        g.memory[i] = (uint8_t)(random64(&v[0]) >> 32);
    GUEST_LOAD(&g, bytes);
    for (unsigned n = 0; n < cpus; n++) {
        guest_long(&v[n], GUEST_CODE);
        v[n].on_exit = fuzz;
        guest_reply(&v[n], v[n].mtd);
    }
    /* Guests that do not exit by themselves are recalled. */
    for (unsigned done = 0; done < cpus && stuck < 20000;) {
        unsigned now = 0;

        sleep_us(500);
        for (unsigned n = 0; n < cpus; n++) {
            ctrl_ec(v[n].ec, 0);
            now += v[n].exits;
        }
        unclean += !host_clean();
        stuck = now == last ? stuck + 1 : 0;
        last = now;
        done = 0;
        for (unsigned n = 0; n < cpus; n++)
            done += v[n].exits >= limit;
    }
    over = true;
    for (unsigned n = 0; n < cpus; n++) {
        tap_ok(v[n].exits >= limit, "CPU %u: %u events: %u invalid states, %u triple faults, %u other exits", n,
               v[n].exits, invalid[n], shutdowns[n], others[n]);
        tap_ok(invalid[n] > 100 && others[n] > 100, "CPU %u: of all kinds", n);
    }
    tap_is(unclean, 0, "the host's XCR0 and TSC_AUX never changed");

    /* The same vCPUs still work. */
    for (unsigned n = 0; n < cpus; n++) {
        guest_wait(&v[n], 1000);
        v[n].on_exit = 0;
        GUEST_LOAD(&g, bytes);
        guest_long(&v[n], GUEST_CODE);
        while (guest_run(&v[n], v[n].mtd) == GUEST_RECALL) {
        }
        tap_is((uint64_t)v[n].exit, GUEST_CPUID, "CPU %u: a valid state", n);
        guest_cpu_destroy(&v[n]);
    }
    guest_destroy(&g);
}
