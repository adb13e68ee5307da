/*
 * What the guest is interrupted with, and the paravirtual EOI.
 *
 * An interrupted delivery of an event comes first; then NMIs; then what the LAPIC has. What cannot be delivered now wants a
 * window, computed anew each time. All on the handler thread of the vCPU.
 *
 * SPDX-License-Identifier: MIT
 */

#include "cpu/cpu.h"
#include "ram.h"

#define INJ_TYPE(info) ((info) >> 8 & 7)
#define INJ_NMI (2U << 8 | 2)
#define INJ_EXCEPTION (3U << 8)
#define INJ_HAS_ERROR (1U << 11)
#define INJ_WINDOW (1U << 12)
#define INJ_WINDOW_NMI (1U << 13)
#define INJ_EVENT (0xfffU | INJ_VALID)
#define TYPE_SOFTWARE 4U /* and above: INT n, INT3, INTO and such */

/*
 * The word (Linux, Documentation/virt/kvm/x86/msr.rst, MSR_KVM_PV_EOI_EN): bit 0 set means that the guest need only clear it.
 * That is offered when nothing else waits, so that nothing has to be done at that time.
 */
static uint32_t *eoi_word(const struct vcpu *v)
{
    return v->eoi_word & 1 ? ram_at(v->eoi_word & ~1UL, 4) : 0;
}

void vcpu_eoi_sync(struct vcpu *v)
{
    uint32_t *word = eoi_word(v);

    if (!v->eoi_armed)
        return;
    v->eoi_armed = false;
    if (word && !(__atomic_fetch_and(word, ~1U, __ATOMIC_SEQ_CST) & 1))
        lapic_eoi(&v->lapic);
}

static void eoi_offer(struct vcpu *v, uint8_t vector)
{
    uint32_t *word = eoi_word(v), waiting = 0;

    if (!word || lapic_is_level(&v->lapic, vector))
        return;
    for (unsigned i = 0; i < 8; i++)
        waiting |= __atomic_load_n(&v->lapic.irr[i], __ATOMIC_RELAXED);
    if (waiting)
        return;
    __atomic_fetch_or(word, 1U, __ATOMIC_SEQ_CST);
    v->eoi_armed = true;
}

/* The event to be injected, without windows. */
static uint32_t event(struct vcpu *v, struct nova_arch_state *s)
{
    int vector;

    if (s->inj_info & INJ_VALID) /* not delivered yet */
        return s->inj_info & INJ_EVENT;
    /* SVM carries out the instruction that caused a software interrupt once more. */
    if (s->vect_info & INJ_VALID && !(vendor.svm && INJ_TYPE(s->vect_info) >= TYPE_SOFTWARE)) {
        s->inj_error = s->vect_error;
        return s->vect_info & INJ_EVENT;
    }
    if (v->nmi && !(s->intr_state & (STA_SHADOW | STA_NMI))) {
        v->nmi = false;
        return INJ_VALID | INJ_NMI;
    }
    if (!(s->rflags & RFLAGS_IF) || s->intr_state & STA_SHADOW)
        return 0;
    vector = lapic_pending(&v->lapic);
    if (vector < 0)
        return 0;
    lapic_take(&v->lapic, (uint8_t)vector);
    eoi_offer(v, (uint8_t)vector);
    return INJ_VALID | (uint32_t)vector;
}

uint32_t vcpu_inject(struct vcpu *v, struct nova_arch_state *s)
{
    vcpu_eoi_sync(v);
    s->inj_info = event(v, s);
    if (v->nmi)
        s->inj_info |= INJ_WINDOW_NMI;
    if (lapic_pending(&v->lapic) >= 0)
        s->inj_info |= INJ_WINDOW;
    return NOVA_MTD_INJ;
}

bool vcpu_awake(struct vcpu *v, const struct nova_arch_state *s)
{
    vcpu_eoi_sync(v);
    return v->nmi || (s->rflags & RFLAGS_IF && lapic_pending(&v->lapic) >= 0);
}

uint32_t vcpu_exception(struct nova_arch_state *s, unsigned vector, bool has_error, uint32_t error)
{
    s->inj_info = INJ_VALID | INJ_EXCEPTION | vector | (has_error ? INJ_HAS_ERROR : 0);
    s->inj_error = error;
    return NOVA_MTD_INJ;
}

uint32_t insn_step(struct nova_arch_state *s)
{
    return vcpu_exception(s, VECTOR_DB, false, 0);
}

/* RF was for the breakpoint at the instruction that is over (Intel SDM volume 3, 18.3.1.1). */
uint32_t insn_flags(struct nova_arch_state *s)
{
    uint32_t mtd = s->rflags & RFLAGS_TF ? insn_step(s) : 0;

    s->rflags &= ~RFLAGS_RF;
    return mtd | NOVA_MTD_RFLAGS;
}
