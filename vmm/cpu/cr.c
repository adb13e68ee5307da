/*
 * Control registers: what the kernel cannot leave to the guest.
 *
 * Of CR0 that are writes that change more than TS and MP (SVM), or bits that the kernel owns (VMX); the caches cannot be
 * switched off, which is the kernel's business, so CD and NW are values like others here. Intel SDM volume 3, 2.5; AMD
 * APM volume 2, 3.1.
 *
 * SPDX-License-Identifier: MIT
 */

#include "cpu/cpu.h"
#include "cpu/cpuid.h"

#define CR0_PE (1UL << 0)
#define CR0_TS (1UL << 3)
#define CR0_ET (1UL << 4)
#define CR0_WP (1UL << 16)
#define CR0_NW (1UL << 29)
#define CR0_CD (1UL << 30)
#define CR0_PG (1UL << 31)
#define CR0_WRITABLE 0xe005003fUL

#define CR4_PAE (1UL << 5)
#define CR4_PCIDE (1UL << 17)

#define EFER_LME (1UL << 8)
#define EFER_LMA (1UL << 10)

#define AR_L 0x200

/* Bits of CR4, each with the feature that it belongs to: leaf 1 EDX, leaf 1 ECX, leaf 7 EBX, leaf 7 ECX. */
static const struct {
    uint8_t cr4_bit, leaf, reg, bit;
} cr4_features[] = {{0, 1, 3, 1},   {1, 1, 3, 1},   {2, 1, 3, 4},  {3, 1, 3, 2},
                    {4, 1, 3, 3},   {5, 1, 3, 6},   {7, 1, 3, 13}, {8, 1, 3, 0},
                    {9, 1, 3, 24},  {10, 1, 3, 25}, {11, 7, 2, 2}, {16, 7, 1, 0},
                    {17, 1, 2, 17}, {18, 1, 2, 26}, {20, 7, 1, 7}, {21, 7, 1, 20}};

static bool cr0_write(struct nova_arch_state *s, uint64_t value, uint32_t *mtd)
{
    uint64_t changed = s->cr0 ^ value;

    if (value >> 32 || (value & CR0_PG && !(value & CR0_PE)) || (value & CR0_NW && !(value & CR0_CD)))
        return false;
    if (changed & CR0_PG && s->efer & EFER_LME) {
        if (s->cs.ar & AR_L || !(s->cr4 & CR4_PAE))
            return false;
        s->efer = value & CR0_PG ? s->efer | EFER_LMA : s->efer & ~EFER_LMA;
        *mtd |= NOVA_MTD_EFER;
    }
    if (changed & CR0_PG && !(value & CR0_PG) && s->cr4 & CR4_PCIDE)
        return false;
    if (changed & (CR0_PG | CR0_WP | CR0_PE))
        *mtd |= NOVA_MTD_TLB;
    s->cr0 = (value & CR0_WRITABLE) | CR0_ET;
    *mtd |= NOVA_MTD_CR;
    return true;
}

static bool cr4_write(struct nova_arch_state *s, uint64_t value, uint32_t *mtd)
{
    uint64_t unknown = value;

    for (unsigned i = 0; i < sizeof(cr4_features) / sizeof(cr4_features[0]); i++)
        if (cpuid_has(cr4_features[i].leaf, 0, cr4_features[i].reg, cr4_features[i].bit))
            unknown &= ~(1UL << cr4_features[i].cr4_bit);
    if (unknown || (s->efer & EFER_LMA && !(value & CR4_PAE)) ||
        (value & ~s->cr4 & CR4_PCIDE && (!(s->efer & EFER_LMA) || s->cr3 & 0xfff)))
        return false;
    s->cr4 = value;
    *mtd |= NOVA_MTD_CR | NOVA_MTD_TLB;
    return true;
}

static bool cr8_write(struct vcpu *v, uint64_t value)
{
    if (value > 15)
        return false;
    vcpu_eoi_sync(v);
    lapic_set_cr8(&v->lapic, value); /* vcpu_resume() does the rest */
    return true;
}

uint32_t cr_write(struct vcpu *v, struct nova_arch_state *s, unsigned number, uint64_t value, unsigned length)
{
    uint32_t mtd = 0;
    bool valid = number == 0   ? cr0_write(s, value, &mtd)
                 : number == 4 ? cr4_write(s, value, &mtd)
                               : cr8_write(v, value);

    if (!valid)
        return exit_fault(v, s);
    return vcpu_resume(v, s, mtd | insn_skip(s, s->rip + length));
}

/* LMSW sets the low four bits, and cannot clear PE. */
uint64_t cr_lmsw(const struct nova_arch_state *s, uint64_t value)
{
    return (s->cr0 & ~0xeUL) | (value & 0xf);
}

uint64_t cr_clts(const struct nova_arch_state *s)
{
    return s->cr0 & ~CR0_TS;
}
