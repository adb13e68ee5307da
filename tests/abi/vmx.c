/*
 * Guests on Intel VMX: what is special about it. Controls that the VMM may not change, states that the CPU refuses,
 * control registers that guests only believe to have, VPIDs, and the host behind it all (Intel SDM volume 3, 25
 * to 29). What all guests have in common is in guest*.c.
 *
 * One vCPU, on the last CPU. Its handler reports each event to the main thread and waits for an answer, so
 * a test is a sequence of steps.
 *
 * SPDX-License-Identifier: MIT
 */

#include "fault.h"
#include "system.h"
#include "tap.h"

#define GUEST_EVENTS (NOVA_EVT_GST_ARCH + 2)
#define STARTUP (NOVA_EVT_GST_ARCH + NOVA_EVT_STARTUP)
#define RECALL (NOVA_EVT_GST_ARCH + NOVA_EVT_RECALL)

/* Everything that can be transferred out, and in. */
#define OUT                                                                                                  \
    (~(NOVA_MTD_POISON | NOVA_MTD_CTRL | NOVA_MTD_TPR | NOVA_MTD_APIC | NOVA_MTD_TLB | NOVA_MTD_SPACES))
#define IN (OUT & ~(NOVA_MTD_QUAL | NOVA_MTD_FPU | NOVA_MTD_SGX))

enum {
    EXCEPTION = 0,
    TRIPLE_FAULT = 2,
    INTERRUPT_WINDOW = 7,
    NMI_WINDOW = 8,
    CPUID = 10,
    HLT = 12,
    INVD = 13,
    VMCALL = 18,
    VMXOFF = 26,
    CR_ACCESS = 28,
    IO = 30,
    RDMSR = 31,
    INVALID_STATE = 33,
    PAUSE = 40,
    EPT_VIOLATION = 48,
    WBINVD = 54,
    XSETBV = 55
};

#define PRIMARY_CR8_LOAD (1U << 19)
#define PRIMARY_PAUSE (1U << 30)

#define MEMORY 0x200000UL /* of the guest */
#define CODE 0x1000
#define STACK 0x8000

#define RAX 0
#define RCX 1
#define RDX 2
#define RBX 3

static struct {
    uint64_t gst, pio, msr, ec, sc, events;
    char *memory; /* at guest-physical 0 */
    struct thread *handler;
    union nova_utcb *apic; /* vAPIC page */
} guest;

static uint64_t exited, answered; /* semaphores */
static struct nova_arch_state
    *volatile state; /* the handler's UTCB, while the main thread deals with an event */
static volatile uint64_t event;
static volatile uint32_t reply;
static uint64_t primary_allowed; /* controls that the VMM may set */
/* So many CPUID exits are answered without asking; the TLB is flushed each time. */
static volatile uint32_t automatic;

PORTAL_ENTRY(event_entry, on_event);

static uint32_t on_event(uint64_t pid, uint32_t mtd)
{
    struct nova_arch_state *s = &thread_self()->utcb->arch;

    (void)mtd;
    if (pid == CPUID && automatic) {
        automatic--;
        s->rip += 2;
        return NOVA_MTD_RIP | NOVA_MTD_TLB;
    }
    event = pid;
    state = s;
    sm_up(exited);
    sm_down(answered);
    return reply;
}

/* Waits for an event; 0: none came within so many milliseconds. */
static bool await(uint64_t ms)
{
    return sm_down_ms(exited, ms) == NOVA_SUCCESS;
}

static void go(uint32_t mtd)
{
    reply = mtd;
    sm_up(answered);
}

/* Answers the last event, and waits for the next one. */
static void step(uint32_t mtd)
{
    go(mtd);
    if (!await(20000))
        tap_bail("no event from the guest");
}

/* The guest's code: real mode, and 64-bit mode for what begins with long. */
__asm__(".pushsection .rodata\n"
        ".code16\n"
        "code: code_cpuid: cpuid; jmp code_cpuid\n"
        "code_out: mov $0x80, %dx; mov $0x5a, %al; out %al, %dx; jmp code_out\n"
        "code_hlt: hlt; jmp code_hlt\n"
        "code_pause: pause; jmp code_pause\n"
        "code_vmcall: vmcall; jmp code_vmcall\n"
        "code_vmxoff: .byte 0x0f, 0x01, 0xc4; jmp code_vmxoff\n"
        "code_invd: invd; jmp code_invd\n"
        "code_wbinvd: wbinvd; jmp code_wbinvd\n"
        "code_rdmsr: mov $0x10, %ecx; rdmsr; mov $0x3a, %ecx; rdmsr; jmp code_rdmsr\n"
        "code_spin: incl 0x3000; jmp code_spin\n"
        "code_read_cr: mov %cr0, %eax; mov %cr4, %ebx; cpuid; jmp code_read_cr\n"
        "code_write_cr0: mov %eax, %cr0; cpuid; jmp code_write_cr0\n"
        "code_write_cr4: mov %eax, %cr4; cpuid; jmp code_write_cr4\n"
        "code_load: mov 0x2000, %eax; cpuid; jmp code_load\n"
        "code_step: nop; nop; cpuid\n"
        "code_sti: sti; nop; nop; cpuid\n"
        "code_debug: mov %dr6, %eax; mov %eax, %ebx; xor %ecx, %ecx; mov %ecx, %dr6; cpuid; iret\n"
        "code_int: int $0x40; jmp code_int\n"
        "code_handler: cpuid; iret\n"
        "code_cr8: .code64\n"
        "mov %cr8, %rax; mov $5, %ecx; mov %rcx, %cr8; cpuid; jmp code_cr8\n"
        "code_swapgs: swapgs; cpuid; jmp code_swapgs\n"
        "code_fpu: fninit; cpuid; jmp code_fpu\n"
        "code_end:\n"
        ".popsection");
extern const char code[], code_end[];
#define ENTRY(name)                                                                                          \
    __extension__({                                                                                          \
        extern const char code_##name[];                                                                     \
        (uint64_t)(CODE + (code_##name - code));                                                             \
    })

static void segment(struct nova_segment *s, uint16_t ar)
{
    *s = (struct nova_segment){.ar = ar, .limit = 0xffff};
}

/* A processor in real mode that runs code at `entry`. Not an answer yet. */
static void real_mode(struct nova_arch_state *s, uint64_t entry)
{
    for (unsigned i = 0; i < 16; i++)
        s->gpr[i] = 0;
    s->gpr[4] = STACK;
    s->rip = entry;
    s->rflags = 2;
    s->intr_state = s->actv_state = s->inj_info = 0;
    segment(&s->cs, 0x9b);
    segment(&s->ss, 0x93);
    segment(&s->ds, 0x93);
    segment(&s->es, 0x93);
    segment(&s->fs, 0x93);
    segment(&s->gs, 0x93);
    segment(&s->tr, 0x8b);
    segment(&s->ldtr, 0x82);
    segment(&s->gdtr, 0);
    segment(&s->idtr, 0);
    s->cr0 = 0x10;
    s->cr2 = s->cr3 = s->cr4 = s->cr8 = 0;
    s->dr7 = 0x400;
    s->xcr0 = 1;
    s->xss = 0;
    s->sysenter_cs = s->sysenter_esp = s->sysenter_eip = 0;
    s->pat = 0x0007040600070406;
    s->efer = 0;
    s->star = s->lstar = s->fmask = s->kernel_gs_base = s->tsc_aux = 0;
}

static void controls(struct nova_arch_state *s, uint32_t primary, uint32_t exceptions)
{
    s->ctrl_pri = primary;
    s->ctrl_sec = 0;
    s->ctrl_ter = 0;
    s->cr0_intercepts = s->cr4_intercepts = 0;
    s->exc_intercepts = exceptions;
    s->pf_mask = s->pf_match = s->tpr_threshold = 0;
}

/* Starts over in real mode, with default controls, and runs to the next event. */
static void begin(uint64_t entry)
{
    real_mode(state, entry);
    controls(state, 0, 0);
    step(IN | NOVA_MTD_CTRL | NOVA_MTD_TPR);
}

/* The same in 64-bit mode, with page tables that map the first 2 MiB. */
static void long_mode(struct nova_arch_state *s, uint64_t entry)
{
    uint64_t *root = (uint64_t *)(guest.memory + 0x10000), *pdpt = root + 512, *pd = pdpt + 512;

    root[0] = 0x11003;
    pdpt[0] = 0x12003;
    pd[0] = 0x83;
    real_mode(s, entry);
    s->cs.ar = 0xa9b;
    s->cr0 = 0x80000031;
    s->cr3 = 0x10000;
    s->cr4 = 0x20;
    s->efer = 0x500;
}

static void guest_create(unsigned cpu)
{
    uint64_t phys = phys_alloc(9), va = va_alloc(MEMORY, MEMORY), apic = va_alloc(PAGE_SIZE, PAGE_SIZE);
    uint64_t base = sel_alloc(512, 512);

    guest.gst = SEL();
    guest.pio = SEL();
    guest.msr = SEL();
    guest.ec = SEL();
    guest.sc = SEL();
    guest.events = base;
    guest.handler = local_create(cpu);
    exited = sm_create(0);
    answered = sm_create(0);
    for (unsigned i = 0; i < GUEST_EVENTS; i++)
        portal_create_at(base + i, guest.handler, event_entry, i, OUT);
    must(create_pd(guest.gst, sys.root.pd, NOVA_PD_GST), "creating a guest space");
    must(create_pd(guest.pio, sys.root.pd, NOVA_PD_PIO), "creating a port space");
    must(create_pd(guest.msr, sys.root.pd, NOVA_PD_MSR), "creating an MSR space");
    must(ctrl_pd(sys.nova_hst, sys.root.hst, phys / PAGE_SIZE, va / PAGE_SIZE, 9,
                 NOVA_MEM_R | NOVA_MEM_W | NOVA_MEM_XU, NOVA_MAD_WB),
         "mapping memory");
    must(ctrl_pd(sys.root.hst, guest.gst, va / PAGE_SIZE, 0, 9, NOVA_PERM_ALL, 0), "giving it to the guest");
    guest.memory = (char *)va;
    __builtin_memset(guest.memory, 0, MEMORY);
    __builtin_memcpy(guest.memory + CODE, code, (size_t)(code_end - code));
    must(create_ec(guest.ec, sys.root.pd, apic, cpu, 0, base, NOVA_EC_GUEST | NOVA_EC_FPU),
         "creating a guest EC");
    guest.apic = (union nova_utcb *)apic;
    must(create_sc(guest.sc, sys.root.pd, guest.ec, NOVA_SCD(1UL, 10)), "creating its SC");
    if (!await(20000))
        tap_bail("no STARTUP");
}

static void test_startup(void)
{
    uint64_t secondary = state->gpr[RCX];

    primary_allowed = state->gpr[RAX];

    tap_is(event, STARTUP, "STARTUP comes first");
    tap_ok((primary_allowed & 0xf2200e80) == 0xf2200e80, "primary controls allow exits for all there is: %lx",
           primary_allowed);
    tap_is(primary_allowed & 1 << 17, 0, "but no tertiary ones");
    tap_is(secondary & 0xa2, 0xa2, "secondary controls: EPT, VPID, unrestricted guest");
    tap_is(secondary & 1 << 14, 0, "but no VMCS shadowing");
    tap_is(state->gpr[RDX], 0, "no tertiary controls");
    tap_is(state->inst_len | state->qual[0] | state->vect_info, 0, "no exit has left anything");
    state->sel_gst = guest.gst;
    state->sel_pio = guest.pio;
    state->sel_msr = guest.msr;
    real_mode(state, ENTRY(cpuid));
    controls(state, 0, 0);
    state->gpr[RAX] = 0x1234;
    step(IN | NOVA_MTD_CTRL | NOVA_MTD_TPR | NOVA_MTD_SPACES);
    tap_is(event, CPUID, "the guest runs");
    tap_is(state->rip, ENTRY(cpuid), "RIP");
    tap_is(state->inst_len, 2, "length of the instruction");
    tap_is(state->gpr[RAX], 0x1234, "RAX");
}

/* Runs code in real mode up to an exit for `reason`. */
static void expect(uint64_t entry, uint64_t reason, const char *what)
{
    begin(entry);
    tap_is(event, reason, "%s", what);
}

static void test_exits(void)
{
    expect(ENTRY(out), IO, "OUT exits");
    tap_is(state->qual[0], 0x80UL << 16, "port, size and direction");
    expect(ENTRY(hlt), HLT, "HLT exits although the VMM does not ask for it");
    expect(ENTRY(vmcall), VMCALL, "VMCALL exits");
    expect(ENTRY(invd), INVD, "INVD exits");
    expect(ENTRY(wbinvd), WBINVD, "WBINVD exits");
    expect(ENTRY(rdmsr), RDMSR, "RDMSR exits");
    tap_is(state->gpr[RCX], 0x10, "for the TSC, which nobody has delegated");
    must(ctrl_pd(sys.nova_msr, guest.msr, 0x10, 0x10, 0, NOVA_MSR_R, 0), "delegating an MSR");
    expect(ENTRY(rdmsr), RDMSR, "RDMSR exits");
    tap_is(state->gpr[RCX], 0x3a, "but not for the TSC any more");
    must(ctrl_pd(sys.nova_msr, guest.msr, 0x10, 0x10, 0, 0, 0), "taking an MSR back");
    real_mode(state, ENTRY(pause));
    controls(state, PRIMARY_PAUSE, 0);
    step(IN | NOVA_MTD_CTRL);
    tap_is(event, PAUSE, "PAUSE exits if the VMM asks for it");
    real_mode(state, 0);
    state->cs.base = 0x300000;
    step(IN);
    tap_is(event, EPT_VIOLATION, "execution where nothing is mapped");
    tap_is(state->qual[2], 0x300000, "address");
    tap_is(state->qual[0] & 0x3f, 4, "a fetch, no permissions");
}

/* States that the CPU refuses; then the guest goes on as if nothing had been. */
static void refused(uint32_t mtd, const char *what)
{
    step(mtd);
    tap_is(event, INVALID_STATE, "refused: %s", what);
    tap_is(state->inst_len | state->qual[0] | state->vect_info, 0, "without an exit");
    real_mode(state, ENTRY(cpuid));
    step(IN);
    tap_is(event, CPUID, "corrected: the guest runs");
}

static void test_refused(void)
{
    begin(ENTRY(cpuid));
    state->rflags = 0;
    refused(NOVA_MTD_RFLAGS, "RFLAGS bit 1");
    state->rip = 1UL << 40;
    refused(NOVA_MTD_RIP, "RIP above 4 GiB in real mode");
    state->tr.ar = 0x1000;
    refused(NOVA_MTD_TR, "TR unusable");
    state->cs.ar = 0x91;
    refused(NOVA_MTD_CS_SS, "CS is data");
    state->cr0 = 0x80000010;
    refused(NOVA_MTD_CR, "paging without protection");
    state->efer = 0x400;
    refused(NOVA_MTD_EFER, "EFER.LMA without LME");
    state->pat = 0x0202020202020202;
    refused(NOVA_MTD_PAT, "PAT");
    state->actv_state = 3;
    refused(NOVA_MTD_STA, "wait-for-SIPI: no CPU would come back from there");
    state->actv_state = 2;
    refused(NOVA_MTD_STA, "shutdown");
    state->intr_state = 3;
    refused(NOVA_MTD_STA, "STI and MOV SS block at once");
    state->inj_info = 0x80000100;
    refused(NOVA_MTD_INJ, "injection of a reserved type");
    state->inj_info = 0x80000320;
    refused(NOVA_MTD_INJ, "injection of exception 32");
    state->inj_info = 0x80004306;
    refused(NOVA_MTD_INJ, "injection with a reserved bit");
    state->lstar = 1UL << 63;
    refused(NOVA_MTD_SYSCALL, "LSTAR is not canonical");
    state->fmask = 1UL << 32;
    refused(NOVA_MTD_SYSCALL, "FMASK has 33 bits");
    state->kernel_gs_base = 1UL << 47;
    refused(NOVA_MTD_KERNEL_GS, "KERNEL_GS_BASE is not canonical");
    state->sysenter_esp = 1UL << 47;
    refused(NOVA_MTD_SYSENTER, "SYSENTER_ESP is not canonical");
    state->dr7 = 1UL << 32;
    refused(NOVA_MTD_DR, "DR7 has 33 bits");
    state->tpr_threshold = 0x10;
    step(NOVA_MTD_TPR);
    tap_is(event, INVALID_STATE, "refused: TPR threshold");
    state->tpr_threshold = 0;
    step(NOVA_MTD_TPR);
    tap_is(event, CPUID, "corrected: the guest runs");
}

static void test_control_registers(void)
{
    begin(ENTRY(read_cr));
    tap_is(state->gpr[RAX], 0x10, "the guest does not see CR0.NE, which is always set");
    tap_is(state->gpr[RBX], 0, "nor CR4.VMXE");
    tap_is(state->cr0, 0x10, "nor does the VMM (CR0)");
    tap_is(state->cr4, 0, "nor does the VMM (CR4)");

    real_mode(state, ENTRY(write_cr0));
    state->gpr[RAX] = 0x16;
    step(IN);
    tap_is(event, CPUID, "the guest sets CR0.MP and EM without an exit");
    tap_is(state->cr0, 0x16, "as CR0 says");
    state->gpr[RAX] = 0x40000010;
    state->rip = ENTRY(write_cr0);
    step(IN);
    tap_is(event, CR_ACCESS, "CR0.CD exits");
    state->cr0 = 0x60000010;
    state->rip = ENTRY(read_cr);
    step(IN);
    tap_is(state->gpr[RAX], 0x60000010, "and is what the VMM says, for the guest");
    tap_ok(!(state->cr0 & ~0x60000010UL), "and for the VMM");

    real_mode(state, ENTRY(write_cr4));
    state->gpr[RAX] = 0x2000;
    step(IN);
    tap_is(event, CR_ACCESS, "CR4.VMXE exits");
    state->rip = ENTRY(write_cr4);
    state->gpr[RAX] = 0x40;
    step(IN);
    tap_is(event, CR_ACCESS, "CR4.MCE exits");
    state->rip = ENTRY(write_cr4);
    state->gpr[RAX] = 8;
    step(IN);
    tap_is(event, CPUID, "CR4.DE does not");
    tap_is(state->cr4, 8, "and is set");
    state->rip = ENTRY(write_cr4);
    state->gpr[RAX] = 0;
    controls(state, 0, 0);
    state->cr4_intercepts = 8;
    step(NOVA_MTD_GPR_0_7 | NOVA_MTD_RIP | NOVA_MTD_CTRL);
    tap_is(event, CR_ACCESS, "unless the VMM asks for it");
    tap_is(state->cr4, 8, "and keeps its value then");
}

static void test_debug(void)
{
    uint16_t *vectors = (uint16_t *)guest.memory;

    vectors[2] = (uint16_t)ENTRY(debug);
    vectors[3] = 0;
    begin(ENTRY(cpuid));
    real_mode(state, ENTRY(step));
    state->rflags = 0x102;
    step(IN);
    tap_is(event, CPUID, "a guest that single-steps gets #DB");
    tap_is(state->gpr[RBX], 0xffff4ff0, "DR6.BS is set, as it reads");
    tap_is(state->rip, ENTRY(debug) + 12, "in its handler");
    real_mode(state, ENTRY(sti));
    state->rflags = 0x102;
    step(IN);
    tap_is(event, CPUID, "a guest that single-steps STI gets #DB");
    tap_is(state->gpr[RBX], 0xffff4ff0, "DR6.BS is set");

    real_mode(state, ENTRY(step));
    controls(state, 0, 1U << 1);
    state->rflags = 0x102;
    step(IN | NOVA_MTD_CTRL);
    tap_is(event, EXCEPTION, "the VMM gets it if it wants to");
    tap_is(state->inj_info, 0x80000301, "and learns which exception it was");
    tap_is(state->qual[0], 0x4000, "and why");
}

static void test_windows(void)
{
    uint16_t *vectors = (uint16_t *)guest.memory;

    vectors[0x80] = (uint16_t)ENTRY(handler);
    vectors[4] = (uint16_t)ENTRY(handler);
    begin(ENTRY(cpuid));
    state->rip = ENTRY(sti);
    state->inj_info = 0x1000;
    step(NOVA_MTD_RIP | NOVA_MTD_INJ);
    tap_is(event, INTERRUPT_WINDOW, "interrupt window");
    tap_is(state->rip, ENTRY(sti) + 2, "one instruction after STI");
    tap_is(state->inj_info, 0x1000, "is still wanted");
    state->inj_info = 0x80000040;
    step(NOVA_MTD_INJ);
    tap_is(event, CPUID, "an interrupt is delivered");
    tap_is(state->rip, ENTRY(handler), "to the handler");
    tap_is(*(uint16_t *)(guest.memory + STACK - 6), ENTRY(sti) + 2, "from there");
    tap_is(state->inj_info, 0, "and is not pending any more");

    real_mode(state, ENTRY(cpuid));
    state->inj_info = 0x80000202;
    step(IN);
    tap_is(event, CPUID, "an NMI is delivered");
    tap_is(state->rip, ENTRY(handler), "to the handler");
    tap_is(state->intr_state, 8, "and blocks further ones");
    state->rip += 2;
    state->inj_info = 0x2000;
    step(NOVA_MTD_RIP | NOVA_MTD_INJ);
    tap_is(event, NMI_WINDOW, "NMI window");
    tap_is(state->rip, ENTRY(cpuid), "after IRET");
    tap_is(state->intr_state, 0, "which unblocks them");
}

static void test_long_mode(void)
{
    begin(ENTRY(cpuid));
    long_mode(state, ENTRY(cr8));
    state->cr8 = 9;
    step(IN);
    tap_is(event, CPUID, "64-bit mode: the guest runs");
    tap_is(state->gpr[RAX], 9, "CR8, which the VMM has set");
    tap_is(state->cr8, 5, "CR8, which the guest has set, without an exit");
    tap_is(guest.apic->word[16] & 0xff, 0x50, "the VMM sees it in the vAPIC page");
    state->rip = ENTRY(cr8);
    controls(state, PRIMARY_CR8_LOAD, 0);
    step(NOVA_MTD_RIP | NOVA_MTD_CTRL);
    tap_is(event, CR_ACCESS, "unless it asks for exits");

    long_mode(state, ENTRY(swapgs));
    controls(state, 0, 0);
    state->gs.base = 0x1234;
    state->kernel_gs_base = 0xffff800000005678;
    step(IN | NOVA_MTD_CTRL);
    tap_is(state->gs.base, 0xffff800000005678, "SWAPGS: GS base");
    tap_is(state->kernel_gs_base, 0x1234, "KERNEL_GS_BASE");
    tap_is(state->efer, 0x500, "EFER");

    state->efer = 0x100;
    step(NOVA_MTD_EFER);
    tap_is(event, INVALID_STATE, "refused: LME and paging, but not LMA");
}

static void test_preemption(void)
{
    volatile uint32_t *counter = (volatile uint32_t *)(guest.memory + 0x3000);
    uint32_t before;

    real_mode(state, ENTRY(spin));
    go(IN);
    tap_ok(!await(30), "a guest that loops does not exit");
    before = *counter;
    tap_ok(before > 0, "it runs: %u rounds", before);
    tap_ok(!await(30), "still");
    tap_ok(*counter > before, "it goes on beside this thread");
    must(ctrl_ec(guest.ec, 0), "recall");
    tap_ok(await(20000) && event == RECALL, "RECALL stops it");
    tap_is(state->inst_len | state->qual[0] | state->qual[1] | state->qual[2] | state->vect_info, 0,
           "and tells nothing about the interrupt");
    before = *counter;
    sleep_us(20000);
    tap_is(*counter, before, "stopped");
}

static void test_tags(void)
{
    uint32_t *word = (uint32_t *)(guest.memory + 0x2000);
    bool right = true;

    for (unsigned i = 0; i < 3; i++) {
        *word = 0xabc0 + i;
        automatic = 4000;
        begin(ENTRY(load));
        right &= event == CPUID && state->gpr[RAX] == 0xabc0 + i;
    }
    tap_ok(right, "the guest runs with more VPIDs than there are");
}

/* Exits cut the limits of GDT and TSS; the ports of the serial line work, or there would be no results. */
static void test_host(void)
{
    tap_is(try_instruction("mov $0x1000, %%eax; mov %%eax, %%es"), VECTOR_GP, "the GDT ends where it should");
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    (void)magic;
    (void)mbi;
    if (!(hip->features & NOVA_FEATURE_VMX)) {
        tap_skip("no VMX", "guests on VMX");
        return;
    }
    guest_create(sys.cpus - 1);
    test_startup();
    test_exits();
    test_refused();
    test_control_registers();
    test_windows();
    test_debug();
    test_long_mode();
    test_preemption();
    test_tags();
    test_host();
}
