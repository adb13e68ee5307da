/*
 * State that belongs to an execution context: x87, SSE and AVX registers stay with their thread
 * through preemption and IPC, start out clean, and never show those of another thread
 * (specification 2.2, 5.3.2).
 *
 * SPDX-License-Identifier: MIT
 */

#include "system.h"
#include "tap.h"

/* What FXSAVE stores; FIP, FDP and FOP are not compared, emulators do not keep them. */
struct fxsave {
    uint16_t fcw, fsw;
    uint8_t ftw, reserved0;
    uint16_t fop;
    uint64_t fip, fdp;
    uint32_t mxcsr, mxcsr_mask;
    uint8_t st[8][16];
    uint8_t xmm[16][16];
    uint8_t reserved1[96];
} __attribute__((aligned(16)));

_Static_assert(sizeof(struct fxsave) == 512, "FXSAVE image");

static bool avx; /* the kernel lets threads use AVX */

static void save(struct fxsave *image)
{
    __asm__ volatile("fxsave64 %0" : "=m"(*image));
}

static void restore(const struct fxsave *image)
{
    __asm__ volatile("fxrstor64 %0" : : "m"(*image));
}

/* A state in which every register differs from every other one, by set. */
static void make(struct fxsave *image, unsigned set)
{
    __builtin_memset(image, 0, sizeof(*image));
    image->fcw = set & 1 ? 0x37f : 0x27f;
    image->ftw = 0xff;
    image->mxcsr = set & 1 ? 0x1f80 : 0x9fc0;
    for (unsigned i = 0; i < 8; i++)
        for (unsigned j = 0; j < 10; j++)
            image->st[i][j] = (uint8_t)(set * 37 + i * 11 + j + 0x80);
    for (unsigned i = 0; i < 16; i++)
        for (unsigned j = 0; j < 16; j++)
            image->xmm[i][j] = (uint8_t)(set * 41 + i * 17 + j + 1);
}

/* Number of fields in which the registers differ from an image. */
static unsigned differences(const struct fxsave *want)
{
    struct fxsave now;
    unsigned n = 0;

    save(&now);
    n += now.fcw != want->fcw;
    n += now.ftw != want->ftw;
    n += now.mxcsr != want->mxcsr;
    for (unsigned i = 0; i < 8; i++)
        n += __builtin_memcmp(now.st[i], want->st[i], 10) != 0;
    for (unsigned i = 0; i < 16; i++)
        n += __builtin_memcmp(now.xmm[i], want->xmm[i], 16) != 0;
    return n;
}

/* Upper halves of YMM0, YMM7 and YMM15. */
static void load_upper(uint64_t value)
{
    uint64_t half[2] = {value, ~value};

    __asm__ volatile("vinsertf128 $1, %0, %%ymm0, %%ymm0; vinsertf128 $1, %0, %%ymm7, %%ymm7;"
                     "vinsertf128 $1, %0, %%ymm15, %%ymm15"
                     :
                     : "m"(half));
}

static unsigned upper_differences(uint64_t low, uint64_t high)
{
    uint64_t half[3][2];

    __asm__ volatile("vextractf128 $1, %%ymm0, %0; vextractf128 $1, %%ymm7, %1; vextractf128 $1, %%ymm15, %2"
                     : "=m"(half[0]), "=m"(half[1]), "=m"(half[2]));
    unsigned n = 0;

    for (unsigned i = 0; i < 3; i++)
        n += half[i][0] != low || half[i][1] != high;
    return n;
}

static bool avx_enabled(void)
{
    uint32_t eax = 1, ebx, ecx = 0, edx;

    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    if (~ecx & (1U << 27 | 1U << 28))
        return false;
    __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    return (eax & 6) == 6;
}

/* -- A new thread starts clean -- */

static unsigned fresh_wrong;
static uint64_t done;

static void fresh(void *arg)
{
    struct fxsave clean, now;

    (void)arg;
    __builtin_memset(&clean, 0, sizeof(clean));
    clean.fcw = 0x37f;
    clean.mxcsr = 0x1f80;
    save(&now);
    __builtin_memcpy(clean.st, now.st, sizeof(clean.st));
    fresh_wrong = differences(&clean);
    for (unsigned i = 0; i < 8; i++)
        for (unsigned j = 0; j < 10; j++)
            fresh_wrong += now.st[i][j] != 0;
    if (avx)
        fresh_wrong += upper_differences(0, 0);

    make(&now, 99);
    restore(&now);
    if (avx)
        load_upper(99);
    sm_up(done);
}

static struct thread *fpu_thread(unsigned cpu, unsigned prio, void (*entry)(void *), void *arg)
{
    struct thread *t = thread_create(&sys.root, cpu, STANDARD_EVENTS(cpu), NOVA_EC_GLOBAL | NOVA_EC_FPU);

    thread_run(t, prio, 1, entry, arg);
    return t;
}

static void clean_start(unsigned cpu)
{
    done = sm_create(0);
    for (unsigned i = 0; i < 3; i++) {
        fpu_thread(cpu, 10, fresh, NULL);
        must(sm_down_ms(done, 2000), "waiting for a thread");
        tap_is(fresh_wrong, 0, "CPU %u: thread %u starts with a clean FPU", cpu, i);
    }
}

/* -- Threads that preempt each other -- */

static volatile bool stop;
static uint32_t rounds[4], wrong[4];

static void verify(void *arg)
{
    uint64_t set = (uint64_t)arg;
    struct fxsave image;

    make(&image, (unsigned)set);
    restore(&image);
    if (avx)
        load_upper(set);
    while (!stop) {
        for (volatile unsigned i = 0; i < 1000; i++)
            continue;
        wrong[set] += differences(&image);
        if (avx)
            wrong[set] += upper_differences(set, ~set);
        rounds[set]++;
    }
    sm_up(done);
}

static void preemption(unsigned cpu)
{
    unsigned total = 0, least = UINT32_MAX;

    done = sm_create(0);
    stop = false;
    for (uint64_t i = 0; i < 4; i++) {
        rounds[i] = wrong[i] = 0;
        fpu_thread(cpu, 10, verify, (void *)i);
    }
    sleep_us(60000);
    stop = true;
    for (unsigned i = 0; i < 4; i++) {
        must(sm_down_ms(done, 2000), "waiting for a thread");
        total += wrong[i];
        least = rounds[i] < least ? rounds[i] : least;
    }
    tap_is(total, 0, "CPU %u: four threads that preempt each other keep their registers (%u rounds or more)",
           cpu, least);
    tap_ok(least > 0, "CPU %u: all of them ran", cpu);
}

/* -- Caller and callee -- */

static unsigned calls, callee_wrong;

PORTAL_ENTRY(fpu_entry, on_fpu_call);

static uint32_t on_fpu_call(uint64_t pid, uint32_t mtd)
{
    struct fxsave image;

    (void)pid;
    (void)mtd;
    make(&image, 11);
    if (calls++)
        callee_wrong += differences(&image) + (avx ? upper_differences(11, ~11UL) : 0);
    restore(&image);
    if (avx)
        load_upper(11);
    return 0;
}

static unsigned caller_wrong;
static uint64_t portal;

static void caller(void *arg)
{
    struct fxsave image;
    uint32_t mtd = 0;

    (void)arg;
    make(&image, 12);
    restore(&image);
    if (avx)
        load_upper(12);
    for (unsigned i = 0; i < 100; i++) {
        ipc_call(portal, &mtd, 0);
        caller_wrong += differences(&image) + (avx ? upper_differences(12, ~12UL) : 0);
    }
    sm_up(done);
}

static void ipc(unsigned cpu)
{
    calls = callee_wrong = caller_wrong = 0;
    portal = portal_create(thread_create(&sys.root, cpu, STANDARD_EVENTS(cpu), NOVA_EC_FPU), fpu_entry, 0, 0);
    fpu_thread(cpu, 10, caller, NULL);
    must(sm_down_ms(done, 2000), "waiting for a thread");
    tap_is(caller_wrong, 0, "CPU %u: the caller keeps its registers through a hundred calls", cpu);
    tap_is(callee_wrong, 0, "CPU %u: and so does the callee", cpu);
    tap_is(calls, 100, "CPU %u: which was called each time", cpu);
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    unsigned last = sys.cpus - 1;

    (void)hip;
    (void)magic;
    (void)mbi;
    avx = avx_enabled();
    tap_diag("AVX is %s", avx ? "enabled" : "not enabled");
    for (unsigned cpu = sys.bsp;; cpu = last) {
        clean_start(cpu);
        preemption(cpu);
        ipc(cpu);
        if (cpu == last)
            break;
    }
}
