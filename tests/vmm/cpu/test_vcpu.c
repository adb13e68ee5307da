/*
 * vCPUs that wait: what ends HLT, what is shown of a halted vCPU, and new starts of the machine at the worst moments.
 *
 * cpu/vcpu.c is part of this file: its hypercalls are functions of the test.
 *
 * Sources: cpu/cpuid.c cpu/exit.c cpu/inject.c cpu/insn.c cpu/time.c
 * Sources: emu/cache.c emu/decode.c emu/execute.c emu/memory.c emu/string.c emu/walk.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "memory.h"
#include "cpu/stubs.h"
#include "cpu/access.h"
#include "cpu/machine.h"
#include "cpu/time.h"
#include "tap.h"

#include <nova/hypercall.h>

static unsigned take_semaphore(uint64_t sel, uint64_t deadline, unsigned flags);
static unsigned set_portal(uint64_t sel, uint64_t pid, uint32_t mtd);

#define nova_hc_ctrl_sm take_semaphore
#define nova_hc_ctrl_pt set_portal
#include "cpu/vcpu.c"

#define HLT 12
#define RIP 0x1000UL
#define VECTOR 0x41
#define INJECTED (INJ_VALID | VECTOR)

struct emu_ops access_ops;
uint32_t machine_phase, machine_epoch;

static struct vcpu *const v = &vcpus[0];
static struct nova_arch_state s;
static void (*on_wait)(void), (*on_resumed)(void); /* what happens meanwhile, once */
static unsigned waits, recalls, shown, starts, parked_now;

static void once(void (**what)(void))
{
    void (*now)(void) = *what;

    *what = NULL;
    if (now)
        now();
}

static unsigned take_semaphore(uint64_t sel, uint64_t deadline, unsigned flags)
{
    (void)sel;
    (void)deadline;
    if (flags & NOVA_SM_DOWN) {
        waits++;
        CHECK(on_wait);
        if (!on_wait) /* it would wait for ever */
            vcpu_ask(0, VCPU_NMI);
        once(&on_wait);
    }
    return NOVA_SUCCESS;
}

static unsigned set_portal(uint64_t sel, uint64_t pid, uint32_t mtd)
{
    (void)sel;
    (void)pid;
    (void)mtd;
    return NOVA_SUCCESS;
}

int nova_vcpu_recall(uint64_t sel)
{
    (void)sel;
    recalls++;
    return NOVA_OK;
}

/* What a vCPU is made with: it is not made here. */
int nova_vm_portal(uint64_t sel, uint64_t handler, uint64_t pid, uint32_t mtd)
{
    (void)sel;
    (void)handler;
    (void)pid;
    (void)mtd;
    return NOVA_ERR_LIMIT;
}

int nova_vm_handler(struct nova_thread **handler, unsigned cpu, size_t stack_size)
{
    (void)handler;
    (void)cpu;
    (void)stack_size;
    return NOVA_ERR_LIMIT;
}

int nova_vcpu_create(unsigned cpu, uint64_t events, uint64_t sel)
{
    (void)cpu;
    (void)events;
    (void)sel;
    return NOVA_ERR_LIMIT;
}

int nova_sm_create(uint64_t *sel, uint64_t count)
{
    (void)sel;
    (void)count;
    return NOVA_ERR_LIMIT;
}

uint64_t nova_cap_alloc(unsigned count, unsigned align)
{
    (void)count;
    (void)align;
    return 0;
}

void nova_cap_free(uint64_t first, unsigned count)
{
    (void)first;
    (void)count;
}

int nova_cap_copy(uint64_t from, uint64_t first, unsigned count)
{
    (void)from;
    (void)first;
    (void)count;
    return NOVA_ERR_LIMIT;
}

int timer_create(struct vcpu *vcpu, unsigned cpu)
{
    (void)vcpu;
    (void)cpu;
    return NOVA_ERR_LIMIT;
}

void timer_set(struct vcpu *vcpu)
{
    (void)vcpu;
}

void timer_stop(struct vcpu *vcpu)
{
    (void)vcpu;
}

void lapic_timer(struct lapic *lapic, uint64_t now)
{
    (void)lapic;
    (void)now;
}

uint64_t lapic_cr8(const struct lapic *lapic)
{
    (void)lapic;
    return 0;
}

enum msr_result msr_read(struct vcpu *vcpu, const struct nova_arch_state *state, uint32_t msr,
                         uint64_t *value)
{
    (void)vcpu;
    (void)state;
    (void)msr;
    (void)value;
    return MSR_FAULT;
}

enum msr_result msr_write(struct vcpu *vcpu, struct nova_arch_state *state, uint32_t msr, uint64_t value,
                          uint32_t *mtd)
{
    (void)mtd;
    return msr_read(vcpu, state, msr, &value);
}

void msr_resumed(struct vcpu *vcpu)
{
    (void)vcpu;
    once(&on_resumed);
}

uint32_t vcpu_start(struct vcpu *vcpu, struct nova_arch_state *state)
{
    (void)state;
    starts++;
    vcpu->state = VCPU_RUNNING;
    return 0;
}

void vcpu_init_ipi(struct vcpu *vcpu)
{
    vcpu->state = VCPU_WAIT_SIPI;
}

uint32_t vcpu_start_ipi(struct vcpu *vcpu, struct nova_arch_state *state, uint8_t vector)
{
    (void)vector;
    return vcpu_start(vcpu, state);
}

void machine_reset(void)
{
}

void machine_triple_fault(unsigned vcpu)
{
    (void)vcpu;
}

void machine_broken(unsigned vcpu, const char *why)
{
    (void)vcpu;
    (void)why;
}

void machine_registers(unsigned vcpu)
{
    (void)vcpu;
    shown++;
}

void machine_parked(bool is)
{
    parked_now += is ? 1 : -1U;
}

bool machine_may_run(unsigned vcpu)
{
    (void)vcpu;
    return machine_phase == MACHINE_RUNNING;
}

static const struct exit exits[EVENTS] = {
    [HLT] = {"HLT", exit_hlt, OUT_SKIP, 0},
    [NOVA_VM_RECALL] = {"recall", exit_recall, MTD_EVENTS, 0},
};

static void interrupt(void)
{
    v->lapic.irr[VECTOR / 32] |= 1U << VECTOR % 32;
}

static void ask_interrupt(void)
{
    interrupt();
    vcpu_ask(0, VCPU_INTERRUPT);
}

static void ask_registers(void)
{
    vcpu_ask(0, VCPU_REGISTERS);
}

static void ask_both(void)
{
    ask_registers();
    ask_interrupt();
}

/* The guest halts; what happens while it does. */
static uint32_t halt(void (*meanwhile)(void))
{
    memset(v, 0, sizeof(*v));
    vendor = (struct vendor){.exits = exits, .lengths = true};
    machine_phase = MACHINE_RUNNING;
    vcpu_count = 1;
    v->state = VCPU_RUNNING;
    v->lapic.deadline = LAPIC_NEVER;
    s = (struct nova_arch_state){.rip = RIP, .inst_len = 1, .rflags = RFLAGS_IF | 2};
    waits = recalls = shown = 0;
    on_wait = meanwhile;
    return nova_vm_event(portal_id(v, HLT), &s);
}

/* The event of a recall: of one that the guest has been stopped by before its next instruction, nothing else has changed. */
static void recall(void)
{
    nova_vm_event(portal_id(v, NOVA_VM_RECALL), &s);
}

static void test_halt(void)
{
    CHECK(halt(ask_interrupt) & NOVA_MTD_RIP && s.rip == RIP + 1 && s.inj_info == INJECTED && waits == 1);
    ok_checks("an interrupt ends HLT: it returns to the next instruction");
}

/*
 * An interrupt that ends HLT returns to the instruction behind it, where systems look what there is to do: who halts again
 * sleeps through it.
 */
static void test_show(void)
{
    halt(ask_both);
    CHECK(s.rip == RIP + 1 && s.inj_info == INJECTED);
    s.inj_info = 0; /* delivered; the recall comes then */
    s.rip = 0x5000;
    recall();
    CHECK(shown == 1 && v->state == VCPU_RUNNING && s.rip == 0x5000 && waits == 1);
    ok_checks("registers of a halted vCPU, and an interrupt at the same time");

    halt(ask_both);
    recall(); /* before it was delivered */
    CHECK(shown == 1 && v->state == VCPU_RUNNING && s.rip == RIP + 1 && s.inj_info == INJECTED && waits == 1);
    ok_checks("... that is still to be delivered when the registers come");

    halt(ask_registers);
    CHECK(recalls == 1 && s.rip == RIP + 1 && !s.inj_info && waits == 1);
    on_wait = ask_interrupt;
    recall();
    CHECK(shown == 1 && waits == 2 && s.rip == RIP + 1 && s.inj_info == INJECTED);
    CHECK(v->registers.rip == RIP + 1);
    ok_checks("registers of a halted vCPU: it halts again, until there is an interrupt");

    halt(ask_registers);
    interrupt(); /* the recall is on its way already */
    recall();
    CHECK(shown == 1 && waits == 1 && s.rip == RIP + 1 && s.inj_info == INJECTED);
    ok_checks("... which may come before the registers do");
}

static void go_on(void)
{
    machine_phase = MACHINE_RUNNING;
    vcpu_ask(0, VCPU_PAUSE);
}

/* All that the main thread does for a reset, to whom this vCPU is still one that stands still. */
static void start_anew(void)
{
    machine_epoch++;
    vcpu_ask(0, VCPU_PAUSE);
}

static void test_start(void)
{
    machine_epoch = 7;
    halt(ask_interrupt);
    starts = parked_now = 0;
    v->epoch = 7;
    machine_phase = MACHINE_PAUSED;
    vcpu_ask(0, VCPU_PAUSE);
    on_wait = go_on;
    recall();
    CHECK(!starts && !parked_now && v->epoch == 7);
    ok_checks("after a pause a vCPU goes on");

    machine_phase = MACHINE_PAUSED;
    vcpu_ask(0, VCPU_PAUSE);
    on_wait = go_on;
    on_resumed = start_anew;
    recall();
    CHECK(starts == 1 && !parked_now && v->epoch == machine_epoch);
    ok_checks("a new start right behind a pause: no vCPU goes on with what it did before");
}

int main(void)
{
    test_halt();
    test_show();
    test_start();
    return tap_done();
}
