/*
 * MSRs.
 *
 * Those whose value the kernel switches with the vCPU (STAR, SYSENTER and so on) do not exit, if root has given them to the
 * guest; if one exits it is in the message. Numbers: Intel SDM volume 4; AMD APM volume 2, appendix A; Linux,
 * Documentation/virt/kvm/x86/msr.rst. Runs on the handler thread of the vCPU.
 *
 * SPDX-License-Identifier: MIT
 */

#include "cpu/msr.h"

#include "cpu/cpu.h"
#include "cpu/cpuid.h"
#include "cpu/time.h"
#include "dev/machine.h"
#include "ram.h"

#include <stddef.h>

#define EFER_SCE (1UL << 0)
#define EFER_LME (1UL << 8)
#define EFER_LMA (1UL << 10)
#define EFER_NX (1UL << 11)
#define EFER_FFXSR (1UL << 14)
#define CR0_PG (1UL << 31)

#define X2APIC_FIRST 0x800U
#define X2APIC_LAST 0x83fU
#define TSC_DEADLINE 0x6e0U

enum who { ANY, INTEL, AMD };

struct rule {
    uint32_t msr;
    uint8_t who; /* on whose CPUs it exists */
    enum msr_result (*read)(struct vcpu *vcpu, const struct rule *rule,
                            uint64_t *value); /* null: `constant` */
    enum msr_result (*write)(struct vcpu *vcpu, const struct rule *rule,
                             uint64_t value); /* null: it faults */
    uint64_t constant;
    uint8_t stored; /* place in vcpu->stored */
    uint16_t field; /* offset in the message */
    uint32_t mtd;   /* of that field */
    const char *reason;
};

static uint64_t unknown; /* atomic */

static enum msr_result write_ignored(struct vcpu *vcpu, const struct rule *rule, uint64_t value)
{
    (void)vcpu;
    (void)rule;
    (void)value;
    return MSR_DONE;
}

static enum msr_result read_stored(struct vcpu *vcpu, const struct rule *rule, uint64_t *value)
{
    *value = vcpu->stored[rule->stored];
    return MSR_DONE;
}

static enum msr_result write_stored(struct vcpu *vcpu, const struct rule *rule, uint64_t value)
{
    vcpu->stored[rule->stored] = value;
    return MSR_DONE;
}

static enum msr_result read_tsc(struct vcpu *vcpu, const struct rule *rule, uint64_t *value)
{
    (void)vcpu;
    (void)rule;
    *value = time_now();
    return MSR_DONE;
}

/* The TSC is the time of all vCPUs, and cannot be set. */
static enum msr_result write_tsc(struct vcpu *vcpu, const struct rule *rule, uint64_t value)
{
    (void)rule;
    (void)value;
    machine_guest_error("vCPU %u writes the TSC, which has no effect", vcpu->number);
    return MSR_DONE;
}

static enum msr_result read_apic_base(struct vcpu *vcpu, const struct rule *rule, uint64_t *value)
{
    (void)rule;
    *value = vcpu->lapic.base;
    return MSR_DONE;
}

static enum msr_result write_apic_base(struct vcpu *vcpu, const struct rule *rule, uint64_t value)
{
    (void)rule;
    return lapic_set_base(&vcpu->lapic, value) ? MSR_DONE : MSR_FAULT;
}

/* MTRRs: there are none but the default type, which stays write-back (there are no caches to manage). */
static enum msr_result write_mtrr_default(struct vcpu *vcpu, const struct rule *rule, uint64_t value)
{
    (void)vcpu;
    (void)rule;
    return value & ~0xcffUL || (value & 0xff) > 6 || (value & 0xff) == 2 || (value & 0xff) == 3 ? MSR_FAULT
                                                                                                : MSR_DONE;
}

static enum msr_result write_zero(struct vcpu *vcpu, const struct rule *rule, uint64_t value)
{
    (void)vcpu;
    (void)rule;
    return value ? MSR_FAULT : MSR_DONE;
}

static enum msr_result read_clock(struct vcpu *vcpu, const struct rule *rule, uint64_t *value)
{
    (void)rule;
    *value = vcpu->clock_page;
    return MSR_DONE;
}

/* Bit 0 enables it; the page is 4-byte aligned and in memory. */
static enum msr_result write_clock(struct vcpu *vcpu, const struct rule *rule, uint64_t value)
{
    struct time_page *page = ram_at(value & ~1UL, sizeof(*page));

    (void)rule;
    if (value & 1 && (value & 2 || !page))
        return MSR_FAULT;
    vcpu->clock_page = value;
    if (value & 1)
        time_publish(page, 0);
    return MSR_DONE;
}

static enum msr_result write_wall_clock(struct vcpu *vcpu, const struct rule *rule, uint64_t value)
{
    struct time_wall *wall = ram_at(value, sizeof(*wall));

    (void)vcpu;
    (void)rule;
    if (value & 3 || !wall)
        return MSR_FAULT;
    time_publish_wall(wall);
    return MSR_DONE;
}

static enum msr_result read_eoi(struct vcpu *vcpu, const struct rule *rule, uint64_t *value)
{
    (void)rule;
    *value = vcpu->eoi_word;
    return MSR_DONE;
}

static enum msr_result write_eoi(struct vcpu *vcpu, const struct rule *rule, uint64_t value)
{
    (void)rule;
    if (value & 1 && (value & 2 || !ram_at(value & ~1UL, 4)))
        return MSR_FAULT;
    vcpu_eoi_sync(vcpu);
    vcpu->eoi_word = value;
    return MSR_DONE;
}

#define FIELD(name, bit) .field = offsetof(struct nova_arch_state, name), .mtd = NOVA_MTD_##bit

/* Sorted. */
static const struct rule rules[] = {
    {0x00000010, ANY, read_tsc, write_tsc, .reason = "TSC"},
    {0x00000011, ANY, NULL, write_wall_clock, .reason = "paravirtual wall clock, old number"},
    {0x00000012, ANY, read_clock, write_clock, .reason = "paravirtual clock, old number"},
    {0x00000017, INTEL, NULL, NULL, .reason = "platform id, for microcode"},
    {0x0000001b, ANY, read_apic_base, write_apic_base, .reason = "APIC base"},
    {0x0000003a, INTEL, NULL, NULL, .constant = 1, .reason = "feature control: locked, no VMX"},
    {0x0000008b, INTEL, NULL, write_ignored, .constant = 0xffffffff00000000,
     .reason = "microcode level: no reason to update"},
    {0x0000008b, AMD, NULL, write_ignored, .constant = 0x01000065, .reason = "microcode level"},
    {0x000000ce, INTEL, NULL, NULL, .reason = "platform info: nothing special"},
    {0x000000fe, ANY, NULL, NULL, .reason = "MTRR capabilities: none"},
    {0x00000174, ANY, NULL, NULL, FIELD(sysenter_cs, SYSENTER), .reason = "SYSENTER_CS"},
    {0x00000175, ANY, NULL, NULL, FIELD(sysenter_esp, SYSENTER), .reason = "SYSENTER_ESP"},
    {0x00000176, ANY, NULL, NULL, FIELD(sysenter_eip, SYSENTER), .reason = "SYSENTER_EIP"},
    {0x000001a0, INTEL, NULL, write_ignored, .constant = 0x1801,
     .reason = "misc enable: fast strings; no BTS, no PEBS"},
    {0x000001d9, ANY, NULL, write_zero, .reason = "debug control"},
    {0x00000277, ANY, NULL, NULL, FIELD(pat, PAT), .reason = "PAT"},
    {0x000002ff, ANY, NULL, write_mtrr_default, .constant = 0x806, .reason = "MTRR default type: write-back"},
    {0x4b564d00, ANY, NULL, write_wall_clock, .reason = "paravirtual wall clock"},
    {0x4b564d01, ANY, read_clock, write_clock, .reason = "paravirtual clock"},
    {0x4b564d04, ANY, read_eoi, write_eoi, .reason = "paravirtual EOI"},
    {0xc0000080, ANY, NULL, NULL, FIELD(efer, EFER), .reason = "EFER"},
    {0xc0000081, ANY, NULL, NULL, FIELD(star, SYSCALL), .reason = "STAR"},
    {0xc0000082, ANY, NULL, NULL, FIELD(lstar, SYSCALL), .reason = "LSTAR"},
    {0xc0000083, ANY, read_stored, write_stored, .stored = 0,
     .reason = "CSTAR: SYSCALL in compatibility mode"},
    {0xc0000084, ANY, NULL, NULL, FIELD(fmask, SYSCALL), .reason = "FMASK"},
    {0xc0000100, ANY, NULL, NULL, FIELD(fs.base, FS_GS), .reason = "FS base"},
    {0xc0000101, ANY, NULL, NULL, FIELD(gs.base, FS_GS), .reason = "GS base"},
    {0xc0000102, ANY, NULL, NULL, FIELD(kernel_gs_base, KERNEL_GS), .reason = "kernel GS base"},
    {0xc0000103, ANY, NULL, NULL, FIELD(tsc_aux, TSC), .reason = "TSC_AUX"},
    {0xc0010010, AMD, NULL, write_ignored, .reason = "SYSCFG: nothing"},
    {0xc0010015, AMD, read_stored, write_stored, .stored = 1, .reason = "HWCR"},
    {0xc001001f, AMD, NULL, write_ignored, .constant = 1UL << 46, .reason = "NB_CFG: CF8 reaches all registers"},
    {0xc0010055, AMD, NULL, write_ignored, .reason = "interrupt pending message: none"},
    {0xc0010058, AMD, NULL, NULL, .reason = "MMIO configuration base: none"},
    {0xc0010114, AMD, NULL, NULL, .constant = 0x10, .reason = "VM_CR: SVM is disabled"},
    {0xc0011029, AMD, read_stored, write_stored, .stored = 2, .reason = "DE_CFG: LFENCE is serializing"},
};

#define RULES (sizeof(rules) / sizeof(rules[0]))

static const struct rule *find(uint32_t msr)
{
    enum who who = cpuid_is_amd() ? AMD : INTEL;

    for (const struct rule *r = rules; r < rules + RULES; r++)
        if (r->msr == msr && (r->who == ANY || r->who == who))
            return r;
    __atomic_fetch_add(&unknown, 1, __ATOMIC_RELAXED);
    return NULL;
}

enum msr_result msr_read(struct vcpu *v, const struct nova_arch_state *s, uint32_t msr, uint64_t *value)
{
    const struct rule *r;

    if (msr >= X2APIC_FIRST && msr <= X2APIC_LAST) {
        vcpu_eoi_sync(v);
        return v->lapic.base & LAPIC_BASE_X2APIC &&
                       lapic_read(&v->lapic, msr - X2APIC_FIRST, time_now(), value)
                   ? MSR_DONE
                   : MSR_FAULT;
    }
    if (msr == TSC_DEADLINE) {
        *value = lapic_tsc_deadline(&v->lapic);
        return MSR_DONE;
    }
    r = find(msr);
    if (!r)
        return MSR_FAULT;
    if (r->read)
        return r->read(v, r, value);
    if (r->mtd && !v->complete)
        return MSR_STATE;
    *value = r->mtd ? *(const uint64_t *)((const char *)s + r->field) : r->constant;
    return MSR_DONE;
}

static bool canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/* AMD APM volume 2, 3.1.7. What the guest's CPU does not have must be zero; LMA does not change. */
static bool efer_allowed(const struct nova_arch_state *s, uint64_t *value)
{
    uint64_t known = EFER_SCE | EFER_LME | EFER_LMA | EFER_NX;

    if (*value & ~known || (s->cr0 & CR0_PG && (*value ^ s->efer) & EFER_LME))
        return false;
    *value = (*value & ~EFER_LMA) | (s->efer & EFER_LMA);
    return true;
}

static bool pat_allowed(uint64_t value)
{
    for (unsigned i = 0; i < 8; i++, value >>= 8)
        if ((value & 0xff) > 7 || (value & 0xff) == 2 || (value & 0xff) == 3)
            return false;
    return true;
}

static bool state_allowed(const struct rule *r, const struct nova_arch_state *s, uint64_t *value)
{
    switch (r->msr) {
    case 0xc0000080:
        return efer_allowed(s, value);
    case 0x277:
        return pat_allowed(*value);
    case 0x175:
    case 0x176:
    case 0xc0000082:
    case 0xc0000100:
    case 0xc0000101:
    case 0xc0000102:
        return canonical(*value);
    case 0xc0000103:
        return !(*value >> 32);
    default:
        return true;
    }
}

enum msr_result msr_write(struct vcpu *v, struct nova_arch_state *s, uint32_t msr, uint64_t value,
                          uint32_t *mtd)
{
    const struct rule *r;

    if (msr >= X2APIC_FIRST && msr <= X2APIC_LAST) {
        vcpu_eoi_sync(v);
        return v->lapic.base & LAPIC_BASE_X2APIC &&
                       lapic_write(&v->lapic, msr - X2APIC_FIRST, time_now(), value)
                   ? MSR_DONE
                   : MSR_FAULT;
    }
    if (msr == TSC_DEADLINE) {
        lapic_set_tsc_deadline(&v->lapic, value);
        return MSR_DONE;
    }
    r = find(msr);
    if (!r || (!r->write && !r->mtd))
        return MSR_FAULT;
    if (r->write)
        return r->write(v, r, value);
    if (!v->complete)
        return MSR_STATE;
    if (!state_allowed(r, s, &value))
        return MSR_FAULT;
    *(uint64_t *)((char *)s + r->field) = value;
    *mtd |= r->mtd;
    return MSR_DONE;
}

void msr_reset(struct vcpu *v)
{
    v->clock_page = 0;
    v->eoi_word = 0;
    v->eoi_armed = false;
    v->stored[0] = 0;
    v->stored[1] = 1 << 24; /* the TSC counts at the nominal frequency */
    v->stored[2] = 1 << 1;  /* LFENCE is serializing */
}

void msr_resumed(struct vcpu *v)
{
    struct time_page *page = ram_at(v->clock_page & ~1UL, sizeof(*page));

    if (v->clock_page & 1 && page)
        time_publish(page, TIME_STOPPED);
}

uint64_t msr_unknown(void)
{
    return __atomic_load_n(&unknown, __ATOMIC_RELAXED);
}
