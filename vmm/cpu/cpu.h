/**
 * @file
 * A virtual CPU, and what the files of cpu/ share.
 *
 *   guest --exit--> nova_vm_event --table of the vendor--> handler --reply--> guest
 *                                                             | vcpu_resume: requests, timer, injection; or waits
 *
 * Each vCPU has a handler thread on its CPU, which runs with the vCPU's time: while it waits the vCPU stands still. All of
 * struct vcpu belongs to it, but `word`, the bits of the LAPIC that others set, and what the timer thread shares.
 *
 * Handlers of frequent exits that cannot have changed what the vCPU shall do next do not look at requests: they come as a recall.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "cpu/msr.h"
#include "cpu/vcpu.h"
#include "emu/emu.h"

#include <nova/abi/cap.h>
#include <nova/vm.h>

/** Events, and one behind them that stands for those without a handler. */
#define EVENT_OTHER NOVA_VM_EVENTS
#define EVENTS (EVENT_OTHER + 1)

/** Where a vCPU is in its life; changed by the owner. */
enum vcpu_state {
    VCPU_OFF,       /**< until the machine starts */
    VCPU_WAIT_SIPI, /**< after reset (but the first), INIT */
    VCPU_RUNNING,
    VCPU_HALTED,
    VCPU_DEAD /**< after an error that it cannot go on from, until the machine is reset */
};

struct vcpu {
    uint32_t word; /**< cpu/word.h */
    enum vcpu_state state;
    uint32_t number;
    uint32_t epoch;       /**< of the machine that this vCPU was last started with (cpu/machine.h) */
    uint16_t event;       /**< that is being handled, */
    bool complete;        /**< whose message has all state */
    uint16_t full_event;  /**< this event's portal sends all state, once; 0: none */
    bool nmi;             /**< an NMI is pending */
    bool show;            /**< somebody waits for the registers, which come with the next complete message */
    bool rests;           /**< it was halted when somebody asked for the registers, and halts again, */
    uint64_t halt_rip;    /**< here */
    uint64_t events, sel; /**< selectors: first portal; EC */
    uint64_t wake;        /**< semaphore */
    struct nova_thread *handler;

    /* Timer: cpu/timer.c. Values of the guest's TSC; atomic. */
    uint64_t timer_deadline, timer_armed;
    uint64_t timer_wake; /**< semaphore */

    /* State that is not in messages. */
    uint64_t clock_page;         /**< guest-physical address of the paravirtual clock | 1, or 0 */
    uint64_t cr8;                /**< as the guest reads it (SVM) */
    uint64_t eoi_word;           /**< the same for the paravirtual EOI */
    bool eoi_armed;              /**< the guest may end the interrupt in service by that word */
    uint64_t stored[MSR_STORED]; /**< cpu/msr.c */

    struct lapic lapic;
    struct emu_cache cache; /**< of instructions */
    uint32_t exits[EVENTS];
    struct nova_arch_state registers; /**< when they were last asked for, or at the end */
} __attribute__((aligned(1024)));

extern struct vcpu vcpus[VCPU_MAX];

/** How to handle an event; without a handler it is unexpected, and stops the machine. */
struct exit {
    const char *name;
    uint32_t (*handle)(struct vcpu *vcpu, struct nova_arch_state *state); /**< returns the MTD of the reply */
    uint32_t
        out; /**< MTD of the portal; with RIP, and MTD_CODE if the CPU does not tell lengths of instructions */
    uint32_t in; /**< what the handler itself may change; functions declared here tell what they do */
};

/** What depends on the vendor: virtualization, not the CPUID of the guest. */
struct vendor {
    const struct exit *exits; /**< by number of the event */
    bool svm;
    bool lengths;                /**< messages have the length of the instruction */
    uint32_t ctrl_pri, ctrl_sec; /**< execution controls, besides those that the kernel wants */
};

extern const struct vendor vendor_svm, vendor_vmx;
extern struct vendor vendor; /**< what the host has; set once */

/** What interrupts need. */
#define MTD_EVENTS (NOVA_MTD_RFLAGS | NOVA_MTD_STA | NOVA_MTD_INJ)
/** What the emulation of an instruction needs; what it changes. */
#define MTD_EMULATE                                                                                          \
    (NOVA_MTD_GPR_0_7 | NOVA_MTD_GPR_8_15 | NOVA_MTD_RIP | NOVA_MTD_QUAL | NOVA_MTD_CS_SS | NOVA_MTD_DS_ES | \
     NOVA_MTD_FS_GS | NOVA_MTD_TR | NOVA_MTD_PDPTE | NOVA_MTD_CR | NOVA_MTD_EFER | MTD_EVENTS)
#define MTD_EMULATED (NOVA_MTD_GPR_0_7 | NOVA_MTD_GPR_8_15 | NOVA_MTD_RIP | NOVA_MTD_RFLAGS | NOVA_MTD_STA)
/** What the end of an instruction changes. */
#define MTD_SKIPPED (NOVA_MTD_RIP | NOVA_MTD_RFLAGS | NOVA_MTD_STA)
/** What suffices to know the length of the instruction. */
#define MTD_CODE (NOVA_MTD_RIP | NOVA_MTD_RFLAGS | NOVA_MTD_CS_SS | NOVA_MTD_CR | NOVA_MTD_EFER)
/** What suffices for almost all accesses to memory by 64-bit code. */
#define OUT_MEMORY (NOVA_MTD_GPR_0_7 | NOVA_MTD_GPR_8_15 | NOVA_MTD_QUAL | MTD_CODE | MTD_EVENTS)
/** All that can be read; of that, all that can be written. */
#define MTD_ALL                                                                                              \
    (MTD_EMULATE | NOVA_MTD_LDTR | NOVA_MTD_GDTR | NOVA_MTD_IDTR | NOVA_MTD_DR | NOVA_MTD_XSAVE |            \
     NOVA_MTD_SYSCALL | NOVA_MTD_SYSENTER | NOVA_MTD_PAT | NOVA_MTD_KERNEL_GS | NOVA_MTD_TSC)
#define MTD_STATE (MTD_ALL & ~NOVA_MTD_QUAL)

#define INJ_VALID (1U << 31)
#define STA_SHADOW 3U /**< of STI, of MOV SS */
#define STA_NMI 8U

#define RFLAGS_TF (1UL << 8)
#define RFLAGS_IF (1UL << 9)
#define RFLAGS_RF (1UL << 16)

/** cpu/vcpu.c */
int vcpu_create(unsigned number, unsigned cpu);

/** Ends the handling of an event whose message has MTD_EVENTS, at least: adds requests, timer and injection to the reply, and
 * waits if the vCPU has nothing to do. */
uint32_t vcpu_resume(struct vcpu *vcpu, struct nova_arch_state *state, uint32_t mtd);

/** The instruction, or whatever it is, shall exit once more, with all state in the message. */
uint32_t vcpu_again(struct vcpu *vcpu);

/** The vCPU cannot go on: the machine stops, with a report. */
uint32_t vcpu_die(struct vcpu *vcpu, const struct nova_arch_state *state, const char *why);

/** cpu/insn.c: the length of the instruction that has exited; 0: it is another one by now, and shall be carried out. */
unsigned insn_length(struct vcpu *vcpu, const struct nova_arch_state *state);

/** Past the instruction, to `rip`; a debug trap follows if the guest steps. Returns the MTD of what has changed. */
uint32_t insn_step(struct nova_arch_state *state);
uint32_t insn_flags(struct nova_arch_state *state);
uint64_t insn_wrap(const struct nova_arch_state *state, uint64_t rip);

/** Only 64-bit code goes on behind 4 GiB. */
static inline bool insn_wraps(uint64_t rip)
{
    return rip - (1UL << 32) < EMU_INSN_MAX;
}

static inline uint32_t insn_skip(struct nova_arch_state *state, uint64_t rip)
{
    uint32_t mtd = NOVA_MTD_RIP;

    state->rip = __builtin_expect(insn_wraps(rip), 0) ? insn_wrap(state, rip) : rip;
    if (__builtin_expect(state->intr_state & STA_SHADOW, 0)) {
        state->intr_state &= ~STA_SHADOW;
        mtd |= NOVA_MTD_STA;
    }
    return __builtin_expect(state->rflags & (RFLAGS_TF | RFLAGS_RF), 0) ? mtd | insn_flags(state) : mtd;
}

/** The same, as the end of an event that leaves requests to a recall. */
static inline uint32_t insn_leave(struct vcpu *vcpu, struct nova_arch_state *state, uint64_t rip,
                                  uint32_t mtd)
{
    mtd |= insn_skip(state, rip);
    return __builtin_expect(mtd & NOVA_MTD_INJ, 0) ? vcpu_resume(vcpu, state, mtd) : mtd;
}

/** cpu/inject.c: what is to be injected now, and windows to wait for; MTD_EVENTS is in the message. Returns NOVA_MTD_INJ. */
uint32_t vcpu_inject(struct vcpu *vcpu, struct nova_arch_state *state);

/** Is there something that ends HLT? */
bool vcpu_awake(struct vcpu *vcpu, const struct nova_arch_state *state);

/** Finds out whether the guest has ended its interrupt by the paravirtual EOI, and withdraws the offer. */
void vcpu_eoi_sync(struct vcpu *vcpu);

/** An exception for the guest; before vcpu_resume(). Returns NOVA_MTD_INJ. */
enum { VECTOR_DB = 1, VECTOR_UD = 6, VECTOR_GP = 13, VECTOR_PF = 14, VECTOR_AC = 17 };
uint32_t vcpu_exception(struct nova_arch_state *state, unsigned vector, bool has_error, uint32_t error);

/** cpu/reset.c: first states of BSP and AP, and after a start-up IPI. They set all state and return its MTD. */
uint32_t vcpu_start(struct vcpu *vcpu, struct nova_arch_state *state);
void vcpu_init_ipi(struct vcpu *vcpu);
uint32_t vcpu_start_ipi(struct vcpu *vcpu, struct nova_arch_state *state, uint8_t vector);

/** cpu/timer.c */
int timer_create(struct vcpu *vcpu, unsigned cpu);
/** The LAPIC's deadline may have changed. */
void timer_set(struct vcpu *vcpu);
/** The vCPU waits by itself. */
void timer_stop(struct vcpu *vcpu);

/** cpu/exit.c: handlers that both vendors share. */
uint32_t exit_startup(struct vcpu *vcpu, struct nova_arch_state *state);
uint32_t exit_recall(struct vcpu *vcpu, struct nova_arch_state *state); /**< also for windows */
uint32_t exit_cpuid(struct vcpu *vcpu, struct nova_arch_state *state);
uint32_t exit_hlt(struct vcpu *vcpu, struct nova_arch_state *state);
uint32_t exit_nothing(struct vcpu *vcpu, struct nova_arch_state *state);   /**< skips: INVD, WBINVD, PAUSE */
uint32_t exit_undefined(struct vcpu *vcpu, struct nova_arch_state *state); /**< undefined opcode */
uint32_t exit_fault(struct vcpu *vcpu,
                    struct nova_arch_state *state); /**< general protection, error code 0 */
uint32_t exit_xsetbv(struct vcpu *vcpu, struct nova_arch_state *state);
uint32_t exit_task(struct vcpu *vcpu, struct nova_arch_state *state); /**< ends the machine */
uint32_t exit_shutdown(struct vcpu *vcpu, struct nova_arch_state *state);
uint32_t exit_invalid(struct vcpu *vcpu, struct nova_arch_state *state);
uint32_t exit_rdmsr(struct vcpu *vcpu, struct nova_arch_state *state);
uint32_t exit_wrmsr(struct vcpu *vcpu, struct nova_arch_state *state);

/** What these need in the message; messages of exits that are listed nowhere have all. */
#define OUT_SKIP (NOVA_MTD_RIP | MTD_EVENTS)
#define OUT_CPUID (NOVA_MTD_GPR_0_7 | NOVA_MTD_XSAVE | OUT_SKIP) /**< leaf 0xd tells of XCR0 */
#define OUT_MSR (NOVA_MTD_GPR_0_7 | NOVA_MTD_QUAL | OUT_SKIP)
#define OUT_PORT (NOVA_MTD_GPR_0_7 | NOVA_MTD_QUAL | MTD_EVENTS)
#define OUT_XSETBV (NOVA_MTD_GPR_0_7 | NOVA_MTD_RIP | NOVA_MTD_CS_SS | NOVA_MTD_XSAVE | MTD_EVENTS)

/** cpu/cr.c: writes to CR0, CR4, CR8; what instructions make of CR0. */
uint32_t cr_write(struct vcpu *vcpu, struct nova_arch_state *state, unsigned number, uint64_t value,
                  unsigned length);
uint64_t cr_lmsw(const struct nova_arch_state *state, uint64_t value);
uint64_t cr_clts(const struct nova_arch_state *state);

/** cpu/access.c: devices. */
uint32_t exit_memory(struct vcpu *vcpu, struct nova_arch_state *state);
uint32_t access_port(struct vcpu *vcpu, struct nova_arch_state *state, uint16_t port, unsigned size, bool in,
                     uint64_t next);
uint32_t access_string(struct vcpu *vcpu, struct nova_arch_state *state);

/** Entries of the tables: the guest gets exception UD, or GP. */
#define UNDEFINED(name)                                                                                      \
    {                                                                                                        \
        name, exit_undefined, MTD_EVENTS, 0                                                                  \
    }
#define FAULT(name)                                                                                          \
    {                                                                                                        \
        name, exit_fault, MTD_EVENTS, 0                                                                      \
    }
