/*
 * First states of vCPUs: what a loader wants for the first one, the start-up IPI for the others.
 *
 * Intel SDM volume 3, tables 10-1 and 8.4.3; the format of segments is that of the UTCB.
 *
 * SPDX-License-Identifier: MIT
 */

#include "cpu/cpu.h"
#include "cpu/machine.h"

#include <nova/string.h>

#define SEGMENT_CODE 0x9b /* present, code, readable, accessed */
#define SEGMENT_DATA 0x93
#define SEGMENT_LDT 0x82
#define SEGMENT_TSS 0x8b

/* After power-on, all of it: also what the kernel wants to know of a vCPU. */
static uint32_t power_on(struct vcpu *v, struct nova_arch_state *s)
{
    const struct nova_segment data = {.ar = SEGMENT_DATA, .limit = 0xffff};

    memset(s, 0, sizeof(*s));
    s->rflags = 2;
    s->ctrl_pri = vendor.ctrl_pri;
    s->ctrl_sec = vendor.ctrl_sec;
    s->cs = (struct nova_segment){.ar = SEGMENT_CODE, .limit = 0xffff};
    s->ds = s->es = s->fs = s->gs = s->ss = data;
    s->tr = (struct nova_segment){.ar = SEGMENT_TSS, .limit = 0xffff};
    s->ldtr = (struct nova_segment){.ar = SEGMENT_LDT, .limit = 0xffff};
    s->gdtr.limit = s->idtr.limit = 0xffff;
    s->cr0 = 0x10; /* ET */
    s->dr7 = 0x400;
    s->xcr0 = 1;
    s->pat = 0x0007040600070406;
    s->sel_gst = NOVA_SEL_GST;
    s->sel_pio = NOVA_SEL_PIO;
    s->sel_msr = NOVA_SEL_MSR;
    s->tpr_threshold = vendor.svm; /* writes to CR8 exit; with VMX because of ctrl_pri */
    v->cr8 = 0;
    v->complete = true;
    return NOVA_MTD_TPR | MTD_STATE | NOVA_MTD_CTRL | NOVA_MTD_TLB | NOVA_MTD_SPACES;
}

uint32_t vcpu_start(struct vcpu *v, struct nova_arch_state *s)
{
    const struct boot_state *b = &machine_entry;
    uint32_t mtd = power_on(v, s);

    lapic_reset(&v->lapic, v->number, false);
    msr_reset(v);
    v->nmi = v->rests = false;
    v->state = VCPU_WAIT_SIPI;
    if (v->number)
        return mtd;
    v->state = VCPU_RUNNING;
    s->gpr[0] = b->rax;
    s->gpr[3] = b->rbx;
    s->gpr[4] = b->rsp;
    s->gpr[6] = b->rsi;
    s->rip = b->rip;
    s->rflags = b->rflags;
    s->cs = b->cs;
    s->ds = s->es = s->fs = s->gs = s->ss = b->data;
    s->tr = b->tr;
    s->ldtr = b->ldtr;
    s->gdtr = b->gdtr;
    s->idtr = b->idtr;
    s->cr0 = b->cr0;
    s->cr3 = b->cr3;
    s->cr4 = b->cr4;
    s->efer = b->efer;
    return mtd;
}

void vcpu_init_ipi(struct vcpu *v)
{
    lapic_reset(&v->lapic, v->number, true);
    v->nmi = v->rests = false;
    v->eoi_armed = false;
    v->state = VCPU_WAIT_SIPI;
}

uint32_t vcpu_start_ipi(struct vcpu *v, struct nova_arch_state *s, uint8_t vector)
{
    uint32_t mtd = power_on(v, s);

    s->cs.sel = (uint16_t)(vector << 8);
    s->cs.base = (uint64_t)vector << 12;
    v->state = VCPU_RUNNING;
    return mtd;
}
