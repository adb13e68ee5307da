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

/* Carries out the instruction that has exited; all that it needs is in the message. */
static uint32_t emulate(struct vcpu *v, struct nova_arch_state *s, enum emu_hint hint, uint64_t gpa)
{
    struct emu emu = {.state = s, .ops = &access_ops, .context = v, .hint = hint, .hint_gpa = gpa};
    uint32_t mtd = MTD_EMULATED;
    uint64_t rip = s->rip;

    switch (emu_run(&emu)) {
    case EMU_FAULT:
        if (emu.fault.vector == VECTOR_PF) {
            s->cr2 = emu.fault.cr2;
            mtd |= NOVA_MTD_CR;
        }
        mtd |= vcpu_exception(s, emu.fault.vector, emu.fault.has_error, emu.fault.error);
        break;
    case EMU_UNSUPPORTED:
        return vcpu_die(v, s, "instruction for a device is not supported");
    case EMU_DONE:
        if (hint != EMU_HINT_NONE)
            insn_remember(v, &emu, rip, s->cr3);
        break;
    default:
        break;
    }
    return vcpu_resume(v, s, mtd);
}

/* Moves between a register or a constant and memory, in 64-bit mode: almost all accesses to devices. */
static bool is_plain_move(const struct emu_insn *i)
{
    return i->op == EMU_MOV && i->memory && !i->rep && !i->lock && i->address_size == 8 && i->segment < 4 &&
           ((i->dst == EMU_RM && (i->src == EMU_REG || i->src == EMU_IMMEDIATE)) ||
            (i->dst == EMU_REG && i->src == EMU_RM)) &&
           (i->size != 1 || i->rex || i->reg < 4 || i->src == EMU_IMMEDIATE);
}

/* Whether the access that exited is all of the operand: not so if it begins in another page. */
static bool is_whole(const struct emu_insn *i, const struct nova_arch_state *s, uint64_t gpa)
{
    uint64_t address = i->offset + (i->ip_relative ? s->rip + i->length : 0);

    if (i->base != EMU_NO_REGISTER)
        address += s->gpr[i->base];
    if (i->index != EMU_NO_REGISTER)
        address += s->gpr[i->index] << i->scale;
    return !((address ^ gpa) & PAGE_MASK) && (gpa & PAGE_MASK) + i->size <= PAGE_MASK + 1;
}

/* A plain move whose decoding is known. */
static uint32_t move(struct vcpu *v, struct nova_arch_state *s, const struct emu_insn *i, uint64_t gpa)
{
    uint64_t mask = i->size == 8 ? UINT64_MAX : (1UL << 8 * i->size) - 1, value, *reg = &s->gpr[i->reg];
    uint32_t mtd = NOVA_MTD_RIP | NOVA_MTD_STA;

    if (i->dst == EMU_RM) {
        mmio_write(v, gpa, i->size, (i->src == EMU_REG ? *reg : i->immediate) & mask);
    } else {
        mmio_read(v, gpa, i->size, &value);
        *reg = i->size == 4 ? value & mask : (*reg & ~mask) | (value & mask);
        mtd |= i->reg < 8 ? NOVA_MTD_GPR_0_7 : NOVA_MTD_GPR_8_15;
    }
    insn_skip(s, i->length);
    return is_lapic(v, gpa) ? vcpu_resume(v, s, mtd) : mtd;
}

/* A nested page fault or EPT violation. SVM: error code as of a page fault; VMX: bit 1 is a write, too. */
uint32_t exit_memory(struct vcpu *v, struct nova_arch_state *s)
{
    const struct insn_entry *e = v->complete ? NULL : insn_find(v, s->rip, s->cr3);
    uint64_t gpa = s->qual[2];

    if (s->vect_info & INJ_VALID && !(vendor.svm && (s->vect_info >> 8 & 7) >= 4))
        return vcpu_die(v, s, "an interrupt is delivered through the registers of a device");
    if (e && is_plain_move(&e->insn) && is_whole(&e->insn, s, gpa))
        return move(v, s, &e->insn, gpa);
    if (!v->complete)
        return vcpu_again(v);
    return emulate(v, s, s->qual[0] & 2 ? EMU_HINT_WRITE : EMU_HINT_READ, gpa);
}

uint32_t access_port(struct vcpu *v, struct nova_arch_state *s, uint16_t port, unsigned size, bool in,
                     uint64_t next)
{
    uint64_t mask = size == 4 ? UINT32_MAX : (1UL << 8 * size) - 1, value;

    (void)v;
    s->rip = next;
    if (!in) {
        bus_write(BUS_PIO, port, size, s->gpr[0] & mask);
        return NOVA_MTD_RIP;
    }
    bus_read(BUS_PIO, port, size, &value);
    s->gpr[0] = size == 4 ? value & mask : (s->gpr[0] & ~mask) | (value & mask);
    return NOVA_MTD_RIP | NOVA_MTD_GPR_0_7;
}

uint32_t access_string(struct vcpu *v, struct nova_arch_state *s)
{
    return v->complete ? emulate(v, s, EMU_HINT_NONE, 0) : vcpu_again(v);
}
