/*
 * FPU state. CPUs without XSAVE use FXSAVE.
 *
 * An EC with FPU is the owner of the registers while it runs. One without runs with CR0.TS set. It must not find another PD's state in the registers even
 * so (CPUs may read them speculatively), but within a PD saving and loading them would be for nothing. So a vCPU
 * stays the owner while its handler runs, if that has no FPU. A vCPU without FPU always finds the initial state:
 * TS does not keep guests from PKRU.
 *
 * SPDX-License-Identifier: MIT
 */

#include "x86/fpu.h"

#include "virt/virt.h"
#include "x86/cpu.h"

/* x87, SSE, AVX, MPX, AVX-512, PKRU: all that user land and guests may use, 2,696 bytes at most. Hosts do
 * not use PKRU, but guests can without asking. */
#define XCR0_SUPPORTED 0x2ffUL

unsigned fpu_order;
uint64_t fpu_xcr0;
static void *initial; /* an initial state to load where nobody's shall be */

static void save(void *state)
{
    if (fpu_xcr0)
        __asm__ volatile("xsave64 (%0)" : : "r"(state), "a"((uint32_t)fpu_xcr0), "d"(0) : "memory");
    else
        __asm__ volatile("fxsave64 (%0)" : : "r"(state) : "memory");
}

static void load(const void *state)
{
    if (fpu_xcr0)
        __asm__ volatile("xrstor64 (%0)" : : "r"(state), "a"((uint32_t)fpu_xcr0), "d"(0) : "memory");
    else
        __asm__ volatile("fxrstor64 (%0)" : : "r"(state) : "memory");
}

void fpu_init(struct cpu *cpu)
{
    if (cpu_has_xsave) {
        struct cpuid c = cpuid(0xd, 0);
        uint64_t components = ((uint64_t)c.edx << 32 | c.eax) & XCR0_SUPPORTED;
        xsetbv(0, components);
        if (!fpu_xcr0) {
            fpu_xcr0 = components;
            fpu_order = cpuid(0xd, 0).ebx > PAGE_SIZE ? 1 : 0;
        }
    }
    __asm__ volatile("clts");
    if (!initial) {
        initial = page_alloc(0, fpu_order);
        fpu_initial(initial);
    }
    load(initial);
    write_cr0(CPU_CR0 | CR0_TS);
    cpu->fpu_owner = 0;
    cpu->switch_slow = cpu_has_pcid || cpu_has_ibpb; /* then switching spaces takes more than a new CR3 */
}

/* Layout of the FXSAVE area: Intel SDM volume 1, table 10-2. */
void fpu_initial(void *state)
{
    *(uint16_t *)state = 0x37f;
    *(uint32_t *)((char *)state + 24) = 0x1f80;
}

/* Brings the state of an EC into the registers; null: that of nobody. Guests have an XCR0 of their own. */
static void own(struct cpu *cpu, struct ec *ec)
{
    struct ec *owner = cpu->fpu_owner;

    if (owner && ec_is_guest(owner))
        vcpu_unload(vcpu_of(owner));
    if (owner)
        save(owner->fpu);
    load(ec ? ec->fpu : initial);
    if (ec && ec_is_guest(ec))
        vcpu_load(vcpu_of(ec));
    cpu->fpu_owner = ec;
}

void fpu_switch(struct cpu *cpu, struct ec *from, struct ec *to)
{
    if (from->fpu)
        cpu->fpu_owner = from;
    if (to->fpu) {
        __asm__ volatile("clts");
        if (cpu->fpu_owner != to)
            own(cpu, to);
    } else {
        if (ec_is_guest(to) || (cpu->fpu_owner && cpu->fpu_owner->hst != to->hst)) {
            __asm__ volatile("clts");
            own(cpu, 0);
        }
        write_cr0(CPU_CR0 | CR0_TS);
    }
    cpu->switch_slow = cpu_has_pcid || cpu_has_ibpb || (!to->fpu && cpu->fpu_owner);
}

void fpu_forget(struct cpu *cpu, const struct ec *ec)
{
    if (cpu->fpu_owner == ec) {
        __asm__ volatile("clts");
        if (ec_is_guest(ec))
            vcpu_unload(vcpu_of(cpu->fpu_owner));
        load(initial);
        write_cr0(CPU_CR0 | CR0_TS);
        cpu->fpu_owner = 0;
    }
}
