/*
 * Exits of VMX (Intel SDM volume 3, appendix C), and what of them is particular to it.
 *
 * SPDX-License-Identifier: MIT
 */

#include "cpu/cpu.h"
#include "dev/lapic.h"

/* Controls (25.6.2). */
#define PRIMARY_HLT (1U << 7)
#define PRIMARY_MWAIT (1U << 10)
#define PRIMARY_RDPMC (1U << 11)
#define PRIMARY_CR8 (3U << 19)
#define PRIMARY_MONITOR (1U << 29)
#define PRIMARY_SECONDARY (1U << 31)
#define SECONDARY_RDTSCP (1U << 3)
#define SECONDARY_WBINVD (1U << 6)
#define SECONDARY_INVPCID (1U << 12)

/* 28.2.1: qualification of port accesses, and of accesses to control registers. */
#define IO_SIZE 7U
#define IO_IN 8U
#define IO_STRING 16U

static uint32_t exit_io(struct vcpu *v, struct nova_arch_state *s)
{
    uint32_t info = (uint32_t)s->qual[0];

    if (info & IO_STRING)
        return access_string(v, s);
    return access_port(v, s, (uint16_t)(info >> 16), (info & IO_SIZE) + 1, info & IO_IN,
                       s->rip + s->inst_len);
}

/* Table 28-3: writes to CR0, CR4 and CR8, reads of CR8. */
static uint32_t exit_cr(struct vcpu *v, struct nova_arch_state *s)
{
    unsigned number = s->qual[0] & 15, reg = s->qual[0] >> 8 & 15;
    uint64_t value = s->efer >> 10 & 1 && s->cs.ar & 0x200 ? s->gpr[reg] : (uint32_t)s->gpr[reg];

    switch (s->qual[0] >> 4 & 3) {
    case 0:
        return cr_write(v, s, number, value, s->inst_len);
    case 1:
        vcpu_eoi_sync(v);
        s->gpr[reg] = lapic_cr8(&v->lapic);
        return vcpu_resume(v, s, NOVA_MTD_GPR_0_7 | NOVA_MTD_GPR_8_15 | insn_skip(s, s->rip + s->inst_len));
    case 2:
        return cr_write(v, s, 0, cr_clts(s), s->inst_len);
    default:
        return cr_write(v, s, 0, cr_lmsw(s, s->qual[0] >> 16 & 0xffff), s->inst_len);
    }
}

/*
 * The kernel intercepts #DB and #AC, and leaves those to the VMM that the delivery of an event has caused: lest it never ends.
 * The message has the exception as what is to be injected (28.2.2), and that the guest gets.
 */
static uint32_t exit_exception(struct vcpu *v, struct nova_arch_state *s)
{
    unsigned vector = s->inj_info & 0xff;

    if (vector != VECTOR_DB && vector != VECTOR_AC)
        return vcpu_die(v, s, "unexpected exception");
    return vcpu_resume(v, s, 0);
}

static const struct exit exits_vmx[EVENTS] = {
    [0] = {"exception", exit_exception, NOVA_MTD_QUAL | MTD_EVENTS, 0},
    [2] = {"triple fault", exit_shutdown, MTD_ALL, 0},
    [7] = {"interrupt window", exit_recall, MTD_EVENTS, 0},
    [8] = {"NMI window", exit_recall, MTD_EVENTS, 0},
    [9] = {"task switch", exit_task, MTD_ALL, 0},
    [10] = {"CPUID", exit_cpuid, OUT_CPUID, NOVA_MTD_GPR_0_7 | MTD_SKIPPED},
    [12] = {"HLT", exit_hlt, OUT_SKIP, MTD_SKIPPED},
    [13] = {"INVD", exit_nothing, OUT_SKIP, MTD_SKIPPED},
    [15] = FAULT("RDPMC"),
    [18] = UNDEFINED("VMCALL"),
    [19] = UNDEFINED("VMCLEAR"),
    [20] = UNDEFINED("VMLAUNCH"),
    [21] = UNDEFINED("VMPTRLD"),
    [22] = UNDEFINED("VMPTRST"),
    [23] = UNDEFINED("VMREAD"),
    [24] = UNDEFINED("VMRESUME"),
    [25] = UNDEFINED("VMWRITE"),
    [26] = UNDEFINED("VMXOFF"),
    [27] = UNDEFINED("VMXON"),
    [28] = {"control register", exit_cr, MTD_EMULATE, MTD_EMULATED | NOVA_MTD_CR | NOVA_MTD_EFER},
    [30] = {"port", exit_io, OUT_PORT | NOVA_MTD_RIP, MTD_EMULATED},
    [31] = {"RDMSR", exit_rdmsr, OUT_MSR, NOVA_MTD_GPR_0_7 | MTD_SKIPPED},
    [32] = {"WRMSR", exit_wrmsr, OUT_MSR, MTD_STATE},
    [33] = {"invalid state", exit_invalid, MTD_ALL, NOVA_MTD_RIP},
    [36] = UNDEFINED("MWAIT"),
    [39] = UNDEFINED("MONITOR"),
    [40] = {"PAUSE", exit_nothing, OUT_SKIP, MTD_SKIPPED},
    [48] = {"memory", exit_memory, OUT_MEMORY, MTD_EMULATED},
    [50] = UNDEFINED("INVEPT"),
    [53] = UNDEFINED("INVVPID"),
    [54] = {"WBINVD", exit_nothing, OUT_SKIP, MTD_SKIPPED},
    [55] = {"XSETBV", exit_xsetbv, OUT_XSETBV, NOVA_MTD_XSAVE | MTD_SKIPPED},
    [NOVA_VM_STARTUP] = {"start", exit_startup, MTD_ALL, MTD_STATE},
    [NOVA_VM_RECALL] = {"recall", exit_recall, MTD_EVENTS, 0},
};

const struct vendor vendor_vmx = {
    .exits = exits_vmx,
    .lengths = true,
    .ctrl_pri =
        PRIMARY_HLT | PRIMARY_MWAIT | PRIMARY_RDPMC | PRIMARY_CR8 | PRIMARY_MONITOR | PRIMARY_SECONDARY,
    .ctrl_sec = SECONDARY_RDTSCP | SECONDARY_WBINVD | SECONDARY_INVPCID,
};
