/*
 * Virtual CPUs: their making, what is asked of them, and how the handling of an event ends.
 *
 *   OFF --start--> RUNNING (first) or WAIT_SIPI --start-up IPI--> RUNNING <--> HALTED        any --INIT--> WAIT_SIPI
 *
 * and parked, in any of them, while the machine does not run. A vCPU that waits does so in its handler.
 *
 * SPDX-License-Identifier: MIT
 */

#include "cpu/cpu.h"
#include "cpu/machine.h"
#include "cpu/time.h"
#include "cpu/word.h"

#include <nova/cap.h>
#include <nova/error.h>
#include <nova/hypercall.h>
#include <nova/string.h>
#include <nova/sync.h>

#define EVENT_BITS 10

_Static_assert(EVENTS <= 1 << EVENT_BITS && _Alignof(struct vcpu) == 1 << EVENT_BITS, "portal ids");

struct vcpu vcpus[VCPU_MAX];
unsigned vcpu_count;
struct vendor vendor;

struct lapic *vcpu_lapic(unsigned number)
{
    return &vcpus[number].lapic;
}

static void kick(const struct vcpu *v, enum word_kick how)
{
    if (how == WORD_RECALL)
        nova_vcpu_recall(v->sel);
    else if (how == WORD_UP)
        nova_hc_ctrl_sm(v->wake, 0, NOVA_SM_UP);
}

void vcpu_ask(unsigned number, unsigned requests)
{
    kick(&vcpus[number], word_ask(&vcpus[number].word, requests, 0));
}

void vcpu_sipi(unsigned number, uint8_t vector)
{
    kick(&vcpus[number], word_ask(&vcpus[number].word, VCPU_SIPI, vector));
}

/* Portal ids are the address of the vCPU and, below its alignment, the number of the event. */
static uint64_t portal_id(const struct vcpu *v, unsigned event)
{
    return (uint64_t)v | event;
}

static uint32_t portal_mtd(unsigned event)
{
    const struct exit *e = &vendor.exits[event];

    if (!e->handle)
        return MTD_ALL;
    return e->out & NOVA_MTD_RIP && !vendor.lengths ? e->out | MTD_CODE : e->out;
}

static int make_portal(const struct vcpu *v, uint64_t sel, unsigned event)
{
    return nova_vm_portal(sel, v->handler->sel, portal_id(v, event), portal_mtd(event));
}

/* A portal for each event that has a handler, and one for all others, as each takes memory of the kernel. */
static int make_portals(const struct vcpu *v)
{
    int error = make_portal(v, v->events + EVENT_OTHER, EVENT_OTHER);

    for (unsigned i = 0, n; !error && i < NOVA_VM_EVENTS; i += n) {
        for (n = 0; i + n < NOVA_VM_EVENTS && !vendor.exits[i + n].handle; n++) {
        }
        error =
            n ? nova_cap_copy(v->events + EVENT_OTHER, v->events + i, n) : make_portal(v, v->events + i, i);
        n += !n;
    }
    return error;
}

/* Portals of their own for the others as well, to know which it is. */
static bool tell_apart(const struct vcpu *v)
{
    int error = NOVA_OK;

    for (unsigned i = 0; !error && i < NOVA_VM_EVENTS; i++) {
        uint64_t sel = vendor.exits[i].handle ? NOVA_CAP_NONE : nova_cap_alloc(1, 1);

        if (vendor.exits[i].handle)
            continue;
        error = sel ? make_portal(v, sel, i) : NOVA_ERR_LIMIT;
        if (!error)
            error = nova_cap_copy(sel, v->events + i, 1);
        nova_cap_free(sel, 1);
    }
    return !error;
}

int vcpu_create(unsigned number, unsigned cpu)
{
    struct vcpu *v = &vcpus[number];
    int error;

    v->number = number;
    v->word = WORD_HANDLER; /* its first event is STARTUP */
    v->events = nova_cap_alloc(EVENTS, 1);
    v->sel = nova_cap_alloc(2, 2);
    if (!v->events || !v->sel)
        return NOVA_ERR_LIMIT;
    error = nova_sm_create(&v->wake, 0);
    if (!error)
        error = nova_vm_handler(&v->handler, cpu, 0);
    if (!error)
        error = make_portals(v);
    if (!error)
        error = timer_create(v, cpu);
    return error ? error : nova_vcpu_create(cpu, v->events, v->sel);
}

/* An event is here whose portal was to send all state: once is enough. */
static void full_end(struct vcpu *v)
{
    v->complete = v->full_event == v->event;
    if (!v->complete)
        return;
    nova_hc_ctrl_pt(v->events + v->event, portal_id(v, v->event), portal_mtd(v->event));
    v->full_event = 0;
}

static void full_start(struct vcpu *v, unsigned event)
{
    if (v->full_event)
        nova_hc_ctrl_pt(v->events + v->full_event, portal_id(v, v->full_event), portal_mtd(v->full_event));
    v->full_event = (uint16_t)event;
    nova_hc_ctrl_pt(v->events + event, portal_id(v, event), MTD_ALL);
}

uint32_t vcpu_again(struct vcpu *v)
{
    if (!v->complete)
        full_start(v, v->event);
    return 0;
}

/* It comes once more if its number is still to be found out. */
static uint32_t unexpected(struct vcpu *v, const struct nova_arch_state *s)
{
    v->complete = true;
    return v->event == EVENT_OTHER && tell_apart(v) ? 0 : vcpu_die(v, s, "unexpected exit");
}

/* All exits come here. */
uint32_t nova_vm_event(uint64_t pid, struct nova_arch_state *state)
{
    struct vcpu *v = (struct vcpu *)(pid & ~((1UL << EVENT_BITS) - 1));
    unsigned event = pid & ((1U << EVENT_BITS) - 1);
    const struct exit *e = &vendor.exits[event];

    v->event = (uint16_t)event;
    v->exits[event]++;
    v->complete = false;
    if (__builtin_expect(v->full_event, 0))
        full_end(v);
    return __builtin_expect(!e->handle, 0) ? unexpected(v, state) : e->handle(v, state);
}

/* Waits until something is asked; or, halted, until the LAPIC's deadline. */
static void wait(struct vcpu *v)
{
    uint64_t deadline = v->state == VCPU_HALTED ? v->lapic.deadline : LAPIC_NEVER;

    timer_stop(v);
    if (word_block(&v->word))
        nova_hc_ctrl_sm(v->wake, deadline == LAPIC_NEVER ? 0 : time_deadline(deadline),
                        NOVA_SM_DOWN | NOVA_SM_ZERO);
}

/*
 * The phase of the machine has changed. What is asked meanwhile is added to `asked`; at a new start it is of the time before,
 * for who could ask, vCPU 0, is the last one to go on. Until it is no longer counted as parked the main thread may already be
 * at the next start: so it looks again.
 */
static uint32_t look(struct vcpu *v, struct nova_arch_state *s, uint32_t *asked)
{
    uint32_t mtd = 0;

    while (__atomic_load_n(&machine_phase, __ATOMIC_SEQ_CST) != MACHINE_RUNNING ||
           v->epoch != machine_epoch) {
        machine_parked(true);
        while (!machine_may_run(v->number)) {
            timer_stop(v);
            if (word_block(&v->word))
                nova_hc_ctrl_sm(v->wake, 0, NOVA_SM_DOWN | NOVA_SM_ZERO);
            *asked |= word_take(&v->word);
        }
        if (v->epoch == machine_epoch) {
            msr_resumed(v);
        } else {
            v->epoch = machine_epoch;
            word_take(&v->word);
            *asked = 0;
            mtd = vcpu_start(v, s);
        }
        machine_parked(false);
    }
    return mtd;
}

/*
 * Someone wants to see the registers. If they are not in the message they come with a recall, for which a halted vCPU must
 * run, but without an instruction.
 */
static void show(struct vcpu *v, const struct nova_arch_state *s)
{
    v->show = !v->complete && v->state != VCPU_WAIT_SIPI;
    if (!v->show) {
        v->registers = *s;
        machine_registers(v->number);
        return;
    }
    full_start(v, NOVA_VM_RECALL);
    nova_vcpu_recall(v->sel);
    if (v->state == VCPU_HALTED) {
        v->state = VCPU_RUNNING;
        v->rests = true;
        v->halt_rip = s->rip;
    }
}

/* The recall is here. What was to be injected on the way ends HLT, and so has what was delivered before. */
static void halt_again(struct vcpu *v, const struct nova_arch_state *s)
{
    v->rests = false;
    if (v->state == VCPU_RUNNING && s->rip == v->halt_rip && !((s->inj_info | s->vect_info) & INJ_VALID))
        v->state = VCPU_HALTED;
}

static uint32_t serve(struct vcpu *v, struct nova_arch_state *s, uint32_t asked)
{
    uint32_t mtd = 0;

    if (asked & VCPU_PAUSE)
        mtd |= look(v, s, &asked);
    if (asked & VCPU_INIT) {
        if (v->number)
            vcpu_init_ipi(v);
        else
            machine_reset();
    }
    if (asked & VCPU_SIPI && v->state == VCPU_WAIT_SIPI)
        mtd |= vcpu_start_ipi(v, s, (uint8_t)(asked >> WORD_VECTOR));
    if (asked & VCPU_NMI && v->state != VCPU_WAIT_SIPI)
        v->nmi = true;
    if (asked & VCPU_REGISTERS)
        show(v, s);
    return mtd;
}

/*
 * SVM: the guest reads CR8 without an exit, and writes to it exit. If it has set the LAPIC's register instead CR8 follows: now, if
 * the message has it, or with a complete message soon.
 */
static uint32_t sync_cr8(struct vcpu *v, struct nova_arch_state *s)
{
    if (!vendor.svm || lapic_cr8(&v->lapic) == v->cr8)
        return 0;
    if (!v->complete && !(portal_mtd(v->event) & NOVA_MTD_CR)) {
        full_start(v, NOVA_VM_RECALL);
        nova_vcpu_recall(v->sel);
        return 0;
    }
    s->cr8 = v->cr8 = lapic_cr8(&v->lapic);
    return NOVA_MTD_CR;
}

uint32_t vcpu_resume(struct vcpu *v, struct nova_arch_state *s, uint32_t mtd)
{
    if (__builtin_expect(v->rests, 0) && v->complete)
        halt_again(v, s);
    for (;;) {
        uint32_t asked = word_take(&v->word);

        if (v->show && v->complete)
            asked |= VCPU_REGISTERS;
        if (asked & WORD_REQUESTS & ~(uint32_t)VCPU_INTERRUPT)
            mtd |= serve(v, s, asked);
        if (v->lapic.deadline != LAPIC_NEVER && v->lapic.deadline <= time_now())
            lapic_timer(&v->lapic, time_now());
        if (v->state == VCPU_HALTED && vcpu_awake(v, s))
            v->state = VCPU_RUNNING;
        if (v->state != VCPU_RUNNING) {
            wait(v);
            continue;
        }
        mtd |= vcpu_inject(v, s) | sync_cr8(v, s);
        timer_set(v);
        if (word_leave(&v->word))
            return mtd;
    }
}

uint32_t vcpu_die(struct vcpu *v, const struct nova_arch_state *s, const char *why)
{
    struct nova_arch_state *mine = (struct nova_arch_state *)s;

    v->registers = *s;
    v->state = VCPU_DEAD;
    machine_broken(v->number, why);
    return vcpu_resume(v, mine, 0);
}
