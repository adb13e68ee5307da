/*
 * Handlers of exits that VMX and SVM have in common.
 *
 * SPDX-License-Identifier: MIT
 */

#include "cpu/cpu.h"
#include "cpu/cpuid.h"
#include "cpu/machine.h"
#include "cpu/time.h"

#define CR4_OSXSAVE (1UL << 18)

/* The kernel tells the TSC's offset in R11. */
uint32_t exit_startup(struct vcpu *v, struct nova_arch_state *s)
{
    time_set_offset(s->gpr[11]);
    s->inj_info = 0;
    s->vect_info = 0;
    vcpu_ask(v->number, VCPU_PAUSE); /* its first look at the phase of the machine */
    return vcpu_resume(v, s, 0);
}

uint32_t exit_recall(struct vcpu *v, struct nova_arch_state *s)
{
    return vcpu_resume(v, s, 0);
}

uint32_t exit_cpuid(struct vcpu *v, struct nova_arch_state *s)
{
    uint32_t leaf = (uint32_t)s->gpr[0], subleaf = (uint32_t)s->gpr[1];
    unsigned length = insn_length(v, s);
    struct cpuid_vcpu self = {.number = v->number, .xcr0 = s->xcr0};
    struct cpuid out;

    if (!length)
        return 0;
    if (!v->complete && leaf == 1 && vendor.lengths)
        return vcpu_again(v); /* for CR4 */
    if (leaf == 1)
        self.osxsave = s->cr4 & CR4_OSXSAVE;
    cpuid_answer(leaf, subleaf, &self, &out);
    s->gpr[0] = out.eax;
    s->gpr[1] = out.ecx;
    s->gpr[2] = out.edx;
    s->gpr[3] = out.ebx;
    return insn_leave(v, s, s->rip + length, NOVA_MTD_GPR_0_7);
}

uint32_t exit_hlt(struct vcpu *v, struct nova_arch_state *s)
{
    unsigned length = insn_length(v, s);

    if (!length)
        return vcpu_resume(v, s, 0);
    v->state = s->rflags & RFLAGS_TF ? VCPU_RUNNING : VCPU_HALTED; /* the debug trap ends HLT */
    return vcpu_resume(v, s, insn_skip(s, s->rip + length));
}

uint32_t exit_nothing(struct vcpu *v, struct nova_arch_state *s)
{
    unsigned length = insn_length(v, s);

    return insn_leave(v, s, s->rip + length, 0);
}

uint32_t exit_undefined(struct vcpu *v, struct nova_arch_state *s)
{
    return vcpu_resume(v, s, vcpu_exception(s, VECTOR_UD, false, 0));
}

uint32_t exit_fault(struct vcpu *v, struct nova_arch_state *s)
{
    return vcpu_resume(v, s, vcpu_exception(s, VECTOR_GP, true, 0));
}

/* Intel SDM volume 1, 13.3: what XCR0 may be. */
static bool xcr0_allowed(uint64_t value)
{
    struct cpuid c;

    cpuid_answer(0xd, 0, &(struct cpuid_vcpu){.xcr0 = 1}, &c);
    if (!(value & 1) || value & ~((uint64_t)c.edx << 32 | c.eax))
        return false;
    if ((value & 6) == 4) /* AVX wants SSE */
        return false;
    return !(value & 0xe0) || (value & 0xe6) == 0xe6; /* AVX-512: all of it, and AVX */
}

uint32_t exit_xsetbv(struct vcpu *v, struct nova_arch_state *s)
{
    uint64_t value = s->gpr[2] << 32 | (uint32_t)s->gpr[0];
    unsigned length = insn_length(v, s);

    if ((uint32_t)s->gpr[1] || s->ss.ar >> 5 & 3 || !xcr0_allowed(value))
        return exit_fault(v, s);
    if (!length)
        return vcpu_resume(v, s, 0);
    s->xcr0 = value;
    return vcpu_resume(v, s, NOVA_MTD_XSAVE | insn_skip(s, s->rip + length));
}

/* The triple fault: nothing but a reset helps. */
uint32_t exit_shutdown(struct vcpu *v, struct nova_arch_state *s)
{
    v->registers = *s;
    v->state = VCPU_DEAD;
    machine_triple_fault(v->number);
    return vcpu_resume(v, s, 0);
}

/*
 * No system of today has the CPU switch tasks but to report a double fault, so it is not emulated. An exception in place
 * of the switch would send the guest somewhere else without a word.
 */
uint32_t exit_task(struct vcpu *v, struct nova_arch_state *s)
{
    return vcpu_die(v, s, "hardware task switches are not supported");
}

uint32_t exit_invalid(struct vcpu *v, struct nova_arch_state *s)
{
    if (s->rip >> 32 && emu_mode(s) != 8) { /* see insn_wrap() */
        s->rip = (uint32_t)s->rip;
        return vcpu_resume(v, s, NOVA_MTD_RIP);
    }
    return vcpu_die(v, s, "the CPU does not take the state");
}

static uint32_t finish_msr(struct vcpu *v, struct nova_arch_state *s, enum msr_result result, unsigned length,
                           uint32_t mtd)
{
    if (result == MSR_STATE)
        return vcpu_again(v);
    if (result == MSR_FAULT)
        return exit_fault(v, s);
    return vcpu_resume(v, s, mtd | insn_skip(s, s->rip + length));
}

uint32_t exit_rdmsr(struct vcpu *v, struct nova_arch_state *s)
{
    unsigned length = insn_length(v, s);
    enum msr_result result;
    uint64_t value = 0;

    if (!length)
        return vcpu_resume(v, s, 0);
    result = msr_read(v, s, (uint32_t)s->gpr[1], &value);
    if (result == MSR_DONE) {
        s->gpr[0] = (uint32_t)value;
        s->gpr[2] = value >> 32;
    }
    return finish_msr(v, s, result, length, NOVA_MTD_GPR_0_7);
}

uint32_t exit_wrmsr(struct vcpu *v, struct nova_arch_state *s)
{
    uint64_t value = s->gpr[2] << 32 | (uint32_t)s->gpr[0];
    unsigned length = insn_length(v, s);
    enum msr_result result;
    uint32_t mtd = 0;

    if (!length)
        return vcpu_resume(v, s, 0);
    result = msr_write(v, s, (uint32_t)s->gpr[1], value, &mtd);
    return finish_msr(v, s, result, length, mtd);
}
