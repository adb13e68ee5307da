/*
 * Registers that hardware does not switch, or not all of it: what one vCPU has in its debug registers, in its FPU, in XCR0,
 * TSC_AUX and the MSRs for system calls, no other one finds, and neither does the host; everybody keeps their own.
 *
 * SPDX-License-Identifier: MIT
 */

#include "guest.h"
#include "system.h"
#include "tap.h"

#define GUESTS 4
#define ROUNDS 60

static struct guest g;
static struct guest_cpu v[GUESTS];
static bool has_xsave, has_rdtscp;

static void cpuid(uint32_t leaf, uint32_t *r)
{
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(0));
}

/*
 * RSI: a number of its own; RDI: 12 KiB of memory. Fills DR0 to DR3 and XMM0 to XMM15 and x87 with values of that number,
 * saves the FPU state at RDI + 4096, and checks all of it after each CPUID; HLT with the place in RAX if it is wrong.
 * R8: whether there is XSAVE; then all components of XCR0 are saved, and the upper halves of YMM0 to YMM15 are set, if it
 * has them. R9: whether there is RDTSCP. R10 counts rounds.
 */
#define XMM_ALL(text) ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15;" text ".endr;"

GUEST_PROGRAM(
    own_state, ".code64",
    "mov %rsi, %dr0; lea 0x1000(%rsi), %rax; mov %rax, %dr1; lea 0x2000(%rsi), %rax; mov %rax, %dr2;"
    "lea 0x3000(%rsi), %rax; mov %rax, %dr3; xor %r10d, %r10d;"
    "fninit; push %rsi; fildll (%rsp); fildll (%rsp); pop %rax;"
    "mov %rsi, %rax; " XMM_ALL("inc %rax; movq %rax, %xmm\\n; punpcklqdq %xmm\\n, %xmm\\n;")
    "test %r8d, %r8d; jz 1f; xor %ecx, %ecx; xgetbv; mov %eax, %r11d; test $4, %eax; jz 1f;"
    XMM_ALL("vinsertf128 $1, %xmm\\n, %ymm\\n, %ymm\\n;")
    "1: lea 0x1000(%rdi), %rbx; call 5f;"
    "2: inc %r10; mov $0x99, %eax; cpuid;"
    "mov %dr0, %rax; cmp %rsi, %rax; jne 8f; mov %dr1, %rax; sub $0x1000, %rax; cmp %rsi, %rax; jne 8f;"
    "mov %dr2, %rax; sub $0x2000, %rax; cmp %rsi, %rax; jne 8f; mov %dr3, %rax; sub $0x3000, %rax; cmp %rsi, %rax;"
    "jne 8f; lea 0x2000(%rdi), %rbx; call 5f; xor %ecx, %ecx;"
    "3: mov 0x1000(%rdi, %rcx, 8), %rax; cmp 0x2000(%rdi, %rcx, 8), %rax; jne 8f; inc %ecx; cmp $0x180, %ecx; jne 3b;"
    "test %r9d, %r9d; jz 4f; rdtscp; mov $0xa1, %eax; cmp %esi, %ecx; jne 8f;"
    "4: test %r8d, %r8d; jz 2b; xor %ecx, %ecx; xgetbv; cmp %eax, %r11d; jne 8f; jmp 2b;"
    "5: test %r8d, %r8d; jz 6f; mov $-1, %eax; mov $-1, %edx; xsave64 (%rbx); ret; 6: fxsave64 (%rbx); ret;"
    "8: hlt; jmp 8b");

static void start(unsigned n, unsigned flags, uint64_t xcr0)
{
    guest_cpu_create(&v[n], &g, sys.bsp, flags);
    guest_long(&v[n], GUEST_CODE);
    v[n].state.cr4 |= 0x600 | (has_xsave ? 0x40000 : 0);
    v[n].state.xcr0 = xcr0;
    v[n].state.tsc_aux = has_rdtscp ? 0x1110000 * (n + 1) : 0;
    v[n].state.gpr[4] = GUEST_STACK - 0x100 * n;
    v[n].state.gpr[6] = 0x1110000 * (n + 1);
    v[n].state.gpr[7] = 0x40000 + 0x4000 * n;
    v[n].state.gpr[8] = has_xsave;
    v[n].state.gpr[9] = has_rdtscp;
    v[n].state.star = 0x1111111111111111 * (n + 1);
    v[n].state.lstar = 0x111111111000 * (n + 1);
    v[n].state.fmask = 0x11111 * (n + 1);
    v[n].state.kernel_gs_base = 0x111111112000 * (n + 1);
    v[n].state.sysenter_cs = 0x11111100 * (n + 1);
    v[n].state.sysenter_esp = 0x111111113000 * (n + 1);
    v[n].state.sysenter_eip = 0x111111114000 * (n + 1);
    v[n].state.cr2 = 0x111111115000 * (n + 1);
}

static bool own_registers(unsigned n)
{
    const struct nova_arch_state *s = &v[n].state;

    return s->star == 0x1111111111111111 * (n + 1) && s->lstar == 0x111111111000 * (n + 1) &&
           s->fmask == 0x11111 * (n + 1) && s->kernel_gs_base == 0x111111112000 * (n + 1) &&
           s->sysenter_cs == 0x11111100 * (n + 1) && s->sysenter_esp == 0x111111113000 * (n + 1) &&
           s->sysenter_eip == 0x111111114000 * (n + 1) && s->cr2 == 0x111111115000 * (n + 1);
}

/* What the main thread, which has an FPU, has in its registers: set it, or check it. */
static bool host_state(bool set)
{
    static const uint64_t values[2] = {0x0123456789abcdef, 0xfedcba9876543210};
    uint64_t now[2], aux = 0, xcr0 = 0;
    static uint64_t old_xcr0;

    if (has_xsave)
        __asm__ volatile("xgetbv" : "=a"(xcr0) : "c"(0) : "rdx");
    if (set) {
        __asm__ volatile("movups %0, %%xmm0; movups %0, %%xmm15" : : "m"(values));
        old_xcr0 = xcr0;
        return true;
    }
    __asm__ volatile("movups %%xmm0, %0" : "=m"(now));
    if (now[0] != values[0] || now[1] != values[1])
        return false;
    __asm__ volatile("movups %%xmm15, %0" : "=m"(now));
    if (now[0] != values[0] || now[1] != values[1])
        return false;
    if (has_rdtscp)
        __asm__ volatile("rdtscp" : "=c"(aux) : : "rax", "rdx");
    return aux == 0 && xcr0 == old_xcr0;
}

static void residue(uint64_t components)
{
    const uint64_t xcr0[GUESTS] = {3, components & 7, components & 0xe7, components & 7};
    unsigned wrong = 0, host = 0, registers = 0;

    GUEST_LOAD(&g, own_state);
    host_state(true);
    for (unsigned n = 0; n < GUESTS; n++) {
        start(n, NOVA_EC_FPU, has_xsave ? xcr0[n] : 1);
        wrong += guest_run(&v[n], v[n].mtd) != GUEST_CPUID;
        host += !host_state(false);
    }
    tap_is(wrong, 0, "%u vCPUs on one CPU", GUESTS);
    for (unsigned i = 0; i < ROUNDS; i++)
        for (unsigned n = 0; n < GUESTS; n++) {
            struct guest_cpu *cpu = &v[i % 3 ? n : 0]; /* sometimes the same one again */
            if (guest_skip(cpu, 2, i % 4 == 1 ? NOVA_MTD_XSAVE | NOVA_MTD_TSC : 0) != GUEST_CPUID) {
                if (!wrong++)
                    tap_diag("vCPU %u: %s, RAX 0x%lx RCX 0x%lx", n, guest_name(cpu->exit), cpu->state.gpr[0],
                             cpu->state.gpr[1]);
                cpu->state.rip = GUEST_CODE;
            }
            host += !host_state(false);
            registers += !own_registers((unsigned)(cpu - v));
        }
    tap_is(wrong, 0, "each keeps its debug registers, FPU state, XCR0 and TSC_AUX");
    tap_is(registers, 0, "each keeps its MSRs and CR2");
    tap_is(host, 0, "the host keeps its FPU state, XCR0 and TSC_AUX");
    for (unsigned n = 0; n < GUESTS; n++)
        tap_ok(v[n].state.gpr[10] > ROUNDS / 2, "vCPU %u has run %lu rounds", n, v[n].state.gpr[10]);
}

/* A handler with FPU, and threads of the host in between, which change everything that they can. */
static volatile uint64_t others;

static void other_thread(void *arg)
{
    for (;;) {
        __asm__ volatile("movq %0, %%xmm0; movq %0, %%xmm7; movq %0, %%xmm15; fninit" : : "r"(others));
        others = others + 1;
        sleep_us(300 + 100 * *(const unsigned *)arg);
    }
}

static void among_threads(void)
{
    static const unsigned number[2] = {0, 1};
    unsigned wrong = 0, host = 0;

    for (unsigned i = 0; i < 2; i++)
        thread_run(thread_create(&sys.root, sys.bsp, STANDARD_EVENTS(sys.bsp), NOVA_EC_GLOBAL | NOVA_EC_FPU),
                   20, 10, other_thread, (void *)&number[i]);
    for (unsigned i = 0; i < ROUNDS; i++)
        for (unsigned n = 0; n < GUESTS; n++) {
            wrong += guest_skip(&v[n], 2, 0) != GUEST_CPUID;
            host += !host_state(false);
            if (n == 2)
                sleep_us(100);
        }
    tap_is(wrong, 0, "among other threads, each keeps its own");
    tap_is(host, 0, "and so does the host");
    tap_ok(others > 10, "they have run %lu times", others);
}

/* -- vCPUs without FPU -- */

GUEST_PROGRAM(uses_sse, ".code64", "movups %xmm0, 0x10000; hlt");
GUEST_PROGRAM(uses_x87, ".code64", "fninit; hlt");
GUEST_PROGRAM(uses_clts, ".code64", "clts; movups %xmm0, 0x10000; hlt");
GUEST_PROGRAM(uses_pkru, ".code64",
              "mov %cr4, %rax; bts $22, %rax; mov %rax, %cr4;"
              "xor %ecx, %ecx; rdpkru; mov %eax, %ebx; xor %edx, %edx; mov %esi, %eax; wrpkru; cpuid; hlt");

static void refused(const char *what, const char *program, const char *end, bool clts, uint32_t without)
{
    guest_load(&g, GUEST_CODE, program, end);
    guest_long(&v[0], GUEST_CODE);
    v[0].state.cr4 |= 0x600;
    __builtin_memset(g.memory + 0x10000, 0xcc, 16);
    guest_run(&v[0], v[0].mtd & ~without);
    if (clts)
        tap_ok(v[0].exit == GUEST_CR || (v[0].exit == GUEST_EXCEPTION && v[0].vector == 7), "without FPU: %s",
               what);
    else
        tap_ok(v[0].exit == GUEST_EXCEPTION && v[0].vector == 7, "without FPU: %s is #NM", what);
    tap_is(g.memory[0x10000], 0xcc, "without FPU: %s: nothing is stored", what);
}

static void without_fpu(void)
{
    guest_cpu_create(&v[0], &g, sys.bsp, 0);
    refused("CLTS, no controls set", uses_clts, uses_clts_end, true, NOVA_MTD_CTRL);
    refused("SSE", uses_sse, uses_sse_end, false, 0);
    refused("x87", uses_x87, uses_x87_end, false, 0);
    refused("CLTS", uses_clts, uses_clts_end, true, 0);
    guest_cpu_destroy(&v[0]);
}

/* PKRU is no matter of CR0.TS: what the first one leaves there, the second one must not read. */
static void protection_keys(void)
{
    static const uint32_t left[2] = {0x55555550, 0xaaaaaaa0};

    GUEST_LOAD(&g, uses_pkru);
    for (unsigned n = 0; n < 2; n++) {
        guest_cpu_create(&v[n], &g, sys.bsp, 0);
        guest_long(&v[n], GUEST_CODE);
        v[n].state.gpr[6] = left[n];
        if (guest_run(&v[n], v[n].mtd) == GUEST_CPUID)
            tap_is(v[n].state.gpr[3], 0, "without FPU: vCPU %u finds no PKRU of others", n);
        else
            guest_is(&v[n], v[n].exit, GUEST_CR, "without FPU: no protection keys");
    }
    for (unsigned n = 0; n < 2; n++)
        guest_cpu_destroy(&v[n]);
}

/*
 * One with FPU and one without, of one PD, with different values in XCR0: ESI. Their handlers take their time, so
 * that these are what is preempted.
 */
GUEST_PROGRAM(keeps_xcr0, ".code64",
              "1: mov $0x99, %eax; cpuid; xor %ecx, %ecx; xgetbv; cmp %esi, %eax; je 1b; hlt");

/* Breakpoints of a guest, and DR7.GD, which protects them: none of the host's business. RSI: where. */
GUEST_PROGRAM(breaks_host, ".code64",
              "mov %rsi, %dr0; mov %rsi, %dr1; mov %rsi, %dr2; mov %rsi, %dr3;"
              "mov $0xfffd26ff, %eax; mov %rax, %dr7; 1: mov $0x99, %eax; cpuid; jmp 1b");

static void breakpoints(void)
{
    static volatile uint64_t target;
    unsigned wrong = 0;

    GUEST_LOAD(&g, breaks_host);
    for (unsigned n = 0; n < 2; n++) {
        guest_cpu_create(&v[n], &g, sys.bsp, NOVA_EC_FPU);
        guest_long(&v[n], GUEST_CODE);
        v[n].state.gpr[6] = (uint64_t)&target;
        wrong += guest_run(&v[n], v[n].mtd) != GUEST_CPUID;
        target++;
    }
    for (unsigned i = 0; i < 20; i++) {
        wrong += guest_skip(&v[i % 2], 2, 0) != GUEST_CPUID;
        target++;
    }
    tap_ok(wrong == 0 && target == 22, "breakpoints of guests do not concern the host");
    for (unsigned n = 0; n < 2; n++)
        guest_cpu_destroy(&v[n]);
}

static volatile bool enough;

static uint32_t slowly(struct guest_cpu *cpu, struct nova_arch_state *s)
{
    uint64_t end = tsc() + ticks(300);

    while (tsc() < end)
        continue;
    s->rip += 2;
    return cpu->exit == GUEST_CPUID && !enough ? NOVA_MTD_RIP : GUEST_STOP;
}

static void with_and_without(void)
{
    GUEST_LOAD(&g, keeps_xcr0);
    for (unsigned n = 0; n < 2; n++) {
        guest_cpu_create(&v[n], &g, sys.bsp, n ? 0 : NOVA_EC_FPU);
        guest_long(&v[n], GUEST_CODE);
        v[n].state.cr4 |= 0x40000;
        v[n].state.xcr0 = n ? 1 : 3;
        v[n].state.gpr[6] = n ? 1 : 3;
        v[n].on_exit = slowly;
    }
    for (unsigned n = 0; n < 2; n++)
        guest_reply(&v[n], v[n].mtd);
    sleep_us(2000000);
    enough = true;
    for (unsigned n = 0; n < 2; n++) {
        guest_is(&v[n], guest_wait(&v[n], 5000), GUEST_CPUID,
                 n ? "without FPU: keeps its XCR0" : "with FPU: keeps its XCR0");
        tap_ok(v[n].exits > 10, "and has run %u rounds", v[n].exits);
        guest_cpu_destroy(&v[n]);
    }
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    uint32_t r[4];
    uint64_t components = 3;

    (void)hip;
    (void)magic;
    (void)mbi;
    if (!guest_possible()) {
        tap_skip("no virtualization", "residue of guests");
        return;
    }
    cpuid(1, r);
    has_xsave = r[2] >> 27 & 1;
    if (has_xsave) {
        cpuid(0xd, r);
        components = r[0];
    }
    cpuid(0x80000001, r);
    has_rdtscp = r[3] >> 27 & 1;
    tap_diag("XSAVE %u RDTSCP %u components 0x%lx", has_xsave, has_rdtscp, components);
    guest_create(&g);
    residue(components);
    among_threads();
    for (unsigned n = 0; n < GUESTS; n++)
        guest_cpu_destroy(&v[n]);
    if (guest_tcg())
        tap_skip("QEMU itself stops", "breakpoints of guests");
    else
        breakpoints();
    without_fpu();
    cpuid(7, r);
    if (r[2] >> 3 & 1)
        protection_keys();
    else
        tap_skip("no protection keys", "PKRU of guests");
    if (has_xsave)
        with_and_without();
    else
        tap_skip("no XSAVE", "XCR0 with and without FPU");
    guest_destroy(&g);
}
