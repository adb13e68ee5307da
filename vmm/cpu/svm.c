/*
 * Exits of SVM (AMD APM volume 2, appendix C), and what of them is particular to it.
 *
 * Qualifications: EXITINFO1, EXITINFO2; of a nested page fault the second one comes as the third, the guest-physical address.
 *
 * SPDX-License-Identifier: MIT
 */

#include "cpu/access.h"
#include "cpu/cpu.h"

/* Intercepts (15.9, appendix B): words at 0x0c and 0x10 of the VMCB. */
#define INTERCEPT_RDPMC (1U << 15)
#define INTERCEPT_CPUID (1U << 18)
#define INTERCEPT_INVD (1U << 22)
#define INTERCEPT_HLT (1U << 24)
#define INTERCEPT_INVLPGA (1U << 26)
#define INTERCEPT_IO (1U << 27)
#define INTERCEPT_MSR (1U << 28)
#define INTERCEPT_TASK_SWITCH (1U << 29)
#define INTERCEPT_SHUTDOWN (1U << 31)
#define INTERCEPT_2_SVM 0xffU /* VMRUN to SKINIT; RDTSCP is not among what is wanted */
#define INTERCEPT_2_RDTSCP (1U << 7)
#define INTERCEPT_2_WBINVD (1U << 9)
#define INTERCEPT_2_MONITOR (7U << 10)
#define INTERCEPT_2_XSETBV (1U << 13)
#define INTERCEPT_2_RDPRU (1U << 14)

/* 15.10.2. */
#define IO_IN 1U
#define IO_STRING 4U

static uint32_t exit_io(struct vcpu *v, struct nova_arch_state *s)
{
    uint32_t info = (uint32_t)s->qual[0];

    if (info & IO_STRING)
        return access_string(v, s);
    if (insn_wraps(s->qual[1]) && !v->complete)
        return vcpu_again(v);
    return access_port(v, s, (uint16_t)(info >> 16), info >> 4 & 7, info & IO_IN, s->qual[1]);
}

static uint32_t exit_msr(struct vcpu *v, struct nova_arch_state *s)
{
    return s->qual[0] & 1 ? exit_wrmsr(v, s) : exit_rdmsr(v, s);
}

/* A read of CR0: the kernel hides CD and NW from the CPU, but not from the guest. */
static uint32_t exit_cr0_read(struct vcpu *v, struct nova_arch_state *s)
{
    struct emu emu = {.state = s, .ops = &access_ops, .context = v};
    unsigned length = emu_length(&emu);

    if (!length)
        return vcpu_resume(v, s, 0);
    if (emu.insn.opcode == 0x0f01 && emu.insn.memory) { /* SMSW is a MOV of what the CPU would read */
        emu.insn.op = EMU_MOV;
        emu.insn.src = EMU_IMMEDIATE;
        emu.insn.size = emu.insn.src_size = 2;
        emu.insn.immediate = s->cr0 & 0xffff;
        return access_execute(v, s, &emu);
    }
    if (emu.insn.opcode == 0x0f01 && emu.insn.size == 2)
        s->gpr[emu.insn.rm % 16] = (s->gpr[emu.insn.rm % 16] & ~0xffffUL) | (s->cr0 & 0xffff);
    else
        s->gpr[emu.insn.rm % 16] = s->cr0;
    return vcpu_resume(v, s, NOVA_MTD_GPR_0_7 | NOVA_MTD_GPR_8_15 | insn_skip(s, s->rip + length));
}

/* A write to CR0, CR4 or CR8. SVM does not say what is written. */
static uint32_t exit_cr(struct vcpu *v, struct nova_arch_state *s)
{
    struct emu emu = {.state = s, .ops = &access_ops, .context = v};
    unsigned length = emu_length(&emu);
    uint64_t value = s->gpr[emu.insn.rm % 16];

    if (!length)
        return vcpu_resume(v, s, 0);
    if (emu.insn.opcode == 0x0f22)
        return cr_write(v, s, emu.insn.reg, emu_mode(s) == 8 ? value : (uint32_t)value, length);
    if (emu.insn.opcode == 0x0f06)
        return cr_write(v, s, 0, cr_clts(s), length);
    if (emu.insn.opcode == 0x0f01 && !emu.insn.memory)
        return cr_write(v, s, 0, cr_lmsw(s, value), length);
    return vcpu_die(v, s, "write to a control register is not supported");
}

/* The kernel intercepts these lest the guest never leaves the microcode (15.7.1); they go on to the guest. */
static uint32_t exit_db(struct vcpu *v, struct nova_arch_state *s)
{
    return vcpu_resume(v, s, vcpu_exception(s, VECTOR_DB, false, 0));
}

static uint32_t exit_ac(struct vcpu *v, struct nova_arch_state *s)
{
    return vcpu_resume(v, s, vcpu_exception(s, VECTOR_AC, true, 0));
}

static const struct exit exits_svm[EVENTS] = {
    [0x00] = {"CR0 read", exit_cr0_read, MTD_EMULATE, MTD_EMULATED},
    [0x10] = {"CR0", exit_cr, MTD_EMULATE, MTD_SKIPPED | NOVA_MTD_CR | NOVA_MTD_EFER},
    [0x14] = {"CR4", exit_cr, MTD_EMULATE, MTD_SKIPPED | NOVA_MTD_CR},
    [0x18] = {"CR8", exit_cr, MTD_EMULATE, MTD_SKIPPED | NOVA_MTD_CR},
    [0x41] = {"#DB", exit_db, MTD_EVENTS, 0},
    [0x51] = {"#AC", exit_ac, MTD_EVENTS, 0},
    [0x64] = {"interrupt window", exit_recall, MTD_EVENTS, 0},
    [0x65] = {"CR0", exit_cr, MTD_EMULATE, MTD_SKIPPED | NOVA_MTD_CR | NOVA_MTD_EFER},
    [0x6f] = FAULT("RDPMC"),
    [0x72] = {"CPUID", exit_cpuid, OUT_CPUID, NOVA_MTD_GPR_0_7 | MTD_SKIPPED},
    [0x74] = {"NMI window", exit_recall, MTD_EVENTS, 0},
    [0x76] = {"INVD", exit_nothing, OUT_SKIP, MTD_SKIPPED},
    [0x77] = {"PAUSE", exit_nothing, OUT_SKIP, MTD_SKIPPED},
    [0x78] = {"HLT", exit_hlt, OUT_SKIP, MTD_SKIPPED},
    [0x7a] = UNDEFINED("INVLPGA"),
    [0x7b] = {"port", exit_io, OUT_PORT, MTD_EMULATED},
    [0x7c] = {"MSR", exit_msr, OUT_MSR, MTD_STATE},
    [0x7d] = {"task switch", exit_task, MTD_ALL, 0},
    [0x7f] = {"triple fault", exit_shutdown, MTD_ALL, 0},
    [0x80] = UNDEFINED("VMRUN"),
    [0x81] = UNDEFINED("VMMCALL"),
    [0x82] = UNDEFINED("VMLOAD"),
    [0x83] = UNDEFINED("VMSAVE"),
    [0x84] = UNDEFINED("STGI"),
    [0x85] = UNDEFINED("CLGI"),
    [0x86] = UNDEFINED("SKINIT"),
    [0x89] = {"WBINVD", exit_nothing, OUT_SKIP, MTD_SKIPPED},
    [0x8a] = UNDEFINED("MONITOR"),
    [0x8b] = UNDEFINED("MWAIT"),
    [0x8c] = UNDEFINED("MWAIT"),
    [0x8d] = {"XSETBV", exit_xsetbv, OUT_XSETBV, NOVA_MTD_XSAVE | MTD_SKIPPED},
    [0x8e] = UNDEFINED("RDPRU"),
    [0xfc] = {"memory", exit_memory, OUT_MEMORY, MTD_EMULATED},
    [0xfd] = {"invalid state", exit_invalid, MTD_ALL, NOVA_MTD_RIP},
    [NOVA_VM_STARTUP] = {"start", exit_startup, MTD_ALL, MTD_STATE},
    [NOVA_VM_RECALL] = {"recall", exit_recall, MTD_EVENTS, 0},
};

const struct vendor vendor_svm = {
    .exits = exits_svm,
    .svm = true,
    .ctrl_pri = INTERCEPT_RDPMC | INTERCEPT_CPUID | INTERCEPT_INVD | INTERCEPT_HLT | INTERCEPT_INVLPGA |
                INTERCEPT_IO | INTERCEPT_MSR | INTERCEPT_TASK_SWITCH | INTERCEPT_SHUTDOWN,
    .ctrl_sec = (INTERCEPT_2_SVM & ~INTERCEPT_2_RDTSCP) | INTERCEPT_2_WBINVD | INTERCEPT_2_MONITOR |
                INTERCEPT_2_XSETBV | INTERCEPT_2_RDPRU,
};
