/*
 * Accesses of the guest to devices: ports, memory-mapped registers, the LAPIC's page, the configuration space of PCI.
 *
 * SPDX-License-Identifier: MIT
 */

#include "cpu/access.h"

#include "cpu/cpu.h"
#include "cpu/cpuid.h"
#include "cpu/time.h"
#include "dev/bus.h"
#include "dev/machine.h"
#include "ram.h"

#define PAGE_MASK 0xfffUL

static void *memory(void *context, uint64_t gpa, uint64_t bytes)
{
    (void)context;
    return ram_at(gpa, bytes);
}

static bool is_lapic(const struct vcpu *v, uint64_t gpa)
{
    return (gpa & ~PAGE_MASK) == LAPIC_BASE &&
           (v->lapic.base & (LAPIC_BASE_ENABLE | LAPIC_BASE_X2APIC)) == LAPIC_BASE_ENABLE;
}

static void mmio_read(void *context, uint64_t gpa, unsigned bytes, uint64_t *value)
{
    struct vcpu *v = context;

    if (!is_lapic(v, gpa)) {
        bus_read(BUS_MMIO, gpa, bytes, value);
        return;
    }
    vcpu_eoi_sync(v);
    *value = lapic_mmio_read(&v->lapic, gpa & PAGE_MASK, bytes, time_now());
}

static void mmio_write(void *context, uint64_t gpa, unsigned bytes, uint64_t value)
{
    struct vcpu *v = context;

    if (!is_lapic(v, gpa)) {
        bus_write(BUS_MMIO, gpa, bytes, value);
        return;
    }
    vcpu_eoi_sync(v);
    lapic_mmio_write(&v->lapic, gpa & PAGE_MASK, bytes, time_now(), value);
}

static void port_in(void *context, uint16_t port, unsigned bytes, uint64_t *value)
{
    (void)context;
    bus_read(BUS_PIO, port, bytes, value);
}

static void port_out(void *context, uint16_t port, unsigned bytes, uint64_t value)
{
    (void)context;
    bus_write(BUS_PIO, port, bytes, value);
}

struct emu_ops access_ops = {
    .ram = memory,
    .mmio_read = mmio_read,
    .mmio_write = mmio_write,
    .port_in = port_in,
    .port_out = port_out,
};

void access_init(void)
{
    access_ops.physical_bits = (uint8_t)cpuid_physical_bits();
    access_ops.pages_1g = cpuid_has(0x80000001, 0, 3, 26);
    access_ops.pdpte_registers = !vendor.svm;
}

/* How the instruction has ended. */
static uint32_t finish(struct vcpu *v, struct nova_arch_state *s, enum emu_result result,
                       const struct emu *emu)
{
    uint32_t mtd = MTD_EMULATED;

    if (result == EMU_UNSUPPORTED) {
        machine_guest_error("vCPU %u: an instruction at %#lx for a device is not supported", v->number,
                            s->rip);
        return exit_undefined(v, s);
    }
    if (emu->step)
        mtd |= insn_step(s);
    if (result == EMU_FAULT) {
        mtd |= vcpu_exception(s, emu->fault.vector, emu->fault.has_error, emu->fault.error);
        if (emu->fault.vector == VECTOR_PF) {
            s->cr2 = emu->fault.cr2;
            mtd |= NOVA_MTD_CR;
        }
    }
    return vcpu_resume(v, s, mtd);
}

uint32_t access_execute(struct vcpu *v, struct nova_arch_state *s, struct emu *emu)
{
    return finish(v, s, emu_execute(emu), emu);
}

/* 64-bit code, and no segment with a base: the short message suffices. */
static bool is_simple(const struct nova_arch_state *s, const struct emu_insn *i)
{
    return emu_mode(s) == 8 && i->segment < 4;
}

/* A move of a constant, or between memory and a register that is not AH to BH: almost all accesses to devices. */
static bool is_move(const struct emu_insn *i)
{
    bool low = i->size != 1 || i->rex || i->reg < 4;

    return i->op == EMU_MOV && i->memory && i->address_size == 8 &&
           (i->src == EMU_IMMEDIATE ||
            (low && ((i->dst == EMU_RM && i->src == EMU_REG) || (i->dst == EMU_REG && i->src == EMU_RM))));
}

/* Whether the access that exited is all of the operand, and a single one for a device: not so if it begins in another page, or
 * is not aligned. */
static bool is_whole(const struct nova_arch_state *s, const struct emu_insn *i, uint64_t gpa)
{
    uint64_t address = i->offset + (i->ip_relative ? s->rip + i->length : 0);

    if (i->base != EMU_NO_REGISTER)
        address += s->gpr[i->base];
    if (i->index != EMU_NO_REGISTER)
        address += s->gpr[i->index] << i->scale;
    return !((address ^ gpa) & PAGE_MASK) && !(gpa & (i->size - 1U));
}

/* Such a move, without what the emulation does for all others. */
static uint32_t move(struct vcpu *v, struct nova_arch_state *s, const struct emu_insn *i, uint64_t gpa)
{
    uint64_t mask = i->size == 8 ? UINT64_MAX : (1UL << 8 * i->size) - 1, value, *reg = &s->gpr[i->reg];
    uint32_t mtd = 0;

    if (i->dst == EMU_RM) {
        mmio_write(v, gpa, i->size, (i->src == EMU_IMMEDIATE ? i->immediate : *reg) & mask);
    } else {
        mmio_read(v, gpa, i->size, &value);
        *reg = i->size == 4 ? value & mask : (*reg & ~mask) | (value & mask);
        mtd |= i->reg < 8 ? NOVA_MTD_GPR_0_7 : NOVA_MTD_GPR_8_15;
    }
    mtd |= insn_skip(s, s->rip + i->length);
    return is_lapic(v, gpa) ? vcpu_resume(v, s, mtd) : mtd;
}

/* Whether the access itself has exited, not the walk of page tables to it (AMD APM volume 2, 15.25.6; Intel SDM volume 3,
 * table 28-7). */
static bool is_final(const struct nova_arch_state *s)
{
    return s->qual[0] >> (vendor.svm ? 32 : 8) & 1;
}

/* Such a move that has exited before, in the short message; null: there is more to do. */
static const struct emu_insn *known_move(const struct vcpu *v, const struct nova_arch_state *s)
{
    bool quick = !v->complete && is_final(s) && !(s->vect_info & INJ_VALID) && !(s->rflags & RFLAGS_TF) &&
                 emu_mode(s) == 8;
    const struct emu_cached *known = quick ? emu_known(&v->cache, s) : NULL;
    const struct emu_insn *i = known ? &known->insn : NULL;

    return i && i->segment < 4 && is_move(i) && is_whole(s, i, s->qual[2]) ? i : NULL;
}

/* All others. SVM: error code as of a page fault; VMX: bit 1 is a write, too. */
static uint32_t access_memory(struct vcpu *v, struct nova_arch_state *s)
{
    enum emu_hint access = s->qual[0] & 2 ? EMU_HINT_WRITE : EMU_HINT_READ;
    struct emu emu = {.state = s,
                      .ops = &access_ops,
                      .context = v,
                      .hint = is_final(s) ? access : EMU_HINT_NONE,
                      .hint_gpa = s->qual[2],
                      .cache = &v->cache};
    enum emu_result result;

    if (s->vect_info & INJ_VALID && !(vendor.svm && (s->vect_info >> 8 & 7) >= 4))
        return vcpu_die(v, s, "an interrupt is delivered through the registers of a device");
    result = emu_identify(&emu);
    if (!v->complete && (result != EMU_DONE || !emu.hint || !is_simple(s, &emu.insn)))
        return vcpu_again(v);
    return finish(v, s, result == EMU_DONE ? emu_execute(&emu) : result, &emu);
}

/* A nested page fault or EPT violation. */
uint32_t exit_memory(struct vcpu *v, struct nova_arch_state *s)
{
    const struct emu_insn *insn = known_move(v, s);

    return insn ? move(v, s, insn, s->qual[2]) : access_memory(v, s);
}

uint32_t access_port(struct vcpu *v, struct nova_arch_state *s, uint16_t port, unsigned size, bool in,
                     uint64_t next)
{
    uint64_t mask = size == 4 ? UINT32_MAX : (1UL << 8 * size) - 1, value;

    if (!in) {
        bus_write(BUS_PIO, port, size, s->gpr[0] & mask);
        return insn_leave(v, s, next, 0);
    }
    bus_read(BUS_PIO, port, size, &value);
    s->gpr[0] = size == 4 ? value & mask : (s->gpr[0] & ~mask) | (value & mask);
    return insn_leave(v, s, next, NOVA_MTD_GPR_0_7);
}

uint32_t access_string(struct vcpu *v, struct nova_arch_state *s)
{
    struct emu emu = {.state = s, .ops = &access_ops, .context = v};

    return v->complete ? finish(v, s, emu_run(&emu), &emu) : vcpu_again(v);
}
