/*
 * A virtual machine without a monitor worth the name: what root gives to a VM, the life of a virtual CPU with
 * libnova's wrappers, and the end of a machine that runs: after a crash nothing of it goes on.
 *
 * SPDX-License-Identifier: MIT
 */

#include "tap.h"

#include <nova/cap.h>
#include <nova/error.h>
#include <nova/hypercall.h>
#include <nova/mem.h>
#include <nova/program.h>
#include <nova/string.h>
#include <nova/sync.h>
#include <nova/vm.h>

#define CODE 0x1000
#define COUNTER 0x3000
#define SHARED 0xe0000000UL
#define LOG 32

/* Kinds of events, and their numbers with SVM and VMX. */
static const struct {
    char kind;
    uint16_t svm, vmx;
} kinds[] = {{'S', NOVA_VM_STARTUP, NOVA_VM_STARTUP},
             {'R', NOVA_VM_RECALL, NOVA_VM_RECALL},
             {'C', 0x72, 10},
             {'H', 0x78, 12},
             {'O', 0x7b, 30},
             {'M', 0x7c, 31},
             {'P', 0xfc, 48}};

/* Real mode with segments of 4 GiB. */
static const uint8_t program[] = {
    0x0f, 0xa2,                               /* cpuid */
    0xe6, 0x80,                               /* out al, 0x80 */
    0x66, 0xb9, 0x02, 0x01, 0x00, 0xc0,       /* mov ecx, 0xc0000102: KERNEL_GS_BASE */
    0x66, 0xb8, 0x78, 0x56, 0x34, 0x12,       /* mov eax, 0x12345678 */
    0x66, 0x31, 0xd2,                         /* xor edx, edx */
    0x0f, 0x30,                               /* wrmsr */
    0x66, 0x31, 0xc0,                         /* xor eax, eax */
    0x0f, 0x32,                               /* rdmsr */
    0x66, 0xa3, 0x04, 0x30,                   /* mov [0x3004], eax */
    0x66, 0xb9, 0x1b, 0x00, 0x00, 0x00,       /* mov ecx, 0x1b: APIC_BASE */
    0x0f, 0x32,                               /* rdmsr */
    0x67, 0x66, 0xa1, 0x00, 0x00, 0x00, 0xe0, /* mov eax, [0xe0000000] */
    0x66, 0xa3, 0x08, 0x30,                   /* mov [0x3008], eax */
    0xf4,                                     /* hlt */
    0x67, 0x66, 0xa3, 0x00, 0x00, 0x00, 0xe0, /* mov [0xe0000000], eax */
    0xff, 0x06, 0x00, 0x30,                   /* inc word [0x3000] */
    0xeb, 0xfa,                               /* jmp to that */
};

static char seen[LOG];
static unsigned count;
static uint64_t halted, go_on;
static bool quiet;

static char *guest(uint64_t gpa)
{
    return (char *)nova_info()->guest_start + gpa;
}

static uint32_t begin(struct nova_arch_state *s)
{
    const struct nova_segment data = {.ar = 0xc93, .limit = 0xffffffff};

    *s = (struct nova_arch_state){.rip = CODE,
                                  .rflags = 0x202,
                                  .ctrl_pri = (uint32_t)s->gpr[0],
                                  .ctrl_sec = (uint32_t)s->gpr[1],
                                  .cs = {.ar = 0x9b, .limit = 0xffff},
                                  .ss = data,
                                  .ds = data,
                                  .es = data,
                                  .fs = data,
                                  .gs = data,
                                  .tr = {.ar = 0x8b, .limit = 0xffff},
                                  .ldtr = {.ar = 0x82, .limit = 0xffff},
                                  .gdtr = {.limit = 0xffff},
                                  .idtr = {.limit = 0xffff},
                                  .cr0 = 0x30,
                                  .dr7 = 0x400,
                                  .xcr0 = 1,
                                  .pat = 0x0007040600070406,
                                  .sel_gst = NOVA_SEL_GST,
                                  .sel_pio = NOVA_SEL_PIO,
                                  .sel_msr = NOVA_SEL_MSR};
    return ~0U & ~(NOVA_MTD_POISON | NOVA_MTD_QUAL | NOVA_MTD_TPR | NOVA_MTD_APIC | NOVA_MTD_TLB |
                   NOVA_MTD_FPU | NOVA_MTD_SGX);
}

uint32_t nova_vm_event(uint64_t pid, struct nova_arch_state *s)
{
    char kind = (char)pid;

    if (!quiet && count < LOG - 1)
        seen[count++] = kind;
    switch (kind) {
    case 'S':
        return begin(s);
    case 'C':
    case 'O':
    case 'M':
        s->rip += 2;
        return NOVA_MTD_RIP;
    case 'H':
    case 'P':
        nova_sm_up(halted);
        nova_sm_down(go_on, NOVA_NEVER);
        s->rip += kind == 'H' ? 1 : 7;
        return NOVA_MTD_RIP;
    case 'R':
        nova_sm_up(halted);
        return 0;
    default:
        nova_sm_up(halted);
        return NOVA_MTD_POISON;
    }
}

/* Portals of all events on a CPU. The kind is their identifier, 'x' for all others. */
static uint64_t make_portals(unsigned cpu)
{
    uint64_t events = nova_cap_alloc(512, 512);
    struct nova_thread *handler;
    uint32_t a = 0, b, c, d;
    bool vmx;
    int error = nova_vm_handler(&handler, cpu, 0);

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
    vmx = c == 0x6c65746e; /* "ntel" */
    for (unsigned n = 0; !error && n < NOVA_VM_EVENTS; n++) {
        char kind = 'x';
        for (unsigned i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
            kind = n == (vmx ? kinds[i].vmx : kinds[i].svm) ? kinds[i].kind : kind;
        error = nova_vm_portal(events + n, handler->sel, (uint64_t)kind,
                               NOVA_MTD_GPR_0_7 | NOVA_MTD_RIP | NOVA_MTD_QUAL);
    }
    return error ? 0 : events;
}

static bool wait(void)
{
    return !nova_sm_down(halted, nova_now() + 20 * NOVA_S);
}

/* What root gives, and what it refuses. */
static void look(void)
{
    const struct nova_info *i = nova_info();
    uint64_t sel = nova_cap_alloc(2, 2), dirty = 0;

    for (uint64_t at = 0; at < i->guest_size; at += NOVA_PAGE / 2)
        dirty += *(uint64_t *)guest(at) != 0;
    ok(i->guest_start && i->guest_size == 64 << 20 && !dirty, "memory of the guest is there, and zero");
    ok(i->guest_start % 0x200000 == 0 && i->vcpus == 2, "for large pages");
    ok(i->kernel_size == 19 && !memcmp((char *)i->kernel_start + 12, "kernel\n", 7) && i->initrd_size > 100 &&
           !memcmp((char *)i->initrd_start, "# Two", 5),
       "kernel and initial file system");
    ok(nova_vcpu_create(63, i->sel_free, sel) == NOVA_ERR_DENIED &&
           nova_vcpu_create(i->cpu, NOVA_SEL_EVENTS, sel) == NOVA_ERR_INVAL &&
           nova_vcpu_create(i->cpu, i->sel_free, NOVA_SEL_PD) == NOVA_ERR_INVAL &&
           nova_vcpu_create(i->cpu, i->sel_end - 257, sel) == NOVA_ERR_INVAL,
       "wrong wishes are refused");
    ok(nova_vm_map(0, guest(0), 100, NOVA_MEM_R) == NOVA_ERR_INVAL &&
           nova_vm_map(1, guest(0), 4096, NOVA_MEM_R) == NOVA_ERR_INVAL &&
           nova_vm_map(0x1000, guest(1), 4096, NOVA_MEM_R) == NOVA_ERR_INVAL,
       "pages are mapped as a whole");
    ok(nova_vcpu_recall(NOVA_SEL_GST) == NOVA_ERR_INVAL, "only virtual CPUs can be recalled");
}

static void run(void)
{
    uint64_t events = make_portals(nova_info()->cpu), sel = nova_cap_alloc(2, 2), more = nova_cap_alloc(4, 2);
    uint16_t *counter = (uint16_t *)guest(COUNTER), before;
    char *page;

    ok(!nova_mem_alloc(NOVA_PAGE, (void **)&page) && !nova_vm_map(SHARED, page, NOVA_PAGE, NOVA_MEM_R),
       "a page of the domain for the guest");
    memcpy(page, "NOVA", 4);
    memcpy(guest(CODE), program, sizeof(program));
    ok(events && !nova_vcpu_create(nova_info()->cpu, events, sel), "a virtual CPU");
    ok(wait() && !strcmp(seen, "SCOMH"), "its events: %s", seen);
    ok(*(uint32_t *)guest(0x3004) == 0x12345678, "an MSR of its own");
    ok(!memcmp(guest(0x3008), "NOVA", 4), "it reads the page");
    nova_sm_up(go_on);
    ok(wait() && !strcmp(seen, "SCOMHP") && !memcmp(page, "NOVA", 4), "but cannot write there: %s", seen);
    nova_vm_map(SHARED, NULL, NOVA_PAGE, 0);
    nova_sm_up(go_on);
    while (!__atomic_load_n(counter, __ATOMIC_RELAXED))
        nova_sleep_until(nova_now() + NOVA_MS);
    ok(!nova_vcpu_recall(sel) && wait() && !strcmp(seen, "SCOMHPR"), "it runs, and is recalled: %s", seen);
    before = __atomic_load_n(counter, __ATOMIC_RELAXED);
    nova_sleep_until(nova_now() + 50 * NOVA_MS);
    ok(__atomic_load_n(counter, __ATOMIC_RELAXED) != before, "and goes on");
    ok(!nova_vcpu_create(nova_info()->cpu, events, more) &&
           nova_vcpu_create(nova_info()->cpu, events, more + 2) == NOVA_ERR_LIMIT,
       "there are no more virtual CPUs than the system file says");
}

/* Both virtual CPUs write as fast as they can, and their monitor falls. */
static void crash(void)
{
    unsigned cpus[2] = {nova_info()->cpu, 63 - (unsigned)__builtin_clzl(nova_info()->cpus)};

    quiet = true;
    memcpy(guest(CODE), program + sizeof(program) - 6, 6);
    for (unsigned i = 0; i < 2; i++)
        if (nova_vcpu_create(cpus[i], make_portals(cpus[i]), nova_cap_alloc(2, 2)))
            nova_exit(2);
    while (!__atomic_load_n((uint16_t *)guest(COUNTER), __ATOMIC_RELAXED))
        nova_sleep_until(nova_now() + NOVA_MS);
    *(volatile char *)NULL = 0;
}

int nova_main(int argc, char **argv)
{
    ok(argc == 4 && !strcmp(argv[1], "machine=board") && !strcmp(argv[2], "cmdline=two words") &&
           !strcmp(argv[3], "on-triple-fault=reset"),
       "arguments");
    look();
    nova_sm_create(&halted, 0);
    nova_sm_create(&go_on, 0);
    if (nova_info()->restarts < 10 && !strcmp(argv[0], "fragile"))
        crash();
    run();
    return tap_done();
}
