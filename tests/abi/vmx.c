/*
 * Guests on Intel VMX: what is special about it. Controls that the VMM may not change, states that the CPU refuses, bits
 * of control registers that guests only believe to have, the vAPIC page, VPIDs, EPT, and the host behind it all (Intel
 * SDM volume 3, chapters 25 to 29). What all guests have in common is in guest*.c.
 *
 * With vmx=1 on the command line, VMX must be there.
 *
 * SPDX-License-Identifier: MIT
 */

#include "fault.h"
#include "guest.h"
#include "system.h"
#include "tap.h"

#define RAX 0
#define RCX 1
#define RDX 2
#define RBX 3

#define PRIMARY_CR8_LOAD (1U << 19)
#define SECONDARY_ALWAYS 0xa2U /* EPT, VPID, unrestricted guest */
#define EVENT_MISCONFIGURATION 49

static struct guest g;
static struct guest_cpu v;

GUEST_PROGRAM(cpuids, ".code16", "1: cpuid; jmp 1b");

/* Anything of the next instructions at 0x1000, in real mode; the exit. */
static enum guest_exit real(const char *start, const char *end, uint32_t rax)
{
    guest_load(&g, GUEST_CODE, start, end);
    guest_real(&v, GUEST_CODE);
    v.state.gpr[RAX] = rax;
    return guest_run(&v, v.mtd);
}
#define REAL(name, rax) real(name, name##_end, rax)

static void startup(void)
{
    uint64_t primary = v.state.gpr[RAX], secondary = v.state.gpr[RCX];

    tap_ok((primary & 0xf2200e80) == 0xf2200e80, "primary controls allow exits for all there is: %lx",
           primary);
    tap_is(primary & 1 << 17, 0, "but no tertiary ones");
    tap_is(secondary & SECONDARY_ALWAYS, SECONDARY_ALWAYS,
           "secondary controls: EPT, VPID, unrestricted guest");
    tap_is(secondary & 1 << 14, 0, "but no VMCS shadowing");
    tap_is(v.state.gpr[RDX], 0, "no tertiary controls");
}

/* -- States that the CPU, or the kernel for it, refuses; then the guest goes on as if nothing had been -- */

static void refused(const char *what, uint32_t mtd)
{
    guest_is(&v, guest_run(&v, mtd), GUEST_INVALID, what);
    guest_is(&v, REAL(cpuids, 0), GUEST_CPUID, "corrected");
}

#define REFUSED(bit, field, value) (v.state.field = (value), refused(#field " = " #value, NOVA_MTD_##bit))

static void states(void)
{
    REAL(cpuids, 0);
    REFUSED(RFLAGS, rflags, 0);
    REFUSED(RIP, rip, 1UL << 40);
    REFUSED(TR, tr.ar, 0x1000);
    REFUSED(CS_SS, cs.ar, 0x91);
    REFUSED(DS_ES, ds.ar, 0x13);
    REFUSED(GDTR, gdtr.base, 1UL << 47);
    REFUSED(CR, cr0, 0x80000010);
    REFUSED(CR, cr0, 0x1010);
    REFUSED(CR, cr3, 1UL << 63);
    REFUSED(CR, cr4, 0x2000);
    REFUSED(CR, cr4, 0x400000);
    REFUSED(EFER, efer, 0x400);
    REFUSED(EFER, efer, 2);
    REFUSED(PAT, pat, 0x0202020202020202);
    REFUSED(STA, actv_state, 2);
    REFUSED(STA, actv_state, 3);
    REFUSED(STA, intr_state, 3);
    REFUSED(STA, intr_state, 4);
    REFUSED(SYSCALL, lstar, 1UL << 63);
    REFUSED(SYSCALL, fmask, 1UL << 32);
    REFUSED(KERNEL_GS, kernel_gs_base, 1UL << 47);
    REFUSED(SYSENTER, sysenter_esp, 1UL << 47);
    REFUSED(DR, dr7, 1UL << 32);
    REFUSED(INJ, inj_info, 0x80004306);
    v.state.tpr_threshold = 0x10;
    guest_is(&v, guest_run(&v, NOVA_MTD_TPR), GUEST_INVALID, "TPR threshold of 16");
    v.state.tpr_threshold = 0;
    guest_is(&v, guest_run(&v, NOVA_MTD_TPR), GUEST_CPUID, "corrected");
}

/* -- CR0 and CR4 -- */

GUEST_PROGRAM(read_crs, ".code16", "mov %cr0, %eax; mov %cr4, %ebx; cpuid");
GUEST_PROGRAM(write_cr0, ".code16", "mov %eax, %cr0; cpuid");
GUEST_PROGRAM(write_cr4, ".code16", "mov %eax, %cr4; cpuid");

static void control_registers(void)
{
    guest_load(&g, GUEST_CODE, read_crs, read_crs_end);
    guest_real(&v, GUEST_CODE);
    v.state.cr0 = 0x10;
    guest_run(&v, v.mtd);
    tap_is(v.state.gpr[RAX], 0x10, "the guest does not see CR0.NE, which is always set");
    tap_is(v.state.gpr[RBX], 0, "nor CR4.VMXE");
    tap_is(v.state.cr0, 0x10, "nor does the VMM");
    tap_is(v.state.cr4, 0, "nor does the VMM");

    guest_is(&v, REAL(write_cr0, 0x36), GUEST_CPUID, "CR0.MP and EM");
    tap_is(v.state.cr0, 0x36, "are what the guest has set");
    guest_is(&v, REAL(write_cr0, 0x40000030), GUEST_CR, "CR0.CD");
    guest_load(&g, GUEST_CODE, read_crs, read_crs_end);
    v.state.cr0 = 0x60000030;
    v.state.cr4 = 0x40;
    guest_is(&v, guest_run(&v, NOVA_MTD_CR), GUEST_CPUID, "the VMM does it, and sets MCE");
    tap_is(v.state.gpr[RAX], 0x60000030, "the guest sees it in CR0");
    tap_is(v.state.gpr[RBX], 0x40, "and in CR4");

    guest_is(&v, REAL(write_cr4, 0x2000), GUEST_CR, "CR4.VMXE");
    guest_is(&v, REAL(write_cr4, 0x40), GUEST_CR, "CR4.MCE");
    guest_is(&v, REAL(write_cr4, 8), GUEST_CPUID, "CR4.DE");
    tap_is(v.state.cr4, 8, "is what the guest has set");
    v.state.cr4_intercepts = 8;
    v.state.rip = GUEST_CODE;
    v.state.gpr[RAX] = 0;
    guest_is(&v, guest_run(&v, NOVA_MTD_RIP | NOVA_MTD_GPR_0_7 | NOVA_MTD_CTRL), GUEST_CR,
             "CR4.DE if the VMM asks for it");
    tap_is(v.state.cr4, 8, "which keeps its value");
}

/* -- Controls, the vAPIC page, registers that the kernel keeps loaded -- */

GUEST_PROGRAM(cr8, ".code64", "mov %cr8, %rax; mov $5, %ecx; mov %rcx, %cr8; cpuid");
GUEST_PROGRAM(swap, ".code64", "1: swapgs; cpuid; jmp 1b");

static void apic_page(void)
{
    GUEST_LOAD(&g, cr8);
    guest_long(&v, GUEST_CODE);
    v.state.cr8 = 9;
    guest_is(&v, guest_run(&v, v.mtd), GUEST_CPUID, "CR8");
    tap_is(v.state.gpr[RAX], 9, "what the VMM has set");
    tap_is(v.state.cr8, 5, "what the guest has set");
    v.state.ctrl_pri = PRIMARY_CR8_LOAD;
    v.state.rip = GUEST_CODE;
    guest_is(&v, guest_run(&v, NOVA_MTD_RIP | NOVA_MTD_CTRL), GUEST_CR, "CR8 if the VMM asks for it");
}

static void long_mode(void)
{
    GUEST_LOAD(&g, cr8);
    guest_long(&v, GUEST_CODE);
    v.state.efer = 0x101;
    guest_is(&v, guest_run(&v, v.mtd), GUEST_INVALID, "paging and EFER.LME without LMA");
    v.state.efer = 0x501;
    guest_is(&v, guest_run(&v, NOVA_MTD_EFER), GUEST_CPUID, "with LMA");
}

/* Two vCPUs of a guest on one CPU: one keeps what it has while the other one runs. */
static void two_cpus(void)
{
    static struct guest_cpu w;
    struct guest_cpu *cpu[2] = {&v, &w};
    bool ok = true;

    guest_cpu_create(&w, &g, sys.bsp, NOVA_EC_FPU);
    GUEST_LOAD(&g, swap);
    for (uint64_t i = 0; i < 2; i++) {
        guest_long(cpu[i], GUEST_CODE);
        cpu[i]->state.gs.base = 0x1000 + i;
        cpu[i]->state.kernel_gs_base = 0x2000 + i;
        cpu[i]->state.star = 0x3000 + i;
        cpu[i]->state.cr2 = 0x4000 + i;
    }
    for (uint64_t round = 0; round < 20; round++)
        for (uint64_t i = 0; i < 2; i++) {
            const struct nova_arch_state *s = &cpu[i]->state;
            ok &= guest_run(cpu[i], round ? NOVA_MTD_RIP : cpu[i]->mtd) == GUEST_CPUID &&
                  s->star == 0x3000 + i && s->cr2 == 0x4000 + i &&
                  s->gs.base == (round % 2 ? 0x1000 : 0x2000) + i &&
                  s->kernel_gs_base == (round % 2 ? 0x2000 : 0x1000) + i;
            cpu[i]->state.rip = GUEST_CODE;
        }
    tap_ok(ok, "two vCPUs on one CPU keep their GS bases, STAR and CR2 apart");
    guest_cpu_destroy(&w);
    guest_is(&v, REAL(cpuids, 0), GUEST_CPUID, "one goes on without the other");
}

/* -- EPT -- */

GUEST_PROGRAM(access, ".code64",
              "cmp $1, %eax; je 1f; ja 2f; mov (%rdx), %rbx; hlt; 1: mov %rbx, (%rdx); hlt;"
              "2: jmp *%rdx");

#define PAGE_GPA 0x40000000UL
#define LARGE_GPA 0x40200000UL

/* Tries to read, write (1) and execute (2): a bit for each that works. Memory holds HLT. */
static unsigned accesses(uint64_t gpa)
{
    unsigned works = 0;

    for (unsigned i = 0; i < 3; i++) {
        guest_long(&v, GUEST_CODE);
        v.state.gpr[RAX] = i;
        v.state.gpr[RDX] = gpa;
        v.state.gpr[RBX] = 0xf4;
        if (guest_run(&v, v.mtd | NOVA_MTD_TLB) == GUEST_HLT)
            works |= 1U << i;
        else if (v.event == EVENT_MISCONFIGURATION)
            return 0xff;
    }
    return works;
}

static void ept(void)
{
    uint64_t phys = phys_alloc(9), va = va_alloc(0x400000, 0x200000);
    unsigned wrong = 0;

    GUEST_LOAD(&g, access);
    for (uint32_t mad = 0; mad <= NOVA_MAD_WP; mad++) {
        must(ctrl_pd(sys.nova_hst, sys.root.hst, phys / PAGE_SIZE, va / PAGE_SIZE, 9,
                     NOVA_MEM_R | NOVA_MEM_W | NOVA_MEM_XU, mad),
             "mapping memory");
        *(volatile uint64_t *)va = 0xf4;
        for (unsigned perm = 0; perm < 16; perm++) {
            bool w = perm & NOVA_MEM_W, x = perm & (NOVA_MEM_XU | NOVA_MEM_XS);
            unsigned want = (perm ? 1U : 0) | (w ? 2U : 0) | (x ? 4U : 0);
            guest_map(&g, PAGE_GPA, (void *)va, 0, perm);
            guest_map(&g, LARGE_GPA, (void *)va, 9, perm);
            wrong += accesses(PAGE_GPA) != want;
            wrong += accesses(LARGE_GPA) != want;
        }
    }
    tap_is(wrong, 0, "all permissions and memory types are valid in EPTs, and mean what they should");
    guest_map(&g, PAGE_GPA, (void *)va, 0, 0);
    guest_map(&g, LARGE_GPA, (void *)va, 9, 0);
}

/* -- VPIDs, preemption, the host -- */

GUEST_PROGRAM(loads, ".code16", "1: mov 0x4000, %eax; cpuid; jmp 1b");
GUEST_PROGRAM(spin, ".code16", "1: incl 0x4000; jmp 1b");

static volatile unsigned left;

/* Flushes the TLB, which takes a new VPID, at each of so many exits. */
static uint32_t flush(struct guest_cpu *cpu, struct nova_arch_state *s)
{
    (void)cpu;
    if (!left)
        return GUEST_STOP;
    left--;
    s->rip += 2;
    return NOVA_MTD_RIP | NOVA_MTD_TLB;
}

static void vpids(void)
{
    volatile uint32_t *word = (uint32_t *)(void *)(g.memory + 0x4000);
    bool ok = true;

    v.on_exit = flush;
    for (uint32_t i = 0; i < 3; i++) {
        *word = 0xabc0 + i;
        left = 3000;
        ok &= REAL(loads, 0) == GUEST_CPUID && v.state.gpr[RAX] == 0xabc0 + i;
    }
    v.on_exit = 0;
    tap_ok(ok && !left, "a guest runs with more VPIDs than there are");
}

/* Interrupts of the guest are off: some emulators forget those of the host then. */
static void preemption(void)
{
    volatile uint32_t *counter = (uint32_t *)(void *)(g.memory + 0x4000);
    uint32_t before;

    guest_load(&g, GUEST_CODE, spin, spin_end);
    guest_real(&v, GUEST_CODE);
    guest_reply(&v, v.mtd);
    tap_is((uint64_t)guest_wait(&v, 30), GUEST_TIMEOUT, "a guest that loops does not exit");
    before = *counter;
    tap_is((uint64_t)guest_wait(&v, 30), GUEST_TIMEOUT, "and does not keep this thread from running");
    tap_ok(before && *counter > before, "nor the other way round: %u, %u", before, *counter);
    must(ctrl_ec(v.ec, 0), "recall");
    guest_is(&v, guest_wait(&v, 10000), GUEST_RECALL, "recall");
}

/* Exits cut the limits of GDT and TSS. That of the TSS is right, or there would be no results. */
static void host(void)
{
    tap_is(try_instruction("mov $0x1000, %%eax; mov %%eax, %%es"), VECTOR_GP, "the GDT ends where it should");
    tap_is(try_in(0x80), VECTOR_GP, "ports are as closed as they were");
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    (void)magic;
    (void)mbi;
    if (!(hip->features & NOVA_FEATURE_VMX)) {
        if (option("vmx", 0))
            tap_ok(false, "VMX");
        else
            tap_skip("no VMX", "guests on VMX");
        return;
    }
    guest_create(&g);
    guest_cpu_create(&v, &g, sys.bsp, NOVA_EC_FPU);
    startup();
    states();
    control_registers();
    apic_page();
    long_mode();
    two_cpus();
    ept();
    vpids();
    preemption();
    host();
    guest_cpu_destroy(&v);
    guest_destroy(&g);
}
