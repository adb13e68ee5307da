/*
 * Guests of test images: memory, vCPUs and their handlers, the same for VMX and SVM.
 *
 * Each vCPU has a local thread on its CPU that all its event portals lead to. It hands each exit to the main
 * thread, and waits for what that wants to reply. So a test is written as one sequence:
 *
 *   guest_real(v, code);            what the reply to STARTUP will set
 *   exit = guest_run(v, mtd);       replies, then waits for the next exit: v->state has the state
 *
 * Instead a test can take exits in the handler itself: v->on_exit.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "system.h"

/* Exits that tests care about, whatever they are called by the hardware. */
enum guest_exit {
    GUEST_TIMEOUT, /* none for a long time */
    GUEST_STARTUP,
    GUEST_RECALL,
    GUEST_CPUID,
    GUEST_HLT,
    GUEST_IO,
    GUEST_RDMSR,
    GUEST_WRMSR,
    GUEST_MEMORY, /* violation of the nested page tables */
    GUEST_WINDOW, /* interrupt window */
    GUEST_NMI_WINDOW,
    GUEST_CALL,     /* VMCALL, VMMCALL */
    GUEST_SHUTDOWN, /* triple fault */
    GUEST_INVALID,  /* invalid state */
    GUEST_XSETBV,
    GUEST_INVD,
    GUEST_CR,        /* access to a control register */
    GUEST_EXCEPTION, /* v->vector */
    GUEST_PAUSE,
    GUEST_RDPMC,
    GUEST_TASK, /* task switch */
    GUEST_VIRT, /* an instruction of the virtualization extensions */
    GUEST_OTHER /* v->event */
};

/* All state that can be transferred to the handler. */
#define GUEST_ALL_OUT                                                                                        \
    (~0U & ~(NOVA_MTD_POISON | NOVA_MTD_CTRL | NOVA_MTD_TPR | NOVA_MTD_APIC | NOVA_MTD_TLB | NOVA_MTD_FPU |  \
             NOVA_MTD_SPACES))

/* What a vCPU needs once. */
#define GUEST_ALL_IN                                                                                         \
    (~0U & ~(NOVA_MTD_POISON | NOVA_MTD_QUAL | NOVA_MTD_TPR | NOVA_MTD_APIC | NOVA_MTD_TLB | NOVA_MTD_FPU |  \
             NOVA_MTD_SGX))

/* Guest-physical memory and the other spaces of a guest. */
struct guest {
    uint64_t gst, pio, msr;
    uint64_t phys; /* of the memory at guest-physical address 0 */
    uint8_t *memory;
};

#define GUEST_ORDER 9 /* 2 MiB */
#define GUEST_SIZE (PAGE_SIZE << GUEST_ORDER)

/* Places in it. Page tables are those of guest_long; programs may use what lies above GUEST_FREE. */
#define GUEST_CODE 0x1000
#define GUEST_GDT 0x2000
#define GUEST_IDT 0x3000
#define GUEST_STACK 0x5000 /* top */
#define GUEST_TSS 0x6000
#define GUEST_TABLES 0x8000
#define GUEST_FREE 0x10000
#define GUEST_LOG 0x18000   /* of guest_idt */
#define GUEST_STUBS 0x19000 /* likewise */

/* Selectors of guest_long and guest_protected. */
#define GUEST_CS 0x08
#define GUEST_DS 0x10
#define GUEST_USER_CS 0x1b
#define GUEST_USER_DS 0x23
#define GUEST_TR 0x28

struct guest_cpu {
    struct guest *guest;
    struct thread *handler;
    uint64_t ec, sc, events;
    uint64_t stopped, resume;            /* semaphores */
    volatile enum guest_exit exit;       /* the last one */
    volatile unsigned event;             /* its number */
    unsigned vector;                     /* of a GUEST_EXCEPTION */
    volatile unsigned exits;             /* how many there have been */
    struct nova_arch_state state;        /* after it; what to reply */
    uint32_t mtd;                        /* of the reply */
    uint32_t controls_pri, controls_sec; /* for MTD.CTRL */

    /* If set: handles exits in the handler's UTCB; returns the MTD of the reply, or GUEST_STOP for the main thread. */
    uint32_t (*on_exit)(struct guest_cpu *v, struct nova_arch_state *state);
};

#define GUEST_STOP 0x40000000U /* MTD.FPU, which means nothing */

/* Can guests run on this machine, and is it VMX? */
bool guest_possible(void);
bool guest_vmx(void);

/* Is the machine QEMU without KVM, whose SVM lacks some exits? */
bool guest_tcg(void);

/* A guest with GUEST_SIZE of memory, and ports and MSRs that all exit. */
void guest_create(struct guest *g);

/* Maps further host memory, or none with pmm 0. */
void guest_map(const struct guest *g, uint64_t gpa, const void *from, unsigned order, unsigned pmm);

/* A vCPU that waits in its STARTUP event. flags: NOVA_EC_FPU, NOVA_EC_OFFSET. */
void guest_cpu_create(struct guest_cpu *v, struct guest *g, unsigned cpu, unsigned flags);

/* Gives it all back. */
void guest_cpu_destroy(struct guest_cpu *v);
void guest_destroy(struct guest *g);

/* Only creates the portals; for tests that create the EC themselves. */
void guest_portals(struct guest_cpu *v, unsigned cpu);

/* Copies a program, see GUEST_PROGRAM, to guest memory. */
void guest_load(const struct guest *g, uint64_t gpa, const char *start, const char *end);

/* Sets v->state and v->mtd: all registers as after a reset, but at this address, in this mode. */
void guest_real(struct guest_cpu *v, uint64_t ip);
void guest_long(struct guest_cpu *v, uint64_t rip);

/* Replies with these parts of v->state, and waits for the next exit. */
enum guest_exit guest_run(struct guest_cpu *v, uint32_t mtd);

/* The same in two steps. */
void guest_reply(struct guest_cpu *v, uint32_t mtd);
enum guest_exit guest_wait(struct guest_cpu *v, uint64_t ms);

/* Replies to the last exit behind an instruction of this length; further parts of the state as mtd says. */
enum guest_exit guest_skip(struct guest_cpu *v, unsigned length, uint32_t mtd);

/* What an interrupt or exception has brought. */
struct guest_record {
    uint64_t vector, error, rip, cs, rflags, rsp, cr2, dr6;
};

/*
 * Handlers for all vectors, in 64-bit mode, which write down what came; with `halt` they execute HLT before they go
 * on. How many there have been, and the last one.
 */
void guest_idt(struct guest_cpu *v, bool halt);
uint64_t guest_interrupts(const struct guest_cpu *v);
const struct guest_record *guest_last(const struct guest_cpu *v);

/* Name of an exit, for messages. */
const char *guest_name(enum guest_exit exit);

/* A result: this exit has come; if not, says what has. */
bool guest_is(const struct guest_cpu *v, enum guest_exit got, enum guest_exit want, const char *what);

/* The exit that an event number stands for. */
enum guest_exit guest_exit_of(unsigned event, const struct nova_arch_state *state, unsigned *vector);

/* A program of the guest, in the image: mode is .code16 or .code64. It must not depend on where it lies. */
#define GUEST_PROGRAM(name, mode, text)                                                                      \
    extern const char name[], name##_end[];                                                                  \
    __asm__(".pushsection .rodata\n" #name ":\n" mode "\n" text "\n" #name "_end: .code64\n.popsection")

#define GUEST_LOAD(g, name) guest_load(g, GUEST_CODE, name, name##_end)
